from __future__ import annotations

from pathlib import Path

import pytest

from projects.artists.data.selection import first_values
from projects.artists.data.tracks import Corpus, Track
from projects.artists.errors import InputError

NAMES = ["Ä", "b", "c", "d", "e"]


def corpus(names: list[str]) -> Corpus:
    tracks = [Track(f"{n}/{i}", Path(f"{n}{i}"), artist=n, labels={"genre": n[0]}) for n in names for i in range(3)]
    return Corpus("c", tuple(tracks))


def kept(count: int | None, names: list[str] = NAMES) -> set[str]:
    return {track.artist for track in first_values(corpus(names), "artist", count).tracks}


def test_a_larger_number_of_artists_holds_a_smaller_one_whole_in_any_order_of_tracks():
    assert [len(kept(n)) for n in (2, 3, 4, 5)] == [2, 3, 4, 5] and kept(None) == set(NAMES)
    assert kept(2) < kept(3) < kept(4) < kept(5)
    assert kept(3) == kept(3, NAMES[::-1])


def test_every_track_of_a_kept_artist_stays():
    assert len(first_values(corpus(NAMES), "artist", 3).tracks) == 9
    assert len(first_values(corpus(NAMES), "genre", 2).tracks) == 6


@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_number_that_cannot_be_kept_is_refused(count):
    with pytest.raises(InputError, match=f"artists={count}: c has 5 artists"):
        first_values(corpus(NAMES), "artist", count)
