"""The songs a model is most wrong about, as a page: whose they are, who was heard in them, a clip to play."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .names import clean, clock
from .page import escape, page

SONGS = 20
COLUMNS = ("track_id", "song", "artist", "predicted", "probability", "seconds")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:; form-action 'none'; base-uri 'none'"
_STYLE = """\
:root { color-scheme: light dark;
  --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --paper: #fff; --bar: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117; --bar: #56b4e9; }
}
body { margin: 0; padding: 1.25rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
h1 { font-size: 1.25rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; color: var(--soft); }
table { border-collapse: collapse; width: 100%; max-width: 72rem; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .85rem; white-space: nowrap; }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: middle;
  overflow-wrap: anywhere; }
td { min-width: 3rem; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.song { font-weight: 600; }
.bar { display: inline-block; width: 4rem; height: .5rem; margin-right: .5rem; border-radius: .25rem;
  background: var(--line); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--bar); }
audio { height: 2.25rem; width: 13rem; display: block; }
@media (max-width: 760px) {
  thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
  table, tbody, tr, td { display: block; }
  tr { padding: .6rem 0; border-bottom: 1px solid var(--line); }
  td { border: 0; padding: .1rem 0; display: flex; gap: .75rem; align-items: center; }
  td::before { content: attr(data-label); flex: 0 0 6.5rem; color: var(--soft); font-size: .85rem; }
  td > * { min-width: 0; }
  audio { flex: 1; width: auto; }
}
"""


def worst_songs_html(table: pd.DataFrame, clips: Mapping[str, bytes] | None, title: str) -> str:
    """The twenty songs with the lowest probability of their true artist, lowest first.

    The clips are embedded: links to other artifacts do not work in the frame MLflow shows a page in.

    Args:
        table: One row a song: track_id, song, artist (true), predicted, probability (of the true artist, 0
            to 1), seconds (length of the song). Songs with an unknown probability come last.
        clips: track_id -> WAV file, best 16 kHz mono of 6 s or less (260 kB of page each); None: no audio.
        title: Heading of the page.

    Raises:
        ValueError: a column is missing.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(
            f"the table of songs has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}"
        )
    known = pd.to_numeric(table["probability"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    worst = table.assign(probability=known).sort_values(["probability", "track_id"]).head(SONGS)
    heads = ["Song", "True", "Predicted", "Probability of true", "Length", *(["Listen"] if clips else [])]
    rows = "\n".join(_row(record, clips) for record in worst.to_dict("records"))
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    note = f"{len(worst)} of {len(table)} songs, the lowest probability of their true label first."
    body = (
        f"<h1>{escape(title)}</h1>\n<p>{note}</p>\n"
        f"<table>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    )
    return page(title, body, style=_STYLE, policy=_POLICY)


def _row(record: Mapping[str, Any], clips: Mapping[str, bytes] | None) -> str:
    right = clean(record["artist"]) == clean(record["predicted"])
    cells = [
        _cell("Song", _name(record["song"]), "song"),
        _cell("True", _name(record["artist"])),
        _cell("Predicted", _name(record["predicted"]) + (" ✓" if right else "")),
        _cell("Probability", _probability(float(record["probability"])), "number"),
        _cell("Length", clock(record["seconds"]), "number"),
    ]
    if clips:
        cells.append(_cell("Listen", _player(clips.get(record["track_id"]), record["song"])))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(label: str, content: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<td data-label="{label}"{attribute}>{content}</td>'


def _name(name: object) -> str:
    """A name in its own writing direction, so that Arabic or Hebrew does not turn its neighbours round."""
    return f"<bdi>{escape(name)}</bdi>"


def _probability(value: float) -> str:
    if not 0.0 <= value <= 1.0:
        return "?"
    return f'<span class="bar"><i style="width:{100 * value:.0f}%"></i></span>{value:.3f}'


def _player(wav: bytes | None, song: object) -> str:
    if not wav:
        return "–"
    data = base64.b64encode(wav).decode("ascii")
    return f'<audio controls preload="metadata" aria-label="{escape(song)}" src="data:audio/wav;base64,{data}"></audio>'
