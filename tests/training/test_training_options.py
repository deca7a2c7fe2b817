"""The options around a recipe: schedules, decay, smoothing, masks, overlap, pooling; none changes what was before."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from projects.artists.audio.augment import MASKS, WIDEST, masked
from projects.artists.audio.clips import clip_starts
from projects.artists.data.clipset import make_clips
from projects.artists.data.featurize import Entry
from projects.artists.errors import InputError
from projects.artists.evaluation.pooling import POOLINGS, song_probabilities
from projects.artists.training.batches import Batches
from projects.artists.training.loop import Hooks, decay_kernels, fit
from projects.artists.training.training import Training, learning_rate
from projects.artists.workflows.plan import training_plan

FRAMES, MELS = 8, 6


@pytest.fixture
def subsets(tmp_path):
    """Two classes, 12 training and 6 validation clips."""
    rng = np.random.default_rng(0)

    def subset(name, songs):
        entries = []
        for i in range(songs):
            path = tmp_path / f"{name}{i}.npy"
            np.save(path, rng.normal(i % 2, 1, (3 * FRAMES, MELS)).astype(np.float32))
            entries.append(Entry(f"{name}{i}", 3 * FRAMES, path))
        return make_clips(entries, [i % 2 for i in range(songs)], FRAMES)[0]

    return subset("train", 4), subset("val", 2)


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FRAMES, MELS))
    x = keras.layers.Dense(3, activation="relu")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy")
    return model


def batches(clips, **options):
    made = Batches(clips, batch_size=5, num_classes=2, seed=3, epoch=1, **options)
    return [made[i] for i in range(len(made))], made


def test_cosine_falls_from_the_rate_through_its_half_towards_nothing():
    training = Training(epochs=10, learning_rate=0.2, schedule="cosine")
    rates = [learning_rate(training, [1.0] * epoch) for epoch in range(11)]
    assert rates[0] == 0.2 and rates[5] == pytest.approx(0.1) and rates[10] == pytest.approx(0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


def test_plateau_halves_after_half_the_patience_without_a_lower_loss():
    training = Training(patience=4, learning_rate=1.0, schedule="plateau")
    losses = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0, 1.0]
    rates = [learning_rate(training, losses[:done]) for done in range(len(losses) + 1)]
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_an_interrupted_training_goes_on_with_its_schedule_masks_and_decay(subsets, tmp_path, schedule):
    options = dict(epochs=4, patience=2, batch_size=5, schedule=schedule, label_smoothing=0.1, augment=0.9)
    options["weight_decay"] = 0.01
    whole = network()
    expected = fit(whole, *subsets, Training(**options), Hooks())

    def stop(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    hooks = Hooks(checkpoint=tmp_path / "c.npz", on_epoch=stop)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), *subsets, Training(**options), hooks)
    fresh = network()
    state = fit(fresh, *subsets, Training(**options), Hooks(checkpoint=tmp_path / "c.npz"))
    assert [e["learning_rate"] for e in state.history] == [e["learning_rate"] for e in expected.history]
    assert state.history[1]["learning_rate"] < 0.01 or schedule == "plateau"
    for a, b in zip(whole.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_rate_of_the_schedule_reaches_the_optimizer(subsets):
    model = network()
    fit(model, *subsets, Training(epochs=2, learning_rate=0.5, schedule="cosine"), Hooks())
    assert float(model.optimizer.learning_rate) == pytest.approx(0.25)


def test_a_constant_rate_is_left_to_the_optimizer_and_not_logged(subsets):
    model = network()
    state = fit(model, *subsets, Training(epochs=1, learning_rate=0.5), Hooks())
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01) and "learning_rate" not in state.history[0]


def test_decay_shrinks_kernels_and_leaves_biases():
    model = network()
    decay_kernels(model.optimizer, 0.01)
    model.layers[-1].bias.assign([1.0, -1.0])
    before = {w.path: w.numpy().copy() for w in model.trainable_weights}
    model.optimizer.apply([keras.ops.zeros_like(w) for w in model.trainable_weights], model.trainable_weights)
    for weight in model.trainable_weights:
        factor = 1 - 0.01 * 0.01 if weight.name == "kernel" else 1
        np.testing.assert_allclose(weight.numpy(), before[weight.path] * factor, rtol=1e-6)


def test_smoothed_labels_keep_their_sum_and_their_truth(subsets):
    train, _ = subsets
    plain, smoothed = batches(train)[0], batches(train, label_smoothing=0.2)[0]
    for (x, y), (same, soft) in zip(plain, smoothed, strict=True):
        np.testing.assert_array_equal(x, same)
        np.testing.assert_allclose(soft, 0.8 * y + 0.1, atol=1e-7)


def test_masks_change_training_clips_alone_and_the_same_way_in_any_order_of_fetching(subsets):
    train, _ = subsets
    plain, masks = batches(train)[0], batches(train, augment=1.0)
    assert any((a != b).any() for (a, _), (b, _) in zip(plain, masks[0], strict=True))
    again = [masks[1][i] for i in reversed(range(len(masks[1])))][::-1]
    for (a, _), (b, _) in zip(masks[0], again, strict=True):
        np.testing.assert_array_equal(a, b)
    again = make_clips(train.entries, [0, 1] * 2, FRAMES)[0]
    np.testing.assert_array_equal(train.read(slice(None)), again.read(slice(None)))


def test_a_masked_clip_differs_in_whole_bands_that_hold_its_mean():
    clips = np.random.default_rng(0).normal(size=(200, 50, 40)).astype(np.float32)
    out = masked(clips.copy(), 1.0, np.random.default_rng(1))
    widths = []
    for before, after in zip(clips, out, strict=True):
        changed = before != after
        np.testing.assert_allclose(after[changed], before.mean(), atol=1e-6)
        rows, columns = changed.all(1), changed.all(0)
        np.testing.assert_array_equal(changed, rows[:, None] | columns[None])
        assert rows.sum() <= MASKS * WIDEST * 50 and columns.sum() <= MASKS * WIDEST * 40
        widths.append(rows.sum())
    assert np.mean(widths) == pytest.approx(MASKS * WIDEST * 50 / 2, rel=0.2)
    np.testing.assert_array_equal(masked(clips.copy(), 0.0, np.random.default_rng(1)), clips)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
def test_overlapping_clips_start_a_share_of_a_clip_apart_and_stay_inside(overlap):
    for n_frames in (0, 9, 10, 11, 57):
        starts = clip_starts(n_frames, 10, overlap)
        assert (starts + 10 <= n_frames).all() and (np.diff(starts) == max(1, round(10 * (1 - overlap)))).all()
        assert (len(starts) > 0) == (n_frames >= 10)
    assert clip_starts(57, 10, 0.0).tolist() == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("method", list(POOLINGS))
def test_the_pooled_winner_is_the_one_of_the_method_also_in_a_tie(method):
    rng = np.random.default_rng(2)
    proba = rng.dirichlet([0.5] * 4, 300)
    songs = rng.integers(0, 60, 300)
    ids, pooled = song_probabilities(proba, songs, method)
    expected_ids, winners = POOLINGS[method](proba, songs)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(pooled.argmax(1), winners)
    np.testing.assert_allclose(pooled.sum(1), 1, atol=1e-12)


def test_votes_are_shares_of_clips():
    proba = np.array([[0.6, 0.4, 0], [0.7, 0.3, 0], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]])
    _, pooled = song_probabilities(proba, np.zeros(4, int), "vote")
    np.testing.assert_allclose(pooled, [[0.5, 0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize(
    "flags",
    [{"overlap": "1"}, {"augment": "1.5"}, {"label_smoothing": "-0.1"}, {"weight_decay": "1"}, {"schedule": "step"},
     {"pooling": "median"}, {"split_seed": "-1"}, {"augment": math.inf}],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(flags):
    with pytest.raises(InputError, match=next(iter(flags))):
        training_plan(flags)
