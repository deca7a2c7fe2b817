"""Convolutions over time alone, then GRUs: an alternate that Nasrullah and Zhao mention and leave out.

Card: 228,180 parameters with 20 artists. No published score. Sizes are those of their code; ours are the normalised
bands (theirs are raw decibels, which saturate the first layer) and zero padding (without it 1 s is too short).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar

from .keras_system import KerasSystem
from .layers import check_pools, recurrent
from .lazy import keras, layers
from .options import check_positive, whole_numbers
from .space import RECURRENT_SPACE, TRAINING_SPACE


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes as published; each convolution halves time."""

    filters: Annotated[str, "of each convolution"] = "64,128,128"
    kernel_size: Annotated[int, "frames of a kernel"] = 5
    gru_units: Annotated[int, "units of each GRU"] = 64
    gru_layers: Annotated[int, "GRUs after the convolutions"] = 2

    def __post_init__(self) -> None:
        check_positive(self, "kernel_size", "gru_units", "gru_layers")
        whole_numbers("filters", self.filters)


class System(KerasSystem):
    Config = Config
    space: ClassVar = {
        **TRAINING_SPACE,
        **RECURRENT_SPACE,
        "kernel_size": [3, 5, 7, 9],
        "filters": ["32,64,64", "64,128,128", "128,256,256"],
    }

    @classmethod
    def least(cls, options: Any = None) -> tuple[int, int]:
        """What the poolings, one a convolution, leave one of."""
        return 2 ** len(whole_numbers("filters", (options or cls.Config()).filters)), 1

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        config, filters = self.config, whole_numbers("filters", self.config.filters)
        check_pools(frames, n_mels, [2] * len(filters), [1])
        inputs = keras.Input((frames, n_mels))
        x = layers.BatchNormalization()(inputs)
        for channels in filters:
            x = layers.Conv1D(channels, config.kernel_size, padding="same", activation="relu")(x)
            x = layers.MaxPooling1D(2)(x)
        x = recurrent(x, config.gru_units, config.gru_layers, name="embedding")
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="crnn_1d")
