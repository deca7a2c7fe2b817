"""Clips of a set of tracks, read from memory-mapped features: nothing of the corpus is copied."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.clips import clip_starts
from ..audio.lengths import batch_size
from ..audio.options import FeatureConfig, longest
from .cache import FeatureStore
from .featurize import Entry

# Each map keeps a file descriptor; the usual limit is 1,024 a process.
OPEN_MAPS = 256


@dataclasses.dataclass(frozen=True)
class ClipSet:
    """Clips in the order of tracks and time.

    songs: (n_clips,) index into `entries`; starts: (n_clips,) first frame; y: (n_clips,) class; length: frames a clip;
    tag_sets: of a label column that is declared as tags, its values in the order of classes.
    """

    entries: Sequence[Entry]
    songs: np.ndarray
    starts: np.ndarray
    y: np.ndarray
    length: int
    tag_sets: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_mels(self) -> int:
        return _mapped(self.entries[0].path).shape[1]

    @property
    def song_y(self) -> np.ndarray:
        """Class of each song that has clips, (n_songs,), in the order of song numbers."""
        return self.y[np.unique(self.songs, return_index=True)[1]]

    def batches(self, size: int | None = None) -> Iterator[np.ndarray]:
        """All clips in order, (at most size, length, n_mels) at a time; as many as `batch_size` says by default."""
        size = size or batch_size(self.length)
        for start in range(0, len(self), size):
            yield self.read(slice(start, start + size))

    def batches_of(self, unit: str) -> Iterator[np.ndarray]:
        """Batches as a system of this unit wants them: whole songs for `song`."""
        return self.song_batches() if unit == "song" else self.batches()

    def of_songs(self, songs: np.ndarray) -> ClipSet:
        """The clips of some songs, which keep their numbers."""
        kept = np.isin(self.songs, songs)
        return dataclasses.replace(self, songs=self.songs[kept], starts=self.starts[kept], y=self.y[kept])

    def song_batches(self) -> Iterator[np.ndarray]:
        """All clips in order, those of one song at a time, (clips of the song, length, n_mels)."""
        for first, last in _runs(self.songs):
            yield self.read(slice(first, last))

    def read(self, index: np.ndarray | slice) -> np.ndarray:
        """The clips at `index`, float32, shape (n, length, n_mels), in dB."""
        return self.crops(self.songs[index], self.starts[index])

    def random_starts(self, songs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A first frame of a clip anywhere in each of `songs`, in the shape of `songs`."""
        frames = np.array([entry.n_frames for entry in self.entries])
        return rng.integers(0, frames[songs] - self.length + 1)

    def crops(self, songs: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """The clips of `songs` (n,) from `starts` (n,) on, float32, shape (n, length, n_mels)."""
        out = np.empty((len(songs), self.length, self.n_mels), np.float32)
        for i, (song, start) in enumerate(zip(songs, starts, strict=True)):
            out[i] = _mapped(self.entries[song].path)[start : start + self.length]
        return out


@dataclasses.dataclass(frozen=True)
class JointClipSet(ClipSet):
    """The clips of an ensemble's longest member, and those of all of its members, of the same songs in this order.

    first: the position of the longest among them.
    """

    members: Sequence[ClipSet] = ()
    first: int = 0

    def of_songs(self, songs: np.ndarray) -> ClipSet:
        members = [member.of_songs(songs) for member in self.members]
        return dataclasses.replace(self, **{**vars(super().of_songs(songs)), "members": members})

    def song_batches(self) -> Iterator[Any]:
        """The clips of each song, a tuple with an array of each member."""
        for first, last in _runs(self.songs):
            song = self.songs[first]
            parts = [member.read(slice(*np.searchsorted(member.songs, [song, song + 1]))) for member in self.members]
            parts[self.first] = self.read(slice(first, last))
            yield tuple(parts)


def _runs(songs: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last + 1 position of each song in clips that are in the order of songs."""
    edges = np.flatnonzero(np.diff(songs, prepend=-1, append=-1))
    return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


@functools.lru_cache(OPEN_MAPS)
def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")


def make_clips(
    entries: Sequence[Entry],
    y: Sequence[int],
    length: int,
    *,
    overlap: float = 0.0,
    tag_sets: Sequence[str] = (),
    views: Sequence[tuple[FeatureConfig, int]] = (),
) -> tuple[ClipSet, list[int]]:
    """Clips over whole tracks, disjoint where `overlap` is 0.

    Args:
        entries: Stored features of the tracks.
        y: Class of each track.
        length: Frames a clip.
        overlap: Share of a clip that is in the next one too.
        tag_sets: Label values in the order of classes, where they are sets of tags.
        views: Configuration and frames a clip of an ensemble's members, whose longest the others describe.

    Returns:
        The clips, and the positions of tracks shorter than one clip, which have none.
    """
    starts = [clip_starts(entry.n_frames, length, overlap) for entry in entries]
    counts = np.array([len(s) for s in starts], int)
    songs = np.repeat(np.arange(len(entries)), counts)
    clips = ClipSet(
        entries,
        songs,
        np.concatenate(starts) if starts else np.empty(0, int),
        np.asarray(y, int)[songs],
        length,
        tag_sets,
    )
    if views:
        members = [_of_view(entries, y, *view, overlap) for view in views]
        clips = JointClipSet(**vars(clips), members=members, first=longest(views))
    return clips, np.flatnonzero(counts == 0).tolist()


def _of_view(entries: Sequence[Entry], y: Sequence[int], config: FeatureConfig, length: int, overlap: float) -> ClipSet:
    store = FeatureStore(config)
    digests = [entry.audio_digest for entry in entries]
    own = [Entry(digest, store.n_frames(digest) or 0, store.path(digest)) for digest in digests]
    return make_clips(own, y, length, overlap=overlap)[0]
