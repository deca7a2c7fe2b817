"""Parameters as `--help` and the README show them: a row a field of the options, from its declaration alone."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

WIDTH = 120
# At most so many characters of a column of the help.
KIND_WIDTH, DEFAULT_WIDTH = 26, 18
KINDS = {int: "whole number", float: "number", str: "text", bool: "true, false"}


class Parameter(NamedTuple):
    """kind: its type in words, or the values that it may have, separated by commas."""

    name: str
    kind: str
    default: str
    description: str


def parameters(group: type, defaults: Mapping[str, Any] | None = None, without: Sequence[str] = ()) -> list[Parameter]:
    """The fields of a dataclass of options.

    Args:
        defaults: Values that stand before the fields' own, such as those of a system.
        without: Fields that are left out.
    """
    hints, values = typing.get_type_hints(group), defaults or {}
    fields = [(f.name, values.get(f.name, f.default)) for f in dataclasses.fields(group) if f.name not in without]
    return [Parameter(name, _kind(hints[name]), _text(value), _description(group, name)) for name, value in fields]


def title(group: type) -> str:
    """The first line of its docstring."""
    return (group.__doc__ or "").splitlines()[0]


def help_tables(tables: Sequence[tuple[str, Sequence[Parameter]]]) -> str:
    """Tables of text under their titles, their columns below one another, no line longer than WIDTH."""
    rows = [row for _, table in tables for row in table]
    needed = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    widths = [min(need, most) for need, most in zip(needed, (WIDTH, KIND_WIDTH, DEFAULT_WIDTH), strict=True)]
    widths.append(WIDTH - sum(widths) - 2 * 4)
    parts = ["\n".join([title, *(line for row in table for line in _lines(row, widths))]) for title, table in tables]
    return "\n\n".join(parts)


def _lines(row: Parameter, widths: Sequence[int]) -> Iterator[str]:
    cells = [textwrap.wrap(text, width) or [""] for text, width in zip(row, widths, strict=True)]
    for parts in itertools.zip_longest(*cells, fillvalue=""):
        yield ("  " + "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True))).rstrip()


def markdown_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def parameter_table(rows: Sequence[Parameter]) -> str:
    """In Markdown."""
    cells = [(f"`{row.name}`", row.kind, f"`{row.default}`" if row.default else "", row.description) for row in rows]
    return markdown_table(("name", "values", "default", ""), cells)


def options_table(systems: Mapping[str, type]) -> str:
    """The options of all systems in Markdown, a row an option, with the default of each system that has it."""
    merged: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for system, config in systems.items():
        for row in parameters(config):
            place = merged.setdefault((row.name, row.kind, row.description), {})
            place.setdefault(row.default, []).append(f"`{system}`")
    cells = []
    for (name, kind, description), defaults in sorted(merged.items()):
        values = "; ".join(f"`{value}` {', '.join(names)}" for value, names in defaults.items())
        cells.append((f"`{name}`", kind, values, description))
    return markdown_table(("name", "values", "defaults", ""), cells)


def _kind(hint: Any) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _kind(typing.get_args(hint)[0])
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(map(str, typing.get_args(hint)))
    return KINDS[hint]


def _text(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _description(group: type, name: str) -> str:
    """Of the class nearest to it that describes it: one that only changes a default need not."""
    for cls in group.__mro__:
        if name in inspect.get_annotations(cls):
            hint = typing.get_type_hints(cls, include_extras=True)[name]
            if hasattr(hint, "__metadata__"):
                return str(hint.__metadata__[0])
    return ""
