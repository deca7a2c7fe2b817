"""One contract for every system: the listing of the folder is the list of what is tested."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

from projects.artists import systems
from projects.artists.audio.features import FeatureConfig
from projects.artists.errors import InputError
from projects.artists.settings import train_settings
from projects.artists.systems.keras_system import _settle_within_an_epoch

FRAMES, CLASSES = 32, 3


@pytest.fixture(params=systems.names())
def system(request):
    keras.utils.set_random_seed(0)
    made = systems.find(request.param)()
    made.model = made.build(FRAMES, 128, CLASSES)
    return made


def clips(n: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(-30, 20, (n, FRAMES, 128)).astype(np.float32)


def test_scores_are_probabilities_and_embeddings_of_every_clip(system):
    proba, embedding = system.scores([clips(4), clips(1)])
    assert proba.shape == (5, CLASSES) and len(embedding) == 5 and embedding.ndim == 2
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)


def test_scores_of_a_clip_do_not_depend_on_its_company(system):
    together, _ = system.scores([clips(4)])
    alone, _ = system.scores([clips(4)[2:3]])
    np.testing.assert_allclose(together[2], alone[0], atol=1e-5)


def test_the_softmax_is_computed_from_the_embedding(system):
    proba, embedding = system.scores([clips(3)])
    kernel, bias = system.model.layers[-1].get_weights()
    logits = embedding @ kernel + bias
    again = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(proba, again / again.sum(1, keepdims=True), atol=1e-5)


def test_one_training_step_changes_every_trainable_weight(system):
    system.model.compile("adam", "categorical_crossentropy")
    before = [w.numpy().copy() for w in system.model.trainable_weights]
    system.model.train_on_batch(clips(6), np.eye(CLASSES, dtype="float32")[[0, 1, 2, 0, 1, 2]])
    for weight, old in zip(system.model.trainable_weights, before, strict=True):
        assert not np.array_equal(weight.numpy(), old), weight.path


def test_a_saved_system_predicts_the_same_when_loaded(system, tmp_path):
    expected = system.scores([clips(4)])
    system.save(tmp_path)
    loaded = type(system)()
    loaded.load(tmp_path)
    for got, want in zip(loaded.scores([clips(4)]), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)
    assert not list(tmp_path.rglob("*.pkl"))


@pytest.mark.parametrize("name", systems.names())
def test_an_option_that_a_system_does_not_have_is_refused(name):
    with pytest.raises(InputError, match="Unknown parameter gru_unit"):
        train_settings({"model": name, "gru_unit": "3"})


@pytest.mark.parametrize("name", systems.names())
def test_a_clip_too_short_for_the_network_is_refused(name):
    cls = systems.find(name)
    if cls.min_frames > 1:
        with pytest.raises(InputError, match="frames"):
            cls.check_input((cls.min_frames - 1.5) * 512 / 16000, FeatureConfig())
    cls.check_input(1, FeatureConfig())


def test_an_unknown_model_names_the_known():
    with pytest.raises(InputError, match=r"model=crn is unknown; choose one of .*crnn"):
        systems.find("crn")


@pytest.mark.parametrize("frames", [32, 94, 157, 911])
def test_crnn_has_the_published_number_of_parameters_at_any_length(frames):
    assert systems.find("crnn")().build(frames, 128, 20).count_params() == 394_516


def test_crnn_pools_time_by_sixteen_and_bands_to_one():
    model = systems.find("crnn")().build(94, 128, 20)
    recurrent = next(layer for layer in model.layers if isinstance(layer, keras.layers.GRU))
    assert recurrent.input.shape == (None, 5, 128)


def test_scoring_code_loads_neither_learn_nor_figures_nor_mlflow():
    code = (
        "import sys; from projects.artists import scoring, saved; saved.find('crnn');"
        "print([m for m in sys.modules if m.startswith('projects.artists.learn') or m.startswith('optuna')"
        " or m.startswith('projects.artists.show') or m.startswith('mlflow') or m.startswith('plotly')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("steps", "momentum"), [(1, 0.5), (8, 0.9), (80, 0.99), (5000, 0.99)])
def test_moving_statistics_follow_within_an_epoch_of_a_small_corpus(steps, momentum):
    layer = keras.layers.BatchNormalization()
    inputs = keras.Input((3,))
    _settle_within_an_epoch(keras.Model(inputs, layer(inputs)), steps)
    assert layer.momentum == pytest.approx(momentum)
