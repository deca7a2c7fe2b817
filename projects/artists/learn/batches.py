"""Feeding clips to Keras: read from the memory map as they are needed, in an order that seed and epoch fix."""

from __future__ import annotations

import keras
import numpy as np

from ..data.clipset import ClipSet


class Batches(keras.utils.PyDataset):
    """One epoch of (batch, frames, n_mels) and one-hot (batch, num_classes).

    The order is that of `default_rng([seed, epoch])`, so that a training which starts again at an epoch sees what an
    uninterrupted one does. One object an epoch: Keras prefetches, and a shared order would change under its hands.
    """

    def __init__(self, clips: ClipSet, *, batch_size: int, num_classes: int, seed: int, epoch: int) -> None:
        super().__init__(workers=1)
        self._clips, self._batch_size = clips, batch_size
        self._one_hot = np.eye(num_classes, dtype=np.float32)
        self._order = np.random.default_rng([seed, epoch]).permutation(len(clips))

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        index = self._order[i * self._batch_size : (i + 1) * self._batch_size]
        return self._clips.read(index), self._one_hot[self._clips.y[index]]
