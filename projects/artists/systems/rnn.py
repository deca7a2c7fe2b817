"""GRUs alone, on the bands of each frame: an alternate that Nasrullah and Zhao mention and leave out.

Card: 64,020 parameters with 20 artists. No published score. Two layers of 64 units as in their code, which has LSTMs
there; bands are normalised first (theirs are raw decibels, which saturate the gates).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from .keras_system import KerasSystem
from .layers import recurrent
from .lazy import keras, layers
from .options import check_fractions, check_positive
from .space import RECURRENT_SPACE, TRAINING_SPACE


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes as published."""

    gru_units: Annotated[int, "units of each GRU"] = 64
    gru_layers: Annotated[int, "stacked GRUs"] = 2
    keras2_gru: Annotated[bool, "GRUs as of Keras 2.1: one bias and hard sigmoid"] = False
    dropout: Annotated[float, "share dropped before the softmax"] = 0.0

    def __post_init__(self) -> None:
        check_positive(self, "gru_units", "gru_layers")
        check_fractions(self, "dropout")


class System(KerasSystem):
    Config = Config
    space: ClassVar = {
        **TRAINING_SPACE,
        **RECURRENT_SPACE,
        "dropout": {"low": 0.0, "high": 0.6},
    }

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        inputs = keras.Input((frames, n_mels))
        x = layers.BatchNormalization()(inputs)
        x = recurrent(x, self.config.gru_units, self.config.gru_layers, keras2=self.config.keras2_gru)
        x = layers.Dropout(self.config.dropout, name="embedding")(x)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="rnn")
