"""Scores of a classifier at clip or song level: a row has one true class and one probability for each class.

`METRICS` names them all. To add one, write a function and enter it in `LABEL_STATISTICS` (it follows from the
right, predicted and true counts of the classes), in `ROW_STATISTICS` (it is a mean over rows) or, if it is
neither, in `METRICS`; it is then scored, logged and given an interval. The predicted class of a row is its
most probable one, the lower index among equals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import InputError

LOG_LOSS_FLOOR = 1e-7
ECE_BINS = 15
# Numbers in one array of a block of draws: 32 MB.
BLOCK_NUMBERS = 4_000_000
# A softmax in half precision over many classes is off by some thousandths; logits are off by far more.
SUM_TOLERANCE = 1e-2

Arrays = tuple[np.ndarray, np.ndarray]
Metric = Callable[[np.ndarray, np.ndarray], float]


class Counts(NamedTuple):
    """Rows that are right, predicted and true, by class: each (..., k), where leading axes are resamples."""

    right: np.ndarray
    predicted: np.ndarray
    support: np.ndarray


def f1(counts: Counts) -> np.ndarray:
    """F1 weighted by support, as Nasrullah and Zhao report it.

    Examples:
        >>> float(f1(Counts(np.array([1, 1]), np.array([1, 2]), np.array([2, 1]))).round(3))
        0.667
    """
    return _weighted(class_f1(counts), counts)


def f1_macro(counts: Counts) -> np.ndarray:
    """Mean F1 of the classes that have support (of all of them in Tandon and Shah, where all have some).

    Examples:
        >>> float(f1_macro(Counts(np.array([1, 1, 0]), np.array([1, 2, 0]), np.array([2, 1, 0]))).round(3))
        0.667
    """
    present = counts.support > 0
    return (class_f1(counts) * present).sum(-1) / present.sum(-1)


def accuracy(counts: Counts) -> np.ndarray:
    """Share of rows that are right.

    Examples:
        >>> float(accuracy(Counts(np.array([1, 1]), np.array([1, 2]), np.array([2, 1]))).round(3))
        0.667
    """
    return counts.right.sum(-1) / counts.support.sum(-1)


def precision(counts: Counts) -> np.ndarray:
    """Precision weighted by support; that of a class that is never predicted counts as 0.

    Examples:
        >>> float(precision(Counts(np.array([1, 1]), np.array([1, 2]), np.array([2, 1]))).round(3))
        0.833
    """
    return _weighted(_ratio(counts.right, counts.predicted), counts)


def recall(counts: Counts) -> np.ndarray:
    """Recall weighted by support: the same number as accuracy when every row has one class.

    Examples:
        >>> float(recall(Counts(np.array([1, 1]), np.array([1, 2]), np.array([2, 1]))).round(3))
        0.667
    """
    return _weighted(_ratio(counts.right, counts.support), counts)


def class_f1(counts: Counts) -> np.ndarray:
    """F1 of each class, (..., k); 0 for a class that is neither predicted nor true.

    Examples:
        >>> class_f1(Counts(np.array([1, 1]), np.array([1, 2]), np.array([2, 1]))).round(3)
        array([0.667, 0.667])
    """
    return _ratio(2 * counts.right, counts.predicted + counts.support)


def top3_hits(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """1 where the true class is among the three most probable, lower indices first among equals; (n,).

    Examples:
        >>> top3_hits(np.array([0, 3]), np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]]))
        array([0., 1.])
    """
    own = _own_probability(y_true, proba)[:, None]
    ahead = (proba > own) | ((proba == own) & (np.arange(proba.shape[1]) < y_true[:, None]))
    return (ahead.sum(1) < 3).astype(float)


def log_losses(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Minus the natural logarithm of the true class's probability, clipped at 1e-7; (n,), 0 to 16.1.

    Examples:
        >>> log_losses(np.array([0, 1]), np.array([[0.5, 0.5], [1.0, 0.0]])).round(3)
        array([ 0.693, 16.118])
    """
    return -np.log(np.clip(_own_probability(y_true, proba).astype(float), LOG_LOSS_FLOOR, 1.0))


