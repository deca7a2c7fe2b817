"""How a network is trained: the knobs, and the recipes that have a name. Imports no network code."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

from ..data.options import check_seed
from ..errors import InputError
from .rates import reductions

# How a recipe trains a system; `published` is each system's own default.
RECIPES: dict[str, dict[str, object]] = {
    "published": {},
    # Nasrullah and Zhao's text, where their script has 0.001.
    "paper": {"learning_rate": 0.0001},
    # Tandon and Shah.
    "long": {"learning_rate": 0.0001, "epochs": 300},
    # Not published: for corpora of few steps an epoch.
    "small": {"adapt_batchnorm": True},
    # Not published: what train takes where neither a recipe nor a model is given.
    "modern": {"crops": True, "schedule": "cosine", "epochs": 40, "patience": 40, "adapt_batchnorm": True},
    # As the networks of SYSTEMS are not: for those of the literature.
    "strong": {
        "schedule": "cosine", "weight_decay": 0.01, "label_smoothing": 0.1, "augment": 1.0, "patience": 40,
        "adapt_batchnorm": True,
    },
    "embeddings": {},
}  # fmt: skip
# The systems that a recipe chooses where no model is given, with their options.
SYSTEMS: dict[str, dict[str, object]] = {
    # The best known here that fetches nothing.
    "strong": {
        "model": "ensemble",
        "members": "convnet+convnet:centre=bands+0.25*timbre",
    },
    # The best known here: vectors of frozen networks.
    "embeddings": {"model": "ensemble", "members": "vectors+0.5*vectors:front_end=siamese:head_c=0.1"},
}


@dataclasses.dataclass(frozen=True)
class Training:
    """Training: how a network is trained; by default the published recipe of the CRNN (Adam, cross-entropy).

    None of the last six is in any published recipe, and their defaults change nothing.
    """

    epochs: Annotated[int, "at most so many"] = 200
    patience: Annotated[int, "stops after so many epochs without a lower validation loss; the best weights stay"] = 10
    batch_size: Annotated[int, "clips a step"] = 16
    learning_rate: Annotated[float, "of the first epoch"] = 0.001
    seed: Annotated[int, "of split, weights, order and dropout"] = 0
    schedule: Annotated[
        Literal["constant", "cosine", "plateau"],
        "of the learning rate: towards 0 after epochs; halved after half of patience without a lower validation loss",
    ] = "constant"
    weight_decay: Annotated[float, "decoupled, of kernels alone"] = 0.0
    label_smoothing: Annotated[float, "share of the truth spread over all classes"] = 0.0
    augment: Annotated[float, "masks of time and frequency, up to this times a fifth of the axis (SpecAugment)"] = 0.0
    crops: Annotated[
        bool, "feed random crops of the songs through gains, equalisers, low-passes and masks instead of their clips"
    ] = False
    adapt_batchnorm: Annotated[
        bool, "below 80 steps an epoch, lower the momentum of batch normalisation so that it averages over one epoch"
    ] = False

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
