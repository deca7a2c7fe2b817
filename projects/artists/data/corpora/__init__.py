"""Kinds of corpora, one module each: `matches(data)` says whether it knows the value, `load(data)` reads it."""

from __future__ import annotations

import importlib
import pkgutil

from ...errors import InputError
from ..tracks import Corpus


def load(data: str) -> Corpus:
    """The corpus that `data=` names: `demo`, a folder <artist>/<album>/<song>, or a CSV or Parquet manifest.

    Raises:
        InputError: No kind knows it, or it is not what its kind expects.
    """
    # An empty name would be the current folder.
    for name in _kinds() if data else ():
        kind = importlib.import_module(f"{__name__}.{name}")
        if kind.matches(data):
            return kind.load(data)
    raise InputError(
        f"data={data} does not exist. Give `demo`, a folder laid out as <artist>/<album>/<song>, "
        "or a manifest (.csv or .parquet) with the columns path and artist."
    )


def _kinds() -> list[str]:
    """`folder` takes any folder: it is asked last."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return sorted(names, key=lambda name: name == "folder")
