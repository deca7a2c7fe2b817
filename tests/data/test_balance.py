"""Equally many songs of each artist, and Park et al.'s split of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from projects.artists.audio.features import FeatureConfig
from projects.artists.data import prepare
from projects.artists.data.featurize import featurize
from projects.artists.data.options import DataOptions
from projects.artists.data.selection import balanced
from projects.artists.data.splits import make_split
from projects.artists.data.tracks import Corpus, Track
from projects.artists.errors import InputError


def corpus(**songs: int) -> Corpus:
    return Corpus(
        "c",
        tuple(Track(f"{a}/{i:03d}", Path("x"), artist=a, album=str(i % 3)) for a, n in songs.items() for i in range(n)),
    )


def test_every_artist_has_as_many_songs_and_those_with_fewer_are_left_out():
    kept = balanced(corpus(a=20, b=35, c=19, d=20), "artist", 20, 0)
    assert Counter(track.artist for track in kept.tracks) == {"a": 20, "b": 20, "d": 20}


def test_the_choice_depends_on_seed_and_ids_alone():
    first, again, other = (balanced(corpus(a=9, b=30), "artist", 9, seed) for seed in (0, 0, 1))
    assert first == again != other
    alone = balanced(corpus(b=30, z=9), "artist", 9, 0)
    assert [t.track_id for t in first.tracks if t.artist == "b"] == [
        t.track_id for t in alone.tracks if t.artist == "b"
    ]


def test_too_few_songs_say_what_there_is():
    with pytest.raises(InputError, match=r"songs_per_artist=9: 1 artist of c has as many .* most that one has is 12"):
        balanced(corpus(a=12, b=8), "artist", 9, 0)


def test_twenty_songs_are_split_fifteen_three_two():
    split = make_split(balanced(corpus(a=20, b=25), "artist", 20, 0), "song", balanced=True)
    for artist in "ab":
        subsets = Counter(subset for track, subset in split.subsets.items() if track.startswith(artist))
        assert subsets == {"train": 15, "val": 3, "test": 2}


@pytest.mark.parametrize("n", range(1, 40))
def test_training_keeps_a_song(n):
    split = make_split(corpus(a=n), "song", balanced=True)
    subsets = Counter(split.subsets.values())
    assert subsets["train"] >= 1 and (n < 3 or len(subsets) == 3) and sum(subsets.values()) == n


def test_the_usual_split_is_as_it_was():
    assert Counter(make_split(corpus(a=20), "song").subsets.values()) == {"train": 16, "val": 2, "test": 2}


def test_prepared_sides_are_balanced_and_an_evaluation_finds_the_same_songs(cached):
    """Six songs an artist in the corpus; five are kept."""
    options = DataOptions(split="song", clip=1.0, songs_per_artist=5)
    features = featurize(cached, FeatureConfig())
    prepared = prepare.prepare(cached, features, options, seed=3)
    counts = {subset: Counter(track.artist for track in tracks) for subset, tracks in prepared.tracks.items()}
    assert {subset: set(count.values()) for subset, count in counts.items()} == {"train": {3}, "val": {1}, "test": {1}}
    again = prepare.prepare(cached, features, options, seed=3, classes=prepared.classes, required=("test",))
    assert again.tracks == prepared.tracks and again.classes == prepared.classes
    assert list(again.clips["test"].y) == list(prepared.clips["test"].y)
    with pytest.raises(InputError, match="songs_per_artist=7"):
        prepare.prepare(cached, features, DataOptions(clip=1.0, songs_per_artist=7), seed=3)


def test_no_songs_are_too_few():
    with pytest.raises(InputError, match="songs_per_artist=0 must be at least 1"):
        DataOptions(songs_per_artist=0)
