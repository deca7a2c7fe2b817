"""The figure of a model's answers to deformed songs: its score beside the undisturbed one, and what has changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .figures import new_figure, settled, title_style
from .fonts import drawable, text_style
from .names import clean
from .palette import INK, OKABE_ITO

_SCORE, _CHANGED, _LINE = OKABE_ITO[0], OKABE_ITO[4], "#d8dee4"
# Behind a number that a line would cross.
_PAPER: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}


def deformation_figure(table: pd.DataFrame, title: str) -> Figure:
    """A row a deformation: song F1 with its interval on the left, the number of changed answers on the right.

    Args:
        table: Columns title, song_f1, song_f1_low, song_f1_high, changed, songs; the first row is the undisturbed one,
            at which a line stands.
    """
    figure = new_figure(8.6, 1.5 + 0.34 * len(table))
    figure.suptitle(drawable(clean(title)), **title_style(12.0))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2), gridspec_kw={"wspace": 0.06})
    rows = np.arange(len(table))
    _draw_scores(left, table, rows)
    _draw_changes(right, table, rows)
    left.set_yticks(rows, list(table["title"]), **text_style(9.5, color=INK))
    left.set_ylim(len(table) - 0.5, -0.5)
    for axes in (left, right):
        axes.tick_params(axis="both", length=0, labelsize=9)
        axes.spines[:].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color=_LINE, linewidth=0.8)
    return settled(figure)


def _draw_scores(axes: Axes, table: pd.DataFrame, rows: np.ndarray) -> None:
    scores = table["song_f1"].to_numpy(float)
    # A percentile interval may lie beside its score.
    below = np.maximum(scores - table["song_f1_low"].to_numpy(float), 0)
    above = np.maximum(table["song_f1_high"].to_numpy(float) - scores, 0)
    axes.axvline(scores[0], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.errorbar(scores, rows, xerr=[below, above], fmt="o", color=_SCORE, markersize=6.5, elinewidth=1.6, capsize=3)
    for row, score in zip(rows, scores, strict=True):
        axes.annotate(
            f"{score:.2f}", (score, row), (0, 7), textcoords="offset points", ha="center", bbox=_PAPER,
            **text_style(8.5, color=INK),
        )  # fmt: skip
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("song F1, 95 % interval; dashed: undisturbed", **text_style(9.5, color=INK))


def _draw_changes(axes: Axes, table: pd.DataFrame, rows: np.ndarray) -> None:
    changed, songs = table["changed"].to_numpy(int), int(table["songs"].iloc[0])
    axes.barh(rows[1:], changed[1:], height=0.56, color=_CHANGED)
    for row, count in zip(rows[1:], changed[1:], strict=True):
        axes.annotate(
            f"{count} ({count / songs:.0%})", (count, row), (4, 0), textcoords="offset points", va="center",
            **text_style(9.0, color=INK),
        )  # fmt: skip
    # Room for the number behind the longest bar.
    axes.set_xlim(0, max(1.35 * changed.max(), 0.2 * songs, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel(f"answers that change, of {songs}", **text_style(9.5, color=INK))
