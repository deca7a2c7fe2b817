"""Confidence intervals of scores: percentile bootstrap over songs (Efron and Tibshirani, 1993).

Songs are resampled, not clips: clips of one song are not independent. The interval covers the choice of test songs, not
the variation from one training to the next.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse

from ..errors import InputError
from .metrics import LABEL_STATISTICS, METRICS, ROW_STATISTICS, Counts, check_labels, check_scored, row_score

# Numbers in one array of a block of resamples: 32 MB.
BLOCK_NUMBERS = 4_000_000


def song_intervals(
    y_true: np.ndarray, proba: np.ndarray, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Lower and upper bound of every metric of classes (n_songs,) and probabilities (n_songs, k).

    A share `level` of the resamples, which are songs drawn with replacement, lies between the bounds. Classes that a
    resample holds no song of are out of that resample's macro F1.

    Raises:
        InputError: There are no songs, or probabilities are NaN, infinite or no distribution over classes.
        ValueError: Shapes, types or class indices do not fit, or `resamples` or `level` is out of range.

    Examples:
        >>> y_true, proba = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
        >>> song_intervals(y_true, proba)["accuracy"]
        (0.25, 1.0)
    """
    y_true, proba = check_scored(y_true, proba)
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, for example 0.95.")
    samples = _samples(y_true, proba, resamples, seed)
    tails = [(1 - level) / 2, (1 + level) / 2]
    return {name: tuple(np.quantile(values, tails).tolist()) for name, values in samples.items()}


def paired_improvement(
    y_true: np.ndarray, pred_a: np.ndarray, pred_b: np.ndarray, statistic: str = "f1", *, resamples: int = 2000
) -> float:
    """Share of the bootstrap resamples in which b scores above a on the same songs; ties count half.

    0.5 when both predict the same. True classes and both predictions are class indices of shape (n_songs,);
    `statistic` is one of `LABEL_METRICS`.

    Raises:
        InputError: There are no songs.
        ValueError: The statistic is unknown, or shapes, types or class indices do not fit.

    Examples:
        >>> y_true = np.array([0, 0, 1, 1])
        >>> paired_improvement(y_true, y_true, y_true), paired_improvement(y_true, 1 - y_true, y_true)
        (0.5, 1.0)
    """
    if statistic not in LABEL_STATISTICS:
        raise ValueError(f"statistic={statistic} is unknown; choose one of {', '.join(LABEL_STATISTICS)}.")
    y_true, pred_a = check_labels(y_true, pred_a)
    _, pred_b = check_labels(y_true, pred_b)
    n_classes = 1 + max(y_true.max(), pred_a.max(), pred_b.max())
    indicators = [_indicators(y_true, pred, n_classes) for pred in (pred_a, pred_b)]
    wins = 0.0
    for drawn in _drawn(len(y_true), n_classes, resamples, seed=0):
        weights = _weights(drawn)
        a, b = (LABEL_STATISTICS[statistic](_counts(weights, each)) for each in indicators)
        wins += np.where(np.isclose(a, b, rtol=0, atol=1e-12), 0.5, b > a).sum()
    return float(wins / resamples)


def mean_interval(values: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Bounds (95 %) of the mean of one number a song, (n_songs,), from 2000 resamples.

    Raises:
        InputError: There are no songs.

    Examples:
        >>> mean_interval(np.array([0.0, 1.0, 1.0, 1.0]))
        (0.25, 1.0)
    """
    values = np.asarray(values, float)
    if not len(values):
        raise InputError("There is no song to measure; expected at least one.")
    means = np.concatenate([values[drawn].mean(1) for drawn in _drawn(len(values), 1, 2000, seed)])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _samples(y_true: np.ndarray, proba: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """(resamples,) values of every metric."""
    indicators = _indicators(y_true, proba.argmax(1), proba.shape[1])
    rows = {name: statistic(y_true, proba) for name, statistic in ROW_STATISTICS.items()}
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    for drawn in _drawn(len(y_true), proba.shape[1], resamples, seed):
        weights = _weights(drawn)
        counts = _counts(weights, indicators)
        for name, metric in METRICS.items():
            if name in LABEL_STATISTICS:
                values = LABEL_STATISTICS[name](counts)
            elif name in rows:
                values = row_score(rows[name], weights)
            else:
                values = np.array([metric(y_true[i], proba[i]) for i in drawn])
            blocks[name].append(values)
    return {name: np.concatenate(values) for name, values in blocks.items()}


def _drawn(n_songs: int, n_classes: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Positions (block, n_songs) of the songs of `resamples` resamples, a block at a time."""
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be 1 at least; 2000 is usual.")
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_NUMBERS // max(n_songs, n_classes))
    for start in range(0, resamples, block):
        yield rng.integers(n_songs, size=(min(block, resamples - start), n_songs))


def _weights(drawn: np.ndarray) -> np.ndarray:
    """How often each resample holds each song, (block, n_songs)."""
    block, n_songs = drawn.shape
    flat = (drawn + n_songs * np.arange(block)[:, None]).ravel()
    return np.bincount(flat, minlength=drawn.size).reshape(drawn.shape).astype(float)


def _indicators(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> Counts:
    """Sparse matrices (n_songs, n_classes) with a 1 where a song adds to a count."""
    everyone = np.arange(len(y_true))
    right = everyone[y_true == y_pred]

    def ones(rows: np.ndarray, columns: np.ndarray) -> scipy.sparse.csr_array:
        return scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(y_true), n_classes))

    return Counts(ones(right, y_true[right]), ones(everyone, y_pred), ones(everyone, y_true))


def _counts(weights: np.ndarray, indicators: Counts) -> Counts:
    """Counts of resamples, each (block, n_classes)."""
    return Counts(*(weights @ indicator for indicator in indicators))
