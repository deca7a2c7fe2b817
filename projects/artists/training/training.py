"""How a network is trained: the knobs, and the recipes that have a name. Imports no network code."""

from __future__ import annotations

import dataclasses
import math
import typing

from ..data.options import check_seed
from ..errors import InputError
from .rates import reductions

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
    """The published recipe of the CRNN: Adam, cross-entropy, batch 16, patience 10, learning rate 0.001.

    schedule: course of the learning rate (see `learning_rate`); weight_decay: decoupled, of kernels alone;
    label_smoothing: share of the truth spread over all classes; augment: strength of the masks of `audio.augment`.
    None of the last four is in any published recipe, and their defaults change nothing.
    """

    epochs: int = 200
    patience: int = 10
    batch_size: int = 16
    learning_rate: float = 0.001
    seed: int = 0
    schedule: typing.Literal["constant", "cosine", "plateau"] = "constant"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    augment: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1.")
        if not 0 < self.learning_rate < 10:
            raise InputError(f"learning_rate={self.learning_rate} must be above 0 and below 10, for example 0.001.")
        check_seed(self.seed)
        for name, end in (("weight_decay", 1), ("label_smoothing", 1)):
            if not 0 <= getattr(self, name) < end:
                raise InputError(f"{name}={getattr(self, name)} must be at least 0 and below {end}.")
        if not 0 <= self.augment <= 1:
            raise InputError(f"augment={self.augment} must be from 0 (none) to 1.")


def learning_rate(training: Training, losses: list[float]) -> float:
    """The rate of the next epoch, a function of the validation losses of the epochs done: a resumed training goes on.

    cosine: half a wave from `learning_rate` in the first epoch towards 0 after the last of `epochs`;
    plateau: halved each time that half of `patience` epochs (one at least) have passed without a lower loss.
    """
    if training.schedule == "cosine":
        return training.learning_rate * (1 + math.cos(math.pi * len(losses) / training.epochs)) / 2
    if training.schedule == "plateau":
        return training.learning_rate / 2 ** reductions(losses, max(1, training.patience // 2))
    return training.learning_rate
