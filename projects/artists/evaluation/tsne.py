"""Maps of embeddings: a stratified sample of the points, and their coordinates by t-SNE."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ..errors import InputError

MIN_POINTS = 5
# Relative to the largest magnitude: less spread than this is rounding of float32.
NO_SPREAD = 1e-6


def stratified_sample(labels: np.ndarray, n_max: int, seed: int = 0) -> np.ndarray:
    """Ascending positions (min(n, n_max),) of points, as many of each label (n,) as is proportional, one at least.

    With more labels than `n_max` the most frequent ones get a point each, the first to appear among equals. Within a
    label points are drawn without replacement. The same for the same `labels`, `n_max` and `seed`.

    Raises:
        ValueError: `n_max` is less than 1, or `labels` is not one-dimensional.

    Examples:
        >>> positions = stratified_sample(np.array(["a"] * 8 + ["b"] * 4), n_max=6)
        >>> len(positions), int((positions < 8).sum())
        (6, 4)
    """
    labels = np.asarray(labels)
    if n_max < 1 or labels.ndim != 1:
        raise ValueError(f"Got n_max={n_max} and labels of shape {labels.shape}; expected n_max > 0, (n,).")
    if len(labels) <= n_max:
        return np.arange(len(labels))
    codes, _ = pd.factorize(labels, use_na_sentinel=False)
    sizes = _allocation(np.bincount(codes), n_max)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(codes == code) for code in range(len(sizes))]
    chosen = [rng.choice(each, size, replace=False) for each, size in zip(members, sizes, strict=True)]
    return np.sort(np.concatenate(chosen))


def tsne(embedding: np.ndarray, *, seed: int, perplexity: float = 30.0) -> np.ndarray:
    """Coordinates (n, 2), float32, by t-SNE (van der Maaten and Hinton, 2008) that principal components start.

    The perplexity is lowered to a third of the other points where there are few. Fewer than five points (n, d) get
    their principal components instead (0 where there is none); points that all coincide get the origin. The same for
    the same seed, whatever the number of cores.

    Raises:
        InputError: The embedding holds NaN or infinity.
        ValueError: It is not two-dimensional.

    Examples:
        >>> tsne(np.random.default_rng(0).normal(size=(8, 4)), seed=0).shape
        (8, 2)
    """
    x = _scaled(embedding)
    if not x.any():
        return np.zeros((len(x), 2), np.float32)
    if len(x) < MIN_POINTS:
        return _principal(x)
    x = np.pad(x, ((0, 0), (0, x.shape[1] == 1)))
    model = TSNE(perplexity=min(perplexity, (len(x) - 1) / 3), init="pca", random_state=seed)
    # The number of threads changes sums in their last bits, and t-SNE amplifies that to another map.
    with threadpool_limits(1):
        return model.fit_transform(x)


def _allocation(sizes: np.ndarray, n_max: int) -> np.ndarray:
    """Points a label (k,), `n_max` < sum of `sizes` in all: largest remainders above one each."""
    if len(sizes) >= n_max:
        points = np.zeros(len(sizes), int)
        points[np.argsort(-sizes, kind="stable")[:n_max]] = 1
        return points
    small = np.zeros(len(sizes), bool)
    while True:
        share = sizes * (n_max - small.sum()) / sizes[~small].sum()
        if not (share[~small] < 1).any():
            break
        small |= share < 1
    points = np.where(small, 1, np.floor(share).astype(int))
    remainder = np.where(small, -1.0, share - points)
    points[np.argsort(-remainder, kind="stable")[: n_max - points.sum()]] += 1
    return points


def _scaled(embedding: np.ndarray) -> np.ndarray:
    """float32 (n, d), centred, largest magnitude 1 (neighbours stay neighbours); 0 where points coincide."""
    x = np.asarray(embedding, float)
    if x.ndim != 2:
        raise ValueError(f"Got an embedding of shape {x.shape}; expected (n, d).")
    if not np.isfinite(x).all():
        bad = (~np.isfinite(x)).any(1).sum()
        raise InputError(
            f"{bad} of {len(x)} embeddings hold NaN or infinity; expected finite numbers. "
            "The training has diverged: try a smaller learning_rate."
        )
    if not x.size:
        return x.astype(np.float32)
    centred = x - x.mean(0)
    spread = np.abs(centred).max()
    if spread <= NO_SPREAD * np.abs(x).max():
        return np.zeros(x.shape, np.float32)
    return (centred / spread).astype(np.float32)


def _principal(x: np.ndarray) -> np.ndarray:
    """First two principal components (n, 2) of centred points, each with its largest coordinate positive."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    xy = np.zeros((len(x), 2), np.float32)
    xy[:, : len(s)] = (u * s)[:, :2]
    return xy * np.where(xy.max(0) < -xy.min(0), -1, 1).astype(np.float32)
