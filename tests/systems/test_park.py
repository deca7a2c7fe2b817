"""The networks of Park et al.: the tower, its weights from a file, tuples, the hinge, crops and the learning rate."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from projects.artists import systems
from projects.artists.data.clipset import make_clips
from projects.artists.data.featurize import Entry
from projects.artists.errors import InputError
from projects.artists.systems.siamese_dcnn import compared, hinge
from projects.artists.training.loop import Hooks
from projects.artists.training.rates import plateau, reductions
from projects.artists.training.training import Training
from projects.artists.training.tuples import Tuples, draw

PUBLISHED = Path(__file__).parents[3] / "shared" / "weights" / "siamese_msd_10000_artists.h5"
SHAPES = [(4, 128, 128), (4, 128, 128), (4, 128, 128), (2, 128, 128), (1, 128, 256)]


def write_weights(path: Path, seed: int = 0) -> Path:
    """A file in the layout that Keras 2.1 wrote, of random weights."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        for i, shape in enumerate(SHAPES, 1):
            conv, norm = (root.create_group(f"{kind}_{i}/{kind}_{i}") for kind in ("conv1d", "batch_normalization"))
            conv["kernel:0"] = (rng.normal(0, 1, shape) / np.sqrt(shape[0] * shape[1])).astype(np.float32)
            conv["bias:0"] = rng.normal(0, 0.1, shape[2]).astype(np.float32)
            for name, low, high in (("gamma", 0.5, 2), ("beta", -1, 1), ("moving_mean", -1, 1)):
                norm[f"{name}:0"] = rng.uniform(low, high, shape[2]).astype(np.float32)
            norm["moving_variance:0"] = rng.uniform(0.5, 2, shape[2]).astype(np.float32)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "model.h5")


