"""Convolutional recurrent network of Nasrullah and Zhao 2019, "Music Artist Classification with CRNNs" (figure 2).

Card: 394,516 parameters with 20 artists at any clip length (394,324 with keras2_gru=true, as published). On artist20,
test F1 by song at 3 s: .937 song split, .651 album split (table V). Trained with Adam, learning rate 0.001 (their
script; the paper says 0.0001), batch 16, early stopping after 10 epochs without a lower validation loss.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, ClassVar

from ..errors import InputError
from .keras_system import KerasSystem
from .layers import as_image, as_sequence, check_pools, recurrent
from .lazy import keras, layers
from .options import check_fractions, check_positive, whole_numbers
from .space import RECURRENT_SPACE, TRAINING_SPACE

LISTS = ("filters", "convolutions", "pool_time", "pool_bands")


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes as published; lists have a number a block."""

    filters: Annotated[str, "of the convolutions of each block"] = "64,128,128,128"
    width: Annotated[float, "factor of all filters"] = 1.0
    convolutions: Annotated[str, "before the pooling of each block"] = "1,1,1,1"
    pool_time: Annotated[str, "frames to one, each block; smaller numbers leave the GRUs more of time"] = "2,2,2,2"
    pool_bands: Annotated[str, "bands to one, each block"] = "2,4,4,4"
    gru_units: Annotated[int, "units of each GRU"] = 32
    gru_layers: Annotated[int, "GRUs after the convolutions"] = 2
    keras2_gru: Annotated[bool, "GRUs as of Keras 2.1: one bias and hard sigmoid"] = False
    conv_dropout: Annotated[float, "share dropped after each block"] = 0.1
    dropout: Annotated[float, "share dropped before the softmax"] = 0.3

    def __post_init__(self) -> None:
        check_positive(self, "gru_units", "gru_layers")
        check_fractions(self, "conv_dropout", "dropout")
        if not 0 < self.width <= 64:
            raise InputError(f"width={self.width:g} must be above 0 and at most 64; 1 is as published.")
        lengths = {name: len(self.numbers(name)) for name in LISTS}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise InputError(f"Each block needs a number in each list; there are {counts}.")

    def numbers(self, name: str) -> list[int]:
        return whole_numbers(name, getattr(self, name))


class System(KerasSystem):
    Config = Config
    space: ClassVar = {
        **TRAINING_SPACE,
        **RECURRENT_SPACE,
        "width": [0.5, 1.0, 1.5],
        # Later time pooling leaves the recurrent layers more of it.
        "pool_time": ["2,2,2,2", "2,2,2,1"],
        "conv_dropout": {"low": 0.0, "high": 0.4},
        "dropout": {"low": 0.0, "high": 0.6},
    }

    @classmethod
    def least(cls, options: Any = None) -> tuple[int, int]:
        """What the poolings leave one of."""
        time, bands = (math.prod((options or cls.Config()).numbers(name)) for name in ("pool_time", "pool_bands"))
        return time, bands

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        config = self.config
        filters, convolutions, time, bands = (config.numbers(name) for name in LISTS)
        check_pools(frames, n_mels, time, bands)
        inputs = keras.Input((frames, n_mels))
        x = as_image(inputs)
        for channels, repeats, *pool in zip(filters, convolutions, time, bands, strict=True):
            for _ in range(repeats):
                x = layers.Conv2D(max(1, round(channels * config.width)), 3, padding="same", activation="elu")(x)
                x = layers.BatchNormalization()(x)
            x = layers.MaxPooling2D(tuple(pool))(x)
            x = layers.Dropout(config.conv_dropout)(x)
        x = recurrent(as_sequence(x), config.gru_units, config.gru_layers, keras2=config.keras2_gru)
        x = layers.Dropout(config.dropout, name="embedding")(x)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="crnn")
