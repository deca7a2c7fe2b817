"""Pieces that several networks are built of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..errors import InputError
from .lazy import keras, layers


def check_pools(frames: int, n_mels: int, time: Sequence[int], bands: Sequence[int]) -> None:
    """Raises InputError where the poolings would leave nothing of a clip (frames, n_mels)."""
    for what, size, pools in (("frames", frames, time), ("bands", n_mels, bands)):
        if size < math.prod(pools):
            product = " x ".join(map(str, pools))
            more = "take a longer clip" if what == "frames" else "raise n_mels"
            raise InputError(
                f"Clips of {size} {what} are too few for poolings of {product} = {math.prod(pools)}. "
                f"Give the poolings of {what} smaller numbers or {more}."
            )


def as_image(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """(frames, n_mels) in dB -> (frames, n_mels, 1), each band normalised."""
    x = layers.Reshape((*inputs.shape[1:], 1))(inputs)
    return layers.BatchNormalization(axis=2)(x)


def as_sequence(x: keras.KerasTensor) -> keras.KerasTensor:
    """(time, bands, channels) -> (time, bands * channels)."""
    return layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)


def keras2_hard_sigmoid(x: keras.KerasTensor) -> keras.KerasTensor:
    """Keras 2's: 0.2 x + 0.5 between 0 and 1. Keras 3's has the slope 1/6."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def recurrent(
    x: keras.KerasTensor, units: int, depth: int, *, keras2: bool = False, name: str | None = None
) -> keras.KerasTensor:
    """`depth` GRUs, the last of which returns its final state, (units,).

    Args:
        keras2: As Keras 2.1 made them: one bias, reset gate before the product, hard sigmoid.
        name: Of the last one.
    """
    options = {"reset_after": False, "recurrent_activation": keras2_hard_sigmoid} if keras2 else {}
    for _ in range(depth - 1):
        x = layers.GRU(units, return_sequences=True, **options)(x)
    return layers.GRU(units, name=name, **options)(x)


def inception(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Inception block with reductions (Szegedy et al. 2015, figure 2b), `filters` channels of the same time and bands.

    Shares as in GoogLeNet's 3a: 1x1 a quarter, 3x3 a half, 5x5 an eighth, pooled an eighth; reductions before the 3x3
    a quarter, before the 5x5 a sixteenth.
    """

    def convolved(y: keras.KerasTensor, share: int, size: int) -> keras.KerasTensor:
        return layers.Conv2D(max(1, filters // share), size, padding="same", activation="elu")(y)

    branches = [
        convolved(x, 4, 1),
        convolved(convolved(x, 4, 1), 2, 3),
        convolved(convolved(x, 16, 1), 8, 5),
        convolved(layers.MaxPooling2D(3, strides=1, padding="same")(x), 8, 1),
    ]
    return layers.Concatenate()(branches)


CUSTOM_OBJECTS: dict[str, Callable] = {"keras2_hard_sigmoid": keras2_hard_sigmoid}
