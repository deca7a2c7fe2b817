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


def drawn(rng: np.random.Generator, confusion: np.ndarray, songs: int) -> tuple[np.ndarray, np.ndarray]:
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
        bounds = song_intervals(*drawn(rng, confusion, songs), resamples=resamples, seed=i)
        for name in SHOWN:
            low, high = bounds[name]
            held[name] += low - 1e-9 <= expected[name] <= high + 1e-9
    return {name: count / populations for name, count in held.items()}


def test_intervals_of_33_songs_hold_the_truth_as_often_as_they_promise() -> None:
    """Those of plain percentiles hold .940, .920 and .930."""
    for name, share in coverage(33, populations=2000, resamples=500).items():
        assert 0.935 <= share <= 0.965, name


@pytest.mark.slow
def test_intervals_of_135_songs_hold_the_truth_as_often_as_they_promise() -> None:
    for name, share in coverage(135, populations=500, resamples=500).items():
        assert 0.935 <= share <= 0.965, name


def test_the_interval_of_a_mean_of_few_songs_holds_the_truth_as_often_as_it_promises() -> None:
    """Average precisions, most of them near 1: plain percentiles of 33 songs hold .93 of the means."""
    rng, held = np.random.default_rng(0), 0
    for i in range(1500):
        low, high = mean_interval(rng.beta(2, 0.5, 33), seed=i)
        held += low <= 0.8 <= high
    assert 0.935 < held / 1500 < 0.965


@pytest.mark.slow
@pytest.mark.parametrize("songs", [33, 135])
def test_coverage_at_length(songs: int) -> None:
    shares = coverage(songs, populations=6000, resamples=2000, seed=1)
    print("\n", songs, "songs:", ", ".join(f"{name} {share:.3f}" for name, share in shares.items()))
    for name, share in shares.items():
        assert 0.935 < share < 0.965, name
