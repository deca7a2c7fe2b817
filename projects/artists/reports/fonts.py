"""Fonts for matplotlib: fall-backs for other scripts, and names reduced to what those fonts can draw.

A character that no font has would make matplotlib warn at every draw. Catching warnings changes the state of
the whole process and is not thread-safe; replacing such characters beforehand is.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from typing import Any

from matplotlib import font_manager

from .names import clean, distinct_names

BASE = "DejaVu Sans"  # comes with matplotlib
FALLBACKS = (
    "Noto Sans", "Noto Sans CJK JP", "Noto Sans JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic", "MS Gothic",
    "IPAexGothic", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei", "Apple SD Gothic Neo", "Malgun Gothic",
    "NanumGothic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Hebrew", "Noto Sans Arabic",
    "Arial Unicode MS", "FreeSans", "Unifont",
)  # fmt: skip
BOX = "□"


@functools.lru_cache(maxsize=1)
def families() -> tuple[str, ...]:
    """DejaVu Sans and those of the fall-backs that are installed here."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return (BASE, *(name for name in FALLBACKS if name in installed))


@functools.lru_cache(maxsize=1)
def drawable_characters() -> frozenset[int]:
    """Code points that at least one of `families()` has a glyph for."""
    paths = [font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families()]
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())


def drawable(text: str) -> str:
    """`text` with what no installed font has as a box; marks and joiners without a glyph are left out."""
    known = drawable_characters()
    return "".join(character if ord(character) in known else _substitute(character) for character in text)


def _substitute(character: str) -> str:
    return "" if unicodedata.category(character) in ("Mn", "Me", "Cf") else BOX


def drawable_names(names: Iterable[object], width: int) -> list[str]:
    """Names for a figure: cleaned, drawable, cut to `width` columns and still told apart."""
    return distinct_names([drawable(clean(name)) for name in names], width)


def text_style(size: float, **more: Any) -> dict[str, Any]:
    """Keyword arguments of every text we draw; a dollar sign in a name ("A$AP") is not mathematics."""
    return {"fontfamily": list(families()), "fontsize": size, "parse_math": False, **more}