def calibration_gaps(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Correctness (0 or 1) minus top probability, in the column of the row's bin, 0 elsewhere; (n, 15).

    The bins of top probability are equally wide and closed on the right: (0, 1/15], ..., (14/15, 1]. Absolute column
    means add up to the expected calibration error (Guo et al., ICML 2017, equation 3); empty bins add nothing.

    Examples:
        >>> gaps = calibration_gaps(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]]))
        >>> gaps.shape, gaps.sum(1).round(3)
        ((2, 15), array([ 0.1, -0.9]))
    """
    top = proba.max(1).astype(float)
    gaps = np.zeros((len(top), ECE_BINS))
    gaps[np.arange(len(top)), _confidence_bin(top)] = (proba.argmax(1) == y_true) - top
    return gaps


def ece_expected(proba: np.ndarray, *, draws: int = 1000, seed: int = 0) -> float:
    """Expected calibration error that calibrated probabilities (n, k) show by chance, on n independent rows.

    It is the mean over `draws` of classes drawn from the probabilities themselves: the fewer rows, the larger.

    Raises:
        InputError: There are no rows, or probabilities are NaN, infinite or no distribution over classes.

    Examples:
        >>> few, many = np.tile([0.8, 0.2], (10, 1)), np.tile([0.8, 0.2], (1000, 1))
        >>> round(ece_expected(few), 2), round(ece_expected(many), 2)
        (0.09, 0.01)
    """
    _, proba = check_scored(np.zeros(len(proba), np.int64), proba)
    # Of a row only its top probability, which is the chance that it is right, counts.
    top = proba.max(1).astype(float)
    bins = np.eye(ECE_BINS)[_confidence_bin(top)]
    rng, total = np.random.default_rng(seed), 0.0
    block = max(1, BLOCK_NUMBERS // len(top))
    for start in range(0, draws, block):
        right = rng.random((min(block, draws - start), len(top))) < top
        total += np.abs((right - top) @ bins).sum()
    return float(total / (draws * len(top)))


def ece_debiased(y_true: np.ndarray, proba: np.ndarray) -> float:
    """Expected calibration error of classes (n,) and probabilities (n, k) without what chance adds on n rows.

    The square of `ece_expected` is subtracted from that of the error, as Kumar et al. (NeurIPS 2019) debias squared
    errors; 0 where chance explains it all. The plain difference would hide half of a true error of .13 on 33 rows,
    since chance adds less where there is an error. Raises as `scores`.

    Examples:
        >>> proba = np.tile([0.8, 0.2], (10, 1))
        >>> ece_debiased(np.repeat([0, 1], [8, 2]), proba), round(ece_debiased(np.repeat([0, 1], [4, 6]), proba), 2)
        (0.0, 0.39)
    """
    return float(np.sqrt(max(0.0, METRICS["ece"](y_true, proba) ** 2 - ece_expected(proba) ** 2)))


LABEL_STATISTICS: dict[str, Callable[[Counts], np.ndarray]] = {
    "f1": f1, "f1_macro": f1_macro, "accuracy": accuracy, "precision": precision, "recall": recall,
}  # fmt: skip
# (n,) values whose mean is the metric, or (n, bins) values whose absolute column means add up to it.
ROW_STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "top3": top3_hits, "log_loss": log_losses, "ece": calibration_gaps,
}  # fmt: skip


def row_score(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The metric of what a row statistic returned, under weights (..., n) of the rows: (...,).

    Examples:
        >>> float(row_score(np.array([1.0, 0.0, 0.0]), np.array([2.0, 1.0, 1.0])))
        0.5
    """
    means = weights @ values / weights.sum(-1).reshape(weights.shape[:-1] + (1,) * (values.ndim - 1))
    return means if values.ndim == 1 else np.abs(means).sum(-1)


