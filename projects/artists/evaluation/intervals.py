"""Confidence intervals of scores: a bootstrap over songs, corrected for small numbers of songs.

Songs are resampled, not clips: clips of one song are not independent. The interval covers the choice of test songs, not
the variation from one training to the next.

A plain percentile interval is too short for few songs: of 33 songs, 91 to 95 % of those of 95 % hold the score of the
population (`tests/evaluation/test_coverage.py`). Its quantile levels are corrected twice:

- they are further out by sqrt(n / (n - 1)), by which samples vary more than resamples (narrowness bias; Hesterberg, The
  American Statistician 69, 2015, of which expanded percentiles take a part);
- they follow the acceleration of BCa, the skewness of a jackknife over songs (Efron, JASA 82, 1987). The other half of
  BCa, its bias correction, lowers the coverage of macro F1: resamples without a class of two or three songs drive it.

Where all songs are right, or all wrong, every resample scores 1, or 0. The other bound is then that of the binomial
distribution, about 3 / n away at 95 % (rule of three, Hanley and Lippman-Hand, JAMA 249, 1983).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.sparse
import scipy.special

from ..errors import InputError
from .metrics import LABEL_STATISTICS, METRICS, ROW_STATISTICS, Counts, check_labels, check_scored, row_score

# Numbers in one array of a block of resamples: 32 MB.
BLOCK_NUMBERS = 4_000_000
# The jackknife of more songs than this leaves out groups of them, which measures the same skewness in less time.
JACKKNIFE_GROUPS = 1000
# Metrics that are 1 where all songs are right and 0 where all are wrong.
SHARES = {*LABEL_STATISTICS, "top3"}


def song_intervals(
    y_true: np.ndarray, proba: np.ndarray, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Lower and upper bound of every metric of classes (n_songs,) and probabilities (n_songs, k).

    Accelerated, widened percentiles of the resamples, which are songs drawn with replacement. Bounds are scores of
    resamples, so within the range of the metric. Classes that a resample holds no song of are out of its macro F1. The
    expected calibration error of few songs lies above that of many, and so do its bounds.

    Raises:
        InputError: There are no songs, or probabilities are NaN, infinite or no distribution over classes.
        ValueError: Shapes, types or class indices do not fit, or `resamples` or `level` is out of range.

    Examples:
        >>> y_true, proba = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
        >>> song_intervals(np.tile(y_true, 5), np.tile(proba, (5, 1)))["accuracy"]
        (0.5, 0.9)
    """
    y_true, proba = check_scored(y_true, proba)
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, for example 0.95.")
    n_songs = len(y_true)
    drawn = (_weights(each) for each in _drawn(n_songs, proba.shape[1], resamples, seed))
    samples = _samples(y_true, proba, drawn)
    left_out = _samples(y_true, proba, _jackknife(n_songs)) if n_songs > 1 else samples
    return {
        name: _bounds(values, left_out[name], n_songs, level, share=name in SHARES) for name, values in samples.items()
    }


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
    """Bounds (95 %) of the mean of one number from 0 to 1 a song, (n_songs,), from 2000 resamples; as `song_intervals`.

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
    others = (values.sum() - values) / max(1, len(values) - 1)
    return _bounds(means, others, len(values), 0.95, share=True)


def _bounds(
    samples: np.ndarray, left_out: np.ndarray, n_songs: int, level: float, *, share: bool
) -> tuple[float, float]:
    """Quantiles of the scores of resamples (resamples,), from those without each song (or group) in turn (groups,).

    share: Whether the score is 1 where all songs are right, and 0 where all are wrong.
    """
    if share and samples.min() == samples.max() and samples[0] in (0, 1):
        reach = 1 - (1 - level) ** (1 / n_songs)
        return max(0.0, float(samples[0]) - reach), min(1.0, float(samples[0]) + reach)
    z = scipy.special.ndtri([(1 - level) / 2, (1 + level) / 2]) * np.sqrt(n_songs / max(1, n_songs - 1))
    # Beyond the pole of the formula lies the end of the distribution.
    levels = scipy.special.ndtr(z / np.maximum(1 - _acceleration(left_out) * z, 1e-9))
    low, high = np.quantile(samples, levels)
    return float(low), float(high)


def _acceleration(left_out: np.ndarray) -> float:
    """A sixth of the skewness of the songs' influence on a score (Efron 1987), 0 where none has any."""
    influence = left_out.mean() - left_out
    scale = np.sqrt((influence**2).sum())
    return float(((influence / scale) ** 3).sum() / 6) if scale > 1e-12 else 0.0


def _jackknife(n_songs: int) -> Iterator[np.ndarray]:
    """Weights (block, n_songs) that leave out each song in turn, or each of `JACKKNIFE_GROUPS` groups."""
    groups = min(n_songs, JACKKNIFE_GROUPS)
    block = max(1, BLOCK_NUMBERS // n_songs)
    for start in range(0, groups, block):
        group = np.arange(start, min(start + block, groups))
        yield (np.arange(n_songs) % groups != group[:, None]).astype(float)


def _samples(y_true: np.ndarray, proba: np.ndarray, matrices: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Values (n,) of every metric under weights of the songs, matrices of n rows in all, each (block, n_songs)."""
    indicators = _indicators(y_true, proba.argmax(1), proba.shape[1])
    rows = {name: statistic(y_true, proba) for name, statistic in ROW_STATISTICS.items()}
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    for weights in matrices:
        counts = _counts(weights, indicators)
        for name, metric in METRICS.items():
            if name in LABEL_STATISTICS:
                values = LABEL_STATISTICS[name](counts)
            elif name in rows:
                values = row_score(rows[name], weights)
            else:
                rows_of = (np.repeat(np.arange(len(y_true)), each.astype(int)) for each in weights)
                values = np.array([metric(y_true[i], proba[i]) for i in rows_of])
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
