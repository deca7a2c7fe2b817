"""musicnn of Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging".

Card: trained on the tags of the Million Song Dataset; ISC licence; weights of the wheel musicnn 0.1.0. 16 kHz, 96 mel
bands, log10(1 + 10000 * power), 187 frames of 16 ms (3 s). A clip's vector is the mean over time of the 753 channels of
its front end (2 x 204 timbral, 3 x 51 temporal) and its middle (3 x 64); the layers of the tags are not used.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..lazy import keras, layers, np

FRAMES, BANDS = 187, 96
FEATURES = {"sr": 16000, "n_fft": 512, "hop_length": 256, "n_mels": BANDS, "mel_scale": "slaney", "compression": "db"}
SECONDS = FRAMES * 256 / 16000
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
# Of the wheel.
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"


def prepared(clips: np.ndarray) -> np.ndarray:
    """Bands in dB -> log10(1 + 10000 * power)."""
    return np.log10(1 + 10000 * np.power(10, clips / 10, dtype=np.float32))


def pretrained(file: str | None) -> keras.Model:
    """The network with the published weights, of the wheel `file`, or fetched from the package index.

    Raises:
        InputError: They cannot be had, or the file is another.
    """
    from .fetch import checkpoint_of_wheel

    model = build()
    set_variables(model, checkpoint_of_wheel("musicnn", "0.1.0", SHA256, "musicnn/MSD_musicnn/", file))
    return model


def build() -> keras.Model:
    """(187, 96) in log10(1 + 10000 * power) -> (753,), with random weights."""
    inputs = keras.Input((FRAMES, BANDS))
    x = _norm(0)(layers.Reshape((FRAMES, BANDS, 1))(inputs))
    padded = layers.ZeroPadding2D(((3, 3), (0, 0)))(x)
    parts = [_timbre(padded, 0, 204, (7, 38), "valid"), _timbre(padded, 1, 204, (7, 67), "valid")]
    parts += [_timbre(x, i, 51, (frames, 1), "same") for i, frames in ((2, 128), (3, 64), (4, 32))]
    middle = [layers.Concatenate()(parts)]
    for i in (5, 6, 7):
        y = layers.Conv1D(64, 7, padding="same", activation="relu", name=f"conv{i}")(middle[-1])
        y = _norm(i + 1)(y)
        middle.append(y if i == 5 else layers.Add()([y, middle[-1]]))
    vector = layers.GlobalAveragePooling1D(name="embedding")(layers.Concatenate()(middle))
    return keras.Model(inputs, vector, name="musicnn")


def set_variables(model: keras.Model, variables: Mapping[str, np.ndarray]) -> None:
    """The weights of the published checkpoint, by the names that TensorFlow 1 gave them.

    Raises:
        KeyError, ValueError: One is not there, or has another shape.
    """
    kinds = (("norm", "batch_normalization", 9, NORM), ("conv", "conv2d", 8, ("kernel", "bias")))
    for layer, kind, count, names in kinds:
        for i in range(count):
            target = model.get_layer(f"{layer}{i}")
            weights = [variables[f"{kind}_{i}/{name}" if i else f"{kind}/{name}"] for name in names]
            # The kernels of the middle have an axis of one channel more.
            target.set_weights([w.reshape(t.shape) for w, t in zip(weights, target.weights, strict=True)])


def _norm(i: int) -> keras.layers.BatchNormalization:
    return layers.BatchNormalization(epsilon=1e-3, name=f"norm{i}")


def _timbre(x: keras.KerasTensor, i: int, filters: int, kernel: tuple[int, int], padding: str) -> keras.KerasTensor:
    """A convolution, of whose bands the greatest stays: (frames, bands, 1) -> (frames, filters)."""
    y = layers.Conv2D(filters, kernel, padding=padding, activation="relu", name=f"conv{i}")(x)
    y = layers.MaxPooling2D((1, y.shape[2]))(_norm(i + 1)(y))
    return layers.Reshape((FRAMES, filters))(y)
