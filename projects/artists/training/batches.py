"""Feeding clips to Keras: read from the memory map as they are needed, in an order that seed and epoch fix."""

from __future__ import annotations

import keras
import numpy as np

from ..audio.augment import masked
from ..data.clipset import ClipSet


class Batches(keras.utils.PyDataset):
    """One epoch of (batch, frames, n_mels) and one-hot (batch, num_classes), or the rows of `targets` by class.

    Clips are in the order that `default_rng([seed, epoch])` gives, so that a training which starts again at an epoch
    sees what an uninterrupted one does. Fit with shuffle=False: Keras would shuffle by the global generator, which
    anybody may draw from. One object an epoch: Keras prefetches, and a shared order would change under its hands.
    Masks are drawn for a batch by its number, whenever it is fetched.
    """

    def __init__(
        self,
        clips: ClipSet,
        *,
        batch_size: int,
        num_classes: int,
        seed: int,
        epoch: int,
        targets: np.ndarray | None = None,
        label_smoothing: float = 0.0,
        augment: float = 0.0,
    ) -> None:
        super().__init__(workers=1)
        self._clips, self._batch_size = clips, batch_size
        self._targets = np.eye(num_classes, dtype=np.float32) if targets is None else targets
        if label_smoothing:
            self._targets = self._targets * np.float32(1 - label_smoothing) + np.float32(label_smoothing / num_classes)
        self._augment, self._draw = augment, (seed, epoch)
        self._order = np.random.default_rng([seed, epoch]).permutation(len(clips))

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        index = self._order[i * self._batch_size :][: self._batch_size]
        x = self._clips.read(index)
        if self._augment:
            x = masked(x, self._augment, np.random.default_rng([*self._draw, i]))
        return x, self._targets[self._clips.y[index]]
