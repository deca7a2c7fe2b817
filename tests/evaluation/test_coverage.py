"""How often the intervals hold the truth: classifiers of which it is known, tested on a few songs.

The songs of a population are equally many of seven artists, each recognised with a probability of its own; songs taken
for another artist's go to some of them more often than to others. Its scores follow from these probabilities. A test
subset is songs drawn from it.

`python -m pytest -m slow -s tests/evaluation/test_coverage.py` prints the figures of the long simulation.
"""

from __future__ import annotations

import numpy as np
import pytest

from projects.artists.evaluation.intervals import mean_interval, song_intervals
from projects.artists.evaluation.metrics import LABEL_STATISTICS, Counts

ARTISTS = 7
SHOWN = ("f1", "f1_macro", "accuracy")


def population(rng: np.random.Generator, accuracy: float) -> np.ndarray:
    """Probability of each prediction (column) for songs of each artist (row), right with `accuracy` on average."""
    rates = rng.beta(5 * accuracy, 5 * (1 - accuracy), ARTISTS)
    wrong = rng.dirichlet(np.full(ARTISTS - 1, 0.5), ARTISTS) * (1 - rates)[:, None]
    return np.stack([np.insert(row, i, rate) for i, (row, rate) in enumerate(zip(wrong, rates, strict=True))])


def truth(confusion: np.ndarray) -> dict[str, float]:
    counts = Counts(np.diag(confusion), confusion.sum(0), confusion.sum(1))
    return {name: float(LABEL_STATISTICS[name](counts)) for name in SHOWN}


def tested(rng: np.random.Generator, confusion: np.ndarray, songs: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of songs of the population, and probabilities with .9 for the prediction."""
    y = rng.integers(ARTISTS, size=songs)
    predicted = (confusion[y].cumsum(1) < rng.random((songs, 1))).sum(1).clip(max=ARTISTS - 1)
    return y, 0.1 / ARTISTS + 0.9 * np.eye(ARTISTS)[predicted]


def coverage(songs: int, populations: int, resamples: int, seed: int = 0) -> dict[str, float]:
    """Share of the 95 % intervals that hold the truth, over populations of a mean accuracy of .55 to .9."""
    rng = np.random.default_rng(seed)
    held = dict.fromkeys(SHOWN, 0)
    for i in range(populations):
        confusion = population(rng, rng.uniform(0.55, 0.9))
        expected = truth(confusion)
        bounds = song_intervals(*tested(rng, confusion, songs), resamples=resamples, seed=i)
        for name in SHOWN:
            low, high = bounds[name]
            held[name] += low - 1e-9 <= expected[name] <= high + 1e-9
    return {name: count / populations for name, count in held.items()}
