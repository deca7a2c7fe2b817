"""Frozen front ends: their weights are read without their owners' code, and the networks are the published ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from musicnn_reference import clips

from projects.artists.errors import InputError
from projects.artists.systems.frontends import bundle, fetch, musicnn, siamese

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights" / "siamese_msd_10000_artists.h5"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Index and data that TensorFlow itself has written, and the arrays in them."""
    rng, prefix = np.random.default_rng(0), str(tmp_path_factory.mktemp("bundle") / "m")
    arrays = {f"layer_{i}/kernel": rng.normal(size=(i + 1, 3)).astype(np.float32) for i in range(200)}
    arrays |= {"scalar": np.float32(2.5), "deep/kernel": rng.normal(size=(7, 5, 1, 2)).astype(np.float32)}
    names = sorted(arrays)
    values = [tf.constant(arrays[name]) for name in names] + [tf.constant([7], tf.int64)]
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=[*names, "step"], shape_and_slices=[""] * (len(names) + 1), tensors=values
    )
    return *(Path(f"{prefix}.{part}").read_bytes() for part in ("index", "data-00000-of-00001")), arrays


def test_a_checkpoint_is_read_as_tensorflow_wrote_it(checkpoint):
    index, data, arrays = checkpoint
    read = bundle.read_bundle(index, data)
    assert {name for name, array in read.items() if array.size} == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_damaged_checkpoint_is_one_sentence_or_another_array(checkpoint):
    index, data, _ = checkpoint
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(index)
        damaged[rng.integers(len(index))] = rng.integers(256)
        for broken in (bytes(damaged), index[: rng.integers(len(index))]):
            try:
                arrays = bundle.read_bundle(broken, data)
            except InputError as error:
                assert "checkpoint cannot be read" in str(error)
            else:
                assert all(array.nbytes <= len(data) for array in arrays.values())


def test_a_wheel_that_is_another_is_refused_with_both_digests(tmp_path):
    wheel = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"something else")
    with pytest.raises(InputError, match=f"is another file: its SHA-256 is .*, expected {musicnn.SHA256}"):
        musicnn.pretrained(str(wheel))
    with pytest.raises(InputError, match=r"weights=.*absent\.whl cannot be read"):
        musicnn.pretrained(str(tmp_path / "absent.whl"))


def test_without_a_network_one_sentence_names_the_file_to_give(monkeypatch):
    def pip(words, **options):
        assert words[:3] == [sys.executable, "-m", "pip"] and "musicnn==0.1.0" in words
        return subprocess.CompletedProcess(words, 1, "", "ERROR: No matching distribution found for musicnn==0.1.0\n")

    monkeypatch.setattr(fetch.subprocess, "run", pip)
    with pytest.raises(InputError, match=r"No matching distribution .* weights=<the \.whl file>"):
        musicnn.pretrained(None)


@pytest.mark.slow
def test_musicnn_is_the_published_graph():
    """Fetches 28 MB; the reference is TensorFlow's own answer of the published graph (musicnn_reference.py)."""
    reference = np.load(Path(__file__).with_name("musicnn_reference.npy"))
    vectors = musicnn.pretrained(None).predict_on_batch(clips())
    np.testing.assert_allclose(vectors, reference, atol=1e-4)
    assert musicnn.pretrained(None).count_params() == musicnn.build().count_params(), "the second time out of the cache"


def test_decibels_become_what_musicnn_was_trained_on():
    power = np.array([0.0, 1e-8, 1e-4, 1.0, 100.0])
    db = 10 * np.log10(np.maximum(1e-10, power))
    np.testing.assert_allclose(musicnn.prepared(db.astype(np.float32)), np.log10(1 + 10000 * power), atol=1e-5)


def test_the_first_blocks_of_the_siamese_tower_are_means_of_what_it_computes():
    model = siamese.pretrained(None)
    x = np.random.default_rng(0).random((2, 129, 128)).astype(np.float32)
    first = keras.Model(model.input, next(layer.output for layer in model.layers if "max_pooling" in layer.name))
    vectors = model.predict_on_batch(x)
    assert vectors.shape == (2, 512) and np.isfinite(vectors).all() and vectors.std() > 0.01
    np.testing.assert_allclose(vectors[:, :128], first.predict_on_batch(x).mean(1), atol=1e-5)


def test_the_weights_in_the_project_are_those_that_the_authors_publish():
    if not WEIGHTS.is_file():
        pytest.skip("the published weights are not there")
    own, published = siamese.pretrained(None).get_weights(), siamese.pretrained(str(WEIGHTS)).get_weights()
    for one, other in zip(own, published, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "MIT License" in (Path(siamese.__file__).parent / "siamese.LICENSE").read_text()
