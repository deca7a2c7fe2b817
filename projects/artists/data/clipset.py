"""Clips of a set of tracks, read from memory-mapped features: nothing of the corpus is copied."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..audio.clips import clip_starts
from .featurize import Entry

# Each map keeps a file descriptor; the usual limit is 1,024 a process.
OPEN_MAPS = 256


@dataclasses.dataclass(frozen=True)
class ClipSet:
    """Clips in the order of tracks and time.

    songs: (n_clips,) index into `entries`; starts: (n_clips,) first frame; y: (n_clips,) class; length: frames a clip.
    """

    entries: Sequence[Entry]
    songs: np.ndarray
    starts: np.ndarray
    y: np.ndarray
    length: int

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_mels(self) -> int:
        return _mapped(self.entries[0].path).shape[1]

    def batches(self, size: int = 64) -> Iterator[np.ndarray]:
        """All clips in order, (at most size, length, n_mels) at a time."""
        for start in range(0, len(self), size):
            yield self.read(slice(start, start + size))

    def read(self, index: np.ndarray | slice) -> np.ndarray:
        """The clips at `index`, float32, shape (n, length, n_mels), in dB."""
        songs, starts = self.songs[index], self.starts[index]
        out = np.empty((len(songs), self.length, self.n_mels), np.float32)
        for i, (song, start) in enumerate(zip(songs, starts, strict=True)):
            out[i] = _mapped(self.entries[song].path)[start : start + self.length]
        return out


@functools.lru_cache(OPEN_MAPS)
def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")


def make_clips(
    entries: Sequence[Entry], y: Sequence[int], length: int, overlap: float = 0.0
) -> tuple[ClipSet, list[int]]:
    """Clips over whole tracks, disjoint where `overlap` is 0.

    Args:
        entries: Stored features of the tracks.
        y: Class of each track.
        length: Frames a clip.
        overlap: Share of a clip that is in the next one too.

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
    )
    return clips, np.flatnonzero(counts == 0).tolist()
