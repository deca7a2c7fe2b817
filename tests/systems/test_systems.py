"""One contract for every system: the listing of the folder is the list of what is tested."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import skops.io

from projects.artists import systems
from projects.artists.audio.features import FeatureConfig
from projects.artists.audio.options import longest
from projects.artists.data.clipset import JointClipSet, make_clips
from projects.artists.data.featurize import Entry
from projects.artists.data.options import field_names
from projects.artists.errors import InputError
from projects.artists.systems.frontends import musicnn
from projects.artists.systems.keras_system import settle_within_an_epoch
from projects.artists.training.loop import Hooks
from projects.artists.training.training import RECIPES, Training
from projects.artists.workflows.plan import training_plan

CLASSES = 3
NAMES = ["fast;major", "fast;minor", "slow"]
# As the cards say, with 20 classes.
PARAMETERS = {
    "crnn": 394_516, "crnn_larger": 3_975_444, "crnn_vgg": 14_790_356, "crnn_1d": 228_180, "rnn": 64_020,
    "inception_gru": 123_948, "resnet50": 23_622_932, "resnet50_gru": 2_251_028, "dcnn": 271_124,
    "siamese_dcnn": 265_984, "tag_dcnn": 271_524, "convnet": 215_572,
}  # fmt: skip
OWN_FEATURES = ("vectors", "ensemble")


def frames_of(name: str) -> int:
    return max(32, systems.find(name).least()[0])


def features_of(name: str) -> FeatureConfig:
    """Those of a system that takes no others, else the usual ones."""
    return training_plan({"model": name}).features if name in OWN_FEATURES else FeatureConfig()


def write_musicnn(cache) -> None:
    """Random weights of musicnn where a cache keeps what was fetched."""
    model, variables, rng = musicnn.build(), {}, np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            kind, number = layer.name[:4], layer.name[4:]
            name = {"conv": "conv2d", "norm": "batch_normalization"}[kind] + (f"_{number}" if number != "0" else "")
            values = rng.uniform(0.5, 1.5, weight.shape) if kind == "norm" else rng.normal(0, 0.05, weight.shape)
            variables[f"{name}/{weight.name}"] = values.astype(np.float32)
    (cache / "weights").mkdir(parents=True, exist_ok=True)
    np.savez(cache / "weights" / f"{musicnn.SHA256[:16]}-MSD_musicnn.npz", **variables)


def subset(folder, songs_a_class, length, *, seed, bands=128):
    """Clips, two a song; classes differ by level and colour."""
    rng, entries, y = np.random.default_rng(seed), [], []
    for i in range(songs_a_class * CLASSES):
        tilt = np.linspace(0, 10 * (i % CLASSES), bands)
        path = folder / f"{seed}-{i}.npy"
        np.save(path, (rng.normal(-30, 15, (2 * length + 1, bands)) - tilt).astype(np.float32))
        entries.append(Entry(path.stem, 2 * length + 1, path))
        y.append(i % CLASSES)
    return make_clips(entries, y, length, tag_sets=NAMES)[0]


def joint(folder, clips, views, seed):
    """The same songs as each member of an ensemble has them."""
    members = []
    for i, (config, length) in enumerate(views):
        (folder / f"view{i}").mkdir(exist_ok=True)
        members.append(subset(folder / f"view{i}", 1, length, seed=seed, bands=config.n_mels))
    return JointClipSet(**vars(clips), members=members, first=longest(views))


@dataclasses.dataclass
class Fitted:
    """A system after one epoch of one step, its weights before it, and what it was fitted to."""

    system: object
    before: list[np.ndarray]
    state: object
    epochs: list[dict]
    train: object
    val: object

    def scores(self, clips=None, system=None):
        clips = clips or self.val
        return (system or self.system).scores(clips.batches_of(self.system.unit))


@pytest.fixture(scope="module")
def eager():
    """Compiling the large networks would take minutes; one step of them takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("run_eagerly", True), ("jit_compile", False)):
            patch.setattr(keras.Model, name, property(lambda self, value=value: value, lambda self, given: None))
        yield


