"""Fitted scikit-learn estimators as plain arrays: nothing that is read back can run code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .lazy import np

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

FILE = "arrays.npz"
BETWEEN = "|"


def fitted(estimator: BaseEstimator) -> dict[str, np.ndarray]:
    """What `fit` has added to an estimator or, by step, to a pipeline; of nearest neighbours the training set.

    Raises:
        TypeError: An attribute is neither a number, a text nor an array of them.
    """
    if hasattr(estimator, "steps"):
        parts = {name: fitted(step) for name, step in estimator.steps}
        return {f"{name}/{key}": value for name, part in parts.items() for key, value in part.items()}
    if is_neighbours(estimator):
        return {"x": estimator._fit_X, "y": estimator.classes_[estimator._y]}
    options = estimator.get_params(deep=False)
    attributes = {k: np.asarray(v) for k, v in vars(estimator).items() if k not in options and v is not None}
    odd = [name for name, value in attributes.items() if value.dtype == object]
    if odd:
        raise TypeError(f"{type(estimator).__name__} holds {', '.join(odd)}, expected arrays alone.")
    return attributes


def is_neighbours(estimator: BaseEstimator) -> bool:
    from sklearn.neighbors import KNeighborsClassifier

    return isinstance(estimator, KNeighborsClassifier)


def restored(estimator: BaseEstimator, arrays: Mapping[str, np.ndarray]) -> BaseEstimator:
    """An estimator with the same options as the one that `fitted` gave `arrays` of."""
    if hasattr(estimator, "steps"):
        for name, step in estimator.steps:
            start = f"{name}/"
            restored(step, {key.removeprefix(start): v for key, v in arrays.items() if key.startswith(start)})
    elif is_neighbours(estimator):
        estimator.fit(arrays["x"], arrays["y"])
    else:
        vars(estimator).update({name: v.item() if v.ndim == 0 else v for name, v in arrays.items()})
    return estimator


def probabilities(classifier: Any, x: np.ndarray, num_classes: int) -> np.ndarray:
    """(n, num_classes) of vectors (n, d), 0 for classes that it has not seen."""
    proba = np.zeros((len(x), num_classes), np.float32)
    proba[:, classifier.classes_] = classifier.predict_proba(x)
    return proba


def save(folder: Path, estimators: Mapping[str, BaseEstimator], **numbers: object) -> None:
    """Writes estimators and further arrays or numbers into one file."""
    parts = {name: fitted(estimator) for name, estimator in estimators.items()}
    flat = {f"{name}{BETWEEN}{key}": value for name, part in parts.items() for key, value in part.items()}
    stored: dict[str, Any] = {**flat, **numbers}
    np.savez(folder / FILE, **stored)


def load(folder: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """The arrays of each estimator, and the further ones, that `save` wrote."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    numbers = {}
    with np.load(folder / FILE, allow_pickle=False) as stored:
        for key in stored.files:
            name, between, attribute = key.partition(BETWEEN)
            if between:
                parts.setdefault(name, {})[attribute] = stored[key]
            else:
                numbers[key] = stored[key]
    return parts, numbers
