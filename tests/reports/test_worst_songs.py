"""The page of the worst songs: which ones, in which order, with their clips inside and every name as text."""

from __future__ import annotations

import base64
import re

import pandas as pd
import pytest

from projects.artists.reports.worst_songs import worst_songs_html

EVIL = '"><script>alert(1)</script>'


def table(songs: int = 30) -> pd.DataFrame:
    rows = [
        {
            "track_id": f"t{i}",
            "song": f"song {i}",
            "artist": "a",
            "predicted": "a" if i % 2 else "b",
            "probability": i / songs,
            "seconds": 60 + i,
        }
        for i in range(songs)
    ]
    return pd.DataFrame(rows[::-1])


def songs_of(source: str) -> list[str]:
    return re.findall(r'class="song"><bdi>(.*?)</bdi>', source)


def test_the_twenty_least_probable_come_worst_first() -> None:
    assert songs_of(worst_songs_html(table(), None, "t")) == [f"song {i}" for i in range(20)]


def test_an_unknown_probability_comes_last() -> None:
    rows = table(3).assign(probability=[0.9, None, 0.1])
    source = worst_songs_html(rows, None, "t")
    assert songs_of(source) == ["song 0", "song 2", "song 1"]
    assert ">?</td>" in source


def test_clips_are_inside_the_page_and_only_for_songs_that_have_one() -> None:
    wav = b"RIFF\x00\xff"
    source = worst_songs_html(table(3), {"t1": wav}, "t")
    players = re.findall(r'<audio[^>]* src="data:audio/wav;base64,([^"]*)"', source)
    assert [base64.b64decode(player) for player in players] == [wav]
    assert "<audio" not in worst_songs_html(table(3), None, "t")


def test_page_names_probability_length_and_right_answers() -> None:
    source = worst_songs_html(table(4), None, "t")
    assert "0.750</td>" in source
    assert ">1:03</td>" in source
    assert source.count("✓") == 2


def test_names_and_title_are_escaped_everywhere() -> None:
    rows = table(2).assign(song=EVIL, artist=EVIL, predicted=EVIL)
    source = worst_songs_html(rows, {"t0": b"x", "t1": b"x"}, EVIL)
    assert "<script" not in source
    assert source.count("&lt;script&gt;") == 10  # title, heading, four times a song


def test_page_needs_no_network_and_follows_the_reader_s_colour_scheme() -> None:
    source = worst_songs_html(table(), {"t0": b"x"}, "t")
    assert not re.search(r'(src|href)="(?!data:)', source)
    assert "http" not in source.replace("http-equiv", "")
    assert "prefers-color-scheme: dark" in source
    assert "viewport" in source


def test_no_songs_and_missing_columns() -> None:
    assert songs_of(worst_songs_html(table(1).head(0), None, "t")) == []
    with pytest.raises(ValueError, match="no column seconds"):
        worst_songs_html(table().drop(columns="seconds"), None, "t")
