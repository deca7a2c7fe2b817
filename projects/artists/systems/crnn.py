"""Convolutional recurrent network of Nasrullah and Zhao 2019, "Music Artist Classification with CRNNs" (figure 2).

Card: 394,516 parameters with 20 artists at any clip length. On artist20, test F1 by song at 3 s: .937 song split,
.651 album split (table V). Trained with Adam, learning rate 0.001 (their script; the paper says 0.0001), batch 16,
early stopping after 10 epochs without a lower validation loss.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras
from keras import layers

from ..errors import InputError
from .keras_system import KerasSystem
from .space import TRAINING_SPACE

FILTERS = (64, 128, 128, 128)
# (time, frequency): 128 bands become one, time a sixteenth.
POOLS = ((2, 2), (2, 4), (2, 4), (2, 4))


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes as published. Dropouts are fractions, gru_units per recurrent layer."""

    gru_units: int = 32
    conv_dropout: float = 0.1
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.gru_units < 1:
            raise InputError(f"gru_units={self.gru_units} must be at least 1.")
        for name in ("conv_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 0 and below 1.")


class System(KerasSystem):
    Config = Config
    # What the four poolings leave one of.
    min_frames = 16
    min_mels = 128
    space: ClassVar[dict[str, object]] = {
        **TRAINING_SPACE,
        "gru_units": [16, 32, 64, 128],
        "conv_dropout": {"low": 0.0, "high": 0.4},
        "dropout": {"low": 0.0, "high": 0.6},
    }

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        inputs = keras.Input((frames, n_mels))
        x = layers.Reshape((frames, n_mels, 1))(inputs)
        x = layers.BatchNormalization(axis=2)(x)
        for filters, pool in zip(FILTERS, POOLS, strict=True):
            x = layers.Conv2D(filters, 3, padding="same", activation="elu")(x)
            x = layers.BatchNormalization()(x)
            x = layers.MaxPooling2D(pool)(x)
            x = layers.Dropout(self.config.conv_dropout)(x)
        x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
        x = layers.GRU(self.config.gru_units, return_sequences=True)(x)
        x = layers.GRU(self.config.gru_units)(x)
        x = layers.Dropout(self.config.dropout, name="embedding")(x)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="crnn")
