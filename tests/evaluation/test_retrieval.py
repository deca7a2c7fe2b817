"""Retrieval, nearest neighbours and linear softmax against cases by hand and second implementations."""

from __future__ import annotations

import numpy as np
import pytest

from projects.artists.errors import InputError
from projects.artists.evaluation import retrieval
from projects.artists.evaluation.intervals import mean_interval


def angles(*degrees: float) -> np.ndarray:
    """Vectors (n, 2) of different lengths in these directions."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1) * np.arange(1, len(degrees) + 1)[:, None]


def clouds(n: int, classes: int, seed: int, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return np.eye(classes)[y] * 2 + spread * rng.normal(size=(n, classes)), y


def test_average_precision_by_hand():
    values = retrieval.average_precisions(angles(0, 10, 30, 70), np.array(["a", "b", "a", "a"]))
    # From 0: b, a, a: (1/2 + 2/3) / 2. From 30: b (20), a (30), a (40). From 70: a, b, a.
    assert values[[0, 2, 3]] == pytest.approx([7 / 12, 7 / 12, (1 + 2 / 3) / 2]) and np.isnan(values[1])


def test_average_precision_is_that_of_equation_3_on_random_songs():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(40, 6)), rng.integers(0, 4, 40)
    expected = []
    for q in range(40):
        cosines = [(x[q] @ x[j]) / np.linalg.norm(x[q]) / np.linalg.norm(x[j]) for j in range(40)]
        ranked = [labels[j] == labels[q] for j in sorted(range(40), key=lambda j: -cosines[j]) if j != q]
        expected.append(np.mean([np.mean(ranked[: k + 1]) for k in range(39) if ranked[k]]))
    assert retrieval.average_precisions(x, labels) == pytest.approx(expected, abs=1e-12)


def test_songs_that_coincide_share_a_rank_whatever_their_order():
    labels = np.array([0, 0, 1, 1])
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        assert retrieval.average_precisions(np.ones((4, 3)), labels[order]) == pytest.approx([1 / 3] * 4)


def test_more_songs_than_a_block_are_ranked_as_in_one_block(monkeypatch):
    x, y = clouds(30, 3, seed=1, spread=2)
    whole = retrieval.average_precisions(x, y)
    monkeypatch.setattr(retrieval, "BLOCK", 7)
    assert retrieval.average_precisions(x, y) == pytest.approx(whole, abs=0)


def test_nearest_songs_are_ordered_by_cosine_not_by_length():
    order, similarity = retrieval.nearest(angles(90, 30, 0, 60), np.array([5.0, 0.0]), 3)
    assert order.tolist() == [2, 1, 3] and similarity == pytest.approx(np.cos(np.radians([0, 30, 60])))


def test_knn_shares_are_of_the_k_nearest_by_cosine():
    shares = retrieval.knn_shares(angles(0, 5, 80, 90), np.array([2, 0, 0, 1]), angles(1), 4, k=3)
    assert shares[0] == pytest.approx([2 / 3, 0, 1 / 3, 0])


def test_knn_with_fewer_songs_than_neighbours_takes_all():
    shares = retrieval.knn_shares(angles(0, 90), np.array([0, 1]), angles(0, 45, 80), 2, k=20)
    assert shares == pytest.approx(np.full((3, 2), 0.5))


def test_linear_softmax_separates_clouds_and_says_what_chose_c():
    (x, y), (v, w), (t, u) = (clouds(n, 3, seed) for n, seed in ((60, 0), (21, 1), (30, 2)))
    fitted = retrieval.linear_softmax(x, y, v, w, t, 3)
    assert (fitted.proba.argmax(1) == u).mean() > 0.9 and fitted.proba.sum(1) == pytest.approx(np.ones(30))
    assert fitted.c in retrieval.STRENGTHS and fitted.chosen_on == "21 validation songs"


def test_c_is_the_one_of_least_validation_loss():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    (x, y), (v, w) = clouds(12, 3, 0, spread=3), clouds(30, 3, 1, spread=3)
    mean, scale = x.mean(0), x.std(0)
    losses = {}
    for c in retrieval.STRENGTHS:
        model = LogisticRegression(C=c, max_iter=5000).fit((x - mean) / scale, y)
        losses[c] = log_loss(w, model.predict_proba((v - mean) / scale))
    best = min(losses, key=losses.get)
    assert retrieval.linear_softmax(x, y, v, w, v, 3).c == best and 1e-3 < best < 1e3


def test_test_songs_choose_nothing():
    (x, y), (v, w), (t, _) = (clouds(24, 3, seed, spread=1) for seed in range(3))
    both = [retrieval.linear_softmax(x, y, v, w, songs, 3) for songs in (t, np.concatenate([t[:4], 100 * t]))]
    assert both[0].c == both[1].c and both[0].proba[:4] == pytest.approx(both[1].proba[:4])


def test_without_validation_songs_the_training_songs_are_cross_validated():
    (x, y), (t, u) = clouds(12, 3, 0), clouds(9, 3, 1)
    fitted = retrieval.linear_softmax(x, y, x[:0], y[:0], t, 4)
    assert fitted.chosen_on == "4-fold cross-validation of the training songs"
    assert (fitted.proba.argmax(1) == u).all() and (fitted.proba[:, 3] == 0).all()


def test_a_class_of_one_song_leaves_nothing_to_choose_on():
    x, y = clouds(7, 3, 0)
    keep = np.array([0, 1, 2, 3, 6])
    fitted = retrieval.linear_softmax(x[keep], y[keep], x[:0], y[:0], x, 3)
    assert fitted.c == 1 and fitted.chosen_on.startswith("nothing")


def test_validation_songs_of_unknown_classes_do_not_choose():
    (x, y), (v, w) = clouds(20, 2, 0), clouds(8, 2, 1)
    plain = retrieval.linear_softmax(x, y, v, w, v, 3)
    more = retrieval.linear_softmax(x, y, np.concatenate([v, v[:3]]), np.concatenate([w, [2, 2, 2]]), v, 3)
    assert more.c == plain.c and more.chosen_on == "8 validation songs"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="1 of 2 vectors hold NaN"):
        retrieval.average_precisions(np.array([[1.0], [np.nan]]), np.array([0, 0]))
    with pytest.raises(InputError, match="one class"):
        retrieval.linear_softmax(np.eye(2), np.zeros(2, int), np.eye(2), np.zeros(2, int), np.eye(2), 2)


def test_mean_interval_is_about_two_standard_errors_wide_and_nothing_for_equal_values():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = mean_interval(values)
    error = values.std() / 20
    assert (values.mean() - low, high - values.mean()) == pytest.approx((1.96 * error, 1.96 * error), rel=0.1)
    assert mean_interval(np.full(5, 0.25)) == (0.25, 0.25)
    with pytest.raises(InputError, match="no song"):
        mean_interval(np.empty(0))
