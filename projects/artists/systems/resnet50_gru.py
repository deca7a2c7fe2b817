"""The first three stages of ResNet-50, then two stacked GRUs (Tandon and Shah, "Music artist classification").

Card: the stages are conv1, conv2_x and conv3_x of He et al. 2016, which leave an eighth of time (four steps of 1 s) and
512 channels of 16 bands; the text leaves the size of the GRUs open: 32 units as in the CRNN; 2,251,028 parameters with
20 artists. On artist20, test macro F1 by clip: song split .664, .654, .679 and album split .451, .517, .487 at 1, 3 and
6 s; 11 hours on a 13 GB GPU. Learning rate 0.0001, 300 epochs. Clips from 1 s (32 frames).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from .keras_system import KerasSystem
from .layers import as_image, as_sequence, recurrent
from .lazy import keras, layers
from .options import check_fractions, check_positive
from .resnet50 import residual
from .space import RECURRENT_SPACE, TRAINING_SPACE


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of ours: the text leaves those of the GRUs open."""

    gru_units: Annotated[int, "units of each GRU"] = 32
    gru_layers: Annotated[int, "GRUs after the stages"] = 2
    dropout: Annotated[float, "share dropped before the softmax"] = 0.3

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
    training: ClassVar = {"learning_rate": 0.0001, "epochs": 300}
    min_frames = 32
    min_mels = 32

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        inputs = keras.Input((frames, n_mels))
        x = as_sequence(residual(as_image(inputs), "conv3_block4_out"))
        x = recurrent(x, self.config.gru_units, self.config.gru_layers)
        x = layers.Dropout(self.config.dropout, name="embedding")(x)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="resnet50_gru")
