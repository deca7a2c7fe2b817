"""The map of an embedding as a page to explore: colour by any label, hover for the song, filter by legend."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from .names import clean, clock, distinct_names, groups, shorten
from .pages import graph, render
from .palette import INK, LIGHT, colours

COLUMNS = ("x", "y", "song", "album", "artist", "predicted", "clip_start")
RIGHT = ("circle", "square", "diamond", "triangle-up", "star")
WRONG = "x"
NAME_WIDTH = 30
_HUES = 24  # colours() repeats after this many; then the mark of right answers changes
_HOVER = (
    "<b>%{customdata[0]}</b><br>album: %{customdata[1]}<br>{artist}true: %{customdata[2]}"
    "<br>predicted: %{customdata[3]} %{customdata[4]}"
    "<br>clip starts at %{customdata[5]}<extra></extra>"
)
# On a phone the legend goes below the map instead of taking half of its width.
_PHONE = """if (window.innerWidth < 640) {
  Plotly.relayout("{plot_id}", {"legend.orientation": "h", "legend.y": -0.02, "legend.yanchor": "top",
                                 "legend.maxheight": 0.3});
}"""


def tsne_html(
    table: pd.DataFrame,
    title: str,
    *,
    colour_by: Sequence[str] = ("artist", "album"),
    target: str = "artist",
) -> str:
    """A self-contained page of the map, with a menu that chooses which label colours it.

    Points whose prediction is wrong are crosses. Every name is shown as plain text, whatever it holds.

    Args:
        table: One row a clip: x, y (coordinates), song, album, artist, predicted (names), clip_start
            (seconds), and the columns named by `colour_by` and `target`.
        title: Heading of the page.
        colour_by: Columns to colour by, the first one at the start.
        target: The column that `predicted` should equal.

    Raises:
        ValueError: a column is missing, or `colour_by` is empty.
    """
    _check(table, [*colour_by, target], colour_by)
    right = _is_right(table, target)
    figure = _figure(table, list(colour_by), target, right)
    options = {"config": {"scrollZoom": True}, "div_id": "map", "post_script": _PHONE}
    return render("tsne.html", title=title, graph=graph(figure, **options), clips=len(right), wrong=int((~right).sum()))


def _check(table: pd.DataFrame, labels: Sequence[str], colour_by: Sequence[str]) -> None:
    missing = [name for name in dict.fromkeys([*COLUMNS, *labels]) if name not in table.columns]
    if missing:
        raise ValueError(
            f"the table of the map has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}"
        )
    if not colour_by:
        raise ValueError("colour_by is empty; name at least one column of the table to colour the map by")


def _is_right(table: pd.DataFrame, target: str) -> np.ndarray:
    return np.array(
        [clean(predicted) == clean(true) for predicted, true in zip(table["predicted"], table[target], strict=True)],
        dtype=bool,
    )


def _figure(table: pd.DataFrame, colour_by: list[str], target: str, right: np.ndarray) -> go.Figure:
    hover = _hover_columns(table, target, right)
    traces = {column: _traces(table, column, right, hover) for column in colour_by}
    figure = go.Figure([trace for group in traces.values() for trace in group])
    for trace in figure.data[len(traces[colour_by[0]]) :]:
        trace.visible = False
    figure.update_layout(
        template="plotly_white",
        hovermode="closest",
        dragmode="pan",
        font={"color": INK},
        margin={"l": 16, "r": 12, "t": 52, "b": 16},
        legend={"title": {"text": plain(colour_by[0])}, "itemsizing": "constant", "tracegroupgap": 0},
        hoverlabel={"align": "left", "namelength": -1},
        updatemenus=[_menu(traces)],
    )
    bare = {
        "showticklabels": False,
        "showgrid": False,
        "zeroline": False,
        "showline": True,
        "mirror": True,
        "linecolor": "#c8ced4",
    }
    figure.update_xaxes(bare)
    figure.update_yaxes(bare, scaleanchor="x")
    return figure


def plain(text: object) -> str:
    """`text` for a plotly label, where a subset of HTML is obeyed and entities are shown as characters."""
    return html.escape(clean(text), quote=False)


def _hover_columns(table: pd.DataFrame, target: str, right: np.ndarray) -> np.ndarray:
    """(n, 7) escaped texts: song, album, true, predicted, a tick or a cross, start of the clip, artist."""
    columns = [
        [plain(shorten(clean(value), 70)) for value in table[name]] for name in ("song", "album", target, "predicted")
    ]
    columns.append(["✓" if value else "✕" for value in right])
    columns.append([clock(value) for value in table["clip_start"]])
    columns.append([plain(shorten(clean(value), 70)) for value in table["artist"]])
    return np.array(columns, dtype=object).T.reshape(-1, 7)


def _traces(table: pd.DataFrame, column: str, right: np.ndarray, hover: np.ndarray) -> list[go.Scatter]:
    """One trace for each value of `column`, those predicted rightly first, whose mark the legend shows."""
    of_point = np.array(_values(table, column), dtype=object)
    names = groups(of_point)
    shown = distinct_names(names, NAME_WIDTH)
    return [
        _trace(table, np.flatnonzero(of_point == name), right, hover, label=label, index=index)
        for index, (name, label) in enumerate(zip(names, shown, strict=True))
    ]


def _values(table: pd.DataFrame, column: str) -> list[str]:
    """The labels of `column`; an album whose title several artists used is told apart by its artist."""
    values = [clean(value) for value in table[column]]
    if column != "album":
        return values
    artists: dict[str, set[str]] = defaultdict(set)
    for album, artist in zip(values, table["artist"], strict=True):
        artists[album].add(clean(artist))
    return [
        f"{album} ({clean(artist)})" if len(artists[album]) > 1 else album
        for album, artist in zip(values, table["artist"], strict=True)
    ]


def _trace(
    table: pd.DataFrame,
    rows: np.ndarray,
    right: np.ndarray,
    hover: np.ndarray,
    *,
    label: str,
    index: int,
) -> go.Scatter:
    rows = rows[np.argsort(~right[rows], kind="stable")]
    named = np.array_equal(hover[:, 2], hover[:, 6])  # the true label is the artist already
    template = _HOVER.replace("{artist}", "" if named else "artist: %{customdata[6]}<br>")
    mark = RIGHT[index // _HUES % len(RIGHT)]
    return go.Scatter(
        x=table["x"].to_numpy(dtype=float)[rows],
        y=table["y"].to_numpy(dtype=float)[rows],
        mode="markers",
        name=plain(label),
        customdata=hover[rows],
        hovertemplate=template,
        marker={
            "color": colours(index + 1, LIGHT)[index],
            "size": 8,
            "opacity": 0.85,
            "line": {"width": 0.5, "color": INK},
            "symbol": [mark if right[row] else WRONG for row in rows],
        },
        showlegend=True,
    )


def _menu(traces: dict[str, list[go.Scatter]]) -> dict[str, Any]:
    owners = [column for column, group in traces.items() for _ in group]
    buttons = [
        {
            "label": f"colour by {plain(column)}",
            "method": "update",
            "args": [{"visible": [owner == column for owner in owners]}, {"legend.title.text": plain(column)}],
        }
        for column in traces
    ]
    return {
        "type": "dropdown",
        "buttons": buttons,
        "direction": "down",
        "showactive": True,
        "bgcolor": "white",
        "x": 0.0,
        "xanchor": "left",
        "y": 1.0,
        "yanchor": "bottom",
        "pad": {"b": 6},
    }
