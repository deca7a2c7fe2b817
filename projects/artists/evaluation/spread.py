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