def forward(path: Path, clip: np.ndarray) -> np.ndarray:
    """The tower's 256 numbers of a clip (frames, 128), in double precision, from its description alone."""
    x = (clip.astype(float) - 0.22620339) / 0.25794547
    with h5py.File(path, "r") as file:
        root = file["model_weights"]
        for i, pool in enumerate((4, 4, 4, 2, 1), 1):
            conv, norm = root[f"conv1d_{i}/conv1d_{i}"], root[f"batch_normalization_{i}/batch_normalization_{i}"]
            kernel = conv["kernel:0"][()].astype(float)
            left = (len(kernel) - 1) // 2
            padded = np.pad(x, ((left, len(kernel) - 1 - left), (0, 0)))
            x = sum(padded[k : k + len(x)] @ kernel[k] for k in range(len(kernel))) + conv["bias:0"][()]
            gain = norm["gamma:0"][()] / np.sqrt(norm["moving_variance:0"][()].astype(float) + 1e-3)
            x = np.maximum(0, (x - norm["moving_mean:0"][()]) * gain + norm["beta:0"][()])
            x = x[: len(x) // pool * pool].reshape(-1, pool, x.shape[1]).max(1)
    return x.mean(0)


def log_clips(n: int, frames: int = 129) -> np.ndarray:
    return np.random.default_rng(1).gamma(1, 0.25, (n, frames, 128)).astype(np.float32)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("frames", [129, 300])
def test_the_tower_equals_a_forward_pass_of_the_file(weights, published, frames):
    path = PUBLISHED if published else weights
    if not path.is_file():
        pytest.skip(f"the published weights are not there: {path}")
    system = systems.find("siamese_dcnn")(pretrained=str(path), freeze=True)
    system.model = system.started(system.build(frames, 128, 7))
    clips = log_clips(2, frames)
    expected = np.stack([forward(path, clip) for clip in clips])
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(system.vectors(clips), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["dcnn", "tag_dcnn", "siamese_dcnn"])
def test_pretrained_weights_go_into_every_tower_frozen_or_not(weights, name):
    for freeze in (False, True):
        system = systems.find(name)(pretrained=str(weights), freeze=freeze)
        model = system.started(system.build(129, 128, 3))
        tower = [w for w in model.trainable_weights if w.path.startswith(("conv", "norm"))]
        assert len(tower) == (0 if freeze else 20)
        np.testing.assert_array_equal(model.get_layer("conv1").get_weights()[0].shape, SHAPES[0])
        with h5py.File(weights) as file:
            expected = file["model_weights/conv1d_5/conv1d_5/kernel:0"][()]
        np.testing.assert_array_equal(model.get_layer("conv5").get_weights()[0], expected)


def spoil(path: Path, how: str) -> None:
    """One fault in a file of weights."""
    place = "model_weights/conv1d_2/conv1d_2/bias:0"
    variance = "model_weights/batch_normalization_3/batch_normalization_3/moving_variance:0"
    if how == "no hdf5":
        path.write_bytes(b"\x89HDF\r\n\x1a\nno more")
        return
    with h5py.File(path, "a") as file:
        old = file[place][()]
        if how == "nan":
            file[place][3] = np.nan
        elif how == "negative variance":
            file[variance][3] = -1
        else:
            del file[place]
        if how == "shape":
            file[place] = old[:5]
        elif how == "text":
            file[place] = np.array([b"x"] * 128)
        elif how == "group":
            file.create_group(place)
        elif how == "external link":
            file[place] = h5py.ExternalLink("/etc/hostname", "/x")
        elif how == "soft link":
            file[place] = h5py.SoftLink("/model_weights/conv1d_1/conv1d_1/bias:0")
        elif how == "external storage":
            file[f"{place.rsplit('/', 1)[0]}"].create_dataset(
                "bias:0", (128,), np.float32, external=[(str(path.parent / "secret"), 0, 512)]
            )
        elif how == "virtual":
            layout = h5py.VirtualLayout((128,), np.float32)
            layout[:] = h5py.VirtualSource(str(path.parent / "other.h5"), "x", (128,))
            file.create_virtual_dataset(place, layout)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", "holds values that no training gives"),
        ("negative variance", "holds values that no training gives"),
        ("missing", r"has no conv1d_2/conv1d_2/bias:0"),
        ("shape", r"is float32 \(5,\), the tower has floats \(128,\)"),
        ("text", "the tower has floats"),
        ("group", "has no conv1d_2"),
        ("external link", "has no conv1d_2"),
        ("soft link", "has no conv1d_2"),
        ("external storage", "has no conv1d_2"),
        ("virtual", "has no conv1d_2"),
        ("no hdf5", "cannot be used"),
    ],
)
def test_a_file_that_is_not_the_tower_is_refused(weights, tmp_path, how, said):
    path = tmp_path / "model.h5"
    path.write_bytes(weights.read_bytes())
    spoil(path, how)
    refused(path, said)


def test_no_file_a_folder_and_a_huge_file_are_refused(tmp_path):
    refused(tmp_path / "none.h5", "No such file")
    refused(tmp_path, "cannot be used")
    with (tmp_path / "huge.h5").open("wb") as file:
        file.truncate(200 * 2**20)
    refused(tmp_path / "huge.h5", "larger than 100 MiB")


def refused(path: Path, said: str) -> None:
    system = systems.find("dcnn")(pretrained=str(path))
    with pytest.raises(InputError, match=said) as error:
        system.started(system.build(129, 128, 3))
    assert str(error.value).startswith(f"pretrained={path} cannot be used") and "HDF5 file" in str(error.value)


def test_freezing_needs_weights():
    with pytest.raises(InputError, match=r"freeze=true .* give pretrained"):
        systems.find("dcnn")(freeze=True)


# The Siamese network


def test_the_hinge_is_summed_over_batch_and_negatives_by_hand():
    cosines = np.array([[0.9, 0.1, 0.6], [0.2, 0.3, -0.5]], np.float32)
    # Row 1: max(0, 0.4 - 0.9 + 0.1) + max(0, 0.4 - 0.9 + 0.6) = 0 + 0.1; row 2: 0.5 + 0 (0.4 - 0.2 - 0.5 < 0).
    assert float(hinge(0.4)(np.zeros((2, 1)), cosines)) == pytest.approx(0.6, abs=1e-6)
    assert float(hinge(0.1)(np.zeros((2, 1)), cosines)) == pytest.approx(0.2, abs=1e-6)


