"""Baselines: librosa as second implementation of MFCC, cases worked by hand, missing classes."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from projects.artists.errors import InputError
from projects.artists.evaluation.baselines import (
    bandwidth_vector,
    baseline_scores,
    format_vectors,
    loudness_vector,
    mfcc_vector,
)
from projects.artists.evaluation.metrics import METRICS


def spectrogram(n_frames: int = 200, n_mels: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-30, 12, (n_frames, n_mels)).astype(np.float32)


def clusters(n: int, seed: int, k: int = 3) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """MFCC tell the classes apart, loudness does not."""
    rng, y = np.random.default_rng(seed), np.arange(n) % k
    return {"loudness": rng.normal(size=(n, 2)), "mfcc": 8 * np.eye(k)[y] + rng.normal(size=(n, k))}, y


def test_loudness_is_mean_and_peak() -> None:
    log_mel = np.array([[-10.0, -20.0], [-30.0, 0.0]], np.float32)
    np.testing.assert_array_equal(loudness_vector(log_mel), [-15, 0])


@pytest.mark.parametrize(("n_mels", "n_mfcc"), [(128, 20), (64, 13), (40, 40)])
def test_mfcc_equal_librosa(n_mels: int, n_mfcc: int) -> None:
    log_mel = spectrogram(n_mels=n_mels)
    mfcc = librosa.feature.mfcc(S=log_mel.T.astype(float), n_mfcc=n_mfcc)
    expected = np.concatenate([mfcc.mean(1), mfcc.std(1)])
    np.testing.assert_allclose(mfcc_vector(log_mel, n_mfcc), expected, rtol=1e-10, atol=1e-10)


def test_mfcc_of_float16_are_those_of_its_values() -> None:
    log_mel = spectrogram().astype(np.float16)
    np.testing.assert_array_equal(mfcc_vector(log_mel), mfcc_vector(log_mel.astype(float)))


def test_mfcc_of_a_flat_spectrum_are_its_level_alone() -> None:
    expected = np.zeros(40)
    expected[0] = -6 * np.sqrt(128)
    np.testing.assert_allclose(mfcc_vector(np.full((10, 128), -6.0)), expected, atol=1e-10)


def test_mfcc_of_one_cosine_over_bands_are_one_coefficient() -> None:
    cosine = np.cos(np.pi * 3 * (np.arange(128) + 0.5) / 128)
    expected = np.zeros(40)
    expected[3] = np.sqrt(64)
    np.testing.assert_allclose(mfcc_vector(np.tile(cosine, (5, 1))), expected, atol=1e-10)


@pytest.mark.parametrize("vector", [bandwidth_vector, loudness_vector, mfcc_vector])
def test_vectors_do_not_depend_on_the_order_of_frames(vector) -> None:
    log_mel = spectrogram()
    np.testing.assert_allclose(vector(log_mel[::-1]), vector(log_mel), rtol=1e-10)


def test_more_level_moves_the_first_mean_alone() -> None:
    change = mfcc_vector(spectrogram().astype(float) + 6) - mfcc_vector(spectrogram())
    expected = np.zeros(40)
    expected[0] = 6 * np.sqrt(128)
    np.testing.assert_allclose(change, expected, atol=1e-8)


def test_fewer_bands_than_coefficients_give_as_many_as_bands() -> None:
    assert mfcc_vector(spectrogram(n_mels=8)).shape == (16,)


@pytest.mark.parametrize("vector", [bandwidth_vector, loudness_vector, mfcc_vector])
@pytest.mark.parametrize("bad", [np.full((3, 4), np.nan), np.zeros((0, 4)), np.zeros(4)])
def test_spectrograms_that_are_broken_are_refused(vector, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="Delete the cached features"):
        vector(bad)


def test_baseline_scores_are_all_metrics_of_three_classifiers() -> None:
    got = baseline_scores(*clusters(60, 0), *clusters(30, 1), 3, seed=0)
    assert set(got) == {"majority", "loudness", "mfcc"}
    assert all(list(values) == list(METRICS) for values in got.values())
    assert got["mfcc"]["f1"] == 1 and got["loudness"]["f1"] < 0.7


def test_the_majority_equals_a_case_worked_by_hand() -> None:
    # Always class 1, right on 1 of 4: precision 1/4, recall 1, F1 2/5 of that class.
    got = baseline_scores({}, np.array([0, 1, 1, 1]), {}, np.array([0, 0, 1, 2]), 3)["majority"]
    assert got["accuracy"] == 0.25
    assert (got["f1"], got["f1_macro"]) == pytest.approx((0.4 / 4, 0.4 / 3), abs=1e-12)
    losses = -np.log([0.25, 0.25, 0.75, 1e-7])
    assert got["log_loss"] == pytest.approx(losses.mean())


def test_a_tied_majority_is_the_lower_class() -> None:
    got = baseline_scores({}, np.array([2, 1, 1, 2]), {}, np.array([1, 1]), 3)
    assert got["majority"]["accuracy"] == 1


def test_baseline_scores_do_not_depend_on_units_of_the_vectors() -> None:
    (train, y_train), (test, y_test) = clusters(60, 0), clusters(30, 1)
    scaled = [{name: 1000 * x + 5 for name, x in vectors.items()} for vectors in (train, test)]
    got = baseline_scores(scaled[0], y_train, scaled[1], y_test, 3)
    expected = baseline_scores(train, y_train, test, y_test, 3)
    for name, values in expected.items():
        assert got[name] == pytest.approx(values, abs=1e-3)


def test_a_class_missing_from_training_is_wrong_and_has_probability_zero() -> None:
    (train, y_train), (test, y_test) = clusters(60, 0), clusters(30, 1)
    # Class indices 0, 1, 2 become 0, 2, 4 of five classes; class 3 stands in the test songs alone.
    y_test = np.where(np.arange(30) < 3, 3, 2 * y_test)
    got = baseline_scores(train, 2 * y_train, test, y_test, 5)
    for values in got.values():
        assert values["accuracy"] <= 0.9 and values["log_loss"] >= 0.1 * 7 * np.log(10)
    assert got["mfcc"]["accuracy"] == 0.9


def test_one_class_in_training_is_what_everything_predicts() -> None:
    (train, _), (test, y_test) = clusters(9, 0), clusters(9, 1)
    got = baseline_scores(train, np.ones(9, int), test, y_test, 3)
    assert got["mfcc"] == got["loudness"] == got["majority"]
    assert got["mfcc"]["accuracy"] == pytest.approx(1 / 3, abs=1e-12)


def test_constant_vectors_do_no_harm() -> None:
    y = np.arange(12) % 3
    got = baseline_scores({"loudness": np.zeros((12, 2))}, y, {"loudness": np.zeros((12, 2))}, y, 3)
    assert got["loudness"]["accuracy"] == pytest.approx(1 / 3)
    assert got["loudness"]["log_loss"] == pytest.approx(np.log(3), abs=1e-6)


def test_vectors_that_are_nan_are_refused() -> None:
    (train, y_train), (test, y_test) = clusters(9, 0), clusters(9, 1)
    test["mfcc"][2, 1] = np.nan
    with pytest.raises(InputError, match="The test vectors mfcc hold NaN"):
        baseline_scores(train, y_train, test, y_test, 3)


def test_no_songs_to_train_on_are_refused() -> None:
    with pytest.raises(InputError, match="Nothing to score"):
        baseline_scores({}, np.zeros(0, int), {}, np.zeros(3, int), 3)


def test_vectors_that_do_not_fit_are_refused() -> None:
    (train, y_train), (test, y_test) = clusters(9, 0), clusters(9, 1)
    with pytest.raises(ValueError, match="The training vectors loudness have shape"):
        baseline_scores(train, y_train[:5], test, y_test, 3)
    with pytest.raises(ValueError, match=r"for training and \[\] for test"):
        baseline_scores(train, y_train, {}, y_test, 3)


def test_the_bandwidth_is_where_the_power_ends() -> None:
    log_mel = np.full((20, 100), -90.0)
    log_mel[:, :40] = 0
    assert bandwidth_vector(log_mel) == pytest.approx([0.99 * 0.4], abs=1e-6)
    # A single loud frame is most of the mean spectrum.
    log_mel[3, :80] = 60
    assert bandwidth_vector(log_mel) == pytest.approx([0.99 * 0.8], abs=1e-4)


def test_the_bandwidth_does_not_depend_on_the_level() -> None:
    np.testing.assert_allclose(bandwidth_vector(spectrogram() - 12.0), bandwidth_vector(spectrogram()), rtol=1e-6)


def test_a_format_tells_artists_apart_where_each_has_one_and_nothing_where_all_share_it() -> None:
    y = np.arange(12) % 2
    known = [".mp3", ".ogg"]
    own = {"format": format_vectors([known[i] for i in y], known)}
    same = {"format": format_vectors([".mp3"] * 12, [".mp3"])}
    assert baseline_scores(own, y, own, y, 2)["format"]["f1"] == 1
    assert baseline_scores(same, y, same, y, 2)["format"]["accuracy"] == 0.5
    assert not format_vectors([".flac"], known).any(), "a format that no training song has"
