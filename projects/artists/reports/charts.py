"""Numbers -> charts of a page: SVG that matplotlib draws, in the page's colours, dark or light, and in its fonts."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from .fonts import BASE
from .names import clean, shorten
from .pages import Chart, render
from .palette import INK, LIGHT, colours

WIDTH, HEIGHT = 400, 250  # points; the page scales them
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 10, 42
MATRIX_WIDTH = 300
NAMED_CLASSES = 24
SOFT, LINE, PANEL = "#57606a", "#d8dee4", "#ffffff"
DASHES = ((0, (7, 4)), (0, (1, 3)), (0, (7, 3, 1, 3)), (0, (12, 3)))
COLOURS = colours(24, LIGHT)
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", PANEL: "panel"} | {c: f"c{i}" for i, c in enumerate(COLOURS)}


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a chart. x: positions among the ticks; spread: half the length of each error bar, NaN for none.

    points: (position, value) of single runs; published: drawn hollow and dashed; colour: number of a colour; joined:
    whether the positions have an order that a line may follow.
    """

    name: str
    x: Sequence[int]
    y: Sequence[float]
    spread: Sequence[float] = ()
    points: Sequence[tuple[int, float]] = ()
    published: bool = False
    colour: int = 0
    joined: bool = True


def line_chart(
    title: str,
    ticks: Sequence[str],
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    bounds: tuple[float, float],
    lines: Mapping[str, float] | None = None,
) -> Chart:
    """Values over named positions `ticks`, with error bars; `lines` are horizontal ones, `bounds` the axis' ends."""
    figure, axes = _axes(ticks, bounds, x_label)
    levels = list((lines or {}).items())
    for i, (_, value) in enumerate(levels):
        axes.axhline(value, color=SOFT, linewidth=1.3, linestyle=DASHES[i % len(DASHES)])
    for one in series:
        _draw(axes, one)
    keys = [(s.name, s.colour, "published" if s.published else "") for s in series]
    keys += [(f"{name} {value:.2f}", 0, f"base b{i % len(DASHES)}") for i, (name, value) in enumerate(levels)]
    return Chart(title, svg(figure, title), y_label, keys)


def paired_chart(
    title: str,
    ends: tuple[str, str],
    pairs: Sequence[tuple[float, float, int]],
    names: Sequence[str],
    *,
    y_label: str,
    bounds: tuple[float, float],
) -> Chart:
    """A line a pair, from end to end. pairs: (left, right, colour); names: of the colours."""
    figure, axes = _axes(ends, bounds)
    for left, right, colour in pairs:
        axes.plot([left, right], color=_colour(colour), linewidth=1.1, marker="o", markersize=5, alpha=0.75)
    if pairs:
        axes.plot(np.mean([pair[:2] for pair in pairs], axis=0), color=INK, linewidth=3)
    keys = [(name, i, "") for i, name in enumerate(names)]
    return Chart(title, svg(figure, title), y_label, [*keys, ("mean", 0, "mean")])


def matrix_chart(title: str, matrix: Sequence[Sequence[float]], names: Sequence[str]) -> Chart:
    """A confusion matrix, rows true: the darker, the larger the share of its row."""
    named = len(names) <= NAMED_CLASSES
    margin = 88 if named else 4
    size = (MATRIX_WIDTH - margin - 2) / max(len(names), 1)
    text_size = min(11.0, 0.95 * size)
    # A letter is about 0.68 of its size wide.
    labels = [shorten(clean(name), int((margin - 6) / (0.68 * text_size))) for name in names] if named else []
    layout = {"width": MATRIX_WIDTH, "margin": margin, "size": size, "text_size": text_size, "labels": labels}
    return Chart(title, render("matrix.svg", title=title, matrix=matrix, names=names, **layout), "true", kind="matrix")