def test_relevance_is_the_cosine_with_the_anchor():
    inputs = keras.Input((4, 2))
    network = compared(keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(inputs)), 2)
    clips = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    vectors = clips.mean(2)
    norms = np.linalg.norm(vectors, axis=-1)
    expected = np.einsum("bd,bnd->bn", vectors[:, 0], vectors[:, 1:]) / (norms[:, :1] * norms[:, 1:])
    np.testing.assert_allclose(network.predict_on_batch(clips), expected, atol=1e-5)


def corpus(folder, songs_by_artist, frames=300, length=129):
    """Clips of songs whose frames hold their own number, so that a crop tells where it is from."""
    entries, y = [], []
    for artist, songs in enumerate(songs_by_artist):
        for _ in range(songs):
            path = folder / f"{len(entries)}.npy"
            features = np.full((frames, 128), len(entries), np.float32)
            features[:, 0] = np.arange(frames)
            np.save(path, features)
            entries.append(Entry(path.stem, frames, path))
            y.append(artist)
    order = np.random.default_rng(5).permutation(len(entries))
    return make_clips([entries[i] for i in order], [y[i] for i in order], length)[0]


def test_tuples_hold_a_song_of_the_same_artist_and_uniform_songs_of_others(tmp_path):
    clips = corpus(tmp_path, [4, 2, 1, 3])
    artist = dict(zip(clips.songs.tolist(), clips.y.tolist(), strict=True))
    anchors = np.tile(np.unique(clips.songs), 300)
    songs = draw(clips, anchors, 4, np.random.default_rng(0))
    assert songs.shape == (3000, 6) and np.array_equal(songs[:, 0], anchors)
    alone = [artist[a] == 2 for a in anchors]
    assert all(artist[p] == artist[a] for a, p in songs[:, :2])
    assert np.array_equal(songs[:, 0] == songs[:, 1], alone)
    assert all(artist[n] != artist[row[0]] for row in songs for n in row[2:])
    for song in range(10):
        own = songs[songs[:, 0] == song]
        others = [n for n in range(10) if artist[n] != artist[song]]
        counts = np.bincount(own[:, 2:].ravel(), minlength=10)[others]
        expected = 1200 / len(others)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
        same = [n for n in range(10) if artist[n] == artist[song] and n != song]
        if same:
            assert np.bincount(own[:, 1], minlength=10)[same].min() > 300 / len(same) - 60


def test_tuples_are_crops_of_their_songs_and_repeat_with_the_seed(tmp_path):
    clips = corpus(tmp_path, [2, 2, 2])

    def batches(seed):
        made = Tuples(clips, batch_size=5, negatives=4, rng=np.random.default_rng(seed))
        return [made[i][0] for i in range(len(made))]

    first, again, other = batches(0), batches(0), batches(1)
    assert [len(b) for b in first] == [5, 5, 2] and first[0].shape == (5, 6, 129, 128)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    for crop in first[0].reshape(-1, 129, 128):
        assert len(np.unique(crop[:, 1:])) == 1 and (np.diff(crop[:, 0]) == 1).all()
    starts = {int(crop[0, 0]) for batch in first for crop in batch.reshape(-1, 129, 128)}
    assert len(starts) > 30 and max(starts) <= 300 - 129


def test_what_a_siamese_training_holds_does_not_grow_with_the_artists(tmp_path):
    few = corpus(tmp_path, [12, 12])
    (tmp_path / "many").mkdir()
    many = corpus(tmp_path / "many", [2] * 12)
    system = systems.find("siamese_dcnn")()
    sizes = []
    for clips, artists in ((few, 2), (many, 12)):
        network = compared(system.build(129, 128, artists), 4)
        batch = Tuples(clips, batch_size=15, negatives=4, rng=np.random.default_rng(0))
        sizes.append((network.count_params(), batch[0][0].nbytes, batch._songs.nbytes + batch._starts.nbytes))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("head", ["linear", "knn"])
