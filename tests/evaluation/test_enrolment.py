"""Centroids, the open-set score and accuracy against songs enrolled."""

from __future__ import annotations

import numpy as np
import pytest

from projects.artists.evaluation import enrolment


def songs(artists: int, each: int, *, spread: float, seed: int = 0, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a random direction an artist."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(artists, d))
    y = np.repeat(np.arange(artists), each)
    return centres[y] + spread * rng.normal(size=(len(y), d)), np.array([f"artist {i}" for i in y])


def test_a_centroid_is_the_mean_direction_of_its_songs_whatever_their_length():
    names, centres = enrolment.centroids(np.array([[100.0, 0], [0, 1], [0, 3]]), np.array(["b", "b", "a"]))
    assert names.tolist() == ["a", "b"]
    assert centres == pytest.approx(np.array([[0, 1], [np.sqrt(0.5), np.sqrt(0.5)]]))
    assert enrolment.similarities(np.array([[0.0, 2]]), centres) == pytest.approx(np.array([[1, np.sqrt(0.5)]]))


def test_the_open_set_score_tells_known_artists_from_strangers():
    x, labels = songs(40, 8, spread=0.4)
    known, strangers = (
        np.array([int(name[7:]) < 20 for name in labels]),
        np.array([int(name[7:]) >= 20 for name in labels]),
    )
    first = np.arange(len(x)) % 8 < 5
    open_set = enrolment.calibrate(x[known & first], labels[known & first])
    _, centres = enrolment.centroids(x[known & first], labels[known & first])
    inside = open_set.none_of_these(enrolment.similarities(x[known & ~first], centres).max(1))
    outside = open_set.none_of_these(enrolment.similarities(x[strangers], centres).max(1))
    assert (inside < 0.5).mean() > 0.9 and (outside > 0.5).mean() > 0.9
    assert inside.min() >= 0 and outside.max() <= 1


def test_the_open_set_score_falls_with_similarity():
    x, labels = songs(6, 4, spread=0.5)
    scores = enrolment.calibrate(x, labels).none_of_these(np.linspace(-1, 1, 9))
    assert (np.diff(scores) < 0).all()


@pytest.mark.parametrize(
    ("artists", "each"), [(1, 9), (9, 1), (2, 2)], ids=["one artist", "one song an artist", "four songs"]
)
def test_too_few_songs_give_no_open_set_score(artists, each):
    assert enrolment.calibrate(*songs(artists, each, spread=0.3)) is None


def test_songs_that_all_coincide_give_no_open_set_score():
    assert enrolment.calibrate(np.ones((8, 3)), np.repeat(["a", "b"], 4)) is None


def test_separate_artists_are_always_found_and_those_without_a_song_left_take_no_part():
    x, labels = songs(5, 6, spread=0.01)
    rows = enrolment.enrolment_curve(x[:-3], labels[:-3], draws=60)
    assert [(row["enrolled"], row["artists"], row["songs"]) for row in rows] == [(1, 5, 27), (3, 4, 24), (5, 4, 24)]
    assert all(row["accuracy"] == 1 and row["unknown_auroc"] == 1 for row in rows)
    assert [row["chance"] for row in rows] == [0.2, 0.25, 0.25]


def test_more_songs_enrolled_help_and_noise_is_at_chance():
    noisy = enrolment.enrolment_curve(*songs(8, 20, spread=1.8, seed=1))
    accuracy = [row["accuracy"] for row in noisy]
    assert len(accuracy) == 4 and accuracy == sorted(accuracy) and accuracy[3] > accuracy[0] + 0.1
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in noisy)
    x = np.random.default_rng(2).normal(size=(160, 12))
    nothing = enrolment.enrolment_curve(x, songs(8, 20, spread=1)[1], counts=(5,))[0]
    assert nothing["accuracy"] == pytest.approx(1 / 8, abs=0.05) and nothing["unknown_auroc"] == pytest.approx(
        0.5, abs=0.1
    )


def test_the_curve_is_a_function_of_its_seed():
    data = songs(5, 8, spread=1.5)
    one, same, other = (enrolment.enrolment_curve(*data, seed=seed, draws=3) for seed in (0, 0, 1))
    assert one == same != other
