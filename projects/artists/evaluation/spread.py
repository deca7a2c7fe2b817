"""Probabilities over all classes, of a classifier that has seen some of them."""

from __future__ import annotations

from typing import Any

import numpy as np


def spread(classifier: Any, x: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (n, n_classes) of vectors (n, d), 0 for classes that a fitted classifier has not seen.

    Examples:
        >>> from sklearn.dummy import DummyClassifier
        >>> spread(DummyClassifier().fit([[0]], [2]), np.zeros((1, 1)), 4)
        array([[0., 0., 1., 0.]])
    """
    proba = np.zeros((len(x), n_classes))
    proba[:, classifier.classes_] = classifier.predict_proba(x)
    return proba


def geometric_mean(proba: np.ndarray, least: float = 1e-6) -> np.ndarray:
    """One song's probabilities (k,) of those of its clips (n, k): the softmax of their mean logarithms.

    Probabilities below `least` say nothing more.

    Examples:
        >>> geometric_mean(np.array([[0.9, 0.1], [0.5, 0.5]]))
        array([0.75, 0.25])
    """
    logs = np.log(np.maximum(proba, least)).mean(0)
    likelihood = np.exp(logs - logs.max())
    return likelihood / likelihood.sum()
