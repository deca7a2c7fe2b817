"""Vectors of clips on local disk, by the content of the clips: a search or another fold computes none again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from ...data.cache import atomic_write, cache_root


class VectorStore:
    """The vectors of one front end, by name."""

    def __init__(self, front_end: str) -> None:
        self.folder = cache_root() / "vectors" / front_end

    def get(self, clips: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What `compute` gives for clips, an array (n, d), computed once."""
        digest = hashlib.sha256(repr(clips.shape).encode() + clips.tobytes()).hexdigest()
        file = self.folder / digest[:2] / f"{digest}.npy"
        try:
            return np.load(file)
        except (FileNotFoundError, ValueError, EOFError):
            vectors = compute(clips)
        with atomic_write(file) as out:
            np.save(out, vectors)
        return vectors
