"""Equally many songs of each artist, so that no artist counts more (Park et al. 2018, section 3.1.1)."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from ..errors import InputError
from .tracks import Corpus, Track


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
