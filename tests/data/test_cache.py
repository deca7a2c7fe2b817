"""The cache on disk: whole or not at all, by content, and an index of digests that notices every change."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from projects.artists.audio.features import FeatureConfig
from projects.artists.data.cache import DigestIndex, FeatureStore, atomic_write, audio_digest, cache_root

DIGEST = "ab" * 32


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    return FeatureStore(FeatureConfig(), tmp_path / "store")


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(-40, 10, (50, 128)).astype(np.float32)


def test_the_cache_is_where_the_environment_says_else_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "a" / "b"))
    assert cache_root() == tmp_path / "a" / "b" and cache_root().is_dir()
    monkeypatch.setenv("ARTISTS_CACHE", "~/c")
    assert cache_root() == tmp_path / "c"
    for unset in (lambda: monkeypatch.setenv("ARTISTS_CACHE", ""), lambda: monkeypatch.delenv("ARTISTS_CACHE")):
        unset()
        assert cache_root() == tmp_path / ".cache" / "artists"


# Files


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists() and len(list(path.parent.iterdir())) == 1
    assert path.read_bytes() == b"half" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.glob("*file*")) == [path]
    assert not list(tmp_path.glob(".partial-*"))


def test_what_is_stored_is_read_back_as_it_was(store, features):
    store.write(DIGEST, features)
    assert store.n_frames(DIGEST) == 50
    read = np.load(store.path(DIGEST), mmap_mode="r")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, features)


def test_what_is_not_stored_has_no_frames(store):
    assert store.n_frames(DIGEST) is None


def test_a_truncated_file_does_not_count(store, features):
    store.write(DIGEST, features)
    whole = store.path(DIGEST).read_bytes()
    for size in (0, 1, 9, 60, 127, 128, 129, len(whole) // 2, len(whole) - 1):
        store.path(DIGEST).write_bytes(whole[:size])
        assert store.n_frames(DIGEST) is None, size
    store.write(DIGEST, features)
    assert store.n_frames(DIGEST) == 50


@pytest.mark.parametrize("content", [b"this is no array" * 9, pickle.dumps([1, 2]), bytes(9000)])
def test_a_file_of_something_else_does_not_count(store, features, content):
    store.write(DIGEST, features)
    store.path(DIGEST).write_bytes(content)
    assert store.n_frames(DIGEST) is None


def test_what_a_killed_process_left_does_not_count(store, features):
    store.path(DIGEST).parent.mkdir(parents=True)
    left = store.path(DIGEST).with_name(".partial-k1ll3d")
    with left.open("wb") as file:
        np.save(file, features)
    assert store.n_frames(DIGEST) is None
    store.write(DIGEST, features)
    assert store.n_frames(DIGEST) == 50


def test_configurations_do_not_share_a_file(store, tmp_path, features):
    store.write(DIGEST, features)
    for other in (FeatureConfig(n_mels=64), FeatureConfig(crop=60.0), FeatureConfig(mel_scale="htk")):
        assert FeatureStore(other, tmp_path / "store").n_frames(DIGEST) is None
    assert FeatureStore(FeatureConfig(), tmp_path / "store").n_frames(DIGEST) == 50


def _write(store: FeatureStore, features: np.ndarray, times: int) -> None:
    for _ in range(times):
        store.write(DIGEST, features)


def test_a_reader_beside_two_writers_always_sees_a_whole_file(store, features):
    """One writer is this process, the other another."""
    store.write(DIGEST, features)
    process = multiprocessing.get_context("spawn").Process(target=_write, args=(store, features, 50))
    process.start()
    while process.is_alive():
        _write(store, features, 1)
        np.testing.assert_array_equal(np.load(store.path(DIGEST), mmap_mode="r"), features)
    process.join()
    assert process.exitcode == 0 and list(store.path(DIGEST).parent.iterdir()) == [store.path(DIGEST)]


# Digests


def test_the_digest_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"music" * 100_000)
    assert audio_digest(path) == hashlib.sha256(b"music" * 100_000).hexdigest()


@pytest.fixture
def indexed(tmp_path) -> tuple[DigestIndex, Path]:
    """An index that knows a file of ten bytes."""
    path = tmp_path / "song.wav"
    path.write_bytes(b"0123456789")
    index = DigestIndex(tmp_path)
    index.put(path, path.stat(), "old")
    assert index.get(path) == "old"
    return index, path


def test_an_index_remembers_a_file_that_has_not_changed(indexed, tmp_path):
    _, path = indexed
    assert DigestIndex(tmp_path).get(path) == "old"


def test_a_file_of_another_size_is_another_file(indexed):
    index, path = indexed
    path.write_bytes(b"0123456789a")
    assert index.get(path) is None


def test_bytes_changed_in_place_are_noticed_when_size_and_time_are_set_back(indexed):
    """As a copy with preserved times does."""
    index, path = indexed
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(b"9876543210")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert index.get(path) is None


def test_a_file_that_changes_while_it_is_read_is_noticed(indexed):
    index, path = indexed
    before = path.stat()
    path.write_bytes(b"in the meantime")
    index.put(path, before, "of the old bytes")
    assert index.get(path) is None


def test_a_file_that_is_gone_or_unknown_has_no_digest(indexed):
    index, path = indexed
    assert index.get(path.with_name("other.wav")) is None
    path.unlink()
    assert index.get(path) is None
    assert index.get(Path("no\0name")) is None


def test_a_new_digest_replaces_the_old(indexed):
    index, path = indexed
    path.write_bytes(b"new bytes")
    index.put(path, path.stat(), "new")
    assert index.get(path) == "new"


def test_names_with_quotes_and_bytes_that_are_no_utf_8_are_kept_apart(tmp_path):
    index = DigestIndex(tmp_path)
    names = [b"it's.wav", b'a";--.wav', b"caf\xe9.wav", b"caf\xc3\xa9.wav"]
    paths = [Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)) for name in names]
    try:
        for path in paths:
            path.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    for i, path in enumerate(paths):
        index.put(path, path.stat(), str(i))
    assert [index.get(path) for path in paths] == ["0", "1", "2", "3"]


def test_two_indexes_write_one_file_at_once(tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(b"x")

    def fill(name: str) -> None:
        index = DigestIndex(tmp_path)
        for i in range(20):
            index.put(path.with_name(f"{name}{i}"), path.stat(), name)

    threads = [threading.Thread(target=fill, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = DigestIndex(tmp_path)
    for name in ("a0", "a19", "b0", "b19"):
        os.link(path, tmp_path / name)
        index.put(tmp_path / name, (tmp_path / name).stat(), name)
        assert index.get(tmp_path / name) == name
