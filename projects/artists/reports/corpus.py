"""What `check` found, as text for a terminal and as a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .figures import new_figure
from .fonts import drawable, drawable_names, text_style
from .names import clean, display_width, printable, shorten
from .palette import INK, OKABE_ITO

ROWS = 25
EXAMPLES = 3
BARS = 40
_NAME = 32
_WIDTH = 100
_SUBSETS = {"train": OKABE_ITO[0], "val": OKABE_ITO[1], "test": OKABE_ITO[2], "": "#b0b0b0"}


def corpus_text(
    title: str,
    artists: pd.DataFrame,
    tracks: pd.DataFrame,
    kinds: Mapping[str, str],
    duplicates: pd.DataFrame,
    small: pd.DataFrame,
    split: str,
    warnings: Sequence[str],
) -> str:
    """At most some lines of everything; what is left out is counted, and named by the CSV that has it all.

    Args:
        artists: artist, albums, tracks, minutes, sample_rates, channels and a column a kind of problem.
        tracks: track_id, problems (kinds separated by spaces), reason.
        kinds: Kind of problem -> what is meant by it.
        duplicates: duplicate_group, track_id, copy.
        small: column, value, missing, songs, albums, of `split`, the split that was tried.
    """
    blocks = [[clean(title)], _artist_lines(artists, list(kinds))]
    blocks += [_problem_lines(tracks, kinds), _duplicate_lines(duplicates), _small_lines(small, split)]
    blocks.append([f"warning: {printable(warning)}" for warning in warnings])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _artist_lines(artists: pd.DataFrame, kinds: list[str]) -> list[str]:
    heads = ["artist", "albums", "tracks", "minutes", "Hz", "channels", "problems"]
    rows = [
        [
            shorten(clean(row["artist"]), _NAME),
            *(f"{row[name]:.0f}" for name in ("albums", "tracks", "minutes")),
            shorten(row["sample_rates"] or "?", 18),
            row["channels"] or "?",
            str(sum(row[kind] for kind in kinds) or ""),
        ]
        for row in artists.head(ROWS).to_dict("records")
    ]
    return _aligned([heads, *rows]) + _rest(len(artists), ROWS, "artists", "artists.csv")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(display_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [" " * (width - display_width(cell)) + cell for width, cell in zip(widths[1:], others, strict=True)]
        lines.append("  ".join([first + " " * (widths[0] - display_width(first)), *cells]).rstrip())
    return lines


def _rest(count: int, shown: int, what: str, file: str) -> list[str]:
    return [f"... and {count - shown} more {what}: {file} of this run"] if count > shown else []


def _problem_lines(tracks: pd.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    lines = []
    for kind, meaning in kinds.items():
        rows = tracks[[kind in problems.split() for problems in tracks["problems"]]]
        if len(rows):
            lines.append(f"{kind}: {len(rows)} ({meaning})")
        for row in rows.head(EXAMPLES).to_dict("records"):
            reason = f": {row['reason']}" if row["reason"] and kind in ("unreadable", "truncated") else ""
            lines.append(shorten(printable(f"  {row['track_id']}{reason}"), _WIDTH))
        lines += [f"  {line}" for line in _rest(len(rows), EXAMPLES, "tracks", "tracks.csv")]
    return lines or ["No problem with any file."]


def _duplicate_lines(duplicates: pd.DataFrame) -> list[str]:
    groups = list(duplicates.groupby("duplicate_group"))
    if not groups:
        return ["No recording is there twice."]
    lines = [f"duplicates: {len(groups)} recording(s) under {len(duplicates)} names"]
    for _, part in groups[:EXAMPLES]:
        copies = " = ".join(part["track_id"].head(EXAMPLES)) + (" = ..." if len(part) > EXAMPLES else "")
        kind = "same bytes" if (part["copy"] == "bytes").all() else "same recording"
        lines.append(f"  {kind}: {printable(copies)}")
    return lines + [f"  {line}" for line in _rest(len(groups), EXAMPLES, "recordings", "duplicates.csv")]


def _small_lines(small: pd.DataFrame, split: str) -> list[str]:
    if not len(small):
        return []
    lines = [f"too small for {split}: {len(small)} (not in every subset)"]
    for row in small.head(ROWS).to_dict("records"):
        name = shorten(clean(row["value"]), _NAME)
        lines.append(
            f"  {row['column']} {name}: {row['songs']} usable song(s) of {row['albums']} album(s), "
            f"none in subset {' and '.join(row['missing'].split())}"
        )
    return lines + [f"  {line}" for line in _rest(len(small), ROWS, "values", "too_small.csv")]


def corpus_figure(tracks: pd.DataFrame, kinds: Sequence[str], title: str, clip: float) -> Figure:
    """Minutes of each artist by subset of the split, lengths of the tracks, and how many have which problem.

    Args:
        tracks: artist, subset, seconds (NaN where nothing was decoded), problems; a row a track.
        kinds: Kinds of problems, in their order.
        clip: Seconds, drawn among the lengths.
    """
    minutes = tracks.pivot_table(index="artist", columns="subset", values="seconds", aggfunc="sum", observed=True) / 60
    minutes = minutes.reindex(sorted(set(tracks["artist"]))).fillna(0.0)
    count = min(len(minutes), BARS)
    figure = new_figure(11, max(4.2, 1.6 + 0.27 * count))
    figure.suptitle(drawable(clean(title)), **text_style(12.0, fontweight="bold", color=INK))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    _minutes(figure.add_subplot(grid[:, 0]), minutes, count)
    _lengths(figure.add_subplot(grid[0, 1]), tracks["seconds"].dropna().to_numpy(float), clip)
    _problems(figure.add_subplot(grid[1, 1]), tracks, kinds)
    return figure


def _minutes(axes: Axes, minutes: pd.DataFrame, count: int) -> None:
    """Stacked bars of the artists with most music, in alphabetical order."""
    most = minutes.loc[minutes.sum(axis=1).sort_values(ascending=False, kind="stable").index[:count]].sort_index()
    left = np.zeros(len(most))
    for subset, colour in _SUBSETS.items():
        if subset in most and most[subset].any():
            axes.barh(range(len(most)), most[subset], left=left, color=colour, label=subset or "in no subset")
            left += most[subset].to_numpy()
    axes.set_yticks(range(len(most)), drawable_names(most.index, _NAME), **text_style(9.0, color=INK))
    axes.set_ylim(len(most) - 0.4, -0.6)
    rest = f" ({count} of {len(minutes)}, those with most music)" if len(minutes) > count else ""
    _plain(axes, f"Minutes of each artist{rest}")
    if len(axes.get_legend_handles_labels()[0]):
        axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, -0.16), ncols=4)


def _lengths(axes: Axes, seconds: np.ndarray, clip: float) -> None:
    _plain(axes, "Tracks by length in seconds")
    if len(seconds):
        axes.hist(seconds, bins=30, range=(0, max(float(seconds.max()), clip, 1.0)), color=OKABE_ITO[5])
        axes.axvline(clip, color=OKABE_ITO[4], linewidth=1.5)
        axes.text(clip, axes.get_ylim()[1], f" a clip, {clip:g} s", va="top", **text_style(8.5, color=OKABE_ITO[4]))


def _problems(axes: Axes, tracks: pd.DataFrame, kinds: Sequence[str]) -> None:
    counts = Counter(kind for problems in tracks["problems"] for kind in problems.split())
    values = [counts[kind] for kind in kinds]
    bars = axes.barh(range(len(kinds)), values, color=OKABE_ITO[4])
    axes.bar_label(bars, padding=3, **text_style(9.0, color=INK))
    axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds], **text_style(9.0, color=INK))
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.set_xlim(0, max(1, *values) * 1.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes, "Tracks with a problem")


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", **text_style(10.0, color=INK))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
