"""Fewer artists of a corpus: the number of artists as an axis (Park et al. 2018, figures 2 to 4)."""

from __future__ import annotations

import hashlib
from collections import Counter

from ..errors import InputError
from .tracks import Corpus


def first_values(corpus: Corpus, label: str, count: int | None, songs: int | None = None) -> Corpus:
    """The tracks of `count` values of `label`, or of all for None.

    They are the first in the order of the digests of their names, so that a larger number holds a smaller one whole and
    no seed moves them.

    Args:
        songs: Only values with as many tracks are counted and kept.

    Raises:
        InputError: Fewer than two are asked for, or more than there are.
    """
    if count is None:
        return corpus
    sizes = Counter(track.label(label) for track in corpus.tracks)
    values = [value for value, size in sizes.items() if size >= (songs or 1)]
    if not 2 <= count <= len(values):
        enough = f" with {songs} or more songs" if songs else ""
        raise InputError(
            f"artists={count}: {corpus.name} has {len(values)} {label}s{enough}; give a number from 2 to that."
        )
    kept = set(sorted(values, key=lambda value: hashlib.sha256(value.encode()).digest())[:count])
    return corpus.only(track for track in corpus.tracks if track.label(label) in kept)
