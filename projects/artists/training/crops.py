"""Feeding random crops of songs to Keras, changed as a recording might be and mixed with one another."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from ..audio.augment import equalised, low_passed, masked
from ..data.clipset import ClipSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What crops go through: deviations in dB of a gain and of an equaliser, share with a low-pass, strength of the
    masks, and both parameters of the beta distribution of the mixture."""

    gain: float = 0.0
    equaliser: float = 0.0
    low_pass: float = 0.0
    masks: float = 0.0
    mixup: float = 0.0


# Of crops=true.
CHANGES = Changes(gain=6.0, equaliser=3.0, low_pass=0.15, masks=0.5)


class Crops(keras.utils.PyDataset):
    """One epoch: `steps` of (batch_size, frames, n_mels) in dB and shares of classes (batch_size, num_classes).

    A batch is a function of the clips, `seed`, `epoch` and its number: a training that goes on sees what one that never
    stopped does. Songs are drawn by `song_weights`.
    """

    def __init__(
        self, clips: ClipSet, changes: Changes, *, steps: int, batch_size: int, num_classes: int, seed: int, epoch: int
    ) -> None:
        super().__init__(workers=1)
        self._clips, self._changes, self._steps, self._batch_size = clips, changes, steps, batch_size
        self._draw, self._one_hot = (seed, epoch), np.eye(num_classes, dtype=np.float32)
        self._songs, self._y, self._weights = song_weights(clips)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([*self._draw, i])
        drawn = rng.choice(len(self._songs), self._batch_size, p=self._weights)
        x = self._clips.crops(self._songs[drawn], self._clips.random_starts(self._songs[drawn], rng))
        return mixed(changed(x, self._changes, rng), self._one_hot[self._y[drawn]], self._changes.mixup, rng)


def song_weights(clips: ClipSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Songs (n,), their classes (n,), and how likely each is drawn (n,), which sums to 1.

    By the root of its length over the root of the songs of its class: neither long songs nor large classes rule.
    """
    songs, first = np.unique(clips.songs, return_index=True)
    y, frames = clips.y[first], np.array([clips.entries[song].n_frames for song in songs])
    weights = np.sqrt(frames / np.bincount(y)[y])
    return songs, y, weights / weights.sum()


def changed(clips: np.ndarray, changes: Changes, rng: np.random.Generator) -> np.ndarray:
    """Crops (n, frames, bands) in dB, changed in place: gain, equaliser, low-pass, masks."""
    if changes.gain:
        clips += rng.normal(0, changes.gain, (len(clips), 1, 1)).astype(clips.dtype)
    equalised(clips, changes.equaliser, rng)
    low_passed(clips, changes.low_pass, rng)
    return masked(clips, changes.masks, rng)


def mixed(x: np.ndarray, y: np.ndarray, alpha: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each of `x` (n, ...) and `y` (n, k) with a share of another, drawn from Beta(alpha, alpha), of its own."""
    if not alpha:
        return x, y
    share, other = rng.beta(alpha, alpha, len(x)).astype(np.float32), rng.permutation(len(x))
    rest = 1 - share
    return (
        x * rest[:, None, None] + x[other] * share[:, None, None],
        y * rest[:, None] + y[other] * share[:, None],
    )
