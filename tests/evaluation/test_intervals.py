"""Bootstrap intervals: binomial quantiles, a naive loop and SciPy as second implementations, speed.

How often they hold the truth: test_coverage.py.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.stats

from projects.artists.errors import InputError
from projects.artists.evaluation import intervals, metrics
from projects.artists.evaluation.intervals import mean_interval, paired_improvement, song_intervals
from projects.artists.evaluation.metrics import LABEL_METRICS, METRICS, scores


def random_case(n: int = 60, k: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_true = rng.integers(k - 1, size=n)
    proba = rng.dirichlet(np.full(k, 0.5), size=n) + 0.1 * np.eye(k)[y_true]
    return y_true, proba / proba.sum(1, keepdims=True)


def test_intervals_equal_a_naive_loop_over_the_same_resamples() -> None:
    y_true, proba = random_case()
    n = len(y_true)
    drawn = np.random.default_rng(3).integers(n, size=(200, n))
    naive = [scores(y_true[i], proba[i]) for i in drawn]
    without = [scores(np.delete(y_true, i), np.delete(proba, i, 0)) for i in range(n)]
    for name, bounds in song_intervals(y_true, proba, resamples=200, level=0.9, seed=3).items():
        left_out = [each[name] for each in without]
        a = -scipy.stats.skew(left_out) / (6 * np.sqrt(n))
        z = scipy.stats.norm.ppf([0.05, 0.95]) * np.sqrt(n / (n - 1))
        levels = 100 * scipy.stats.norm.cdf(z / (1 - a * z))
        expected = np.percentile([each[name] for each in naive], levels)
        np.testing.assert_allclose(bounds, expected, atol=1e-12, err_msg=name)


def test_intervals_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case()
    whole = song_intervals(*case, resamples=100)
    monkeypatch.setattr(intervals, "BLOCK_NUMBERS", 7 * 60)
    for name, bounds in song_intervals(*case, resamples=100).items():
        assert bounds == pytest.approx(whole[name], abs=1e-12)


def test_a_jackknife_of_groups_agrees_with_that_of_songs(monkeypatch: pytest.MonkeyPatch) -> None:
    y_true, proba = random_case(2000)
    songs = song_intervals(y_true, proba, resamples=500)
    monkeypatch.setattr(intervals, "JACKKNIFE_GROUPS", 150)
    for name, bounds in song_intervals(y_true, proba, resamples=500).items():
        assert bounds == pytest.approx(songs[name], abs=0.1 * np.ptp(songs[name])), name


def test_the_interval_of_a_mean_is_wider_on_the_side_of_its_tail() -> None:
    values = np.random.default_rng(0).beta(8, 1, 40)
    low, high = mean_interval(values)
    assert values.mean() - low > 1.1 * (high - values.mean())
    mirrored = mean_interval(1 - values)
    np.testing.assert_allclose(mirrored, (1 - high, 1 - low), atol=1e-12)


def test_the_interval_of_a_mean_is_that_of_student_where_songs_are_many_and_even() -> None:
    values = np.random.default_rng(0).uniform(size=300)
    expected = scipy.stats.t.interval(0.95, 299, values.mean(), scipy.stats.sem(values))
    np.testing.assert_allclose(mean_interval(values), expected, atol=0.004)


def test_the_interval_of_a_mean_and_of_accuracy_are_the_same() -> None:
    right = np.random.default_rng(0).random(40) < 0.7
    proba = np.eye(2)[(~right).astype(int)]
    assert mean_interval(right) == pytest.approx(song_intervals(np.zeros(40, int), proba)["accuracy"], abs=0.026)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 33])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.9999])
def test_bounds_are_in_order_and_within_the_range_of_the_metric(n: int, level: float) -> None:
    for seed in range(5):
        for name, (low, high) in song_intervals(*random_case(n, seed=seed), resamples=200, level=level).items():
            assert 0 <= low <= high <= (-np.log(metrics.LOG_LOSS_FLOOR) if name == "log_loss" else 1), name


def test_songs_that_are_all_right_or_all_wrong_have_the_binomial_bound() -> None:
    # A share p of right songs shows 33 right ones with a chance of p to the 33, which is 5 % at the bound.
    right = song_intervals(np.zeros(33, int), np.tile([0.9, 0.1], (33, 1)))
    wrong = song_intervals(np.ones(33, int), np.tile([0.9, 0.1], (33, 1)))
    for name in ("f1", "f1_macro", "accuracy", "precision", "recall"):
        assert right[name][1] == 1 and scipy.stats.binom.pmf(33, 33, right[name][0]) == pytest.approx(0.05)
        assert wrong[name] == pytest.approx((0, 1 - right[name][0]))
    assert right["log_loss"] == pytest.approx((-np.log(0.9),) * 2) and right["ece"] == pytest.approx((0.1, 0.1))
    assert mean_interval(np.ones(33)) == right["accuracy"] and mean_interval(np.zeros(33)) == wrong["accuracy"]
    assert mean_interval(np.full(33, 0.4)) == pytest.approx((0.4, 0.4))


def test_the_interval_of_accuracy_is_that_of_the_binomial_distribution() -> None:
    # Resampling 50 songs of which 35 are right draws the number right from Binomial(50, 0.7); the corrections of the
    # levels are within a song.
    proba = np.eye(2)[np.repeat([0, 1], [35, 15])]
    bounds = song_intervals(np.zeros(50, int), proba, resamples=20_000)["accuracy"]
    np.testing.assert_allclose(bounds, scipy.stats.binom.ppf([0.025, 0.975], 50, 0.7) / 50, atol=0.0201)
    # The exact interval (Clopper and Pearson) is longer below, where the tail is.
    np.testing.assert_allclose(bounds, scipy.stats.binomtest(35, 50).proportion_ci(method="exact"), atol=0.0201)


def test_the_interval_of_f1_agrees_with_scipy() -> None:
    y_true, proba = random_case(200)
    y_pred = proba.argmax(1)
    options = {"paired": True, "vectorized": False, "n_resamples": 2000, "method": "percentile", "rng": 1}
    expected = scipy.stats.bootstrap((y_true, y_pred), LABEL_METRICS["f1"], **options).confidence_interval
    np.testing.assert_allclose(song_intervals(y_true, proba)["f1"], expected, atol=0.015)


def test_intervals_are_ordered_and_hold_the_score() -> None:
    y_true, proba = random_case(300, 20)
    bounds, got = song_intervals(y_true, proba), scores(y_true, proba)
    assert list(bounds) == list(METRICS)
    for name in set(METRICS) - {"ece"}:  # of which the bootstrap overstates small values
        assert bounds[name][0] < got[name] < bounds[name][1], name


def test_a_higher_level_gives_a_wider_interval() -> None:
    case = random_case()
    narrow, wide = song_intervals(*case, level=0.5), song_intervals(*case, level=0.95)
    assert all(wide[n][0] < narrow[n][0] and narrow[n][1] < wide[n][1] for n in METRICS)


def test_four_times_the_songs_halve_the_interval() -> None:
    y_true, proba = random_case(100)
    small = song_intervals(y_true, proba)["log_loss"]
    large = song_intervals(np.tile(y_true, 4), np.tile(proba, (4, 1)))["log_loss"]
    assert np.ptp(large) == pytest.approx(np.ptp(small) / 2, rel=0.1)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    case = random_case()
    assert song_intervals(*case, seed=1) == song_intervals(*case, seed=1) != song_intervals(*case, seed=2)


def test_intervals_do_not_depend_on_the_numbering_of_classes() -> None:
    y_true, proba = random_case()
    new = np.random.default_rng(1).permutation(proba.shape[1])
    got, expected = song_intervals(new[y_true], proba[:, np.argsort(new)]), song_intervals(y_true, proba)
    for name in METRICS:
        np.testing.assert_allclose(got[name], expected[name], atol=1e-12)


def test_one_song_says_next_to_nothing() -> None:
    bounds = song_intervals(np.array([0]), np.array([[0.7, 0.3]]))
    assert bounds["f1"] == pytest.approx((0.05, 1)) and bounds["ece"] == pytest.approx((0.3, 0.3))


def test_a_metric_that_is_only_in_the_table_gets_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    y_true, proba = random_case()
    monkeypatch.setitem(metrics.METRICS, "again", lambda y, p: METRICS["f1_macro"](y, p))
    bounds = song_intervals(y_true, proba, resamples=50)
    assert bounds["again"] == pytest.approx(bounds["f1_macro"], abs=1e-12)


def test_two_thousand_resamples_of_three_hundred_songs_take_less_than_a_second_and_a_half() -> None:
    y_true, proba = random_case(300, 20)
    start = time.process_time()
    song_intervals(y_true, proba)
    assert time.process_time() - start < 1.5


@pytest.mark.parametrize("statistic", list(LABEL_METRICS))
def test_improvement_equals_a_naive_loop_over_the_same_resamples(statistic: str) -> None:
    y_true, proba = random_case()
    pred_a, pred_b = proba.argmax(1), random_case(seed=4)[1].argmax(1) % 4
    pred_b[:40] = pred_a[:40]
    drawn = np.random.default_rng(0).integers(60, size=(200, 60))
    metric = LABEL_METRICS[statistic]
    gains = [round(metric(y_true[i], pred_b[i]) - metric(y_true[i], pred_a[i]), 9) for i in drawn]
    naive = np.mean([0.5 if gain == 0 else gain > 0 for gain in gains])
    got = paired_improvement(y_true, pred_a, pred_b, statistic, resamples=200)
    assert 0 < naive < 1 and got == pytest.approx(naive, abs=1e-12)


def test_improvement_of_one_song_is_the_chance_that_it_is_drawn() -> None:
    # b is right where a is, and on one song more of 20; ties, when it is not drawn, count half.
    y_true = np.arange(20) % 2
    pred_b = np.where(np.arange(20) < 12, y_true, 1 - y_true)
    pred_a = np.where(np.arange(20) < 11, y_true, 1 - y_true)
    got = paired_improvement(y_true, pred_a, pred_b, "accuracy", resamples=20_000)
    assert got == pytest.approx(1 - 0.5 * 0.95**20, abs=0.01)


def test_improvement_is_one_half_between_equals_and_certain_between_opposites() -> None:
    y_true = np.arange(30) % 3
    assert paired_improvement(y_true, y_true, y_true) == 0.5
    assert paired_improvement(y_true, (y_true + 1) % 3, y_true) == 1
    assert paired_improvement(y_true, y_true, (y_true + 1) % 3) == 0


def test_improvements_there_and_back_add_up_to_one() -> None:
    y_true, proba = random_case()
    pred_a, pred_b = proba.argmax(1), random_case(seed=4)[1].argmax(1)
    there, back = paired_improvement(y_true, pred_a, pred_b), paired_improvement(y_true, pred_b, pred_a)
    assert there + back == pytest.approx(1, abs=1e-12)


def test_probabilities_that_are_nan_are_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        song_intervals(np.array([0]), np.array([[np.nan, 1.0]]))


def test_no_songs_are_refused() -> None:
    with pytest.raises(InputError, match="Nothing to score"):
        song_intervals(np.zeros(0, int), np.zeros((0, 3)))
    with pytest.raises(InputError, match="Nothing to score"):
        paired_improvement(*np.zeros((3, 0), int))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"level": 95}, "level=95"), ({"level": 0.0}, "level=0"), ({"resamples": 0}, "resamples=0")],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        song_intervals(*random_case(), **options)


def test_an_unknown_statistic_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="statistic=auc is unknown; choose one of f1, f1_macro"):
        paired_improvement(*np.zeros((3, 4), int), "auc")
