"""Metrics of a classifier: functions of truth and probabilities, in tables; a new one is one function and one line.

f1, precision and recall are weighted by support, as in Nasrullah and Zhao; f1_macro is the mean over the classes that
occur in the truth, as in Tandon and Shah.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import sklearn.metrics

# Probabilities are clipped here before the logarithm.
EPSILON = 1e-7
ECE_BINS = 15


def f1(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return sklearn.metrics.f1_score(y_true, y_pred, average="weighted", zero_division=0)


def f1_macro(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return sklearn.metrics.f1_score(y_true, y_pred, labels=np.unique(y_true), average="macro", zero_division=0)


def accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(np.mean(y_true == y_pred))


def precision(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return sklearn.metrics.precision_score(y_true, y_pred, average="weighted", zero_division=0)


def recall(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return sklearn.metrics.recall_score(y_true, y_pred, average="weighted", zero_division=0)


def top3(y_true: np.ndarray, proba: np.ndarray) -> float:
    """Share of rows whose truth is among the three most probable classes; ties go to the lower index."""
    best = np.argsort(-proba, axis=1, kind="stable")[:, :3]
    return float((best == np.asarray(y_true)[:, None]).any(1).mean())


def log_loss(y_true: np.ndarray, proba: np.ndarray) -> float:
    """Mean negative logarithm of the probability of the truth, in nats."""
    return float(-np.log(np.clip(proba[np.arange(len(y_true)), y_true], EPSILON, 1)).mean())


def ece(y_true: np.ndarray, proba: np.ndarray) -> float:
    """Expected calibration error: |accuracy - confidence| over 15 equal bins (a, b] of the top probability."""
    confidence, correct = proba.max(1), proba.argmax(1) == y_true
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, correct - confidence, ECE_BINS)
    return float(np.abs(gaps).sum() / len(y_true))


LABEL_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "f1": f1,
    "f1_macro": f1_macro,
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
}
PROBABILITY_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "top3": top3,
    "log_loss": log_loss,
    "ece": ece,
}


def scores(y_true: np.ndarray, proba: np.ndarray) -> dict[str, float]:
    """All metrics of rows with truth (n,) and probabilities (n, k).

    Raises:
        ValueError: No rows, or a probability that is not a number.
    """
    if len(y_true) == 0 or not np.isfinite(proba).all():
        raise ValueError(f"{len(y_true)} rows, all finite: {bool(np.isfinite(proba).all())}; metrics need finite rows.")
    named = label_scores(y_true, proba.argmax(1))
    return named | {name: metric(y_true, proba) for name, metric in PROBABILITY_METRICS.items()}


def label_scores(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """The metrics that need no probabilities; both (n,)."""
    return {name: float(metric(y_true, y_pred)) for name, metric in LABEL_METRICS.items()}


def confusion(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (n_classes, n_classes), rows the truth."""
    return np.bincount(y_true * n_classes + y_pred, minlength=n_classes**2).reshape(n_classes, n_classes)


def per_class(y_true: np.ndarray, proba: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """A row a class: support, precision, recall, f1, mean probability of the truth, what it is taken for most."""
    y_pred = proba.argmax(1)
    k = len(labels)
    each = sklearn.metrics.precision_recall_fscore_support(y_true, y_pred, labels=np.arange(k), zero_division=0)
    wrong = confusion(y_true, y_pred, k) * (1 - np.eye(k, dtype=int))
    support = each[3]
    true = np.bincount(y_true, proba[np.arange(len(y_true)), y_true], k) / np.maximum(support, 1)
    return pd.DataFrame(
        {
            "label": list(labels),
            "support": support,
            "precision": each[0],
            "recall": each[1],
            "f1": each[2],
            "probability_true": np.where(support > 0, true, np.nan),
            "confused_with": [labels[i] if row.any() else "" for i, row in zip(wrong.argmax(1), wrong, strict=True)],
            "confused": wrong.max(1),
        }
    )
