"""Metrics: cases worked by hand, scikit-learn as second implementation, invariances, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from projects.artists.errors import InputError
from projects.artists.evaluation import metrics, names
from projects.artists.evaluation.metrics import (
    LABEL_METRICS,
    METRICS,
    confusion,
    ece_debiased,
    ece_expected,
    label_scores,
    per_class,
    scores,
)

SKLEARN = {"average": "weighted", "zero_division": 0}


def random_case(n: int = 200, k: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes k - 2 and k - 1 are never true, the last one is never predicted either."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(k - 2, size=n)
    proba = rng.dirichlet(np.full(k, 0.5), size=n)
    proba[:, -1] *= 1e-3
    proba[np.arange(n), y_true] += 0.3
    return y_true, proba / proba.sum(1, keepdims=True)


def certain(y_pred: list[int], k: int) -> np.ndarray:
    return np.eye(k)[y_pred]


def test_the_tables_hold_the_metrics_of_the_readme() -> None:
    assert list(METRICS) == ["f1", "f1_macro", "accuracy", "precision", "recall", "top3", "log_loss", "ece"]
    assert list(LABEL_METRICS) == ["f1", "f1_macro", "accuracy", "precision", "recall"]


def test_label_scores_equal_a_case_worked_by_hand() -> None:
    # Class 0: 2 of 3 found, 1 false alarm: P = R = F1 = 2/3. Class 1: 1 of 1 found, 1 false alarm: P = 1/2,
    # R = 1, F1 = 2/3. Class 2: 0 of 1 found, never predicted: 0. Support 3, 1, 1.
    got = label_scores(np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 0]))
    expected = {"f1": 8 / 15, "f1_macro": 4 / 9, "accuracy": 3 / 5, "precision": 1 / 2, "recall": 3 / 5}
    assert got == pytest.approx(expected, abs=1e-12)


def test_label_scores_equal_scikit_learn() -> None:
    y_true, proba = random_case()
    y_pred = proba.argmax(1)
    macro = {"average": "macro", "labels": np.unique(y_true), "zero_division": 0}
    assert label_scores(y_true, y_pred) == pytest.approx(
        {
            "f1": sklearn.metrics.f1_score(y_true, y_pred, **SKLEARN),
            "f1_macro": sklearn.metrics.f1_score(y_true, y_pred, **macro),
            "accuracy": sklearn.metrics.accuracy_score(y_true, y_pred),
            "precision": sklearn.metrics.precision_score(y_true, y_pred, **SKLEARN),
            "recall": sklearn.metrics.recall_score(y_true, y_pred, **SKLEARN),
        },
        abs=1e-12,
    )


def test_scores_on_probabilities_equal_scikit_learn() -> None:
    y_true, proba = random_case()
    got, every = scores(y_true, proba), np.arange(proba.shape[1])
    top3 = sklearn.metrics.top_k_accuracy_score(y_true, proba, k=3, labels=every)
    assert got["top3"] == pytest.approx(top3, abs=1e-12)
    assert got["log_loss"] == pytest.approx(sklearn.metrics.log_loss(y_true, proba, labels=every), abs=1e-12)


def test_scores_contain_the_label_scores_of_the_most_probable_class() -> None:
    y_true, proba = random_case()
    got = scores(y_true, proba)
    assert {name: got[name] for name in LABEL_METRICS} == label_scores(y_true, proba.argmax(1))


def test_perfect_probabilities_score_one_and_lose_nothing() -> None:
    y = np.array([0, 1, 2, 3, 3])
    expected = dict.fromkeys(METRICS, 1.0) | {"log_loss": 0.0, "ece": 0.0}
    assert scores(y, certain(list(y), 5)) == pytest.approx(expected, abs=1e-12)


def test_uniform_probabilities_lose_the_logarithm_of_the_number_of_classes() -> None:
    y = np.arange(8) % 4
    got = scores(y, np.full((8, 4), 0.25))
    assert got["log_loss"] == pytest.approx(np.log(4), abs=1e-12)
    assert got["accuracy"] == 0.25 and got["ece"] == pytest.approx(0, abs=1e-12)
    assert got["top3"] == 0.75


def test_log_loss_of_an_impossible_truth_is_that_of_the_floor() -> None:
    assert METRICS["log_loss"](np.array([0]), certain([1], 2)) == pytest.approx(7 * np.log(10), abs=1e-9)


def test_ece_equals_a_case_worked_by_hand() -> None:
    # 0.9 is in (13/15, 14/15]: one right of two; 0.6 in (8/15, 9/15]: right. (2 |1/2 - 0.9| + |1 - 0.6|) / 3
    proba = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    assert METRICS["ece"](np.array([0, 1, 1]), proba) == pytest.approx(0.4, abs=1e-12)


def calibrated(n: int, classes: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes drawn from random probabilities, and these."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(classes, 0.3), n).clip(1e-4)
    proba /= proba.sum(1, keepdims=True)
    return (proba.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=classes - 1), proba


@pytest.mark.parametrize(("n", "p"), [(1, 0.7), (8, 0.9), (40, 0.55)])
def test_the_expected_ece_of_equal_probabilities_is_the_mean_deviation_of_the_binomial_distribution(n, p) -> None:
    right = np.arange(n + 1)
    exact = (scipy.stats.binom.pmf(right, n, p) * np.abs(right / n - p)).sum()
    assert ece_expected(np.tile([p, 1 - p], (n, 1)), draws=20_000) == pytest.approx(exact, rel=0.03)


def test_a_calibrated_classifier_shows_the_expected_ece_and_one_of_certainties_none() -> None:
    for n in (33, 135):
        y, proba = calibrated(100 * n)
        rows = np.arange(100 * n).reshape(100, n)
        shown = np.mean([METRICS["ece"](y[i], proba[i]) for i in rows])
        assert np.mean([ece_expected(proba[i], draws=100) for i in rows]) == pytest.approx(shown, rel=0.05)
    assert ece_expected(np.eye(3)[[0, 1, 2, 2]]) == 0


def test_the_expected_ece_depends_on_the_seed_alone_and_not_on_blocks(monkeypatch) -> None:
    proba = calibrated(50)[1]
    whole = ece_expected(proba)
    assert whole == ece_expected(proba) != ece_expected(proba, seed=1)
    monkeypatch.setattr(metrics, "BLOCK_NUMBERS", 333)
    assert ece_expected(proba) == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("power", [1.0, 1.6, 2.5])
def test_the_debiased_ece_of_few_songs_is_nearer_to_that_of_many(power) -> None:
    """Probabilities raised to `power`: calibrated or too sure."""
    y, proba = calibrated(40_000)
    proba = proba**power / (proba**power).sum(1, keepdims=True)
    true = METRICS["ece"](y, proba)
    for n in (33, 135):
        rows = np.arange(150 * n).reshape(150, n)
        plain = np.mean([METRICS["ece"](y[i], proba[i]) for i in rows])
        debiased = np.mean([ece_debiased(y[i], proba[i]) for i in rows])
        assert abs(debiased - true) < 0.4 * (plain - true), (n, plain, debiased)


def test_ece_equals_a_naive_loop_over_bins() -> None:
    y_true, proba = random_case(500)
    top, right = proba.max(1), proba.argmax(1) == y_true
    inside = [(top > b / 15) & (top <= (b + 1) / 15) for b in range(15)]
    naive = sum(abs(right[m].mean() - top[m].mean()) * m.mean() for m in inside if m.any())
    assert METRICS["ece"](y_true, proba) == pytest.approx(naive, abs=1e-12)


@pytest.mark.parametrize(("top", "column"), [(9 / 15, 8), (0.6001, 9), (1.0, 14), (0.55, 8), (0.5, 7)])
def test_calibration_bins_are_closed_on_the_right(top: float, column: int) -> None:
    gaps = metrics.calibration_gaps(np.array([0]), np.array([[top, 1 - top]]))
    assert list(np.flatnonzero(gaps if top < 1 else gaps + np.eye(15)[14])) == [column]


def test_top3_takes_the_lower_index_among_equals() -> None:
    proba = np.array([[0.4, 0.2, 0.2, 0.2]])
    assert [METRICS["top3"](np.array([y]), proba) for y in range(4)] == [1, 1, 1, 0]


def test_scores_do_not_depend_on_the_order_of_rows() -> None:
    y_true, proba = random_case()
    order = np.random.default_rng(1).permutation(len(y_true))
    assert scores(y_true[order], proba[order]) == pytest.approx(scores(y_true, proba), abs=1e-12)


def test_scores_do_not_depend_on_the_numbering_of_classes() -> None:
    y_true, proba = random_case()
    new = np.random.default_rng(1).permutation(proba.shape[1])
    assert scores(new[y_true], proba[:, np.argsort(new)]) == pytest.approx(scores(y_true, proba), abs=1e-12)


def test_scores_do_not_depend_on_classes_that_never_occur() -> None:
    y_true, proba = random_case()
    assert scores(y_true, np.pad(proba, ((0, 0), (0, 3)))) == pytest.approx(scores(y_true, proba), abs=1e-12)


def test_scores_of_float32_are_those_of_float64() -> None:
    y_true, proba = random_case()
    assert scores(y_true, proba.astype(np.float32)) == pytest.approx(scores(y_true, proba), abs=1e-6)


def test_one_row_can_be_scored() -> None:
    got = scores(np.array([1]), np.array([[0.3, 0.7]]))
    assert got["f1"] == got["f1_macro"] == 1 and got["ece"] == pytest.approx(0.3)


def test_confusion_has_truth_in_rows_and_equals_scikit_learn() -> None:
    matrix = confusion(np.array([0, 0, 1]), np.array([1, 0, 1]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    y_true, proba = random_case()
    expected = sklearn.metrics.confusion_matrix(y_true, proba.argmax(1), labels=np.arange(7))
    np.testing.assert_array_equal(confusion(y_true, proba.argmax(1), 7), expected)


def test_per_class_equals_a_case_worked_by_hand() -> None:
    rows = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.9, 0], [0.5, 0.2, 0.3]]
    proba = np.pad(np.array(rows), ((0, 0), (0, 1)))
    table = per_class(np.array([0, 0, 0, 1, 2]), proba, ["a", "<b>", "c", "d"])
    assert table["label"].tolist() == ["a", "<b>", "c", "d"]
    assert table["support"].tolist() == [3, 1, 1, 0]
    np.testing.assert_allclose(table["precision"], [1 / 2, 1 / 3, 0, 0], atol=1e-12)
    np.testing.assert_allclose(table["recall"], [1 / 3, 1, 0, np.nan], atol=1e-12)
    np.testing.assert_allclose(table["f1"], [0.4, 0.5, 0, np.nan], atol=1e-12)
    np.testing.assert_allclose(table["probability_true"], [1.3 / 3, 0.9, 0.3, np.nan], atol=1e-12)
    assert table["confused_with"].tolist() == ["<b>", "", "a", ""]
    assert table["confused_count"].tolist() == [2, 0, 1, 0]


def test_weighted_means_of_the_table_are_the_scores() -> None:
    y_true, proba = random_case()
    table, got = per_class(y_true, proba, list("abcdefg")), scores(y_true, proba)
    present = table[table["support"] > 0]
    for name in ("precision", "recall", "f1"):
        assert np.average(present[name], weights=present["support"]) == pytest.approx(got[name], abs=1e-12)
    assert present["f1"].mean() == pytest.approx(got["f1_macro"], abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_probabilities_that_are_not_finite_are_refused(bad: float) -> None:
    proba = np.full((4, 2), 0.5)
    proba[2, 0] = bad
    with pytest.raises(InputError, match="1 of 4 rows of probabilities hold NaN or infinity"):
        scores(np.zeros(4, int), proba)


def test_logits_are_refused() -> None:
    with pytest.raises(InputError, match="Apply a softmax"):
        scores(np.array([0, 1]), np.array([[2.0, -1.0], [0.5, 0.5]]))


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(InputError, match="Nothing to score"):
        scores(np.zeros(0, int), np.zeros((0, 3)))
    with pytest.raises(InputError, match="Nothing to score"):
        label_scores(np.zeros(0, int), np.zeros(0, int))


@pytest.mark.parametrize(
    ("y_true", "message"),
    [
        (np.array([0, 2]), "class indices 0 to 2; expected them from 0 to 1"),
        (np.array([-1, 0]), "class indices -1 to 0"),
        (np.array([0.0, np.nan]), "type float64"),
        (np.array([0, 1, 1]), "shapes"),
    ],
)
def test_true_classes_that_do_not_fit_are_refused(y_true: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores(y_true, np.full((2, 2), 0.5))


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="3 labels for 2 classes"):
        per_class(np.array([0, 1]), np.full((2, 2), 0.5), ["a", "b", "c"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("test_song_f1_low", "test/song_f1_low"), ("val_clip_ece_calibrated", "val/clip_ece_calibrated"),
        ("train_songs", "train/songs"), ("test_songs_seen_in_training", "test/songs_seen_in_training"),
        ("epoch_val_song_f1", "epoch/val_song_f1"), ("val_loss", "val/loss"),
    ],
)  # fmt: skip
def test_an_old_name_of_a_metric_is_read_as_the_new_one_and_a_new_one_as_itself(old, new):
    assert names.metric_name(old) == new and names.metric_name(new) == new


@pytest.mark.parametrize(
    "name", ["train_seconds", "temperature_song", "epoch", "system/cpu", "knn_accuracy", "accuracy"]
)
def test_other_names_of_metrics_stay(name):
    assert names.metric_name(name) == name
