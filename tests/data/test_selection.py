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


def uneven() -> Corpus:
    """Ten artists, half of them with 20 songs, half with 5."""
    sizes = {f"artist{i}": 20 if i % 2 else 5 for i in range(10)}
    return Corpus("c", tuple(Track(f"{n}/{i}", Path(f"{n}{i}"), artist=n) for n in sizes for i in range(sizes[n])))


def test_artists_with_too_few_songs_are_dropped_before_so_many_are_chosen():
    for count in (2, 3, 5):
        chosen = {track.artist for track in first_values(uneven(), "artist", count, 20).tracks}
        assert len(chosen) == count and all(int(name[-1]) % 2 for name in chosen)


def test_more_artists_than_have_so_many_songs_are_refused():
    with pytest.raises(InputError, match="artists=6: c has 5 artists with 20 or more songs; give a number from 2"):
        first_values(uneven(), "artist", 6, 20)