def test_frozen_towers_classify_songs_by_either_head(weights, tmp_path, head):
    """Songs of an artist are noise around a level; the test songs are new ones."""
    rng, entries, y = np.random.default_rng(0), [], []
    for i in range(18):
        path = tmp_path / f"{i}.npy"
        np.save(path, (rng.gamma(1, 0.2, (260, 128)) * (1 + i % 3)).astype(np.float32))
        entries.append(Entry(path.stem, 260, path))
        y.append(i % 3)
    train, val = (make_clips(entries[a:b], y[a:b], 129)[0] for a, b in ((0, 12), (12, 18)))
    system = systems.find("siamese_dcnn")(pretrained=str(weights), freeze=True, head=head, neighbours=3)
    state = system.fit(train, val, 4, Training(), Hooks())
    before = system.model.get_weights()
    proba, _ = system.scores(val.song_batches())
    assert (proba.argmax(1) == val.y).all() and proba.shape == (12, 4) and state.epoch == 1
    (tmp_path / "saved").mkdir()
    system.save(tmp_path / "saved")
    loaded = systems.find("siamese_dcnn")(pretrained="gone.h5", freeze=True, head=head, neighbours=3)
    loaded.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.scores(val.song_batches())[0], proba, atol=1e-6)
    for a, b in zip(before, loaded.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# Crops and the learning rate


def test_a_basic_training_sees_random_crops_of_every_song(tmp_path):
    train = corpus(tmp_path, [2, 3])
    system = systems.find("dcnn")()
    system.model = system.build(129, 128, 2)
    truth = dict(zip(train.songs.tolist(), train.y.tolist(), strict=True))

    def epoch(number):
        batches = system.own(train, Training(seed=4)).batches(number)
        x, y = (np.concatenate(part) for part in zip(*[batches[i] for i in range(len(batches))], strict=True))
        return x, y.argmax(1)

    x, y = epoch(0)
    assert len(x) == len(train) and np.array_equal(x, epoch(0)[0]) and not np.array_equal(x, epoch(1)[0])
    by_number = {int(np.load(e.path)[0, 1]): truth[i] for i, e in enumerate(train.entries)}
    for crop, label in zip(x, y, strict=True):
        assert by_number[int(crop[0, 1])] == label and (np.diff(crop[:, 0]) == 1).all()
    assert {int(start) % 129 for start in x[:, 0, 0]} != {0}


def test_reductions_count_plateaus_as_keras_does():
    assert reductions([], 2) == reductions([3, 2, 1], 1) == 0
    assert reductions([1, 2, 2, 2, 2, 2], 2) == 2
    assert reductions([1, 2, 0.5, 2, 2, 2], 2) == 1
    # Keras' own callback, told the same losses.
    losses = np.random.default_rng(0).normal(size=60).cumsum() * 0.3 - np.arange(60) * 0.05
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=3, min_delta=0)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
    assert float(model.optimizer.learning_rate) == 0.5 ** reductions(losses.tolist(), 3) < 1


def test_the_rate_falls_on_a_plateau_and_with_the_steps():
    rate = plateau(0.1, 2, 0.2, 1.6e-5, 1e-6)
    assert rate([], 0) == 0.1
    assert rate([1, 2, 2], 0) == pytest.approx(0.02)
    assert rate([], 1_000_000) == pytest.approx(0.05)
    assert rate([1] + [2] * 100, 0) == pytest.approx(1.6e-5)
    assert plateau(1e-6, 2, 0.2, 1.6e-5, 0)([], 0) == pytest.approx(1e-6)


def test_the_optimizer_is_nesterov_momentum_and_follows_the_rate(tmp_path):
    train = corpus(tmp_path, [2, 2])
    system = systems.find("dcnn")()
    optimizer = system.optimizer(Training(learning_rate=0.015))
    assert optimizer.nesterov and optimizer.momentum == 0.9
    own = system.own(train, Training(learning_rate=0.015))
    assert own.rate([1.0, 2.0, 2.0, 2.0], 0) == pytest.approx(0.003)
