"""Looking at what a network has learned: t-SNE of embeddings."""

from __future__ import annotations

import numpy as np
from sklearn.manifold import TSNE


def stratified_sample(labels: np.ndarray, n_max: int, *, seed: int) -> np.ndarray:
    """At most n_max positions of labels (n,), each label in proportion and at least once while n_max allows; sorted."""
    labels = np.asarray(labels)
    if len(labels) <= n_max:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    names, codes = np.unique(labels[order], return_inverse=True)
    # The r-th of n members of a label stands at r / n: taking the lowest fractions takes the same share of each label,
    # and the first member of each label before any second one.
    rank = np.empty(len(order))
    for code in range(len(names)):
        members = np.flatnonzero(codes == code)
        rank[members] = np.arange(len(members)) / len(members)
    return np.sort(order[np.argsort(rank, kind="stable")[:n_max]])


def tsne(embedding: np.ndarray, *, seed: int, perplexity: float = 30.0) -> np.ndarray:
    """Two dimensions (n, 2) of an embedding (n, d).

    Perplexity is lowered to a third of the points; fewer than five points are placed on a line.
    """
    n = len(embedding)
    if n < 5 or np.ptp(embedding, axis=0).max() == 0:
        return np.column_stack([np.arange(n, dtype=float), np.zeros(n)])
    init = "pca" if embedding.shape[1] > 1 else "random"
    model = TSNE(perplexity=min(perplexity, (n - 1) / 3), init=init, random_state=seed)
    return model.fit_transform(np.asarray(embedding, np.float32))
