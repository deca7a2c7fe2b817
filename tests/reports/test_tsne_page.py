"""The page of the map: complete, self-contained, every name as text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from projects.artists.reports.tsne_page import plain, tsne_html

EVIL = '</title><script>alert("x")</script><img src=http://evil.example/x onerror=alert(1)>'


class Page(HTMLParser):
    """Tags, links and title of a page as a browser would read them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("title", "h1"):
            self.texts[self.tags[-1]] = self.texts.get(self.tags[-1], "") + data.rstrip("\n")


def table(artists: tuple[str, ...] = ("a", "b", "c"), points: int = 12) -> pd.DataFrame:
    rows = [
        {
            "x": i,
            "y": -i,
            "song": f"song {i}",
            "album": f"album {i % 6}",
            "genre": "rock",
            "artist": artists[i % len(artists)],
            "predicted": artists[0],
            "clip_start": 65.0,
        }
        for i in range(points)
    ]
    return pd.DataFrame(rows)


def figure_of(source: str) -> tuple[list[dict], dict, dict]:
    """Traces, layout and configuration that the page hands to Plotly.newPlot."""
    start = re.search(r'Plotly\.newPlot\(\s*"map",\s*', source).end()
    decoder, parts = json.JSONDecoder(), []
    for _ in range(3):
        part, end = decoder.raw_decode(source, start)
        parts.append(part)
        start = end + len(re.match(r"[\s,]*", source[end:]).group())
    return tuple(parts)


def test_page_needs_no_network_and_forbids_it() -> None:
    source = tsne_html(table(), "t")
    page = Page(source)
    assert page.links == []
    assert {"link", "iframe", "base", "object", "form"}.isdisjoint(page.tags)
    assert re.search(r'Content-Security-Policy" content="default-src \'none\';', source)
    assert "Plotly.newPlot" in source
    assert len(source) > 1_000_000  # the library itself is inside


def test_page_does_not_offer_to_upload_the_data() -> None:
    *_, config = figure_of(tsne_html(table(), "t"))
    assert config["showSendToCloud"] is False
    assert "sendChartToCloud" not in str(config["modeBarButtons"])


def test_menu_shows_the_traces_of_one_label_at_a_time() -> None:
    traces, layout, _ = figure_of(tsne_html(table(), "t", colour_by=["artist", "album", "genre"]))
    buttons = layout["updatemenus"][0]["buttons"]
    assert [button["label"] for button in buttons] == [f"colour by {x}" for x in ("artist", "album", "genre")]
    shown = [button["args"][0]["visible"] for button in buttons]
    assert [sum(visible) for visible in shown] == [3, 6, 1]
    assert [sum(column) for column in zip(*shown, strict=True)] == [1] * 10
    assert [trace.get("visible", True) for trace in traces] == buttons[0]["args"][0]["visible"]


def test_every_label_draws_every_point() -> None:
    traces, *_ = figure_of(tsne_html(table(), "t", colour_by=["artist", "genre"]))
    assert [len(trace["customdata"]) for trace in traces] == [4, 4, 4, 12]


def test_wrong_predictions_are_crosses_and_right_ones_circles() -> None:
    traces, *_ = figure_of(tsne_html(table(), "t", colour_by=["artist"]))
    assert [set(trace["marker"]["symbol"]) for trace in traces] == [{"circle"}, {"x"}, {"x"}]


def test_hover_tells_song_album_truth_prediction_and_start() -> None:
    traces, *_ = figure_of(tsne_html(table(), "t", colour_by=["artist"]))
    assert traces[1]["customdata"][0] == ["song 1", "album 1", "b", "a", "✕", "1:05", "b"]
    assert "customdata[6]" not in traces[1]["hovertemplate"]
    assert all(f"customdata[{i}]" in traces[1]["hovertemplate"] for i in range(6))


def test_right_and_wrong_follow_the_target_column() -> None:
    rows = table().assign(predicted="rock")
    traces, *_ = figure_of(tsne_html(rows, "t", colour_by=["artist"], target="genre"))
    assert {symbol for trace in traces for symbol in trace["marker"]["symbol"]} == {"circle"}
    assert "artist: %{customdata[6]}" in traces[0]["hovertemplate"]


def test_an_album_title_of_two_artists_is_two_groups() -> None:
    rows = table(("a", "b")).assign(album="Greatest Hits")
    traces, *_ = figure_of(tsne_html(rows, "t", colour_by=["album"]))
    assert [trace["name"] for trace in traces] == ["Greatest Hits (a)", "Greatest Hits (b)"]


def test_hostile_names_stay_text() -> None:
    rows = table((EVIL, "<b>bold</b>", "A$AP & Ke$ha")).assign(album=EVIL, song=EVIL, genre=EVIL)
    harmless = Page(tsne_html(table(), "t"))
    source = tsne_html(rows, EVIL, colour_by=["artist", "album", "genre"])
    page = Page(source)
    assert page.tags == harmless.tags
    assert page.texts["title"] == page.texts["h1"] == EVIL
    traces, *_ = figure_of(source)
    shown = [trace["name"] for trace in traces]
    shown += [text for trace in traces for row in trace["customdata"] for text in row]
    assert not any("<" in text or ">" in text for text in shown)
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown


def test_plain_escapes_what_plotly_would_obey() -> None:
    assert plain('<a href="x">&amp;</a>') == '&lt;a href="x"&gt;&amp;amp;&lt;/a&gt;'


def test_the_same_table_gives_the_same_page_and_utf8() -> None:
    rows = table(("東京", "🎸"))
    source = tsne_html(rows, "東京")
    assert source == tsne_html(rows, "東京")
    source.encode("utf-8")


@pytest.mark.parametrize(
    "rows", [table(("only",)), table().head(0), table(tuple(f"artist {i}" for i in range(100)), 300)]
)
def test_one_artist_no_point_and_a_hundred_artists(rows: pd.DataFrame) -> None:
    traces, *_ = figure_of(tsne_html(rows, "t", colour_by=["artist"]))
    assert len(traces) == rows["artist"].nunique()


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="no column mood; it has x, y"):
        tsne_html(table(), "t", colour_by=["mood"])
    with pytest.raises(ValueError, match="colour_by is empty"):
        tsne_html(table(), "t", colour_by=[])
