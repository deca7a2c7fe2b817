"""The small network from scratch: its crops, its augmentation, its rate, and going on after a kill."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from projects.artists.data.clipset import make_clips
from projects.artists.data.featurize import Entry
from projects.artists.errors import InputError
from projects.artists.systems import convnet
from projects.artists.training.crops import Changes, Crops, mixed, song_weights
from projects.artists.training.loop import Hooks
from projects.artists.training.training import Training
from projects.artists.workflows.plan import training_plan

FRAMES, BANDS = 20, 8
SMALL = {"width": 4, "steps": 3}


def clips_of(folder, lengths, *, seed=0):
    """A song of each length in clips, of classes 0 and 1 by turns that differ by colour; frames are numbered."""
    rng, entries = np.random.default_rng(seed), []
    for i, clips in enumerate(lengths):
        x = rng.normal(-40, 3, (clips * FRAMES, BANDS)) + np.linspace(0, 12 * (i % 2), BANDS)
        path = folder / f"{seed}-{i}.npy"
        np.save(path, x.astype(np.float32))
        entries.append(Entry(path.stem, len(x), path))
    return make_clips(entries, [i % 2 for i in range(len(lengths))], FRAMES)[0]


@pytest.fixture
def subsets(tmp_path):
    return clips_of(tmp_path, [3, 3, 4, 2]), clips_of(tmp_path, [2, 2], seed=1)


def crops(clips, *, steps=4, changes=None, seed=3, epoch=1):
    return Crops(clips, changes or Changes(), steps=steps, batch_size=5, num_classes=2, seed=seed, epoch=epoch)


def test_crops_are_pieces_of_songs_with_their_classes(subsets):
    train, _ = subsets
    pieces = {
        np.load(entry.path)[start : start + FRAMES].tobytes(): i % 2
        for i, entry in enumerate(train.entries)
        for start in range(entry.n_frames - FRAMES + 1)
    }
    epoch = crops(train)
    assert len(epoch) == 4
    for i in range(4):
        x, y = epoch[i]
        assert x.shape == (5, FRAMES, BANDS) and y.shape == (5, 2)
        assert [pieces[crop.tobytes()] for crop in x] == y.argmax(1).tolist()


def test_a_batch_is_a_function_of_seed_epoch_and_number(subsets):
    changes = Changes(equaliser=4, low_pass=0.5, masks=1, mixup=0.3)
    one = crops(subsets[0], changes=changes)
    first = one[2][0]
    np.testing.assert_array_equal(one[2][0], first)
    np.testing.assert_array_equal(crops(subsets[0], changes=changes)[2][0], first)
    others = [one[1], crops(subsets[0], changes=changes, epoch=2)[2], crops(subsets[0], changes=changes, seed=4)[2]]
    assert not any(np.array_equal(x, first) for x, _ in others)


def test_songs_are_drawn_by_the_root_of_their_length_over_that_of_the_songs_of_their_class(tmp_path):
    songs, y, weights = song_weights(clips_of(tmp_path, [4, 1, 9, 1, 1]))
    assert songs.tolist() == [0, 1, 2, 3, 4] and y.tolist() == [0, 1, 0, 1, 0]
    expected = np.sqrt([4 / 3, 1 / 2, 9 / 3, 1 / 2, 1 / 3])
    np.testing.assert_allclose(weights, expected / expected.sum())


def test_the_same_shares_mix_crops_and_classes():
    rng = np.random.default_rng(0)
    x, y = np.arange(1.0, 7.0)[:, None, None] * np.ones((1, 2, 3)), np.eye(6)
    mixture, shares = mixed(x, y, 0.3, rng)
    np.testing.assert_allclose(mixture[:, 0, 0], shares @ np.arange(1.0, 7.0), rtol=1e-6)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert ((shares > 0).sum(1) <= 2).all() and (shares < 1).any()
    np.testing.assert_array_equal(mixed(x, y, 0.0, rng)[0], x)


@pytest.mark.parametrize("centre", ["crop", "bands"])
def test_no_level_counts(centre):
    model = convnet.System(centre=centre, **SMALL).build(FRAMES, BANDS, 3)
    x = np.random.default_rng(0).normal(-30, 9, (4, FRAMES, BANDS)).astype(np.float32)
    x[1] = x[0] - 12
    x[3] = x[2] + np.linspace(-9, 9, BANDS // 2).repeat(2)
    proba = model.predict_on_batch(x)
    np.testing.assert_allclose(proba[0], proba[1], atol=1e-5)
    assert np.allclose(proba[2], proba[3], atol=1e-5) == (centre == "bands")


def test_moments_are_mean_and_deviation():
    x = np.random.default_rng(0).normal(3, 2, (2, 50, 4)).astype(np.float32)
    mean, deviation = (np.asarray(part) for part in convnet.moments(x))
    np.testing.assert_allclose(mean, x.mean(1), rtol=1e-5)
    np.testing.assert_allclose(deviation, x.std(1), rtol=1e-4)


def test_the_rate_rises_for_a_fifth_and_falls_to_nothing():
    optimizer = convnet.System(steps=10).optimizer(Training(epochs=10, learning_rate=0.002))
    rates = [float(optimizer._learning_rate(step)) for step in range(101)]
    assert np.argmax(rates) == 20 and rates[20] == pytest.approx(0.002)
    assert rates[60] == pytest.approx(0.001) and rates[100] == pytest.approx(0, abs=1e-9)
    assert (np.diff(rates[:21]) > 0).all() and (np.diff(rates[20:]) < 0).all()


def test_a_killed_training_goes_on_bit_by_bit_and_keeps_its_last_weights(subsets, tmp_path):
    training = Training(epochs=4, patience=1, batch_size=5, learning_rate=0.01, weight_decay=0.02)
    whole = convnet.System(**SMALL)
    state = whole.fit(*subsets, 2, training, Hooks())
    assert state.epoch == state.best_epoch == 4, "patience stops nothing"

    class Killed(Exception):
        pass

    def kill(epoch, logs):
        if epoch == 1:
            raise Killed

    file = tmp_path / "c.npz"
    with pytest.raises(Killed):
        convnet.System(**SMALL).fit(*subsets, 2, training, Hooks(on_epoch=kill, checkpoint=file))
    again = convnet.System(**SMALL)
    resumed = again.fit(*subsets, 2, training, Hooks(checkpoint=file))
    for a, b in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [logs["loss"] for logs in state.history] == [logs["loss"] for logs in resumed.history]


def test_it_learns_and_a_song_is_the_geometric_mean_of_its_clips(subsets):
    train, val = subsets
    system = convnet.System(width=8, steps=15)
    system.fit(train, val, 2, Training(epochs=4, batch_size=16, learning_rate=0.01), Hooks())
    proba, _ = system.scores(val.song_batches())
    assert (proba.argmax(1) == val.y).all()
    clips = val.read(slice(0, 2))
    logs = np.log(np.asarray(system.model.predict_on_batch(clips))).mean(0)
    np.testing.assert_allclose(proba[0], np.exp(logs) / np.exp(logs).sum(), atol=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patience": "3"}, "patience=3 means nothing to convnet"),
        ({"schedule": "cosine"}, "schedule=cosine means nothing to convnet"),
        ({"augment": "0.5"}, "augment=0.5 means nothing to convnet"),
        ({"low_pass": "2"}, "low_pass=2.0 must be from 0 to 1"),
        ({"steps": "0"}, "steps=0 must be at least 1"),
    ],
)
def test_options_that_cannot_be(given, message):
    with pytest.raises(InputError, match=message):
        training_plan({"model": "convnet", **given})


def test_each_option_reaches_the_change_that_it_names(subsets):
    options = {"equaliser": 1.0, "low_pass": 0.25, "masks": 0.5, "mixup": 0.75}
    system = convnet.System(**SMALL, **options)
    system.model = system.build(FRAMES, BANDS, 2)
    own = system.by_crops(*subsets, Training(), Hooks())
    assert own.batches(0)._changes == Changes(gain=0.0, **options)


def test_its_defaults_are_the_recipe():
    plan = training_plan({"model": "convnet"})
    assert plan.training.epochs * plan.options.steps == 600 and plan.data.clip == 8
    assert dataclasses.asdict(plan.training).items() >= {"learning_rate": 0.002, "weight_decay": 0.02}.items()
