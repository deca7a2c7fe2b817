"""Names of artists, albums and songs as text that can be shown anywhere: they may be any Unicode string."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

ELLIPSIS = "…"
UNNAMED = "(unnamed)"
# Format characters are dropped (a bidirectional override would reverse the rest of a table's row), save the
# two joiners that Persian, Indic scripts and emoji are spelled with.
_JOINERS = "\u200c\u200d"
# Lone surrogates and control characters, by Unicode category.
_REPLACED = {"Cs": "\ufffd", "Cc": " "}


def clean(name: object) -> str:
    """A name as one line of NFC text without control, bidirectional or undecodable characters; never empty.

    Missing values (None, NaN, pandas.NA) and blank names become "(unnamed)".
    """
    import pandas as pd

    if pd.api.types.is_scalar(name) and pd.isna(name):
        return UNNAMED
    return " ".join(printable(unicodedata.normalize("NFC", str(name))).split()) or UNNAMED


def printable(text: object) -> str:
    """A path or command on one line; its spaces and its normal form stay.

    A lone surrogate (of a file name that is not UTF-8) becomes U+FFFD, a control character a space.
    """
    return "".join(_printable_character(character) for character in str(text))


def printable_lines(text: object) -> str:
    """`printable` of each line; its line breaks stay."""
    return "\n".join(printable(line) for line in str(text).split("\n"))


def _printable_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in _REPLACED:
        return _REPLACED[category]
    return "" if category == "Cf" and character not in _JOINERS else character


def display_width(text: str) -> int:
    """Columns `text` takes in a terminal: East Asian wide characters and emoji two, combining marks none."""
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` columns, cut at the end with an ellipsis."""
    if display_width(text) <= width:
        return text
    return _beginning(text, width - 1).rstrip() + ELLIPSIS


def shorten_middle(text: str, width: int) -> str:
    """`text` in at most `width` columns, cut in the middle: names that begin alike often end differently."""
    if display_width(text) <= width:
        return text
    end = _beginning(text[::-1], (width - 1) // 2)[::-1]
    return _beginning(text, width - 1 - display_width(end)).rstrip() + ELLIPSIS + end.lstrip()


def _beginning(text: str, width: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += _character_width(character)
        if used > width:
            return text[:index]
    return text


def distinct_names(names: Iterable[object], width: int) -> list[str]:
    """Each name cleaned and cut to `width` columns, told apart where the cut makes two look the same.

    Such names are cut in the middle; if that does not help either they end with their position, " #3".
    """
    full = [clean(name) for name in names]
    short = [shorten(name, width) for name in full]
    counts = Counter(short)
    short = [shorten_middle(name, width) if counts[cut] > 1 else cut for name, cut in zip(full, short, strict=True)]
    counts = Counter(short)
    return [_numbered(cut, position, width) if counts[cut] > 1 else cut for position, cut in enumerate(short, start=1)]


def _numbered(name: str, number: int, width: int) -> str:
    suffix = f" #{number}"
    return shorten(name, max(width - len(suffix), 1)) + suffix


def groups(values: Iterable[object]) -> list[str]:
    """The distinct cleaned values in alphabetical order, whatever their order of arrival."""
    return sorted({clean(value) for value in values}, key=_in_reading_order)


def _in_reading_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """ "CD 2" before "CD 10", whatever the case of letters."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return [(int(piece), "") if index % 2 else (-1, piece) for index, piece in enumerate(pieces)], name


def decimal(value: float | None) -> str:
    """Three decimals, as the papers have it; "–" for none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on (3 -> "0:03"); "?" when not a finite number."""
    try:
        total = round(float(seconds))
    except (TypeError, ValueError, OverflowError):
        return "?"
    minutes, second = divmod(max(total, 0), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
