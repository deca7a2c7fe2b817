"""Numbers -> charts as inline SVG: they need no script, scale to a phone and take the page's colours, dark or light.

Colours are CSS classes of `report_style`; text is escaped here, so that any name may be given.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence

from .names import shorten
from .page import escape

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 38, 10, 12, 40
COLOURS = 8


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
) -> str:
    """Values over named positions, with error bars; `lines` are horizontal ones.

    Args:
        ticks: Names of the positions, evenly spaced.
        bounds: Lowest and highest value of the axis.
    """
    frame = _Frame(max(len(ticks), 1), bounds)
    parts = [frame.axes(ticks, x_label)]
    for i, value in enumerate((lines or {}).values()):
        y = frame.y(value)
        parts.append(f'<path class="base b{i % 4}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
    parts += [_series(frame, one) for one in series]
    keys = [_key(f"c{s.colour % COLOURS}{' published' if s.published else ''}", s.name) for s in series]
    keys += [_key(f"base b{i % 4}", f"{name} {value:.2f}") for i, (name, value) in enumerate((lines or {}).items())]
    return _figure(title, "".join(parts), keys, y_label)


def paired_chart(
    title: str,
    left: str,
    right: str,
    pairs: Sequence[tuple[float, float, int]],
    names: Sequence[str],
    *,
    y_label: str,
    bounds: tuple[float, float],
) -> str:
    """A line a pair from its left to its right value. pairs: (left, right, colour); names: of the colours."""
    frame = _Frame(2, bounds)
    parts = [frame.axes([left, right], "")]
    for a, b, colour in pairs:
        ends = [(frame.x(0), frame.y(a)), (frame.x(1), frame.y(b))]
        path = f"M{ends[0][0]:.1f} {ends[0][1]:.1f}L{ends[1][0]:.1f} {ends[1][1]:.1f}"
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in ends)
        parts.append(f'<g class="c{colour % COLOURS} thin"><path d="{path}"/>{dots}</g>')
    if pairs:
        a, b = (sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))
        line = f"M{frame.x(0):.1f} {frame.y(a):.1f}L{frame.x(1):.1f} {frame.y(b):.1f}"
        parts.append(f'<path class="mean" d="{line}"/>')
    keys = [_key(f"c{i % COLOURS}", name) for i, name in enumerate(names)]
    return _figure(title, "".join(parts), [*keys, _key("mean", "mean")], y_label)


def matrix_chart(title: str, matrix: Sequence[Sequence[float]], names: Sequence[str]) -> str:
    """A confusion matrix, rows true: the darker, the larger the share of its row."""
    count, margin = len(names), 92
    cell = (WIDTH - margin - 4) / max(count, 1)
    height = count * cell + 22
    parts = []
    for row, counts in enumerate(matrix):
        total = sum(counts)
        for column, value in enumerate(counts):
            if value:
                share = value / total
                text = f"{escape(names[row])} as {escape(names[column])}: {value:g} of {total:g}"
                parts.append(
                    f'<rect x="{margin + column * cell:.1f}" y="{row * cell:.1f}" width="{cell:.1f}" '
                    f'height="{cell:.1f}" fill-opacity="{max(share, 0.04):.2f}"><title>{text}</title></rect>'
                )
        if count <= 24:
            size = min(11.0, 0.8 * cell)
            parts.append(
                f'<text x="{margin - 4}" y="{(row + 0.5) * cell + size / 3:.1f}" font-size="{size:.1f}" '
                f'text-anchor="end">{escape(shorten(names[row], 14))}</text>'
            )
    side = count * cell
    parts.append(f'<path class="frame" d="M{margin} 0h{side:.1f}v{side:.1f}h-{side:.1f}z"/>')
    place = f'x="{margin + side / 2:.0f}" y="{height - 6:.0f}"'
    parts.append(f'<text {place} font-size="11" text-anchor="middle">predicted, same order</text>')
    return _figure(title, "".join(parts), [], "true", height=math.ceil(height), kind="matrix")


def map_chart(title: str, xy: Sequence[tuple[float, float]], labels: Sequence[int], names: Sequence[str]) -> str:
    """Points of an embedding in the colour of their label; `labels` are positions in `names`."""
    finite = [(x, y, i) for (x, y), i in zip(xy, labels, strict=True) if math.isfinite(x) and math.isfinite(y)]
    low_x, high_x = _range([x for x, _, _ in finite])
    low_y, high_y = _range([y for _, y, _ in finite])
    scale = (WIDTH - 20) / max(high_x - low_x, high_y - low_y)
    parts = []
    for number, name in enumerate(names):
        places = [
            f"M{10 + (x - low_x) * scale:.1f} {10 + (high_y - y) * scale:.1f}h0" for x, y, i in finite if i == number
        ]
        parts.append(f'<path class="dots k{number % 24}" d="{"".join(places)}"><title>{escape(name)}</title></path>')
    height = 20 + (high_y - low_y) * scale
    keys = [_key(f"dots k{i % 24}", name) for i, name in enumerate(names)]
    return _figure(title, "".join(parts), keys, "", height=math.ceil(height), kind="map")


def image_chart(title: str, png: bytes) -> str:
    """A PNG that somebody else has drawn."""
    data = base64.b64encode(png).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(title)}">'
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{image}</figure>'


def side_by_side(charts: Sequence[str]) -> str:
    """Charts that belong together, below each other only where the screen is narrow."""
    return f'<div class="pair">{"".join(charts)}</div>'


class _Frame:
    """Where values lie on the paper."""

    def __init__(self, positions: int, bounds: tuple[float, float]) -> None:
        self.low, self.high = bounds if bounds[1] > bounds[0] else (bounds[0] - 0.5, bounds[0] + 0.5)
        self._step = (WIDTH - LEFT - RIGHT) / positions

    def x(self, position: float) -> float:
        return LEFT + (position + 0.5) * self._step

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def axes(self, ticks: Sequence[str], x_label: str) -> str:
        parts = []
        for value in _round_values(self.low, self.high):
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        room = max(3, int(self._step / 6))
        for i, tick in enumerate(ticks):
            parts.append(
                f'<text x="{self.x(i):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
                f"{escape(shorten(tick, room))}</text>"
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(
            f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label) if x_label else ""}</text>'
        )
        return "".join(parts)


def _series(frame: _Frame, series: Series) -> str:
    places = [(frame.x(x), frame.y(y)) for x, y in zip(series.x, series.y, strict=True)]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places) if places and series.joined else ""
    parts = [f'<path d="{line}"/>'] if line else []
    for (x, _), y, spread in zip(places, series.y, series.spread, strict=False):
        if math.isfinite(spread):
            low, high = frame.y(y - spread), frame.y(y + spread)
            parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places]
    parts += [f'<circle class="run" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2"/>' for x, y in series.points]
    published = " published" if series.published else ""
    return f'<g class="c{series.colour % COLOURS}{published}">{"".join(parts)}</g>'


def _round_values(low: float, high: float) -> list[float]:
    """Four to eight round numbers from low to high."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 7)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _key(classes: str, name: str) -> str:
    drawing = f'<g class="{classes}"><path d="M1 5h16"/><circle cx="9" cy="5" r="3"/></g>'
    if classes.startswith(("base", "mean", "dots")):
        drawing = f'<path class="{classes}" d="M{"9 5h0" if "dots" in classes else "1 5h16"}"/>'
    return f'<li><svg viewBox="0 0 18 10">{drawing}</svg>{escape(name)}</li>'


def _figure(
    title: str, drawing: str, keys: Sequence[str], y_label: str, *, height: int = HEIGHT, kind: str = ""
) -> str:
    legend = f'<ul class="keys">{"".join(keys)}</ul>' if keys else ""
    unit = f'<div class="unit">{escape(y_label)}</div>' if y_label else ""
    return (
        f'<figure class="chart {kind}"><figcaption>{escape(title)}</figcaption>{unit}'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{drawing}</svg>{legend}</figure>'
    )
