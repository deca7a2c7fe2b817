"""Training: early stopping, the best weights, repeatability, and going on after an interruption."""

from __future__ import annotations

import random
import time

import keras
import numpy as np
import pytest

from projects.artists.data.clipset import _mapped, make_clips
from projects.artists.data.featurize import Entry
from projects.artists.errors import InputError
from projects.artists.training import checkpoints, device
from projects.artists.training.batches import Batches
from projects.artists.training.loop import Hooks, Own, fit
from projects.artists.training.training import Training

FRAMES, MELS = 8, 6


@pytest.fixture
def subsets(tmp_path):
    """Two classes that differ by level, 12 training and 6 validation clips."""
    rng = np.random.default_rng(0)

    def subset(name, songs):
        entries = []
        for i in range(songs):
            path = tmp_path / f"{name}{i}.npy"
            np.save(path, rng.normal(i % 2, 1, (3 * FRAMES, MELS)).astype(np.float32))
            entries.append(Entry(f"{name}{i}", 3 * FRAMES, path))
        return make_clips(entries, [i % 2 for i in range(songs)], FRAMES)[0]

    return subset("train", 4), subset("val", 2)


def network(seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((FRAMES, MELS))
    x = keras.layers.BatchNormalization()(inputs)
    x = keras.layers.Dropout(0.3)(keras.layers.GRU(4)(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy")
    return model


def test_an_epoch_holds_every_clip_once_in_an_order_of_its_own(subsets):
    train, _ = subsets
    orders = []
    for epoch in (0, 1, 0):
        batches = Batches(train, batch_size=5, num_classes=2, seed=3, epoch=epoch)
        clips = np.concatenate([batches[i][0] for i in range(len(batches))])
        assert sorted(c.tobytes() for c in clips) == sorted(c.tobytes() for c in train.read(slice(None)))
        orders.append(clips.tobytes())
    assert orders[0] == orders[2] != orders[1]


def test_labels_stay_with_their_clips(subsets):
    train, _ = subsets
    batches = Batches(train, batch_size=5, num_classes=2, seed=3, epoch=7)
    truth = {clip.tobytes(): y for clip, y in zip(train.read(slice(None)), train.y, strict=True)}
    for i in range(len(batches)):
        x, y = batches[i]
        assert [truth[c.tobytes()] for c in x] == y.argmax(1).tolist()


def test_the_same_seed_gives_the_same_weights(subsets):
    weights = []
    for _ in range(2):
        model = network()
        fit(model, *subsets, Training(epochs=3, seed=1), Hooks())
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_epoch_is_kept_and_patience_ends_the_training(subsets, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 0.0])
    monkeypatch.setattr("projects.artists.training.loop._validate", lambda *_: {"val_loss": next(losses)})
    model, seen = network(), []
    hooks = Hooks(on_epoch=lambda epoch, logs: seen.append([w.copy() for w in model.get_weights()]))
    state = fit(model, *subsets, Training(epochs=50, patience=3), hooks)
    assert (state.epoch, state.best_epoch, state.best_loss) == (5, 2, 1.0)
    for kept, best in zip(model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(kept, best)


def test_validation_loss_is_keras_cross_entropy(subsets):
    model = network()
    state = fit(model, *subsets, Training(epochs=1), Hooks())
    _, val = subsets
    y = np.eye(2)[val.y]
    expected = model.evaluate(val.read(slice(None)), y, verbose=0)
    assert state.history[0]["val_loss"] == pytest.approx(expected, abs=1e-5)


def test_a_training_that_goes_on_from_its_checkpoint_ends_as_one_never_interrupted(subsets, tmp_path):
    four, two = (Training(epochs=epochs, batch_size=5) for epochs in (4, 2))
    whole = network()
    expected = fit(whole, *subsets, four, Hooks(on_epoch=lambda epoch, logs: random.random()))
    fit(network(), *subsets, two, Hooks(checkpoint=tmp_path / "c.npz"))
    seen = []
    fresh = network()
    # A hook that draws is told of the epochs before, too: the order of batches is nobody else's.
    hooks = Hooks(on_epoch=lambda epoch, logs: seen.append((epoch, random.random())[0]), checkpoint=tmp_path / "c.npz")
    state = fit(fresh, *subsets, four, hooks)
    assert seen == [0, 1, 2, 3]
    for a, b in zip(whole.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(expected.history, state.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-6)


def test_what_a_hook_draws_from_the_global_generators_changes_no_training(subsets, tmp_path):
    """Order and masks of an epoch are functions of the seed and the epoch, interrupted or not."""
    four, two = (Training(epochs=epochs, batch_size=5, augment=0.5) for epochs in (4, 2))

    def draw(epoch, logs):
        random.random()
        np.random.random()

    quiet, whole, resumed = network(), network(), network()
    fit(quiet, *subsets, four, Hooks())
    random.seed(9)
    fit(whole, *subsets, four, Hooks(on_epoch=draw))
    fit(network(), *subsets, two, Hooks(on_epoch=draw, checkpoint=tmp_path / "c.npz"))
    fit(resumed, *subsets, four, Hooks(on_epoch=draw, checkpoint=tmp_path / "c.npz"))
    for model in (whole, resumed):
        for a, b in zip(quiet.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_finished_training_is_not_trained_again(subsets, tmp_path):
    first = network()
    fit(first, *subsets, Training(epochs=2), Hooks(checkpoint=tmp_path / "c.npz"))
    again = network(seed=5)
    state = fit(again, *subsets, Training(epochs=2), Hooks(checkpoint=tmp_path / "c.npz"))
    assert state.epoch == 2
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_holds_no_pickle(subsets, tmp_path):
    model = network()
    fit(model, *subsets, Training(epochs=1), Hooks(checkpoint=tmp_path / "c.npz"))
    with np.load(tmp_path / "c.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
    assert checkpoints.restore(tmp_path / "missing.npz", model) is None


def test_a_validation_loss_that_is_no_number_says_what_to_do_and_leaves_no_checkpoint(subsets, tmp_path):
    train, val = subsets
    for entry in val.entries:
        np.save(entry.path, np.full((3 * FRAMES, MELS), np.nan, np.float32))
    _mapped.cache_clear()
    with pytest.raises(InputError, match=r"validation loss became nan in epoch 1; try a smaller learning_rate than"):
        fit(network(), train, val, Training(epochs=1), Hooks(checkpoint=tmp_path / "c.npz"))
    assert not (tmp_path / "c.npz").exists()


def test_the_peak_of_memory_is_seen_between_epochs_and_what_was_given_back_counts():
    with device.PeakMemory() as memory:
        before, seen = memory.mb, memory.mb + 150
        held = np.ones(25_000_000)
        deadline = time.monotonic() + 30
        while memory.mb < seen and time.monotonic() < deadline:
            held += 1
        del held
    assert seen <= memory.mb < before + 1000 and device.private_mb() < seen


def test_a_loss_that_is_no_number_says_what_to_do(subsets):
    train, val = subsets
    features = np.load(train.entries[0].path)
    features[0] = np.nan
    np.save(train.entries[0].path, features)
    _mapped.cache_clear()
    with pytest.raises(InputError, match="smaller learning_rate"):
        fit(network(), train, val, Training(epochs=2), Hooks())


def test_nothing_to_learn_from_is_refused_and_without_validation_the_last_epoch_stays(subsets):
    train, val = subsets
    empty, _ = make_clips(val.entries, [0, 1], 100)
    with pytest.raises(InputError, match="shorter clip"):
        fit(network(), empty, val, Training(), Hooks())
    model = network()
    state = fit(model, train, empty, Training(epochs=3, patience=1), Hooks())
    assert state.best_epoch == 3 and all("val_loss" not in logs for logs in state.history)
    for weight, kept in zip(model.get_weights(), state.best_weights, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_a_rate_of_its_own_follows_the_losses_and_the_steps_also_when_resumed(subsets, tmp_path):
    """What is asked before each epoch is what the history and the optimizer say, interrupted or not."""

    def trained(epochs, checkpoint=None):
        model, asked = network(), []
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), "categorical_crossentropy")

        def rate(losses, steps):
            asked.append((len(losses), steps, float(model.optimizer.learning_rate)))
            return 0.1 / (1 + len(losses))

        training = Training(epochs=epochs, batch_size=5)
        fit(model, *subsets, training, Hooks(checkpoint=checkpoint), Own(rate=rate))
        return model, asked

    whole, asked = trained(4)
    assert [(epoch, steps) for epoch, steps, _ in asked] == [(0, 0), (1, 3), (2, 6), (3, 9)]
    assert [rate for *_, rate in asked] == pytest.approx([0.01, 0.1, 0.05, 0.1 / 3])
    trained(2, tmp_path / "c.npz")
    resumed, rest = trained(4, tmp_path / "c.npz")
    assert rest == [pytest.approx(each) for each in asked[2:]]
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_batches_and_validation_of_its_own_are_used(subsets):
    train, val = subsets
    fed, losses = [], iter([2.0, 1.0, 3.0])

    def batches(epoch):
        fed.append(epoch)
        return Batches(train, batch_size=4, num_classes=2, seed=9, epoch=epoch)

    own = Own(batches, lambda: {"val_loss": next(losses), "other": 5.0})
    state = fit(network(), train, val, Training(epochs=3), Hooks(), own)
    assert fed == [0, 1, 2] and state.best_epoch == 2 and state.history[2]["other"] == 5.0
