"""The map of an embedding as a page to explore: colour by any label, hover for the song, filter by legend."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from .names import clean, clock, distinct_names, groups, shorten
from .pages import check_columns, graph, render
from .palette import INK, LIGHT, colours

COLUMNS = ("x", "y", "song", "album", "artist", "predicted", "clip_start")
RIGHT = ("circle", "square", "diamond", "triangle-up", "star")
WRONG = "x"
NAME_WIDTH = 30
_HUES = 24  # colours() repeats after this many; then the mark of right answers changes
_HOVER = (
    "<b>%{{customdata[0]}}</b><br>album: %{{customdata[1]}}<br>{artist}true: %{{customdata[2]}}"
    "<br>predicted: %{{customdata[3]}} %{{customdata[4]}}<br>clip starts at %{{customdata[5]}}<extra></extra>"
)
_BARE_AXIS: dict[str, Any] = {
    "showticklabels": False, "showgrid": False, "zeroline": False, "showline": True, "mirror": True,
    "linecolor": "#c8ced4",
}  # fmt: skip
_LAYOUT: dict[str, Any] = {
    "template": "plotly_white", "hovermode": "closest", "dragmode": "pan", "font": {"color": INK},
    "margin": {"l": 16, "r": 12, "t": 52, "b": 16}, "hoverlabel": {"align": "left", "namelength": -1},
}  # fmt: skip
_DROPDOWN: dict[str, Any] = {
    "type": "dropdown", "direction": "down", "showactive": True, "bgcolor": "white", "x": 0.0, "xanchor": "left",
    "y": 1.0, "yanchor": "bottom", "pad": {"b": 6},
}  # fmt: skip
# On a phone the legend goes below the map instead of taking half of its width.
_PHONE = """if (window.innerWidth < 640) {
  Plotly.relayout("{plot_id}", {"legend.orientation": "h", "legend.y": -0.02, "legend.yanchor": "top",
                                 "legend.maxheight": 0.3});
}"""


def tsne_html(
    table: pd.DataFrame, title: str, *, colour_by: Sequence[str] = ("artist", "album"), target: str = "artist"
) -> str:
    """A self-contained page of the map, with a menu that chooses which label colours it.

    Points whose prediction is wrong are crosses. Every name is shown as plain text, whatever it holds.

    Args:
        table: One row a clip: x, y (coordinates), song, album, artist, predicted (names), clip_start
            (seconds), and the columns named by `colour_by` and `target`.
        colour_by: Columns to colour by, the first one at the start.
        target: The column that `predicted` should equal.

    Raises:
        ValueError: a column is missing, or `colour_by` is empty.
    """
    check_columns(table, [*COLUMNS, *colour_by, target], "the map")
    if not colour_by:
        raise ValueError("colour_by is empty; name at least one column of the table to colour the map by")
    right = np.array(table["predicted"].map(clean) == table[target].map(clean), dtype=bool)
    figure = _figure(table, colour_by, target, right)
    points = graph(figure, config={"scrollZoom": True}, div_id="map", post_script=_PHONE)
    return render("tsne.html", title=title, graph=points, clips=len(right), wrong=int((~right).sum()))


def _figure(table: pd.DataFrame, colour_by: Sequence[str], target: str, right: np.ndarray) -> go.Figure:
    hover = _hover_texts(table, target, right)
    traces = {column: _traces(table, column, right, hover) for column in colour_by}
    figure = go.Figure([trace for group in traces.values() for trace in group])
    for trace in figure.data[len(traces[colour_by[0]]) :]:
        trace.visible = False
    legend = {"title": {"text": plain(colour_by[0])}, "itemsizing": "constant", "tracegroupgap": 0}
    figure.update_layout(_LAYOUT, legend=legend, updatemenus=[_menu(traces)])
    figure.update_xaxes(_BARE_AXIS)
    figure.update_yaxes(_BARE_AXIS, scaleanchor="x")
    return figure


def plain(text: object) -> str:
    """`text` for a plotly label, where a subset of HTML is obeyed and entities are shown as characters."""
    return html.escape(clean(text), quote=False)


def _hover_texts(table: pd.DataFrame, target: str, right: np.ndarray) -> np.ndarray:
    """(n, 7) escaped texts: song, album, true, predicted, a tick or a cross, start of the clip, artist."""
    names = {
        name: table[name].map(lambda value: plain(shorten(clean(value), 70)))
        for name in ("song", "album", "artist", "predicted", target)
    }
    marks, starts = np.where(right, "✓", "✕"), table["clip_start"].map(clock)
    columns = [names["song"], names["album"], names[target], names["predicted"], marks, starts, names["artist"]]
    return np.array(columns, dtype=object).T.reshape(-1, 7)


def _traces(table: pd.DataFrame, column: str, right: np.ndarray, hover: np.ndarray) -> list[go.Scatter]:
    """One trace for each value of `column`, those predicted rightly first, whose mark the legend shows."""
    labels = table[column].map(clean)
    if column == "album":
        # A title that several artists used is told apart by its artist.
        artists = table["artist"].map(clean)
        shared = artists.groupby(labels).transform("nunique") > 1
        labels = labels.mask(shared, labels + " (" + artists + ")")
    named = np.array_equal(hover[:, 2], hover[:, 6])  # the true label is the artist already
    template = _HOVER.format(artist="" if named else "artist: %{customdata[6]}<br>")
    xy, names, traces = table[["x", "y"]].to_numpy(dtype=float), groups(labels), []
    for index, (name, label) in enumerate(zip(names, distinct_names(names, NAME_WIDTH), strict=True)):
        rows = np.flatnonzero(labels == name)
        rows = rows[np.argsort(~right[rows], kind="stable")]
        marker: dict[str, Any] = {"size": 8, "opacity": 0.85, "line": {"width": 0.5, "color": INK}}
        marker["color"] = colours(index + 1, LIGHT)[index]
        marker["symbol"] = np.where(right[rows], RIGHT[index // _HUES % len(RIGHT)], WRONG).tolist()
        trace = go.Scatter(x=xy[rows, 0], y=xy[rows, 1], mode="markers", name=plain(label), marker=marker)
        traces.append(trace.update(customdata=hover[rows], hovertemplate=template, showlegend=True))
    return traces


def _menu(traces: dict[str, list[go.Scatter]]) -> dict[str, Any]:
    owners = [column for column, group in traces.items() for _ in group]
    buttons: list[dict[str, Any]] = []
    for column in traces:
        changes = [{"visible": [owner == column for owner in owners]}, {"legend.title.text": plain(column)}]
        buttons.append({"label": f"colour by {plain(column)}", "method": "update", "args": changes})
    return {**_DROPDOWN, "buttons": buttons}
