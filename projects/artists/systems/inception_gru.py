"""Inception blocks in place of the CRNN's convolutions, then GRUs (Tandon and Shah, "Music artist classification").

Card: the text leaves the sizes open. Ours: four blocks of 64, 128, 128, 128 channels (1x1, 3x3, 5x5 and pooled
branches with 1x1 reductions, see layers.py), poolings, GRUs and dropouts of the CRNN; 123,948 parameters with 20
artists. On artist20, test macro F1 by clip at 1 s: .592 song split, .369 album split. Learning rate 0.0001, 300 epochs.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from ..errors import InputError
from .keras_system import KerasSystem
from .layers import as_image, as_sequence, check_pools, inception, recurrent
from .lazy import keras, layers
from .options import check_fractions, check_positive, whole_numbers
from .space import RECURRENT_SPACE, TRAINING_SPACE

POOL_TIME, POOL_BANDS = (2, 2, 2, 2), (2, 4, 4, 4)


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of ours: the text leaves them open."""

    filters: Annotated[str, "channels of each of the four blocks"] = "64,128,128,128"
    gru_units: Annotated[int, "units of each GRU"] = 32
    gru_layers: Annotated[int, "GRUs after the blocks"] = 2
    conv_dropout: Annotated[float, "share dropped after each block"] = 0.1
    dropout: Annotated[float, "share dropped before the softmax"] = 0.3

    def __post_init__(self) -> None:
        check_positive(self, "gru_units", "gru_layers")
        check_fractions(self, "conv_dropout", "dropout")
        if len(whole_numbers("filters", self.filters)) != len(POOL_TIME):
            raise InputError(f"filters={self.filters} must be {len(POOL_TIME)} numbers, one a block.")


class System(KerasSystem):
    Config = Config
    space: ClassVar = {
        **TRAINING_SPACE,
        **RECURRENT_SPACE,
        "filters": ["32,64,64,64", "64,128,128,128"],
        "conv_dropout": {"low": 0.0, "high": 0.4},
        "dropout": {"low": 0.0, "high": 0.6},
    }
    training: ClassVar = {"learning_rate": 0.0001, "epochs": 300}
    min_frames = 16
    min_mels = 128

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        config, filters = self.config, whole_numbers("filters", self.config.filters)
        check_pools(frames, n_mels, POOL_TIME, POOL_BANDS)
        inputs = keras.Input((frames, n_mels))
        x = as_image(inputs)
        for channels, *pool in zip(filters, POOL_TIME, POOL_BANDS, strict=True):
            x = layers.BatchNormalization()(inception(x, channels))
            x = layers.MaxPooling2D(tuple(pool))(x)
            x = layers.Dropout(config.conv_dropout)(x)
        x = recurrent(as_sequence(x), config.gru_units, config.gru_layers)
        x = layers.Dropout(config.dropout, name="embedding")(x)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="inception_gru")
