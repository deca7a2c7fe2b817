"""Baselines at song level for every result: majority class, file format, bandwidth, loudness, MFCC.

The first four know nothing of the music, only how it was published. A network that does not beat loudness has learned
how loud an artist is mastered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.fft
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..errors import InputError
from .metrics import check_labels, scores
from .spread import spread


def loudness_vector(log_mel: np.ndarray) -> np.ndarray:
    """Mean and peak level in dB, (2,), of a log-mel spectrogram in dB (n_frames, n_mels).

    Raises:
        InputError: The spectrogram is empty or not finite.

    Examples:
        >>> loudness_vector(np.array([[-60.0, -40.0], [-20.0, -40.0]]))
        array([-40., -20.])
    """
    log_mel = _checked(log_mel)
    return np.array([log_mel.mean(), log_mel.max()])


def bandwidth_vector(log_mel: np.ndarray, share: float = 0.99) -> np.ndarray:
    """Roll-off of the mean spectrum, (1,): below it lies `share` of the power, as a share of the bands of `log_mel`.

    Args:
        log_mel: Log-mel spectrogram in dB (n_frames, n_mels).

    Raises:
        InputError: The spectrogram is empty or not finite.

    Examples:
        >>> bandwidth_vector(np.array([[0.0, 0.0, -90.0, -90.0]])).round(3)
        array([0.495])
    """
    power = np.power(10.0, _checked(log_mel) / 10).mean(0)
    below = np.concatenate([[0.0], np.cumsum(power)]) / power.sum()
    return np.interp([share], below, np.linspace(0, 1, len(below)))


def format_vectors(formats: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """A 1 for the format of each song among those `known`, (n_songs, len(known)); zeros for another.

    Examples:
        >>> format_vectors([".mp3", ".ogg", ".wav"], [".mp3", ".wav"])
        array([[1., 0.],
               [0., 0.],
               [0., 1.]])
    """
    return (np.array(formats)[:, None] == np.array(known)[None]).astype(float)


def mfcc_vector(log_mel: np.ndarray, n_mfcc: int = 20) -> np.ndarray:
    """Means, then standard deviations, over frames of the MFCC, (2 * n_mfcc,), of a log-mel spectrogram in dB.

    The coefficients of `log_mel` (n_frames, n_mels) are those of `librosa.feature.mfcc(S=log_mel.T)`: an orthonormal
    DCT-II over bands, the first one included; as many as there are bands, where these are fewer than `n_mfcc`. The
    standard deviation is the population's.

    Raises:
        InputError: The spectrogram is empty or not finite.

    Examples:
        >>> mfcc_vector(np.full((10, 128), -30.0)).shape
        (40,)
    """
    mfcc = scipy.fft.dct(_checked(log_mel), type=2, norm="ortho", axis=1)[:, :n_mfcc]
    return np.concatenate([mfcc.mean(0), mfcc.std(0)])


def baseline_scores(
    train_vectors: Mapping[str, np.ndarray],
    y_train: np.ndarray,
    test_vectors: Mapping[str, np.ndarray],
    y_test: np.ndarray,
    n_classes: int,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """`scores` on the test songs by the name of the baseline, each fitted to the training songs.

    Each of the vectors, by name (n_train, d) and (n_test, d), gets a logistic regression on standardised vectors;
    `majority` has the classes' shares of the training songs as its probabilities. Truths are class indices (n_train,)
    and (n_test,); a class that is missing from training gets probability 0.

    Raises:
        InputError: A subset has no songs, or vectors are not finite.
        ValueError: Names, shapes, types or class indices do not fit.

    Examples:
        >>> loudness = {"loudness": np.array([[-60.0], [-59.0], [-20.0], [-19.0]])}
        >>> result = baseline_scores(loudness, np.array([0, 0, 1, 1]), loudness, np.array([0, 0, 1, 1]), 2)
        >>> result["loudness"]["accuracy"], result["majority"]["accuracy"]
        (1.0, 0.5)
    """
    if set(train_vectors) != set(test_vectors):
        names = sorted(train_vectors), sorted(test_vectors)
        raise ValueError(f"Got vectors {names[0]} for training and {names[1]} for test; give the same.")
    y_train, _ = check_labels(y_train, y_train, n_classes)
    y_test, _ = check_labels(y_test, y_test, n_classes)
    majority = DummyClassifier(strategy="prior").fit(np.zeros((len(y_train), 1)), y_train)
    named = {"majority": scores(y_test, spread(majority, np.zeros((len(y_test), 1)), n_classes))}
    for name in train_vectors:
        x_train = _vectors(train_vectors[name], len(y_train), f"The training vectors {name}")
        x_test = _vectors(test_vectors[name], len(y_test), f"The test vectors {name}")
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, random_state=seed))
        classifier = logistic.fit(x_train, y_train) if len(np.unique(y_train)) > 1 else majority
        named[name] = scores(y_test, spread(classifier, x_test, n_classes))
    return named


def _vectors(x: np.ndarray, n_songs: int, name: str) -> np.ndarray:
    """float64 (n_songs, d)."""
    x = np.asarray(x, float)
    if x.ndim != 2 or len(x) != n_songs:
        raise ValueError(f"{name} have shape {x.shape}; expected ({n_songs}, d), one vector a song.")
    if not np.isfinite(x).all():
        raise InputError(f"{name} hold NaN or infinity; expected finite numbers. Delete the cached features.")
    return x


def _checked(log_mel: np.ndarray) -> np.ndarray:
    """float64, finite, (n_frames, n_mels), neither of them 0."""
    log_mel = np.asarray(log_mel, float)
    if log_mel.ndim != 2 or not log_mel.size or not np.isfinite(log_mel).all():
        raise InputError(
            f"Got a log-mel spectrogram of shape {log_mel.shape} that is empty or holds NaN or infinity; "
            "expected finite decibels (n_frames, n_mels). Delete the cached features of the track."
        )
    return log_mel