@pytest.fixture(scope="module", params=systems.names())
def fitted(request, tmp_path_factory, eager):
    folder, cls = tmp_path_factory.mktemp(request.param), systems.find(request.param)

    class Watched(cls):
        def started(self, model):
            self.before = [weight.numpy() for weight in model.trainable_weights]
            return super().started(model)

    # The module's name is the system's; a subclass would have this one's.
    Watched.__module__ = cls.__module__
    system, epochs = Watched(), []
    length, features = frames_of(request.param), features_of(request.param)
    subsets = [subset(folder, 1, length, seed=seed, bands=features.n_mels) for seed in (0, 1)]
    if features.views:
        subsets = [joint(folder, clips, features.views, seed) for seed, clips in enumerate(subsets)]
    keras.utils.set_random_seed(0)
    hooks = Hooks(lambda proba: {"val/clip_f1": float(len(proba))}, lambda epoch, logs: epochs.append(logs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTISTS_CACHE", str(folder))
        if request.param in OWN_FEATURES:
            write_musicnn(folder)
        state = system.fit(*subsets, CLASSES, Training(epochs=1, batch_size=6), hooks)
    return Fitted(system, getattr(system, "before", []), state, epochs, *subsets)


def test_scores_are_probabilities_and_embeddings_of_every_clip(fitted):
    proba, embedding = fitted.scores()
    assert proba.shape == (6, CLASSES) and len(embedding) == 6 and embedding.ndim == 2
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)
    assert np.isfinite(embedding).all() and (proba >= 0).all()


def test_scores_do_not_depend_on_the_company(fitted):
    """Of a clip; of a song, where songs are what the system evaluates."""
    together, embedded = fitted.scores()
    of_songs = fitted.system.unit == "song"
    alone, embedding = fitted.system.scores([list(fitted.val.song_batches())[1] if of_songs else fitted.val.read([2])])
    np.testing.assert_allclose(together[2 : 2 + len(alone)], alone, atol=1e-5)
    np.testing.assert_allclose(embedded[2 : 2 + len(alone)], embedding, rtol=1e-4, atol=1e-4)


def test_a_system_of_songs_gives_all_clips_of_a_song_its_probabilities(fitted):
    proba, embedding = fitted.scores()
    if fitted.system.unit == "song":
        assert all(np.array_equal(proba[i], proba[i + 1]) for i in (0, 2, 4))
    else:
        assert not any(np.allclose(embedding[i], embedding[i + 1]) for i in (0, 2, 4))


def test_probabilities_follow_from_the_embedding(fitted):
    model = getattr(fitted.system, "model", None)
    if model is None or fitted.system.unit == "song":
        pytest.skip("its classifier is scikit-learn's")
    proba, logits = fitted.scores()
    for layer in model.layers[model.layers.index(model.get_layer("embedding")) + 1 :]:
        kernel, *bias = layer.get_weights()
        logits = logits @ kernel + (bias[0] if bias else 0)
    again = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(proba, again / again.sum(1, keepdims=True), atol=1e-5)


def test_one_training_step_changes_every_trainable_weight(fitted):
    if not fitted.before:
        pytest.skip("it is fitted at once")
    for weight, old in zip(fitted.system.model.trainable_weights, fitted.before, strict=True):
        assert not np.array_equal(weight.numpy(), old), weight.path


def test_a_training_tells_its_epochs(fitted):
    assert fitted.state.epoch == fitted.state.best_epoch == 1 == len(fitted.epochs)
    logs = fitted.epochs[0]
    assert {"loss", "val_loss", "clips_per_second", "seconds", "val/clip_f1"} <= logs.keys()
    assert all(np.isfinite(value) for value in logs.values())
    assert fitted.state.history == fitted.epochs and fitted.system.count_params() > 0
    assert logs["val/clip_f1"] == len(fitted.val)


def test_a_saved_system_predicts_the_same_when_loaded(fitted, tmp_path):
    expected = fitted.scores()
    fitted.system.save(tmp_path)
    cls = type(fitted.system).__mro__[1]
    loaded = cls()
    loaded.load(tmp_path)
    for got, want in zip(fitted.scores(system=loaded), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".keras", ".skops"}
    for file in tmp_path.rglob("*.skops"):
        # Nothing but scikit-learn's types and NumPy's, and no array of objects, which would be a pickle.
        assert skops.io.get_untrusted_types(file=file) == []
        with zipfile.ZipFile(file) as parts:
            for name in set(parts.namelist()) - {"schema.json"}:
                assert np.load(io.BytesIO(parts.read(name)), allow_pickle=False).dtype != object


@pytest.mark.parametrize("name", systems.names())
def test_an_option_that_a_system_does_not_have_is_refused(name):
    with pytest.raises(InputError, match="Unknown parameter gru_unit"):
        training_plan({"model": name, "gru_unit": "3"})


@pytest.mark.parametrize("name", systems.names())
def test_a_clip_too_short_for_the_system_is_refused_with_what_it_needs(name):
    cls, features = systems.find(name), features_of(name)
    second = features.hop_length / features.sr
    if cls.least()[0] > 1:
        with pytest.raises(InputError, match=rf"frames; {name} needs .* s or more"):
            cls.check_input((cls.least()[0] - 1.5) * second, features)
    cls.check_input(frames_of(name) * second, features)


@pytest.mark.parametrize("name", systems.names())
def test_the_defaults_of_a_system_suit_it(name):
    cls, plan = systems.find(name), training_plan({"model": name})
    for group, values in ((FeatureConfig, cls.features), (Training, cls.training)):
        assert values.keys() <= set(field_names(group))
    plan.check_input()
    assert plan.system is cls
    cls(**plan.system_options)


@pytest.mark.parametrize("name", systems.names())
def test_chroma_is_refused_where_it_means_nothing(name):
    cls = systems.find(name)
    if cls.takes_chroma:
        cls.check_input(3, FeatureConfig(chroma=True))
    else:
        with pytest.raises(InputError, match="chroma=true is for mfcc_gaussian"):
            cls.check_input(5, dataclasses.replace(features_of(name), chroma=True))


def test_epochs_of_a_system_without_any_are_refused():
    with pytest.raises(InputError, match="epochs=3 means nothing to mfcc_svm"):
        training_plan({"model": "mfcc_svm", "epochs": "3"})
    training_plan({name: str(value) for name, value in training_plan({"model": "mfcc_svm"}).values.items()})


def test_an_unknown_model_names_the_known():
    with pytest.raises(InputError, match=r"model=crn is unknown; choose one of .*crnn"):
        systems.find("crn")


# Networks


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_parameters_that_their_cards_say(name):
    cls = systems.find(name)
    assert cls().build(frames_of(name), 128, 20).count_params() == PARAMETERS[name]
    assert f"{PARAMETERS[name]:,}" in sys.modules[cls.__module__].__doc__ or name == "tag_dcnn"


def test_every_network_has_its_parameters_tested():
    assert {name for name in systems.names() if hasattr(systems.find(name), "build")} == PARAMETERS.keys()


@pytest.mark.parametrize("frames", [32, 94, 157, 911])
def test_crnn_has_the_published_number_of_parameters_at_any_length(frames):
    assert systems.find("crnn")().build(frames, 128, 20).count_params() == 394_516


def test_crnn_pools_time_by_sixteen_and_bands_to_one():
    model = systems.find("crnn")().build(94, 128, 20)
    recurrent = next(layer for layer in model.layers if isinstance(layer, keras.layers.GRU))
    assert recurrent.input.shape == (None, 5, 128)


def recurrent_layers(**options):
    model = systems.find("crnn")(**options).build(94, 128, 20)
    return [layer for layer in model.layers if isinstance(layer, keras.layers.GRU)]


def test_crnn_can_be_wider_deeper_and_keep_more_time():
    assert recurrent_layers(pool_time="2,2,1,1")[0].input.shape == (None, 23, 128)
    assert recurrent_layers(width=0.5)[0].input.shape == (None, 5, 64)
    assert recurrent_layers(filters="8,16", convolutions="2,1", pool_time="2,2", pool_bands="2,4")[0].input.shape == (
        None, 23, 256,
    )  # fmt: skip
    assert [layer.units for layer in recurrent_layers(gru_units=8, gru_layers=3)] == [8, 8, 8]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"filters": "64,0"}, "filters=64,0 must be whole numbers"),
        ({"filters": "a"}, "filters=a must be whole numbers"),
        ({"filters": "64,128"}, "filters 2, convolutions 4"),
        ({"width": 0}, "width=0 must be above 0"),
        ({"gru_layers": 0}, "gru_layers=0 must be at least 1"),
    ],
)
def test_sizes_of_crnn_that_cannot_be(options, said):
    with pytest.raises(InputError, match=said):
        systems.find("crnn")(**options)


