"""Scoring files with a packaged model, in processes that each load it: what score and promote have in common."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...data import workers
from ...package import request as intake
from ...package.scorer import failed, unexpected
from ...tracking import model

ERROR = "error"


@dataclasses.dataclass(frozen=True)
class Song:
    """A file to be scored. label: what the corpus says it is, empty when it says nothing."""

    track_id: str
    path: Path
    label: str = ""


def answers(
    songs: Iterable[Song], folder: Path, params: Mapping[str, Any], processes: int
) -> Iterator[tuple[Song, dict[str, Any]]]:
    """A packaged model's row of each song, in the order in which they are done; of one that kills its process too."""
    load = functools.partial(_load, str(folder), dict(params), processes)
    for song, answer in workers.spread(songs, _answer, processes, load):
        yield song, answer or failed("the decoder crashed on this file")


# Of a worker process, set once when it starts.
_loaded: dict[str, Any] = {}


def _load(folder: str, params: dict[str, Any], processes: int) -> None:
    if processes > 1:
        # One process a core already fills the machine. TensorFlow and BLAS read these when they are imported.
        os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    # These files were named by who runs this, not by a request.
    os.environ[intake.ROOT] = os.path.abspath(os.sep)
    _loaded["model"], _loaded["params"] = model.load(folder), params


def _answer(song: Song) -> dict[str, Any]:
    import pandas as pd

    try:
        str(song.path).encode()
        row: dict[str, Any] = {"path": str(song.path)}
    except UnicodeEncodeError:
        # A name that is not UTF-8 cannot stand in a table; its bytes can.
        try:
            row = {"audio": song.path.read_bytes()}
        except OSError as error:
            return failed(error.strerror or str(error))
    try:
        table = _loaded["model"].predict(pd.DataFrame([row]), params=_loaded["params"])
    except Exception as error:
        # A model of an older version lets through what it does not expect.
        return unexpected(error)
    # A float column knows no null.
    return {name: None if intake.is_missing(value) else value for name, value in table.to_dict("records")[0].items()}
