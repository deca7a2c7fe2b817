"""Anchors with a song of the same artist and songs of others, for a network that learns by comparison."""

from __future__ import annotations

import keras
import numpy as np

from ..data.clipset import ClipSet


class Tuples(keras.utils.PyDataset):
    """(batch, 2 + negatives, frames, n_mels): anchor, positive, negatives; the second array means nothing.

    An anchor for each clip of `clips`, in random order. The positive is another song of the anchor's artist (another
    crop of the same song where there is none), negatives are drawn uniformly from all songs of other artists, and each
    is a random crop. Its memory depends on the number of clips, not on that of artists.
    """

    def __init__(
        self, clips: ClipSet, *, batch_size: int, negatives: int, rng: np.random.Generator, anchors: int | None = None
    ) -> None:
        super().__init__(workers=1)
        self._clips, self._batch_size = clips, batch_size
        order = rng.permutation(len(clips))[:anchors]
        self._songs = draw(clips, clips.songs[order], negatives, rng)
        self._starts = clips.random_starts(self._songs, rng)

    def __len__(self) -> int:
        return -(-len(self._songs) // self._batch_size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(i * self._batch_size, (i + 1) * self._batch_size)
        songs, starts = self._songs[rows], self._starts[rows]
        clips = self._clips.crops(songs.ravel(), starts.ravel())
        return clips.reshape(*songs.shape, *clips.shape[1:]), np.zeros((len(songs), 1), np.float32)


def draw(clips: ClipSet, anchors: np.ndarray, negatives: int, rng: np.random.Generator) -> np.ndarray:
    """Songs (n, 2 + negatives) for the anchor songs (n,): the anchor, one of its artist, others' songs."""
    songs, first_clips = np.unique(clips.songs, return_index=True)
    # In the order of artists, an artist's songs are a run that can be stepped over.
    by_artist = np.argsort(clips.y[first_clips], kind="stable")
    songs, artists = songs[by_artist], clips.y[first_clips][by_artist]
    place = np.empty(songs.max() + 1, int)
    place[songs] = np.arange(len(songs))
    own = place[anchors]
    first = np.searchsorted(artists, artists[own], "left")
    count = np.searchsorted(artists, artists[own], "right") - first
    step = rng.integers(1, np.maximum(count, 2))
    positive = first + (own - first + np.where(count > 1, step, 0)) % count
    other = rng.integers(0, (len(songs) - count)[:, None], (len(anchors), negatives))
    other += np.where(other >= first[:, None], count[:, None], 0)
    return songs[np.column_stack([own, positive, other])]
