"""Percentile bootstrap over songs."""

from __future__ import annotations

import numpy as np

from .metrics import ECE_BINS, EPSILON

BLOCK = 250


def song_intervals(
    y_true: np.ndarray, proba: np.ndarray, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Intervals of every metric of `metrics.scores`, songs resampled with replacement.

    Args:
        y_true: (n_songs,).
        proba: (n_songs, k).
    """
    rng = np.random.default_rng(seed)
    drawn = [
        _resampled(y_true, proba, rng.integers(len(y_true), size=(min(BLOCK, resamples - start), len(y_true))))
        for start in range(0, resamples, BLOCK)
    ]
    tail = (1 - level) / 2
    return {
        name: tuple(np.quantile(np.concatenate([block[name] for block in drawn]), [tail, 1 - tail]).tolist())
        for name in drawn[0]
    }


def paired_improvement(
    y_true: np.ndarray,
    pred_a: np.ndarray,
    pred_b: np.ndarray,
    *,
    metric: str = "f1",
    resamples: int = 2000,
    seed: int = 0,
) -> float:
    """Share of resamples of the same songs in which b's metric exceeds a's; ties count one half.

    All (n_songs,); metric: one of `metrics.LABEL_METRICS`.
    """
    k = int(max(y_true.max(), pred_a.max(), pred_b.max())) + 1
    index = np.random.default_rng(seed).integers(len(y_true), size=(resamples, len(y_true)))
    a, b = (_label_metrics(y_true[index], pred[index], k)[metric] for pred in (pred_a, pred_b))
    return float(np.mean((b > a) + 0.5 * (b == a)))


def _resampled(y_true: np.ndarray, proba: np.ndarray, index: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric on each resample (r, n_songs) -> (r,)."""
    rows = np.arange(len(y_true))
    y_pred, confidence, true = proba.argmax(1), proba.max(1), proba[rows, y_true]
    among3 = (np.argsort(-proba, axis=1, kind="stable")[:, :3] == y_true[:, None]).any(1)
    loss = -np.log(np.clip(true, EPSILON, 1))
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gap = (y_pred == y_true) - confidence
    block = np.arange(len(index))[:, None]
    gaps = np.bincount((block * ECE_BINS + bins[index]).ravel(), gap[index].ravel(), len(index) * ECE_BINS)
    return _label_metrics(y_true[index], y_pred[index], proba.shape[1]) | {
        "top3": among3[index].mean(1),
        "log_loss": loss[index].mean(1),
        "ece": np.abs(gaps.reshape(len(index), ECE_BINS)).sum(1) / len(y_true),
    }


def _label_metrics(y_true: np.ndarray, y_pred: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """The label metrics of each row of (r, n) truths and predictions, (r,) each."""
    r, n = y_true.shape
    offset = np.arange(r)[:, None] * k

    def count(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        flat = None if weights is None else weights.ravel().astype(float)
        return np.bincount((offset + values).ravel(), flat, r * k).reshape(r, k).astype(float)

    support, named, hits = count(y_true), count(y_pred), count(y_true, y_true == y_pred)
    precision, recall = hits / np.maximum(named, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(named + support, 1)
    weights = support / n
    return {
        "f1": (f1 * weights).sum(1),
        "f1_macro": f1.sum(1, where=support > 0) / (support > 0).sum(1),
        "accuracy": hits.sum(1) / n,
        "precision": (precision * weights).sum(1),
        "recall": (recall * weights).sum(1),
    }
