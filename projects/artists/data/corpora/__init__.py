"""Kinds of corpora, one module each: `matches(data)` says whether it knows the value, `load(data, progress)` reads."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from ...errors import InputError
from ..paths import usable
from ..tracks import Corpus, Progress


def load(data: str, progress: Progress | None = None) -> Corpus:
    """The corpus that `data=` names: `demo`, a folder <artist>/<album>/<song>, a CSV or Parquet manifest, or S3.

    Args:
        progress: Told of files that are made or fetched first.

    Raises:
        InputError: No kind knows it, or it is not what its kind expects.
    """
    # An empty name would be the current folder.
    for name in _kinds() if data else ():
        kind = importlib.import_module(f"{__name__}.{name}")
        with usable("data", data):
            known = kind.matches(data)
        if known:
            return kind.load(data, progress)
    raise _unknown(data)


def check(data: str) -> None:
    """Raises InputError where `load` would find nothing; asks no kind of corpus, which takes time to import."""
    if not data.startswith(("demo", "s3://")):
        with usable("data", data):
            there = bool(data) and Path(data).expanduser().exists()
        if not there:
            raise _unknown(data)


def _unknown(data: str) -> InputError:
    return InputError(
        f"data={data} does not exist. Give `demo`, a folder laid out as <artist>/<album>/<song>, "
        "a manifest (.csv or .parquet) with the columns path and artist, or either of them as s3://bucket/prefix."
    )


def _kinds() -> list[str]:
    """`folder` takes any folder: it is asked last. What is for `s3` is no path, so that it is asked first."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return sorted(names, key=lambda name: (name != "s3", name == "folder"))
