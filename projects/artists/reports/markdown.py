"""Text inside Markdown, of which MLflow shows descriptions: any name stays what it is."""

from __future__ import annotations

import html
import re

from markupsafe import Markup

from .names import clean, printable

# What begins a link, an emphasis, a table cell or a heading inside one line of Markdown.
_MARKDOWN = re.compile(r"([\\`*_\[\]{}|~#!])")
_MARKDOWN_ESCAPE = re.compile(rf"\\{_MARKDOWN.pattern}")


def inline(text: object) -> str:
    """Plain text inside a line of Markdown: neither HTML nor marks, links or table borders."""
    return html.escape(_MARKDOWN.sub(r"\\\1", clean(text)), quote=False)


def plain(markdown: str) -> str:
    """The text that `inline` was given, as it was cleaned."""
    return _MARKDOWN_ESCAPE.sub(r"\1", html.unescape(markdown))


def code(text: object) -> Markup:
    """A span of code."""
    content = printable(text)
    space = " " if content.startswith("`") or content.endswith("`") else ""
    return Markup(f"{fence(content)}{space}{content}{space}{fence(content)}")


def fence(code: str, shortest: int = 1) -> str:
    """Backticks, more than any run of them in the code."""
    return "`" * max([shortest, *(len(run) + 1 for run in re.findall("`+", code))])
