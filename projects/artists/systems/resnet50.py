"""ResNet-50 (He et al. 2016) on the one-channel spectrogram (Tandon and Shah, "Music artist classification").

Card: 23,622,932 parameters with 20 artists, no pretrained weights; bands are normalised first, then the network of
keras.applications and an average over what it leaves of time and bands. On artist20, test macro F1 by clip at 1 s:
.592 song split, .354 album split; 9 hours on a 13 GB GPU. Learning rate 0.0001, 300 epochs. Clips from 1 s (32 frames).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from .keras_system import KerasSystem
from .layers import as_image
from .lazy import keras, layers
from .options import check_fractions
from .space import TRAINING_SPACE


@dataclasses.dataclass(frozen=True)
class Config:
    """The text names no dropout."""

    dropout: Annotated[float, "share dropped before the softmax"] = 0.0

    def __post_init__(self) -> None:
        check_fractions(self, "dropout")


class System(KerasSystem):
    Config = Config
    space: ClassVar = {
        **TRAINING_SPACE,
        "dropout": {"low": 0.0, "high": 0.6},
    }
    training: ClassVar = {"learning_rate": 0.0001, "epochs": 300}
    min_frames = 32
    min_mels = 32

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        inputs = keras.Input((frames, n_mels))
        x = layers.GlobalAveragePooling2D()(residual(as_image(inputs)))
        x = layers.Dropout(self.config.dropout, name="embedding")(x)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="resnet50")


def residual(image: keras.KerasTensor, last: str | None = None) -> keras.KerasTensor:
    """Output of the layer `last`, by default the final one, of an untrained ResNet-50 on (frames, n_mels, 1)."""
    network = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=image)
    return network.get_layer(last).output if last else network.output
