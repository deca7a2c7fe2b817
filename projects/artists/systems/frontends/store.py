"""Vectors of clips on local disk, by the content of the clips: a search or another fold computes none again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from ...data.cache import atomic_write, cache_root


class VectorStore:
    """The vectors of one front end, by its name and its weights."""

    def __init__(self, front_end: str, weights: Iterable[np.ndarray]) -> None:
        digest = hashlib.sha256(b"".join(array.tobytes() for array in weights)).hexdigest()[:16]
        self.folder = cache_root() / "vectors" / f"{front_end}-{digest}"

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
