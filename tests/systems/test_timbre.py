"""Timbre: vectors without a level, filters checked against a slow computation, a song as the mean of its clips."""

from __future__ import annotations

import numpy as np
import pytest

from projects.artists.audio import augment
from projects.artists.data.clipset import make_clips
from projects.artists.data.featurize import Entry
from projects.artists.errors import InputError
from projects.artists.evaluation.spread import spread
from projects.artists.systems import timbre
from projects.artists.training.loop import Hooks
from projects.artists.training.training import Training
from projects.artists.workflows.plan import training_plan

FRAMES, BANDS, CLASSES = 96, 32, 3


def clips_of(folder, songs, *, seed):
    """Three clips a song; classes differ by where a hump of the spectrum is."""
    rng, entries, y = np.random.default_rng(seed), [], []
    for i in range(songs):
        hump = 12 * np.exp(-0.5 * ((np.arange(BANDS) - 6 - 9 * (i % CLASSES)) / 3) ** 2)
        path = folder / f"{seed}-{i}.npy"
        np.save(path, (rng.normal(-40 + rng.normal(0, 10), 6, (3 * FRAMES, BANDS)) + hump).astype(np.float32))
        entries.append(Entry(path.stem, 3 * FRAMES, path))
        y.append(i % CLASSES)
    return make_clips(entries, y, FRAMES)[0]


@pytest.fixture(scope="module")
def subsets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("timbre")
    return clips_of(folder, 36, seed=0), clips_of(folder, 6, seed=1)


def fitted(subsets, seed=0, **options):
    system = timbre.System(**{"filters": 24, "components": 12, **options})
    system.fit(*subsets, CLASSES, Training(seed=seed), Hooks())
    return system


@pytest.fixture(scope="module", params=["patches", "statistics"])
def system(request, subsets):
    return fitted(subsets, features=request.param)


def test_songs_are_known_at_any_level(system, subsets):
    _, val = subsets
    proba, vectors = system.scores(val.song_batches())
    assert (proba.argmax(1) == val.y).all()
    louder, same = system.scores(clips + np.float32(17) for clips in val.song_batches())
    np.testing.assert_allclose(vectors, same, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(proba, louder, atol=1e-3)


def test_a_song_is_the_softmax_of_its_clips_mean_log_probabilities(system, subsets):
    clips = next(subsets[1].song_batches())
    logs = np.log(np.maximum(spread(system.head, system.vectors(clips), CLASSES), 1e-6)).mean(0)
    np.testing.assert_allclose(system.scores([clips])[0], np.tile(np.exp(logs) / np.exp(logs).sum(), (3, 1)), rtol=1e-5)


def test_the_seed_alone_decides(subsets):
    a, again, other = (fitted(subsets, seed).scores(subsets[1].song_batches())[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, other)


def test_a_saved_one_of_statistics_scores_the_same(subsets, tmp_path):
    system = fitted(subsets, features="statistics")
    system.save(tmp_path)
    loaded = timbre.System(features="statistics")
    loaded.load(tmp_path)
    for a, b in zip(system.scores(subsets[1].song_batches()), loaded.scores(subsets[1].song_batches()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_filter_answers_with_the_whitened_patch_times_its_centre(subsets):
    from sklearn.decomposition import PCA

    system, (train, _) = fitted(subsets), subsets
    rng = np.random.default_rng([0, 0])
    x = system.some_patches(train, rng)
    pca = PCA(12, whiten=True, svd_solver="covariance_eigh").fit(x)
    centres = timbre.spherical_k_means(pca.transform(x), 24, timbre.ROUNDS, rng)
    clip = train.read(slice(0, 1)).reshape(1, FRAMES, -1, 2).mean(-1)
    clip -= clip.mean()
    by_hand = [pca.transform(clip[0, t : t + 4].T.reshape(1, -1))[0] for t in range(0, FRAMES - 3, 2)]
    expected = np.maximum(np.array(by_hand) @ centres.T, 0).mean(0)
    np.testing.assert_allclose(system.vectors(train.read(slice(0, 1)))[0], expected, rtol=1e-3, atol=1e-3)


def test_spherical_k_means_finds_directions_whatever_the_lengths():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0][:4]
    which = rng.integers(0, 4, 2000)
    x = (directions[which] + rng.normal(0, 0.05, (2000, 6))) * rng.uniform(0.1, 50, (2000, 1))
    centres = timbre.spherical_k_means(x, 12, 20, rng)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-5)
    assert ((centres @ directions.T).max(0) > 0.99).all()


def test_a_steady_beat_stands_in_the_octave_of_its_period():
    t = np.arange(320)
    for period, octave in ((64, 0), (32, 1), (16, 2), (8, 3), (4, 4)):
        clip = np.tile(10 * np.sin(2 * np.pi * t / period)[:, None], (1, BANDS))[None]
        power = timbre.modulation(clip).reshape(timbre.OCTAVES, timbre.GROUPS)
        assert (power.argmax(0) == octave).all()


def test_a_low_pass_on_what_is_scored_changes_less_where_copies_were_learned_from(subsets):
    _, val = subsets
    rng = np.random.default_rng(5)
    dull = [augment.low_passed(clips.copy(), 1.0, rng) for clips in val.song_batches()]
    right = [(fitted(subsets, copies=copies).scores(dull)[0].argmax(1) == val.y).mean() for copies in (0, 4)]
    assert right[1] >= right[0]


def test_an_equaliser_moves_bands_alone_and_by_what_it_says():
    out = augment.equalised(np.zeros((4000, 2, 16)), 4.0, np.random.default_rng(0))
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    k, bands = np.arange(1, 7), (np.arange(16) + 0.5) / 16
    expected = 4 * np.sqrt((np.cos(np.pi * np.outer(k, bands)) ** 2 / k[:, None]).sum(0))
    np.testing.assert_allclose(out[:, 0].std(0), expected, rtol=0.06)


def test_a_low_pass_falls_above_its_band_and_no_deeper_than_the_features_go():
    clips = np.random.default_rng(1).normal(-20, 3, (200, 4, 40))
    out = augment.low_passed(clips.copy(), 0.5, np.random.default_rng(0))
    changed = (out != clips).any((1, 2))
    assert 0.4 < changed.mean() < 0.6
    np.testing.assert_array_equal(out[:, :, :22], clips[:, :, :22])
    assert (np.diff((clips - out)[changed].max(1), axis=1) > -13).all() and (out <= clips).all()
    assert (out.max((1, 2)) - out.min((1, 2))).max() <= 80 + 1e-9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"copies": "-1"}, "copies=-1 must be 0 or more"),
        ({"filters": "0"}, "filters=0 must be at least 1"),
        ({"features": "statistics", "filters": "64"}, "filters=64 means nothing to timbre with features=statistics"),
        ({"epochs": "3"}, "epochs=3 means nothing to timbre"),
    ],
)
def test_options_that_cannot_be(given, message):
    with pytest.raises(InputError, match=message):
        training_plan({"model": "timbre", **given})


def test_statistics_take_longer_clips():
    assert training_plan({"model": "timbre", "features": "statistics"}).data.clip == 5.12
    plan = training_plan({"model": "timbre", "features": "statistics", "clip": "2"})
    with pytest.raises(InputError, match=r"timbre needs 2\.56 s or more"):
        plan.check_input()
