"""Pages: one self-contained HTML file each, made from a template of `templates/` and the one style sheet there.

Autoescape is on and every text is cleaned (see `names.clean`), so that any name may be given. MLflow's UI shows an HTML
artifact in an iframe with sandbox="allow-scripts": relative links, storage and pop-ups do not work there. The content
security policy says the same for a page that is opened from a disk.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from .markdown import code, inline
from .names import clean, clock, decimal
from .palette import DARK, LIGHT, colours

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# The buttons are listed because plotly.js's own list has "Share chart", which uploads the data to plotly.
PLOTLY_CONFIG = {
    "displaylogo": False, "responsive": True, "typesetMath": False, "showSendToCloud": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Link:
    """Text that leads somewhere; an address that is not http(s) is not followed."""

    text: str
    address: str


# Text, a link, or several with a space between.
Value = str | Link | Sequence[Link]


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table. heading: its first cells; kind: mean, best, deviation, published, runs, or "" for plain."""

    heading: Sequence[Value]
    values: Sequence[Value]
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """heading: names of the first columns; columns: names of the others; prose: whether rows begin with a sentence."""

    title: str
    heading: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Row]
    note: str = ""
    prose: bool = False


@dataclasses.dataclass(frozen=True)
class Chart:
    """A drawing with its heading. body: SVG or an image; keys: name, colour and kind of each entry of the legend."""

    title: str
    body: Markup
    unit: str = ""
    keys: Sequence[tuple[str, int, str]] = ()
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page. charts: groups of charts that stay together; a section that holds nothing is left out."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    charts: Sequence[Sequence[Chart]] = ()


def render(template: str, **values: Any) -> Markup:
    """A file of `templates/`, filled in."""
    return Markup(_environment().get_template(template).render(values))


def graph(figure: Figure, *, library: bool = True, config: dict[str, Any] | None = None, **options: Any) -> Markup:
    """A plotly figure as a part of a page. library: whether plotly.js comes with it, as once a page it has to."""
    whole = {**PLOTLY_CONFIG, **(config or {})}
    return Markup(figure.to_html(config=whole, include_plotlyjs=library, full_html=False, **options))


def check_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raises ValueError where a column is missing."""
    missing = ", ".join(name for name in dict.fromkeys(columns) if name not in table)
    if missing:
        raise ValueError(f"the table of {what} has no column {missing}; it has {', '.join(map(str, table.columns))}")


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), undefined=jinja2.StrictUndefined,
        autoescape=True, finalize=_printable, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"clean": clean, "clock": clock, "decimal": decimal, "code": code}
    environment.filters["markdown"] = lambda text: Markup(inline(text))
    environment.filters["base64"] = lambda data: Markup(base64.b64encode(data).decode("ascii"))
    environment.globals |= {"light": colours(24, LIGHT), "dark": colours(24, DARK)}
    return environment


def _printable(value: object) -> object:
    return clean(value) if isinstance(value, str) and value and not isinstance(value, Markup) else value