def test_poolings_that_leave_nothing_say_so():
    with pytest.raises(InputError, match="Clips of 32 frames are too few for poolings of 4 x 4 x 4 x 1 = 64"):
        systems.find("crnn")(pool_time="4,4,4,1").build(32, 128, 20)


def test_bands_are_not_made_by_longer_clips():
    with pytest.raises(InputError, match=r"Clips of 64 bands .* raise n_mels\."):
        systems.find("crnn")().build(64, 64, 20)


def test_what_a_crnn_needs_follows_its_poolings():
    cls, bands = systems.find("crnn"), FeatureConfig(n_mels=64)
    fewer = cls.Config(pool_bands="2,2,4,4", pool_time="1,1,2,2")
    assert cls.least() == (16, 128) and cls.least(fewer) == (4, 64)
    cls.check_input(4 * 512 / 16000, bands, fewer)
    assert cls(pool_bands="2,2,4,4", pool_time="1,1,2,2").build(4, 64, 3).output_shape == (None, 3)
    with pytest.raises(InputError, match="n_mels=64 is too few; crnn needs 128 or more"):
        cls.check_input(5, bands)
    deeper = systems.find("crnn_1d").Config(filters="8,8,8,8")
    with pytest.raises(InputError, match=r"crnn_1d needs 0\.512 s or more"):
        systems.find("crnn_1d").check_input(0.3, FeatureConfig(), deeper)