def class_counts(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> Counts:
    """Counts, each (n_classes,), of true and predicted class indices (n,).

    Examples:
        >>> class_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        Counts(right=array([1, 1]), predicted=array([1, 2]), support=array([2, 1]))
    """
    right = np.bincount(y_true[y_true == y_pred], minlength=n_classes)
    return Counts(right, np.bincount(y_pred, minlength=n_classes), np.bincount(y_true, minlength=n_classes))


def _label_metric(name: str) -> Metric:
    """The metric of two arrays of class indices (n,)."""

    def metric(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        y_true, y_pred = check_labels(y_true, y_pred)
        n_classes = 1 + max(y_true.max(), y_pred.max())
        return float(LABEL_STATISTICS[name](class_counts(y_true, y_pred, n_classes)))

    return metric


def _proba_metric(name: str) -> Metric:
    """The metric of true class indices (n,) and probabilities (n, k)."""

    def metric(y_true: np.ndarray, proba: np.ndarray) -> float:
        y_true, proba = check_scored(y_true, proba)
        if name in LABEL_STATISTICS:
            return LABEL_METRICS[name](y_true, proba.argmax(1))
        return float(row_score(ROW_STATISTICS[name](y_true, proba), np.ones(len(y_true))))

    return metric


LABEL_METRICS: dict[str, Metric] = {name: _label_metric(name) for name in LABEL_STATISTICS}
METRICS: dict[str, Metric] = {name: _proba_metric(name) for name in (*LABEL_STATISTICS, *ROW_STATISTICS)}


def scores(y_true: np.ndarray, proba: np.ndarray) -> dict[str, float]:
    """All `METRICS` of true class indices (n,) and probabilities (n, k).

    Raises:
        InputError: There are no rows, or probabilities are NaN, infinite or no distribution over classes.
        ValueError: Shapes, types or class indices do not fit.

    Examples:
        >>> result = scores(np.array([0, 1]), np.array([[0.8, 0.2], [0.4, 0.6]]))
        >>> list(result), round(result["log_loss"], 3)
        (['f1', 'f1_macro', 'accuracy', 'precision', 'recall', 'top3', 'log_loss', 'ece'], 0.367)
    """
    return {name: metric(y_true, proba) for name, metric in METRICS.items()}


def label_scores(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """All `LABEL_METRICS` of true and predicted class indices, each (n,). Raises as `scores`.

    Examples:
        >>> {name: round(score, 3) for name, score in label_scores(np.array([0, 0, 1]), np.array([0, 1, 1])).items()}
        {'f1': 0.667, 'f1_macro': 0.667, 'accuracy': 0.667, 'precision': 0.833, 'recall': 0.667}
    """
    return {name: metric(y_true, y_pred) for name, metric in LABEL_METRICS.items()}


def per_class(y_true: np.ndarray, proba: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """A row a class, in the order of `labels` (k,).

    Columns: label; support; precision (0 if never predicted), recall, f1; probability_true, the mean
    probability that the class's own rows give to it; confused_with, the class its wrong rows went to most
    often (the lower index among equals, empty if none is wrong), and confused_count, how often. Recall, f1
    and probability_true are NaN without support.

    Examples:
        >>> table = per_class(np.array([0, 1]), np.array([[0.8, 0.2], [0.6, 0.4]]), ["A", "B"])
        >>> table[["label", "recall", "confused_with"]].values.tolist()
        [['A', 1.0, ''], ['B', 0.0, 'A']]
    """
    y_true, proba = check_scored(y_true, proba)
    if len(labels) != proba.shape[1]:
        raise ValueError(f"Got {len(labels)} labels for {proba.shape[1]} classes; expected one each.")
    counts = class_counts(y_true, proba.argmax(1), len(labels))
    wrong = confusion(y_true, proba.argmax(1), len(labels))
    np.fill_diagonal(wrong, 0)
    worst, present = wrong.argmax(1), counts.support > 0
    own = np.bincount(y_true, weights=_own_probability(y_true, proba), minlength=len(labels))
    return pd.DataFrame(
        {
            "label": list(labels),
            "support": counts.support,
            "precision": _ratio(counts.right, counts.predicted),
            "recall": np.where(present, _ratio(counts.right, counts.support), np.nan),
            "f1": np.where(present, class_f1(counts), np.nan),
            "probability_true": np.where(present, _ratio(own, counts.support), np.nan),
            "confused_with": [labels[j] if wrong[i, j] else "" for i, j in enumerate(worst)],
            "confused_count": wrong.max(1),
        }
    )


def confusion(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (n_classes, n_classes) of predicted class (column) by true class (row).

    Examples:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        array([[1, 1],
               [0, 1]])
    """
    y_true, y_pred = check_labels(y_true, y_pred, n_classes)
    flat = np.bincount(y_true * n_classes + y_pred, minlength=n_classes * n_classes)
    return flat.reshape(n_classes, n_classes)


def check_labels(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int | None = None) -> Arrays:
    """Both as int64 (n,), once they are known to be class indices of equally many rows, n > 0."""
    pair = np.asarray(y_true), np.asarray(y_pred)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        raise ValueError(f"Got classes of shapes {pair[0].shape} and {pair[1].shape}; expected (n,) twice.")
    if not len(pair[0]):
        raise InputError("Nothing to score; expected one clip or more. Use a shorter clip or another split.")
    for y in pair:
        if not np.issubdtype(y.dtype, np.integer):
            raise ValueError(f"Got classes of type {y.dtype}; expected integers, an index a class.")
        if y.min() < 0 or (n_classes is not None and y.max() >= n_classes):
            highest = "" if n_classes is None else f" to {n_classes - 1}"
            raise ValueError(f"Got class indices {y.min()} to {y.max()}; expected them from 0{highest}.")
    return pair[0].astype(np.int64), pair[1].astype(np.int64)


def check_scored(y_true: np.ndarray, proba: np.ndarray) -> Arrays:
    """True classes as int64 (n,) and probabilities (n, k), once they are known to fit."""
    proba = check_probabilities(proba)
    y_true, _ = check_labels(y_true, np.zeros(len(proba), np.int64), proba.shape[1])
    return y_true, proba


def check_probabilities(proba: np.ndarray) -> np.ndarray:
    """An array of shape (n, k), k > 0, whose rows are distributions over the classes."""
    proba = np.asarray(proba)
    if proba.ndim != 2 or not proba.shape[1] or not np.issubdtype(proba.dtype, np.floating):
        raise ValueError(f"Got {proba.dtype} probabilities of shape {proba.shape}; expected floats (n, k).")
    bad = ~np.isfinite(proba).all(1)
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {len(proba)} rows of probabilities hold NaN or infinity; expected numbers. "
            "The training has diverged (try a smaller learning_rate) or the features are broken."
        )
    off = (np.abs(proba.sum(1, dtype=float) - 1) > SUM_TOLERANCE) | (proba.min(1) < 0)
    if off.any():
        first = proba[off][0]
        raise InputError(
            f"{off.sum()} of {len(proba)} rows are no probabilities, the first with sum {first.sum():g} and "
            f"minimum {first.min():g}; expected a distribution over classes. Apply a softmax to logits."
        )
    return proba


def _confidence_bin(top: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.arange(1, ECE_BINS) / ECE_BINS, top)


def _own_probability(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    return proba[np.arange(len(y_true)), y_true]


def _weighted(values: np.ndarray, counts: Counts) -> np.ndarray:
    return (values * counts.support).sum(-1) / counts.support.sum(-1)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)
