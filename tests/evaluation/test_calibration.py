"""Temperatures that are known from how the probabilities were made."""

from __future__ import annotations

import numpy as np
import pytest

from projects.artists.errors import InputError
from projects.artists.evaluation import metrics
from projects.artists.evaluation.calibration import RANGE, fit_temperature, tempered


def drawn(n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of four classes, and classes drawn from just these."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet([0.5] * 4, n).clip(0.01)
    proba /= proba.sum(1, keepdims=True)
    return (proba.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=3), proba


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


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(InputError):
        fit_temperature(np.empty(0, int), np.empty((0, 2)))
