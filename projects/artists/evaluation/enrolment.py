"""Enrolment: artists that no network was trained on, known by a few songs, and the detection of unknown artists."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from .intervals import mean_interval
from .retrieval import unit

COUNTS = (1, 3, 5, 10)
DRAWS = 20
# Fewer songs than this do not show how similar a song of a known artist is.
LEAST_SONGS = 5


@dataclasses.dataclass(frozen=True)
class OpenSet:
    """Logistic curve from the greatest similarity to the probability that the song is by none of the artists."""

    slope: float
    intercept: float

    def none_of_these(self, similarity: np.ndarray | float) -> np.ndarray | float:
        """0 to 1; above 0.5 an unknown artist is likelier than an enrolled one, if both are equally frequent."""
        return expit(-(self.slope * similarity + self.intercept))


def centroids(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names (k,), sorted, and the mean direction (k, d) of the songs of each; vectors (n, d) of any length weigh alike.

    Examples:
        >>> names, centres = centroids(np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), np.array(["b", "a", "a"]))
        >>> names.tolist(), centres.tolist()
        (['a', 'b'], [[0.0, 1.0], [1.0, 0.0]])
    """
    names, codes = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(names), np.shape(vectors)[1]))
    np.add.at(sums, codes, unit(vectors))
    return names, unit(sums)


def similarities(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Cosines (n, k) of song vectors (n, d) and centroids (k, d).

    Examples:
        >>> similarities(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
        array([[0.6, 0.8]])
    """
    return unit(vectors) @ centres.T


def calibrate(vectors: np.ndarray, labels: np.ndarray) -> OpenSet | None:
    """The open-set score of a reference, fitted to its own songs.

    Each song is compared to the artists once without itself, as a new song of a known artist would be, and once
    without its whole artist, as a song of an unknown artist would be. None where it cannot be fitted: fewer than two
    artists, fewer than five songs whose artist has another, or unknown artists as similar as the known ones.

    Examples:
        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0], [0.1, 1.0], [0.2, 1.0]])
        >>> curve = calibrate(vectors, np.repeat(["a", "b"], 3))
        >>> bool(curve.none_of_these(0.2) > 0.5 > curve.none_of_these(1.0))
        True
    """
    labels = np.asarray(labels)
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    usable = counts[codes] > 1
    if len(names) < 2 or usable.sum() < LEAST_SONGS:
        return None
    x = unit(vectors)
    sums = np.zeros((len(names), x.shape[1]))
    np.add.at(sums, codes, x)
    cosines = x @ unit(sums).T
    cosines[np.arange(len(x)), codes] = -np.inf
    stranger = cosines.max(1)
    own = (x * unit(sums[codes] - x)).sum(1)
    known = np.maximum(own, stranger)[usable]
    scores = np.concatenate([known, stranger])
    mean, scale = scores.mean(), scores.std()
    if scale == 0:
        return None
    model = LogisticRegression(class_weight="balanced")
    model.fit(((scores - mean) / scale)[:, None], np.repeat([1, 0], [len(known), len(stranger)]))
    slope = float(model.coef_[0, 0] / scale)
    return OpenSet(slope, float(model.intercept_[0] - slope * mean)) if slope > 0 else None


def enrolment_curve(
    vectors: np.ndarray, labels: np.ndarray, *, counts: Sequence[int] = COUNTS, draws: int = DRAWS, seed: int = 0
) -> list[dict[str, float]]:
    """Accuracy against songs enrolled: a row a number of songs that at least two artists have more of.

    Columns: enrolled, artists, songs (queried), accuracy, its 95 % bootstrap bounds over songs (low, high), chance,
    unknown_auroc. For each number of songs, artists that have more take part. A draw enrols that many songs of each at
    random and predicts the artist of every other song: the nearest centroid. It then enrols half of the artists alone,
    and measures how well the greatest similarity separates their songs from those of the others (unknown_auroc). A
    song's hit rate is its mean over the draws that query it. The embedding was not trained on the artists.

    Examples:
        >>> vectors = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0], [0.1, 1.0], [0.2, 1.0]])
        >>> [(row["enrolled"], row["accuracy"]) for row in enrolment_curve(vectors, np.repeat(["a", "b"], 3), draws=2)]
        [(1, 1.0)]
    """
    x, labels = unit(vectors), np.asarray(labels)
    names, sizes = np.unique(labels, return_counts=True)
    rows = []
    for enrolled in counts:
        members = [np.flatnonzero(labels == name) for name in names[sizes > enrolled]]
        if len(members) < 2:
            continue
        rng = np.random.default_rng([seed, enrolled])
        rows.append({"enrolled": enrolled, "artists": len(members)} | _trials(x, members, enrolled, draws, rng, seed))
    return rows


def _trials(
    x: np.ndarray, members: list[np.ndarray], enrolled: int, draws: int, rng: np.random.Generator, seed: int
) -> dict[str, float]:
    hits, queries, areas = np.zeros(len(x)), np.zeros(len(x)), []
    for _ in range(draws):
        shuffled = [rng.permutation(each) for each in members]
        centres = unit(np.stack([x[each[:enrolled]].mean(0) for each in shuffled]))
        tested = np.concatenate([each[enrolled:] for each in shuffled])
        truth = np.repeat(np.arange(len(members)), [len(each) - enrolled for each in shuffled])
        cosines = x[tested] @ centres.T
        np.add.at(hits, tested, cosines.argmax(1) == truth)
        np.add.at(queries, tested, 1)
        inside = rng.permutation(len(members))[: (len(members) + 1) // 2]
        areas.append(roc_auc_score(np.isin(truth, inside), cosines[:, inside].max(1)))
    rates = hits[queries > 0] / queries[queries > 0]
    low, high = mean_interval(rates, seed=seed)
    return {
        "songs": len(rates), "accuracy": float(rates.mean()), "low": low, "high": high,
        "chance": 1 / len(members), "unknown_auroc": float(np.mean(areas)),
    }  # fmt: skip
