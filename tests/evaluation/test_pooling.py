"""From clips to songs: the votes' rules worked by hand, a naive second implementation, invariances."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from projects.artists.errors import InputError
from projects.artists.evaluation.pooling import POOLINGS, mean_probability, vote, vote_shares

ONE_SONG = np.zeros(3, int)


def random_clips(n: int = 300, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Songs have gaps in their numbers and clips in any order."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(k), size=n), rng.choice([2, 3, 5, 40, 41, 1000, -7], size=n)


def naive_vote(proba: np.ndarray, threshold: float | None) -> int:
    confident = [row for row in proba if threshold is None or row.max() > threshold] or list(proba)
    votes = Counter(int(row.argmax()) for row in confident)
    return max(votes, key=lambda c: (votes[c], round(float(sum(row[c] for row in confident)), 10), -c))


def test_mean_is_that_of_each_song() -> None:
    proba = np.array([[1.0, 0.0], [0.2, 0.8], [0.5, 0.5]])
    song_ids, pooled = mean_probability(proba, np.array([9, 4, 9]))
    assert song_ids.tolist() == [4, 9]
    np.testing.assert_allclose(pooled, [[0.2, 0.8], [0.75, 0.25]], atol=1e-15)


def test_mean_equals_a_loop_over_songs() -> None:
    proba, songs = random_clips()
    song_ids, pooled = mean_probability(proba, songs)
    np.testing.assert_array_equal(song_ids, np.unique(songs))
    np.testing.assert_allclose(pooled, [proba[songs == s].mean(0) for s in song_ids], atol=1e-12)


def test_mean_of_float32_is_summed_in_float64() -> None:
    proba = np.tile(np.array([[1e-4, 1 - 1e-4]], np.float32), (100_000, 1))
    _, pooled = mean_probability(proba, np.zeros(len(proba), int))
    np.testing.assert_allclose(pooled[0], proba[0], rtol=1e-10)


@pytest.mark.parametrize("threshold", [None, 0.5, 0.7, 1.0])
def test_vote_equals_a_naive_vote(threshold: float | None) -> None:
    for seed in range(20):
        proba, songs = random_clips(40, 3, seed)
        song_ids, predicted = vote(proba, songs, threshold)
        assert predicted.tolist() == [naive_vote(proba[songs == s], threshold) for s in song_ids]


def test_plain_vote_counts_every_clip() -> None:
    proba = np.array([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]])
    assert vote(proba, ONE_SONG)[1].tolist() == [0]


def test_only_clips_above_the_threshold_vote() -> None:
    proba = np.array([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]])
    assert vote(proba, ONE_SONG, 0.5)[1].tolist() == [1]


def test_a_clip_at_the_threshold_does_not_vote() -> None:
    proba = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.0, 0.51, 0.49]])
    assert vote(proba, ONE_SONG, 0.5)[1].tolist() == [1]


def test_all_clips_of_a_song_vote_when_none_is_above_the_threshold() -> None:
    proba = np.array([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.1, 0.5, 0.4], [0.1, 0.0, 0.9]])
    assert vote(proba, np.array([7, 7, 7, 8]), 0.5)[1].tolist() == [0, 2]


def test_a_tied_vote_goes_to_the_higher_summed_probability() -> None:
    proba = np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]])
    assert vote(proba, np.zeros(2, int))[1].tolist() == [1]


def test_a_class_without_votes_cannot_win_by_summed_probability() -> None:
    proba = np.array([[0.51, 0.49, 0.0], [0.0, 0.49, 0.51]])
    assert vote(proba, np.zeros(2, int))[1].tolist() == [0]


def test_the_tie_rule_sums_over_the_voting_clips_only() -> None:
    proba = np.array([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [0.5, 0.0, 0.5]])
    assert vote(proba, ONE_SONG, 0.5)[1].tolist() == [1]


def test_an_equal_sum_goes_to_the_lower_index_in_any_order_of_clips() -> None:
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit.
    thirds = [[0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.6, 0.1, 0.3]]
    rows = [*thirds, [0.3, 0.3, 0.4], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2]]
    proba, songs, rng = np.array(rows), np.zeros(6, int), np.random.default_rng(0)
    assert {int(vote(proba[rng.permutation(6)], songs)[1][0]) for _ in range(30)} == {0}


@pytest.mark.parametrize("name", list(POOLINGS))
def test_poolings_do_not_depend_on_the_order_of_clips(name: str) -> None:
    proba, songs = random_clips()
    order = np.random.default_rng(1).permutation(len(songs))
    got, expected = POOLINGS[name](proba[order], songs[order]), POOLINGS[name](proba, songs)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", list(POOLINGS))
def test_poolings_do_not_depend_on_the_numbering_of_classes(name: str) -> None:
    proba, songs = random_clips()
    new = np.random.default_rng(1).permutation(proba.shape[1])
    predicted = POOLINGS[name](proba[:, np.argsort(new)], songs)[1]
    np.testing.assert_array_equal(predicted, new[POOLINGS[name](proba, songs)[1]])


@pytest.mark.parametrize("name", list(POOLINGS))
def test_poolings_of_one_clip_a_song_are_its_prediction(name: str) -> None:
    proba, _ = random_clips(50)
    song_ids, predicted = POOLINGS[name](proba, np.arange(50)[::-1])
    np.testing.assert_array_equal(predicted, proba.argmax(1)[::-1])
    np.testing.assert_array_equal(song_ids, np.arange(50))


def test_pooling_nothing_gives_no_songs() -> None:
    nothing = np.zeros((0, 3)), np.zeros(0, int)
    assert mean_probability(*nothing)[1].shape == (0, 3)
    assert vote(*nothing, 0.5)[1].shape == (0,)


def test_vote_shares_are_those_of_the_voting_clips() -> None:
    proba = np.array([[0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(vote_shares(proba), [1 / 3, 1 / 3, 1 / 3], atol=1e-15)
    np.testing.assert_allclose(vote_shares(proba, 0.5), [0, 1 / 2, 1 / 2], atol=1e-15)


def test_the_winner_of_a_vote_has_the_highest_share() -> None:
    for seed in range(20):
        proba, _ = random_clips(9, 3, seed)
        shares = vote_shares(proba, 0.5)
        assert shares.sum() == pytest.approx(1)
        assert shares[vote(proba, np.zeros(9, int), 0.5)[1][0]] == shares.max()


@pytest.mark.parametrize("name", list(POOLINGS))
def test_probabilities_that_are_nan_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="NaN"):
        POOLINGS[name](np.array([[0.5, np.nan]]), np.zeros(1, int))


@pytest.mark.parametrize("name", list(POOLINGS))
def test_songs_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="for 2 clips"):
        POOLINGS[name](np.full((2, 2), 0.5), np.zeros(3, int))
    with pytest.raises(ValueError, match="type float64"):
        POOLINGS[name](np.full((2, 2), 0.5), np.zeros(2))


def test_vote_shares_of_no_clip_are_refused() -> None:
    with pytest.raises(ValueError, match="no clips"):
        vote_shares(np.zeros((0, 2)))
