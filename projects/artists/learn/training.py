"""How a network is trained: the knobs, and the recipes that have a name. Imports no network code."""

from __future__ import annotations

import dataclasses

from ..errors import InputError

# Values that a recipe sets; `published` is each system's own default.
RECIPES: dict[str, dict[str, object]] = {
    "published": {},
    # Nasrullah and Zhao's text, where their script has 0.001.
    "paper": {"learning_rate": 0.0001},
    # Tandon and Shah.
    "long": {"learning_rate": 0.0001, "epochs": 300},
}


@dataclasses.dataclass(frozen=True)
class Training:
    """The published recipe of the CRNN: Adam, cross-entropy, batch 16, patience 10, learning rate 0.001."""

    epochs: int = 200
    patience: int = 10
    batch_size: int = 16
    learning_rate: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1.")
        if not 0 < self.learning_rate < 10:
            raise InputError(f"learning_rate={self.learning_rate} must be above 0 and below 10, for example 0.001.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed={self.seed} must be from 0 to 4294967295.")
