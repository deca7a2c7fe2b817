"""Three trivial classifiers of songs, to stand beside every result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import scipy.fft
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .metrics import scores


def loudness_vector(log_mel: np.ndarray) -> np.ndarray:
    """Mean and peak level in dB of a track (n_frames, n_mels), shape (2,)."""
    return np.array([log_mel.mean(dtype=float), log_mel.max()])


def mfcc_vector(log_mel: np.ndarray, n_mfcc: int = 20) -> np.ndarray:
    """Mean and deviation over time of the MFCC of a track (n_frames, n_mels), shape (2 * n_mfcc,)."""
    mfcc = scipy.fft.dct(np.asarray(log_mel, float), axis=1, type=2, norm="ortho")[:, :n_mfcc]
    return np.concatenate([mfcc.mean(0), mfcc.std(0)])


def trivial_scores(
    train: Mapping[str, np.ndarray],
    y_train: np.ndarray,
    test: Mapping[str, np.ndarray],
    y_test: np.ndarray,
    n_classes: int,
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Song-level metrics of the majority class and of logistic regression on each kind of vectors.

    Args:
        train: Name -> vectors (n_train, d) of songs; test likewise.
    """
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, random_state=seed))
    nothing = np.zeros((len(y_train), 1))
    majority = DummyClassifier(strategy="prior").fit(nothing, y_train)
    result = {"majority": scores(y_test, _probabilities(majority, np.zeros((len(y_test), 1)), n_classes))}
    for name, vectors in train.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = logistic.fit(vectors, y_train)
        result[name] = scores(y_test, _probabilities(fitted, test[name], n_classes))
    return result


def _probabilities(fitted: object, vectors: np.ndarray, n_classes: int) -> np.ndarray:
    """(n, n_classes), zero for classes that training did not have."""
    proba = np.zeros((len(vectors), n_classes))
    proba[:, fitted.classes_] = fitted.predict_proba(vectors)
    return proba
