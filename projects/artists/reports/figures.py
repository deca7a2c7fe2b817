"""Arrays -> matplotlib figures (confusion matrix, map of an embedding, grid of spectrograms) -> PNG.

`matplotlib.figure.Figure` objects only, never pyplot: no global state, nothing to close, safe in several threads.
Names and titles are drawn as plain text, whatever they hold.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from .fonts import drawable, drawable_names, text_style
from .names import clean, display_width, groups
from .palette import INK, mark, text_on

ANNOTATED_CLASSES = 25
GRID_ARTISTS = 25
LEGEND_LABELS = 100
NAME_WIDTH = 28
_NO_SUPPORT = "#e4e4e4"


def figure_bytes(figure: Figure, dpi: int = 120) -> bytes:
    """PNG of `figure`, cut to its contents; the same figure gives the same bytes (no date, no version)."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    layout: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.12, "facecolor": "white"}
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, **layout)
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def settled(figure: Figure) -> Figure:
    """`figure` with its layout computed and kept: constrained layout moves things a little at every draw."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def title_style(size: float) -> dict[str, Any]:
    return text_style(size, fontweight="bold", color=INK, wrap=True)


def confusion_figure(matrix: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    """Confusion matrix coloured by the share of each true class, its diagonal the recall.

    Up to 25 classes the percentages (and, where they fit, the counts) stand in the cells; beyond, the recall
    alone, at the right edge. Rows tell their number of examples in brackets; one without any is grey.

    Args:
        matrix: (k, k) counts, rows true, columns predicted.
        labels: k names, in the order of the rows.

    Raises:
        ValueError: `matrix` is not square, is negative or does not fit `labels`.
    """
    counts = _checked_counts(matrix, labels)
    support = counts.sum(axis=1)
    share = np.divide(counts, support[:, None], out=np.full(counts.shape, np.nan), where=support[:, None] > 0)
    cell = _cell_inches(len(labels))
    names = drawable_names(labels, NAME_WIDTH)
    margin = 0.085 * max(display_width(name) for name in names)
    side = cell * len(labels)
    figure = new_figure(max(side + margin + 2.4, 5.0), max(side + margin + 1.5, 3.2))
    axes = figure.add_subplot()
    axes.set_title(drawable(clean(title)), pad=10, **title_style(12.0 if side < 9 else 18.0))
    image = axes.imshow(share, cmap=_blues(), vmin=1e-9, vmax=1.0, interpolation="nearest")
    _name_rows_and_columns(axes, names, support, cell)
    if len(labels) <= ANNOTATED_CLASSES:
        _write_cells(axes, counts, share, cell)
    else:
        _write_recall_at_right(axes, np.diagonal(share), cell)
    _share_bar(figure, axes, image, max(side, 2.0))
    return settled(figure)


def _checked_counts(matrix: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    counts = np.asarray(matrix)
    if counts.shape != (len(labels), len(labels)) or not len(labels):
        raise ValueError(
            f"a confusion matrix of shape {counts.shape} was given with {len(labels)} labels; "
            "give a square matrix with one row, one column and one label a class"
        )
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise ValueError("the confusion matrix has negative or missing entries; give counts of examples")
    return counts


def _blues() -> Colormap:
    """One hue of falling lightness, for every kind of colour vision; zero is white, the least is tinted."""
    tints = matplotlib.colormaps["Blues"](np.linspace(0.14, 1.0, 256))
    return ListedColormap(tints).with_extremes(bad=_NO_SUPPORT, under="white")


def _cell_inches(count: int) -> float:
    if count <= 12:
        return 0.56
    return 0.4 if count <= ANNOTATED_CLASSES else min(0.17, 20.0 / count)


def _label_size(cell: float) -> float:
    return float(np.clip(0.68 * 72 * cell, 7.0, 10.0))


def _label_step(cell: float) -> int:
    """Every how many-th class is named: names need 0.12 inches each."""
    return max(1, math.ceil(0.12 / cell))


def _name_rows_and_columns(axes: Axes, names: list[str], support: np.ndarray, cell: float) -> None:
    ticks = np.arange(0, len(names), _label_step(cell))
    style = text_style(_label_size(cell), color=INK)
    axes.set_yticks(ticks, [f"{names[i]} ({support[i]:,.0f})" for i in ticks], **style)
    axes.set_xticks(ticks, [names[i] for i in ticks], **style)
    rotation, align, mode = (90, "center", "default") if cell < 0.4 else (45, "right", "anchor")
    for label in axes.get_xticklabels():
        label.set(rotation=rotation, ha=align, va="top", rotation_mode=mode)
    axes.set_xlabel("predicted", **text_style(10.0, color=INK))
    axes.set_ylabel("true (number of examples)", **text_style(10.0, color=INK))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if cell > 0.1:
        edges = np.arange(len(names) + 1) - 0.5
        line: dict[str, Any] = {"colors": "#d8dee4", "linewidths": 0.8 if cell >= 0.4 else 0.3}
        axes.hlines(edges, edges[0], edges[-1], **line)
        axes.vlines(edges, edges[0], edges[-1], **line)


def _write_cells(axes: Axes, counts: np.ndarray, share: np.ndarray, cell: float) -> None:
    """Percent of the row on the diagonal and in cells above zero, the count below where two lines fit."""
    two_lines = cell > 0.5
    colours = axes.images[0].to_rgba(share)
    written = (counts > 0) | (np.eye(len(counts), dtype=bool) & np.isfinite(share))
    for row, column in zip(*np.nonzero(written), strict=True):
        percent = f"{100 * share[row, column]:.0f}"
        text = f"{percent}%\n{counts[row, column]:,.0f}" if two_lines else percent
        weight = "bold" if row == column else "normal"
        style = text_style(8.5, color=text_on(colours[row, column]), fontweight=weight, linespacing=1.15)
        axes.text(column, row, text, ha="center", va="center", **style)
    for index in range(len(counts)):
        corner = (index - 0.5, index - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=INK, linewidth=1.1, zorder=3))


def _write_recall_at_right(axes: Axes, recall: np.ndarray, cell: float) -> None:
    ticks = np.arange(0, len(recall), _label_step(cell))
    right = axes.secondary_yaxis("right")
    names = ["–" if np.isnan(recall[i]) else f"{100 * recall[i]:.0f}" for i in ticks]
    right.set_yticks(ticks, names, **text_style(_label_size(cell), color=INK))
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    right.set_ylabel("recall (%)", **text_style(10.0, color=INK))


def _share_bar(figure: Figure, axes: Axes, image: AxesImage, side: float) -> None:
    """A bar level with the top of a matrix of `side` inches, right of the column of recalls if any."""
    height = min(1.0, 2.8 / side)
    gap = 0.25 if axes.texts else 0.85
    bar = figure.colorbar(image, cax=axes.inset_axes((1 + gap / side, 1 - height, 0.14 / side, height)))
    bar.set_ticks([1e-9, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100"])
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    bar.set_label("% of the true class", **text_style(9.0, color=INK))


def tsne_figure(xy: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    """Points of a two-dimensional embedding by colour and mark of their label, the legend outside.

    Up to 56 labels differ in colour and mark together. The axes of t-SNE have no unit, so none is shown.

    Raises:
        ValueError: `xy`, the coordinates, is not (n, 2) or `labels` are not n.
    """
    points = np.asarray(xy, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) != len(labels):
        raise ValueError(
            f"points of shape {points.shape} were given with {len(labels)} labels; give (n, 2) coordinates and n labels"
        )
    names = groups(labels)
    columns = max(1, math.ceil(min(len(names), LEGEND_LABELS) / 28))
    width = 0.5 + 0.075 * max((min(display_width(name), NAME_WIDTH) for name in names), default=0)
    figure = new_figure(6.6 + width * columns, 6.6)
    axes = figure.add_subplot()
    axes.set_title(drawable(clean(title)), pad=10, **title_style(12.0))
    of_point = np.array([clean(label) for label in labels], dtype=object)
    area = float(np.clip(9000 / max(len(points), 1), 10, 40))
    for index, name in enumerate(names):
        (colour, marker), (x, y) = mark(index), points[of_point == name].T
        axes.scatter(x, y, s=area, c=colour, marker=marker, alpha=0.85, edgecolors="black", linewidths=0.3)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#c8ced4")
    if names:
        _legend(figure, names, columns)
    return settled(figure)


def _legend(figure: Figure, names: list[str], columns: int) -> None:
    drawn = drawable_names(names, NAME_WIDTH)[:LEGEND_LABELS]
    handles = [_key(*mark(index)) for index in range(len(drawn))]
    if len(names) > len(drawn):
        handles.append(Line2D([], [], linestyle=""))
        drawn.append(f"… and {len(names) - len(drawn)} more")
    # Legend drops labels that begin with an underscore: place-holders first, names into their texts.
    places = ["x" * display_width(name) for name in drawn]
    spaces: dict[str, Any] = {"columnspacing": 1.0, "labelspacing": 0.45, "handletextpad": 0.2}
    legend = figure.legend(handles, places, loc="outside right center", ncols=columns, frameon=False, **spaces)
    for text, name in zip(legend.get_texts(), drawn, strict=True):
        text.set(text=name, **text_style(9.0, color=INK))


def _key(colour: str, marker: str) -> Line2D:
    size = 5.2 if marker == "D" else 6.5
    edge: dict[str, Any] = {"markeredgecolor": "black", "markeredgewidth": 0.3}
    return Line2D([], [], linestyle="", marker=marker, color=colour, markersize=size, **edge)


def spectrogram_grid(
    excerpts: Mapping[str, np.ndarray], *, sr: int, hop_length: int, mel_frequencies: np.ndarray, title: str
) -> Figure:
    """One log-mel excerpt an artist, all on one scale of decibels (figure 1 of Nasrullah and Zhao).

    Args:
        excerpts: Artist -> (frames, n_mels) in dB; the first 25 are shown, and the title says so.
        sr: Sampling rate in Hz.
        hop_length: Samples between frames.
        mel_frequencies: (n_mels,) centre of each band in Hz, rising.

    Raises:
        ValueError: no excerpt, or one whose bands are not those of `mel_frequencies`.
    """
    frequencies = np.asarray(mel_frequencies)
    panels = _checked_excerpts(excerpts, frequencies)
    cut = f" (the first {len(panels)} of {len(excerpts)} artists)" if len(panels) < len(excerpts) else ""
    columns = min(len(panels), 5 if len(panels) > 9 else math.ceil(math.sqrt(len(panels))))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(2.35 * columns + 1.6, 1.75 * rows + 1.0)
    figure.suptitle(drawable(clean(title)) + cut, **title_style(12.0))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    seconds = max(len(panel) for panel in panels.values()) * hop_length / sr
    low, high = _decibel_range(list(panels.values()))
    style: dict[str, Any] = {"cmap": "magma", "origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    for axes, name, panel in zip(grid.flat, drawable_names(panels, 26), panels.values(), strict=False):
        extent = (0, len(panel) * hop_length / sr, -0.5, panel.shape[1] - 0.5)
        image = axes.imshow(panel.T, vmin=low, vmax=high, extent=extent, **style)
        axes.set_title(name, pad=3, **text_style(9.0, color=INK))
    _label_grid(grid, len(panels), seconds, frequencies)
    bar = figure.colorbar(image, ax=grid, fraction=0.03, pad=0.015, aspect=30)
    bar.set_label("dB", **text_style(9.0, color=INK))
    bar.ax.tick_params(labelsize=8)
    figure.supxlabel("time (s)", **text_style(10.0, color=INK))
    figure.supylabel("frequency (Hz)", **text_style(10.0, color=INK))
    return settled(figure)


def _checked_excerpts(excerpts: Mapping[str, np.ndarray], frequencies: np.ndarray) -> dict[str, np.ndarray]:
    if not excerpts:
        raise ValueError("no spectrogram was given; give at least one artist's excerpt")
    panels = {name: np.asarray(excerpts[name], dtype=float) for name in list(excerpts)[:GRID_ARTISTS]}
    for name, panel in panels.items():
        if panel.ndim != 2 or panel.shape[1] != len(frequencies) or not len(panel):
            raise ValueError(
                f"the excerpt of {name!r} has shape {panel.shape}; "
                f"give (frames, {len(frequencies)}), one column a mel frequency"
            )
    return panels


def _decibel_range(panels: list[np.ndarray]) -> tuple[float, float]:
    """From the loudest value down to the quietest, at most 80 dB (librosa's `top_db`)."""
    finite = np.concatenate([panel[np.isfinite(panel)] for panel in panels])
    if not len(finite):
        return -80.0, 0.0
    high = float(finite.max())
    return min(max(float(finite.min()), high - 80.0), high - 1.0), high


def _label_grid(grid: np.ndarray, used: int, seconds: float, frequencies: np.ndarray) -> None:
    """Ticks on the left column and under the lowest panel of each column; panels not used are taken away."""
    columns = grid.shape[1]
    positions, labels = frequency_ticks(frequencies)
    grid[0, 0].set_xlim(0, seconds)
    grid[0, 0].set_yticks(positions, labels)
    for index, axes in enumerate(grid.flat):
        axes.set_visible(index < used)
        axes.tick_params(labelsize=8, length=2, labelbottom=index + columns >= used, labelleft=index % columns == 0)


def frequency_ticks(mel_frequencies: np.ndarray) -> tuple[list[float], list[str]]:
    """Positions among the bands, and names, of octaves (16000 Hz and down) an eighth of the axis apart."""
    bands = len(mel_frequencies)
    ticks: dict[str, float] = {}
    for octave in (16000, 8000, 4000, 2000, 1000, 500, 250, 125):
        position = float(np.interp(octave, mel_frequencies, np.arange(bands)))
        inside = mel_frequencies[0] <= octave <= mel_frequencies[-1] * 1.001
        if inside and all(other - position >= bands / 8 for other in ticks.values()):
            ticks[str(octave)] = position
    return list(ticks.values()), list(ticks)