def map_chart(title: str, xy: Sequence[tuple[float, float]], labels: Sequence[int], names: Sequence[str]) -> Chart:
    """Points of an embedding in the colour of their label; `labels` are positions in `names`."""
    points, owner = np.asarray(xy, dtype=float).reshape(-1, 2), np.asarray(labels)
    finite = np.isfinite(points).all(axis=1)
    points, owner = points[finite], owner[finite]
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (np.zeros(2), np.ones(2))
    spans = np.where(high > low, high - low, 1.0)
    width, height = MATRIX_WIDTH, spans[1] / spans.max() * (MATRIX_WIDTH - 12) + 12
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((6 / width, 6 / height, 1 - 12 / width, 1 - 12 / height))
    axes.set_axis_off()
    # One scale for both; what is higher than wide stands in the middle.
    left = low[0] - (spans.max() - spans[0]) / 2
    axes.set(xlim=(left, left + spans.max()), ylim=(low[1], low[1] + spans[1]))
    for number, name in enumerate(names):
        chosen = points[owner == number]
        # Strokes without length and with round ends: a tenth of the bytes of a marker each.
        path = Path(np.repeat(chosen, 2, axis=0), [Path.MOVETO, Path.LINETO] * len(chosen))
        path.should_simplify = False
        style: dict[str, Any] = {"edgecolor": _colour(number), "linewidth": 3.4, "capstyle": "round"}
        axes.add_patch(PathPatch(path, fill=False, gid=name, **style))
    return Chart(title, svg(figure, title), keys=[(name, i, "dots") for i, name in enumerate(names)], kind="map")


def svg(figure: Figure, title: str) -> Markup:
    """A figure as SVG for the middle of a page. An artist's `gid` is its name: the text that it shows, else its tip.

    The same figure gives the same text. `title` has to differ from that of other charts of a page, as identifiers do.
    """
    names = {}
    for i, artist in enumerate({id(artist): artist for artist in figure.findobj()}.values()):
        artist.set_clip_on(False)
        if artist.get_gid() is not None:
            names[f"name{i}"] = artist.get_gid()
            artist.set_gid(f"name{i}")
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": clean(title), "font.sans-serif": [BASE]}):
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(file.getvalue())
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: _in_variables(value) for name, value in element.items()}
        if element.tag == "g" and (name := names.get(element.attrib.pop("id", ""))):
            text = next((child for child in element.iter() if child.tag.endswith("text")), None)
            if text is None:
                text = ElementTree.Element("title")
                element.insert(0, text)
            text.text = clean(name)
    for other in [child for child in root if child.tag == "metadata" or child.find("style") is not None]:
        root.remove(other)
    # Sizes are those of the style sheet; what is named once is not named again.
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": clean(title)}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _in_variables(value: str) -> str:
    """A style with the page's variables for colours."""
    return re.sub("(?<=: )#[0-9a-f]{6}", lambda colour: f"var(--{_VARIABLES.get(colour[0], 'ink')})", value)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _axes(ticks: Sequence[str], bounds: tuple[float, float], x_label: str = "") -> tuple[Figure, Axes]:
    """Axes over named positions, with lines at round values. Texts are named: the page has fonts that are not here."""
    low, high = bounds if bounds[1] > bounds[0] else (bounds[0] - 0.5, bounds[0] + 0.5)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), facecolor="none")
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / HEIGHT, width / WIDTH, height / HEIGHT), facecolor="none")
    axes.set(xlim=(-0.5, max(len(ticks), 1) - 0.5), ylim=(low, high))
    axes.set_xticks(range(len(ticks)), ["x"] * len(ticks))
    room = max(3, int(width / max(len(ticks), 1) / 6.5))
    for label, tick in zip(axes.get_xticklabels(), ticks, strict=True):
        label.set_gid(shorten(clean(tick), room))
    if x_label:
        axes.set_xlabel("x", gid=x_label, fontsize=12, color=INK, labelpad=5)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=LINE, linewidth=1)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=12, labelcolor=INK, pad=6)
    return figure, axes


def _draw(axes: Axes, series: Series) -> None:
    """Line, error bars and single runs, cut at the ends of the axis."""
    (low, high), colour = axes.get_ylim(), _colour(series.colour)
    y = np.clip(np.asarray(series.y, dtype=float), low, high)
    dashes = (0, (2, 3)) if series.published else "-"
    (line,) = axes.plot(series.x, y, color=colour, linestyle=dashes if series.joined else "", gid=series.name)
    line.set(linewidth=1.4 if series.published else 1.8, marker="o", markersize=6.5, markeredgewidth=1.6)
    line.set_markerfacecolor(PANEL if series.published else colour)
    if len(series.spread):
        spread = np.asarray(series.spread, dtype=float)
        ends = [y - np.clip(y - spread, low, high), np.clip(y + spread, low, high) - y]
        axes.errorbar(series.x, y, ends, fmt="none", ecolor=colour, elinewidth=1.8, capsize=4)
    if series.points:
        x, values = zip(*series.points, strict=True)
        axes.plot(x, np.clip(values, low, high), "o", color=colour, markersize=4, markeredgewidth=0, alpha=0.45)
