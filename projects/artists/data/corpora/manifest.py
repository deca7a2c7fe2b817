"""A table of tracks, CSV or Parquet: path and artist; optionally track_id, album, title, fold and any label columns."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath

import pandas as pd

from ...errors import InputError
from ..tracks import Corpus, Progress, Track, nfc, track_id

OWN = ("path", "artist", "track_id", "album", "title", "fold")


def matches(data: str) -> bool:
    path = Path(data).expanduser()
    return path.is_file() or (path.suffix.lower() in (".csv", ".parquet") and path.parent.is_dir())


def load(data: str, progress: Progress | None = None) -> Corpus:
    """Paths are relative to the manifest's folder.

    Raises InputError where it is not there, no table, or without a path and an artist in every row.
    """
    return read(Path(data).expanduser().resolve(), data)


def read(file: Path, data: str) -> Corpus:
    """As `load`, of the manifest at `file`; `data` is what the user gave."""
    table = _read(file, data)
    missing = [name for name in ("path", "artist") if name not in table.columns]
    if missing:
        raise InputError(
            f"data={data} has no column {' and no column '.join(missing)}; it has {', '.join(table.columns)}. "
            "A manifest needs path and artist."
        )
    empty = table.index[(table["path"].str.strip() == "") | (table["artist"].str.strip() == "")]
    if len(empty):
        raise InputError(f"data={data}: row {empty[0] + 1} has no path or no artist. Fill it in or delete the row.")
    rows = table.to_dict("records")
    return Corpus(nfc(file.stem), tuple(_track(row, file.parent) for row in rows))


def _read(file: Path, data: str) -> pd.DataFrame:
    try:
        if file.suffix.lower() == ".parquet":
            table = pd.read_parquet(file)
            # Whole numbers with gaps are floats in pandas: a year is 1999 here as in CSV, not 1999.0.
            return table.convert_dtypes().astype("string").fillna("").astype(object)
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        if not isinstance(table.index, pd.RangeIndex):
            # pandas has taken the first column for an index and shifted the others.
            raise ValueError("its rows have more cells than its first line")
        return table
    except FileNotFoundError as error:
        raise InputError(f"data={data} does not exist. Check the path of the manifest.") from error
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"data={data} cannot be read as a CSV (UTF-8) or Parquet table: {reason}") from error


def _track(row: dict[str, str], folder: Path) -> Track:
    row = {
        name: unicodedata.normalize("NFC", value.strip()) if name != "path" else value for name, value in row.items()
    }
    relative = PurePath(row["path"])
    if relative.is_absolute() and relative.is_relative_to(folder):
        # An id must not depend on where the corpus lies.
        relative = relative.relative_to(folder)
    labels = {name: value for name, value in row.items() if name not in OWN and value}
    return Track(
        row.get("track_id") or track_id(relative),
        folder / relative,
        artist=row["artist"],
        album=row.get("album", ""),
        title=row.get("title") or unicodedata.normalize("NFC", relative.stem),
        fold=row.get("fold", ""),
        labels=labels,
    )
