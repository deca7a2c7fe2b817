"""Evaluation of song vectors by a label: retrieval, nearest neighbours, linear softmax (Park et al. 2018, 4)."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import PredefinedSplit, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ..errors import InputError
from .spread import spread

STRENGTHS = tuple(10.0**exponent for exponent in range(-3, 4))
FOLDS = 5
# Queries compared at once: bounds the memory at 256 rows of similarities, whatever the number of songs.
BLOCK = 256


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows (n, d) of length 1, float64; rows of zeros stay.

    Raises:
        InputError: NaN or infinity.
        ValueError: Not two-dimensional.

    Examples:
        >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    x = np.asarray(vectors, float)
    if x.ndim != 2:
        raise ValueError(f"Got vectors of shape {x.shape}; expected (n, d).")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(1).sum())
        raise InputError(f"{bad} of {len(x)} vectors hold NaN or infinity; expected finite numbers. Embed them anew.")
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)


def average_precisions(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision of each song as a query to all others, ranked by cosine (Park et al., equation 3).

    Of vectors (n, d) and labels (n,) to (n,), NaN for a song that has no other of its label; the mean without NaN is
    the MAP. Songs at the same distance share a rank, so that their order does not count.

    Examples:
        >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> average_precisions(vectors, np.array(["a", "a", "b"]))
        array([ 1.,  1., nan])
    """
    x, labels = unit(vectors), np.asarray(labels)
    values = np.full(len(x), np.nan)
    for start in range(0, len(x), BLOCK):
        similarity = np.round(x[start : start + BLOCK] @ x.T, 12)
        for row, scores in enumerate(similarity):
            others = np.arange(len(x)) != start + row
            relevant = labels[others] == labels[start + row]
            if relevant.any():
                values[start + row] = average_precision_score(relevant, scores[others])
    return values


def nearest(vectors: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and cosines, each (min(k, n),), of the nearest rows of `vectors` (n, d) to `query` (d,), best first.

    Examples:
        >>> positions, cosines = nearest(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]), np.array([0.0, 1.0]), k=2)
        >>> positions, cosines.round(3)
        (array([1, 2]), array([1.   , 0.707]))
    """
    similarity = unit(vectors) @ unit(query[None])[0]
    order = np.argsort(-similarity, kind="stable")[:k]
    return order, similarity[order]


def knn_shares(train: np.ndarray, y_train: np.ndarray, test: np.ndarray, n_classes: int, *, k: int = 20) -> np.ndarray:
    """Share of each class, (n_test, n_classes), among the `k` training songs nearest by cosine (all, if fewer).

    Examples:
        >>> train, y_train = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), np.array([0, 0, 1])
        >>> knn_shares(train, y_train, np.array([[1.0, 0.2]]), 2, k=2)
        array([[1., 0.]])
    """
    model = KNeighborsClassifier(min(k, len(train)), metric="cosine", algorithm="brute")
    return spread(model.fit(unit(train), y_train), unit(test), n_classes)


@dataclasses.dataclass(frozen=True)
class Softmax:
    """A fitted linear softmax. proba: (n_test, n_classes); c: inverse strength of its L2 penalty; chosen_on: how."""

    proba: np.ndarray
    c: float
    chosen_on: str


def linear_softmax(
    train: np.ndarray,
    y_train: np.ndarray,
    val: np.ndarray,
    y_val: np.ndarray,
    test: np.ndarray,
    n_classes: int,
    *,
    seed: int = 0,
) -> Softmax:
    """Logistic regression on standardised vectors, fitted to the training songs.

    Of `STRENGTHS`, C is the one of least log loss on the validation songs, or, where there are none, in a stratified
    cross-validation of the training songs; where a class has a single song, C is 1. Test songs choose nothing. The
    vectors are (n, d), none or more of validation; `y_train` and `y_val` are class indices.

    Raises:
        InputError: The training songs are of one class.

    Examples:
        >>> train, y_train = np.array([[0.0], [0.1], [1.0], [1.1]]), np.array([0, 0, 1, 1])
        >>> fitted = linear_softmax(train, y_train, np.empty((0, 1)), np.empty(0), np.array([[1.2]]), 2)
        >>> fitted.proba.argmax(1), fitted.chosen_on
        (array([1]), '2-fold cross-validation of the training songs')
    """
    train, val, test = (_checked(x) for x in (train, val, test))
    if len(np.unique(y_train)) < 2:
        raise InputError("The training songs are of one class; a linear softmax needs two. Choose another split.")
    c, chosen_on = _strength(train, np.asarray(y_train), val, np.asarray(y_val), seed)
    return Softmax(spread(_softmax(c).fit(train, y_train), test, n_classes), c, chosen_on)


def _checked(vectors: np.ndarray) -> np.ndarray:
    """float64, where `unit` would take them."""
    unit(vectors)
    return np.asarray(vectors, float)


def _strength(
    train: np.ndarray, y_train: np.ndarray, val: np.ndarray, y_val: np.ndarray, seed: int
) -> tuple[float, str]:
    known = np.isin(y_val, y_train)
    if known.any():
        x, y = np.concatenate([train, val[known]]), np.concatenate([y_train, y_val[known]])
        subsets = PredefinedSplit(np.repeat([-1, 0], [len(train), known.sum()]))
        chosen_on = f"{known.sum()} validation songs"
    else:
        folds = min(FOLDS, int(np.unique(y_train, return_counts=True)[1].min()))
        if folds < 2:
            return 1.0, "nothing: a class has one training song"
        x, y, subsets = train, y_train, StratifiedKFold(folds, shuffle=True, random_state=seed)
        chosen_on = f"{folds}-fold cross-validation of the training songs"
    losses = [sum(_loss(_softmax(c), x, y, fit, held) for fit, held in subsets.split(x, y)) for c in STRENGTHS]
    return STRENGTHS[int(np.argmin(losses))], chosen_on


def _loss(model: Pipeline, x: np.ndarray, y: np.ndarray, fit: np.ndarray, held: np.ndarray) -> float:
    model.fit(x[fit], y[fit])
    return log_loss(y[held], model.predict_proba(x[held]), labels=model.classes_)


def _softmax(c: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000))