def test_the_recurrent_layers_of_keras_2_are_as_published(tmp_path):
    """394,324 parameters; one step of its cell by hand: hard sigmoid 0.2 x + 0.5, reset before the product."""
    system = systems.find("crnn")(keras2_gru=True)
    system.model = system.build(32, 128, 20)
    assert system.count_params() == 394_324
    from projects.artists.systems.layers import recurrent

    inputs = keras.Input((2, 3))
    network = keras.Model(inputs, recurrent(inputs, 4, 1, keras2=True))
    kernel, inner, bias = network.layers[-1].get_weights()
    bias += np.linspace(-1, 1, 12)
    network.layers[-1].set_weights([kernel, inner, bias])
    x, h = np.random.default_rng(0).normal(0, 3, (2, 3)), np.zeros(4)
    for step in x:
        gates = step @ kernel + bias
        z, r = (np.clip(0.2 * (gates[i : i + 4] + h @ inner[:, i : i + 4]) + 0.5, 0, 1) for i in (0, 4))
        h = z * h + (1 - z) * np.tanh(gates[8:] + (r * h) @ inner[:, 8:])
    np.testing.assert_allclose(network.predict_on_batch(x[None].astype(np.float32))[0], h, atol=1e-5)
    system.save(tmp_path)
    loaded = systems.find("crnn")(keras2_gru=True)
    loaded.load(tmp_path)
    clips = np.random.default_rng(0).normal(-30, 20, (2, 32, 128)).astype(np.float32)
    np.testing.assert_allclose(loaded.scores([clips])[0], system.scores([clips])[0], atol=1e-6)


def test_scoring_code_loads_neither_learn_nor_figures_nor_mlflow():
    code = (
        "import sys; from projects.artists import systems; from projects.artists.package import card, inference; "
        "[card.find(n) for n in systems.names()]; "
        "print([m for m in sys.modules if m.startswith('projects.artists.training') or m.startswith('optuna')"
        " or m.startswith('projects.artists.reports') or m.startswith('mlflow') or m.startswith('plotly')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("steps", "momentum"), [(1, 0.5), (8, 0.9), (80, 0.99), (5000, 0.99)])
def test_moving_statistics_follow_within_an_epoch_of_a_small_corpus(steps, momentum):
    layer = keras.layers.BatchNormalization()
    inputs = keras.Input((3,))
    settle_within_an_epoch(keras.Model(inputs, layer(inputs)), steps)
    assert layer.momentum == pytest.approx(momentum)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_of_papers_leave_the_momentum_of_batch_normalisation_as_it_is(recipe):
    lowers = recipe in ("small", "modern", "strong")
    training = Training(**RECIPES[recipe])
    system = systems.find("rnn")()
    system.model = system.build(8, 4, 2)
    system.settle(range(16), training)
    (momentum,) = {layer.momentum for layer in system.model.layers if hasattr(layer, "momentum")}
    assert momentum == (0.5 if lowers else 0.99) and training.adapt_batchnorm is lowers


@pytest.mark.parametrize("name", systems.names())
def test_no_system_lowers_the_momentum_by_default(name):
    assert training_plan({"model": name}).training.adapt_batchnorm is False
