"""Temperatures that are known from how the probabilities were made, and what a fitted one costs and regains."""

from __future__ import annotations

import numpy as np
import pytest

from projects.artists.errors import InputError
from projects.artists.evaluation import metrics
from projects.artists.evaluation.calibration import RANGE, fit_temperature, tempered


def drawn(
    n: int = 20_000, seed: int = 0, classes: int = 4, concentration: float = 0.5, least: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """Classes drawn from probabilities of a Dirichlet distribution, and these."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet([concentration] * classes, n).clip(least)
    proba /= proba.sum(1, keepdims=True)
    return (proba.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=classes - 1), proba


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_probabilities_is_found(temperature):
    y, proba = drawn()
    spoiled = tempered(proba, 1 / temperature)
    assert fit_temperature(y, spoiled) == pytest.approx(temperature, rel=0.1)
    np.testing.assert_allclose(tempered(spoiled, temperature), proba, atol=1e-3)


def test_calibration_takes_away_the_error_of_a_system_too_sure_of_itself():
    y, proba = drawn()
    sure = tempered(proba, 0.3)
    ece = metrics.METRICS["ece"]
    assert ece(y, sure) > 0.15 and ece(y, tempered(sure, fit_temperature(y, sure))) < 0.02


def test_tempered_by_hand_and_in_order():
    np.testing.assert_allclose(tempered(np.array([[0.8, 0.2]]), 2.0), [[2 / 3, 1 / 3]])
    _, proba = drawn(200)
    for temperature in RANGE:
        again = tempered(proba, temperature)
        np.testing.assert_allclose(again.sum(1), 1)
        assert (again.argmax(1) == proba.argmax(1)).all()


def test_certain_and_impossible_classes_stay_numbers():
    proba = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(tempered(proba, 0.05)).all()
    assert RANGE[0] <= fit_temperature(np.array([0, 1]), proba) <= RANGE[1]
    assert RANGE[0] <= fit_temperature(np.array([1, 0]), proba) <= RANGE[1]


# What few songs do to a system, simulated: the log loss of its population under the temperature that they fit


def expected_losses(y: np.ndarray, proba: np.ndarray, seen: int, fits: int) -> tuple[float, np.ndarray]:
    """Log loss of all rows as they are, and under the temperatures fitted on `seen` of them, `fits` times.

    That of a temperature is interpolated between 200.
    """
    grid = np.linspace(*np.log(RANGE), 200)
    losses = [metrics.log_losses(y, tempered(proba, float(np.exp(each)))).mean() for each in grid]
    rng, temperatures = np.random.default_rng(1), []
    for _ in range(fits):
        rows = rng.integers(len(y), size=seen)
        temperatures.append(fit_temperature(y[rows], proba[rows]))
    return float(metrics.log_losses(y, proba).mean()), np.interp(np.log(temperatures), grid, losses)


CASES = [(2, 0.5), (4, 0.5), (7, 0.3), (20, 0.1)]


@pytest.mark.parametrize(("classes", "concentration"), CASES)
def test_twelve_songs_cost_a_calibrated_system_next_to_nothing(classes, concentration):
    before, after = expected_losses(*drawn(5000, 0, classes, concentration, 1e-4), seen=12, fits=150)
    assert after.mean() - before < 0.01 and after.max() - before < 0.1


@pytest.mark.parametrize(("classes", "concentration"), CASES)
def test_many_songs_give_back_what_a_temperature_of_two_costs(classes, concentration):
    y, proba = drawn(5000, 0, classes, concentration, 1e-4)
    best = metrics.log_losses(y, proba).mean()
    spoiled, after = expected_losses(y, tempered(proba, 0.5), seen=135, fits=60)
    assert (spoiled - after.mean()) / (spoiled - best) > 0.8


def test_the_more_songs_the_nearer_to_the_temperature_of_the_population():
    y, proba = drawn(8000)
    spoiled = tempered(proba, 1 / 3)
    rows = {n: np.arange(20 * n).reshape(20, n) for n in (5, 20, 80, 320)}
    means = [np.mean([fit_temperature(y[i], spoiled[i]) for i in each]) for each in rows.values()]
    assert 1 < means[0] < means[1] < means[2] < means[3] < 3
    assert means[3] > 2.7


def test_clips_of_a_song_are_no_more_evidence_than_the_song():
    y, proba = drawn(30)
    spoiled = tempered(proba, 0.4)
    once = fit_temperature(y, spoiled)
    copies = np.repeat(np.arange(30), np.arange(30) % 5 + 1)
    assert fit_temperature(y[copies], spoiled[copies], copies) == pytest.approx(once, rel=1e-3)
    assert fit_temperature(y[copies], spoiled[copies]) > 1.1 * once, "rows that were songs would be more"
    # The numbers of songs are names.
    assert fit_temperature(y, spoiled, 7 * np.arange(30)[::-1]) == pytest.approx(once, rel=1e-3)
    with pytest.raises(ValueError, match="a song a row"):
        fit_temperature(y, spoiled, np.zeros(29, int))


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(InputError):
        fit_temperature(np.empty(0, int), np.empty((0, 2)))
