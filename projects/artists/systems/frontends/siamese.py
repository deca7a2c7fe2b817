"""The Siamese tower of Park et al. 2018 as a front end: time means of its first four blocks, not its last layer.

Card: trained by its authors on 10,000 artists of the Million Song Dataset (github.com/jongpillee/ismir2018-artist,
model_siamese_10000.h5); MIT licence, siamese.LICENSE; siamese.npz holds the weights of these blocks. Features of
siamese_dcnn, 129 frames of 23 ms (3 s). A clip's vector is the mean over time of the 128 channels after the pooling of
each of blocks 1 to 4, 512 numbers.
"""

from __future__ import annotations

from pathlib import Path

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

    Args:
        file: That of the authors (.h5); None for the weights of these blocks that lie beside this module.

    Raises:
        InputError: The file is another.
    """
    inputs = keras.Input((FRAMES, BANDS))
    whole = keras.Model(inputs, tower(inputs, 0.0))
    pools = [layer.output for layer in whole.layers if isinstance(layer, layers.MaxPooling1D)][:BLOCKS]
    means = [layers.GlobalAveragePooling1D()(pool) for pool in pools]
    model = keras.Model(inputs, layers.Concatenate(name="embedding")(means), name="siamese")
    named = [model.get_layer(f"{kind}{i}") for i in range(1, BLOCKS + 1) for kind in ("conv", "norm")]
    for layer, weights in zip(named, _of_authors(Path(file), whole) if file else _shipped(), strict=True):
        layer.set_weights(weights)
    return model


def _of_authors(file: Path, whole: keras.Model) -> list[list[np.ndarray]]:
    """The weights of the first blocks out of the file of the whole tower."""
    from ..pretrained import read_tower

    named = [whole.get_layer(f"{kind}{i}") for i in range(1, len(LAYERS) + 1) for kind in ("conv", "norm")]
    return read_tower(file, [[tuple(w.shape) for w in layer.weights] for layer in named])[: 2 * BLOCKS]


def _shipped() -> list[list[np.ndarray]]:
    with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as arrays:
        return [[arrays[f"{i}_{j}"] for j in range(2 if i % 2 == 0 else 4)] for i in range(2 * BLOCKS)]
