"""Clips of tracks, read from the files they are stored in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from projects.artists.audio.lengths import batch_size
from projects.artists.data import clipset
from projects.artists.data.clipset import ClipSet, make_clips
from projects.artists.data.featurize import Entry

MELS = 5


@pytest.fixture
def entry(tmp_path):
    """Makes stored features whose value tells track, frame and band: 1000 * track + frame + band / 10."""

    def make(n_frames: int, track: int = 0) -> Entry:
        path = tmp_path / f"{track}_{n_frames}.npy"
        values = 1000 * track + np.arange(n_frames)[:, None] + np.arange(MELS) / 10
        np.save(path, values.astype(np.float32))
        return Entry(f"{track}", n_frames, path)

    return make


@pytest.fixture
def tracks(entry) -> list[Entry]:
    """25, 10, 9, 0 and 20 frames: with clips of ten, 2, 1, 0, 0 and 2 clips."""
    return [entry(n, i) for i, n in enumerate((25, 10, 9, 1, 20))]


@pytest.fixture
def clips(tracks) -> ClipSet:
    return make_clips(tracks, [7, 8, 9, 9, 7], 10)[0]


def test_clips_stand_in_the_order_of_tracks_and_time(clips):
    assert len(clips) == 5 and clips.length == 10 and clips.n_mels == MELS
    assert clips.songs.tolist() == [0, 0, 1, 4, 4]
    assert clips.starts.tolist() == [0, 10, 0, 0, 10]
    assert clips.y.tolist() == [7, 7, 8, 7, 7]


def test_tracks_shorter_than_a_clip_are_listed_and_one_of_exactly_a_clip_has_it(tracks):
    assert make_clips(tracks, [0] * 5, 10)[1] == [2, 3]
    assert make_clips(tracks, [0] * 5, 1)[1] == []
    assert make_clips(tracks, [0] * 5, 26)[1] == [0, 1, 2, 3, 4]


def test_the_last_full_clip_of_every_song_is_kept(entry):
    """The published slicer drops it."""
    for n_frames in range(1, 60):
        clips, short = make_clips([entry(n_frames)], [0], 10)
        assert len(clips) == n_frames // 10 and short == ([0] if n_frames < 10 else [])


def test_reading_gives_the_frames_of_the_right_track(clips):
    x = clips.read(slice(None))
    assert x.shape == (5, 10, MELS) and x.dtype == np.float32
    for i in range(5):
        first = 1000 * clips.songs[i] + clips.starts[i]
        np.testing.assert_allclose(x[i], first + np.arange(10)[:, None] + np.arange(MELS) / 10, atol=1e-3)


@pytest.mark.parametrize(
    "index",
    [np.array([4, 0, 2]), np.array([1]), np.array([3, 3]), np.array([], int), np.array([-1]), slice(1, 4),
     slice(4, 99), np.array([True, False, False, True, False])],
)  # fmt: skip
def test_any_index_reads_the_same_clips(clips, index):
    np.testing.assert_array_equal(clips.read(index), clips.read(slice(None))[index])


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_batches_are_all_clips_in_order(clips, size):
    batches = list(clips.batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1) and 0 < len(batches[-1]) <= size
    np.testing.assert_array_equal(np.concatenate(batches), clips.read(slice(None)))


def test_a_batch_holds_few_clips_where_clips_are_long():
    assert [batch_size(length) for length in (1, 32, 157, 911, 5_000, 90_000)] == [64, 64, 31, 5, 1, 1]


def test_what_is_read_may_be_changed_without_changing_what_is_stored(clips):
    expected = clips.read(slice(None))
    clips.read(slice(None))[:] = 0
    np.testing.assert_array_equal(clips.read(slice(None)), expected)


def test_no_tracks_and_no_clips_are_empty_and_no_error(entry):
    for entries in ([], [entry(3)]):
        clips, short = make_clips(entries, [0] * len(entries), 10)
        assert len(clips) == 0 and list(clips.batches()) == [] and short == list(range(len(entries)))


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    clips, _ = make_clips([Entry("", 100, tmp_path / "not there.npy")], [0], 10)
    assert len(clips) == 10
    with pytest.raises(FileNotFoundError):
        clips.read(slice(0, 1))


def test_features_are_mapped_not_loaded(clips):
    clips.read(slice(None))
    assert isinstance(clipset._mapped(clips.entries[0].path), np.memmap)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counting open files needs /proc")
def test_a_large_corpus_does_not_run_out_of_open_files(entry, monkeypatch):
    entries = [entry(10, i) for i in range(clipset.OPEN_MAPS + 60)]
    clips, _ = make_clips(entries, [0] * len(entries), 10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        x = clips.read(slice(None))
        assert x[:, 0, 0].tolist() == [1000.0 * i for i in range(len(entries))]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + clipset.OPEN_MAPS
