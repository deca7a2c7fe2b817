"""Free Music Archive, Defferrard et al., ISMIR 2017: up to 106,574 tracks under Creative Commons, with their metadata.

Card: <data>/fma_metadata/tracks.csv beside <data>/fma_small/000/000002.mp3 (or fma_medium, fma_large, fma_full); where
several are there, data= is the folder of one. fma_small: 8,000 clips of 30 s, eight balanced genres. Labels: artist,
album, genre (genre_top), subset; `split=manifest` is the published training, validation and test. Some files of the
archive are known to be broken: they are quarantined. Expected on fma_small, label=genre (Park, Siamese): retrieval
.320, k-NN .573, linear softmax .548.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import InputError
from ..tracks import Corpus, Track, track_id

METADATA = Path("fma_metadata", "tracks.csv")
# Each holds the ones before it.
SUBSETS = ("small", "medium", "large", "full")
COLUMNS = {
    ("set", "split"): "split",
    ("set", "subset"): "subset",
    ("track", "genre_top"): "genre",
    ("track", "title"): "title",
    ("artist", "name"): "artist",
    ("album", "title"): "album",
}


def matches(data: str) -> bool:
    return _metadata(Path(data).expanduser()) is not None


def load(data: str, progress: object = None) -> Corpus:
    """The tracks of a subset; they may be missing on disk, which featurizing says.

    Raises:
        InputError: No subset's folder, several, or a table that is not FMA's.
    """
    root = Path(data).expanduser().resolve()
    file = _metadata(root) or root / METADATA
    subset = _subset(root, data)
    table = _read(file, data)
    known = SUBSETS[: SUBSETS.index(subset) + 1]
    rows = table[table["subset"].isin(known)] if subset != "full" else table
    if rows.empty:
        raise InputError(f"{file} lists no track of the subset {subset}; expected FMA's own tracks.csv.")
    folder = file.parents[1] / f"fma_{subset}"
    return Corpus(folder.name, tuple(_track(row, folder) for row in rows.to_dict("records")))


def _metadata(root: Path) -> Path | None:
    """tracks.csv of the archive's folder, or beside the folder of a subset."""
    if (root / METADATA).is_file():
        return root / METADATA
    beside = root.parent / METADATA
    return beside if root.name in _folders() and root.is_dir() and beside.is_file() else None


def _subset(root: Path, data: str) -> str:
    if root.name in _folders() and not (root / METADATA).is_file():
        return root.name.removeprefix("fma_")
    there = [name for name in _folders() if (root / name).is_dir()]
    if len(there) != 1:
        raise InputError(
            f"data={data} holds {'none of ' + ', '.join(_folders()) if not there else ' and '.join(there)}. "
            "Give the folder of one, for example data=fma/fma_small, with fma_metadata beside it."
        )
    return there[0].removeprefix("fma_")


def _folders() -> list[str]:
    return [f"fma_{name}" for name in SUBSETS]


def _read(file: Path, data: str) -> pd.DataFrame:
    """track_id and the columns that are used, all text; two lines name a column and a third the index."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            reader = csv.reader(opened)
            names = list(zip(next(reader), next(reader), strict=True))
            index = next(reader)[0]
        positions = {names.index(pair): name for pair, name in COLUMNS.items()}
        if index != "track_id":
            raise ValueError("its third line does not begin with track_id")
        table = pd.read_csv(
            file, skiprows=3, header=None, usecols=[0, *positions], dtype=str, keep_default_na=False, encoding="utf-8"
        )
        table = table.rename(columns={0: "track_id", **positions})
        table["track_id"] = table["track_id"].astype(int)
        return table
    except (OSError, ValueError, StopIteration, IndexError, csv.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else "it has fewer than three lines"
        raise InputError(f"data={data}: {file} is not FMA's tracks.csv: {reason}.") from error


def _track(row: Mapping[str, Any], folder: Path) -> Track:
    number = row["track_id"]
    path = folder / f"{number // 1000:03d}" / f"{number:06d}.mp3"
    text = {name: unicodedata.normalize("NFC", row[name].strip()) for name in COLUMNS.values()}
    return Track(
        track_id(path.relative_to(folder.parent)),
        path,
        artist=text["artist"],
        album=text["album"],
        title=text["title"] or path.stem,
        fold=text["split"],
        labels={name: text[name] for name in ("genre", "subset") if text[name]},
    )
