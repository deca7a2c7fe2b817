"""Tracks and corpora: names that are the same everywhere, labels, and what cannot be learned from."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from projects.artists.data.tracks import Corpus, Track, nfc, track_id
from projects.artists.errors import InputError


def track(name: str, artist: str = "A", **fields) -> Track:
    return Track(name, Path("/music", name), artist=artist, **fields)


def test_an_id_does_not_depend_on_how_the_file_system_spells_accents():
    composed = PurePosixPath("Björk/Début/Ångström.flac")
    decomposed = PurePosixPath(unicodedata.normalize("NFD", str(composed)))
    assert decomposed != composed
    assert track_id(decomposed) == track_id(composed) == str(composed)


def test_an_id_has_forward_slashes_on_windows():
    assert track_id(PureWindowsPath(r"A\b\c.wav")) == "A/b/c.wav"


@pytest.mark.parametrize("name", ["a b", "日本語", "🎵", "<script>", "=1+1", "a\tb", "\U0001fae8"])
def test_other_names_stay_as_they_are(name):
    assert nfc(name) == name


def test_bytes_that_are_no_utf_8_are_spelled_out():
    assert nfc(b"caf\xe9".decode("utf-8", "surrogateescape")) == r"caf\xe9"


def test_tracks_are_in_the_order_of_their_ids_whatever_the_order_given():
    tracks = [track(name) for name in ("b", "é", "a/z", "a", "Z")]
    corpus = Corpus("c", tuple(tracks))
    assert [t.track_id for t in corpus.tracks] == ["Z", "a", "a/z", "b", "é"]
    assert corpus == Corpus("c", tuple(reversed(tracks)))


def test_a_track_twice_is_refused_by_name():
    with pytest.raises(InputError, match=r"music names the same track twice: b, c\. Remove"):
        Corpus("music", tuple(track(name) for name in "abccbd"))


def test_one_of_many_tracks_twice_is_found_at_once():
    names = [f"{i:06}" for i in range(20_000)]
    with pytest.raises(InputError, match="000007"):
        Corpus("music", tuple(track(name) for name in [*names, "000007"]))


def test_label_finds_fields_and_columns():
    t = track("a", album="X", title="T", fold="test", labels={"genre": "rock"})
    assert [t.label(name) for name in ("artist", "album", "title", "fold", "genre", "mood")] == [
        "A", "X", "T", "test", "rock", "",
    ]  # fmt: skip


def test_columns_are_those_of_any_track():
    corpus = Corpus("c", (track("a", labels={"mood": "x"}), track("b", labels={"genre": "y"})))
    assert corpus.label_columns == ["artist", "album", "genre", "mood"]


def test_labelled_keeps_the_tracks_that_carry_a_value():
    tracks = (track("a", labels={"genre": "x"}), track("b", labels={"genre": "y"}), track("c"))
    labelled = Corpus("c", tracks).labelled("genre")
    assert [t.track_id for t in labelled.tracks] == ["a", "b"] and labelled.unlabelled == ("c",)
    assert labelled.only(labelled.tracks[:1]) == Corpus("c", labelled.tracks[:1], ("c",))


def test_an_unknown_column_is_named_with_the_known():
    corpus = Corpus("music", (track("a", labels={"genre": "x"}),))
    with pytest.raises(InputError, match=r"label=gerne is no column of music; it has artist, album, genre"):
        corpus.labelled("gerne")


@pytest.mark.parametrize(("artists", "said"), [(["Solo", "Solo"], r"holds 1 artist \(Solo\)"), ([], "holds 0 artists")])
def test_fewer_than_two_classes_cannot_be_learned(artists, said):
    corpus = Corpus("music", tuple(track(str(i), artist) for i, artist in enumerate(artists)))
    with pytest.raises(InputError, match=said):
        corpus.labelled("artist")
