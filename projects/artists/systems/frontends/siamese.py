"""The Siamese tower of Park et al. 2018 as a front end: time means of its first four blocks, not its last layer.

Card: trained by its authors on 10,000 artists of the Million Song Dataset; MIT licence; weights=<their file
model_siamese_10000.h5>. Features of siamese_dcnn, 129 frames of 23 ms (3 s). A clip's vector is the mean over time of
the 128 channels after the pooling of each of blocks 1 to 4, 512 numbers.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ..lazy import keras, layers, np
from ..park import LAYERS, ParkSystem, tower

FRAMES, BANDS = 129, 128
FEATURES = {**ParkSystem.features, "mel_scale": "slaney"}
SECONDS = 3.0
BLOCKS = 4


def prepared(clips: np.ndarray) -> np.ndarray:
    """The network takes the features as they are."""
    return clips


def pretrained(file: str | None) -> keras.Model:
    """The first blocks of the tower with the published weights, (129, 128) -> (512,).

    Raises:
        InputError: No file is given, or it is another.
    """
    from ..pretrained import read_tower

    if not file:
        raise InputError(
            "front_end=siamese needs weights=<model_siamese_10000.h5>, from the repository jongpillee/ismir2018-artist."
        )
    inputs = keras.Input((FRAMES, BANDS))
    whole = keras.Model(inputs, tower(inputs, 0.0))
    named = [whole.get_layer(f"{kind}{i}") for i in range(1, len(LAYERS) + 1) for kind in ("conv", "norm")]
    for layer, weights in zip(
        named, read_tower(Path(file), [[tuple(w.shape) for w in layer.weights] for layer in named]), strict=True
    ):
        layer.set_weights(weights)
    pools = [layer.output for layer in whole.layers if isinstance(layer, layers.MaxPooling1D)][:BLOCKS]
    means = [layers.GlobalAveragePooling1D()(pool) for pool in pools]
    return keras.Model(inputs, layers.Concatenate(name="embedding")(means), name="siamese")
