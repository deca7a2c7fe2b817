"""The songs a model is most wrong about, as a page: whose they are, who was heard in them, a clip to play."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .pages import check_columns, render

SONGS = 20
COLUMNS = ("track_id", "song", "artist", "predicted", "probability", "seconds")


def worst_songs_html(table: pd.DataFrame, clips: Mapping[str, bytes | None] | None, title: str) -> str:
    """The twenty songs with the lowest probability of their true artist, lowest first.

    The clips are embedded: links to other artifacts do not work in the frame MLflow shows a page in.

    Args:
        table: One row a song: track_id, song, artist (true), predicted, probability (of the true artist, 0
            to 1), seconds (length of the song). Songs with an unknown probability come last.
        clips: track_id -> WAV file, best 16 kHz mono of 6 s or less (260 kB of page each); None: no audio.

    Raises:
        ValueError: a column is missing.
    """
    check_columns(table, COLUMNS, "songs")
    table = table.assign(probability=pd.to_numeric(table["probability"], errors="coerce").astype(float))
    worst = table.sort_values(["probability", "track_id"]).head(SONGS)
    return render("worst_songs.html", title=title, songs=worst.to_dict("records"), count=len(table), clips=clips or {})
