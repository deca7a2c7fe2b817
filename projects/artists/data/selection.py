"""Fewer artists of a corpus, the axis of Park et al. 2018 (figures 2 to 4), or equally many songs of each (3.1.1)."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

from ..errors import InputError
from .tracks import Corpus, Track


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


def balanced(corpus: Corpus, label: str, songs: int, seed: int) -> Corpus:
    """`songs` tracks of each value of `label` that has as many, in the order of digests; the others are left out.

    Raises:
        InputError: Fewer than two values have as many.
    """
    groups: dict[str, list[Track]] = defaultdict(list)
    for track in corpus.tracks:
        groups[track.label(label)].append(track)
    full = [tracks for tracks in groups.values() if len(tracks) >= songs]
    if len(full) < 2:
        most = max(map(len, groups.values()), default=0)
        raise InputError(
            f"songs_per_artist={songs}: {len(full)} {label} of {corpus.name} has as many songs and two are needed; "
            f"the most that one has is {most}. Give a smaller number."
        )
    kept = [track for tracks in full for track in sorted(tracks, key=lambda track: _order(track, seed))[:songs]]
    return corpus.only(kept)


def _order(track: Track, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{track.track_id}".encode()).digest()
