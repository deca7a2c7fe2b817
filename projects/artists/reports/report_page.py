"""Tables and charts -> the report of a study: one HTML page for a screen of any width, light or dark, and for paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .page import escape, page
from .palette import colours

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"


@dataclasses.dataclass(frozen=True)
class Link:
    """Text that leads somewhere; an address that is not http(s) is not followed."""

    text: str
    address: str

    @property
    def html(self) -> str:
        text = escape(self.text)
        if not self.address.startswith(("http://", "https://")):
            return text
        return f'<a href="{escape(self.address)}">{text}</a>'


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
class Section:
    """A part of the page. charts: HTML of `charts`, as many in a row as the screen has room for."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    charts: Sequence[str] = ()
    sentences: Sequence[str] = ()


def report_html(title: str, facts: Sequence[Value], sections: Sequence[Section]) -> str:
    """The page; sections that hold nothing are left out."""
    shown = [section for section in sections if section.tables or section.charts or section.sentences]
    head = f"<header><h1>{escape(title)}</h1><p>{' · '.join(_value(fact) for fact in facts)}</p></header>"
    return page(title, f"{head}<main>{''.join(map(_section, shown))}</main>", style=_style(), policy=_POLICY)


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    if section.sentences:
        parts.append(f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in section.sentences)}</ul>")
    parts += [_table(table) for table in section.tables]
    if section.charts:
        parts.append(f'<div class="charts">{"".join(section.charts)}</div>')
    return f"<section>{''.join(parts)}</section>"


def _table(table: Table) -> str:
    names = "".join(f"<th>{escape(name) if name else ''}</th>" for name in table.heading)
    names += "".join(f'<th class="n">{escape(name)}</th>' for name in table.columns)
    rows = "".join(_row(row) for row in table.rows)
    note = f"<p class='note'>{escape(table.note)}</p>" if table.note else ""
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    # Scrolls by itself on a narrow screen, by keyboard too.
    body = f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"
    kind = "block prose" if table.prose else "block"
    return f'<div class="{kind}">{title}<div class="scroll" tabindex="0">{body}</div>{note}</div>'


def _row(row: Row) -> str:
    cells = "".join(f"<th>{_value(value)}</th>" for value in row.heading)
    cells += "".join(f'<td class="n">{_value(value)}</td>' for value in row.values)
    return f'<tr class="{row.kind}">{cells}</tr>'


def _value(value: Value) -> str:
    if isinstance(value, Link):
        return value.html
    if isinstance(value, str):
        return escape(value) if value else ""
    return " ".join(link.html for link in value)


def _style() -> str:
    dots = "".join(f".k{i}{{stroke:{colour}}}" for i, colour in enumerate(colours(24)))
    return _STYLE + dots


_LIGHT = """--paper:#fff;--panel:#fff;--ink:#1f2328;--soft:#57606a;--line:#d8dee4;--link:#0550ae;--stripe:#f6f8fa;
--c0:#0072B2;--c1:#B87400;--c2:#00805E;--c3:#B0568A;--c4:#C24E00;--c5:#2B86B8;--c6:#333;--c7:#8A8000;"""
_DARK = """--paper:#12151a;--panel:#1a1e25;--ink:#e6e9ee;--soft:#a3adb8;--line:#39414d;--link:#7cb7ff;--stripe:#20252d;
--c0:#5AB4F0;--c1:#F0B040;--c2:#35CFA0;--c3:#E8A0CC;--c4:#FF9255;--c5:#9AD6FA;--c6:#D0D4DA;--c7:#F0E442;"""
_COLOURS = "".join(f".c{i}{{--c:var(--c{i})}}" for i in range(8))
_STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}\n"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}.map path.dots{{filter:brightness(1.35)}}}}\n"
    f"{_COLOURS}\n"
    """*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,sans-serif;
overflow-wrap:anywhere}
header,main{max-width:1180px;margin:0 auto;padding:0 16px}
h1{font-size:1.55rem;line-height:1.25;margin:1.2rem 0 .3rem}
h2{font-size:1.2rem;margin:2.2rem 0 .4rem;padding-bottom:.2rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.3rem 0 .7rem;max-width:75ch}header p,.note{color:var(--soft);font-size:.9rem}
ul{padding-left:1.2rem;max-width:80ch}
a{color:var(--link)}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:6px;background:var(--panel)}
table{border-collapse:collapse;font-size:.88rem;width:100%;overflow-wrap:normal}
th,td{padding:.28rem .6rem;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap;font-weight:400}
thead th{font-weight:600;background:var(--stripe)}
tbody th:first-child{position:sticky;left:0;background:var(--panel)}
.n{text-align:right;font-variant-numeric:tabular-nums}
tbody tr:last-child>*{border-bottom:0}
tr.mean>*{font-weight:600;border-top:1px solid var(--soft)}tbody tr.mean:first-child>*{border-top:0}
tr.published>*{font-style:italic;color:var(--soft)}tr.runs>*,tr.deviation>*{color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:14px}
.charts:has(.pair){grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr))}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr));gap:6px;align-items:start;
break-inside:avoid}
figure.chart{margin:0;padding:10px 12px;border:1px solid var(--line);border-radius:6px;background:var(--panel);
max-width:560px;width:100%;break-inside:avoid}
figcaption{font-weight:600;font-size:.92rem;line-height:1.3}
.unit{color:var(--soft);font-size:.8rem}
.chart>img{width:100%;height:auto;margin-top:4px;border-radius:4px}
.chart>svg{display:block;width:100%;height:auto;margin-top:4px}
svg text{fill:var(--ink)}.chart:not(.matrix) svg text{font-size:12px}
svg path,svg circle{fill:none;stroke:var(--c,var(--ink));stroke-width:1.8}
svg g circle{fill:var(--c)}svg g circle.run{fill:var(--c);stroke:none;opacity:.45}
svg g.thin path{stroke-width:1.1;opacity:.7}svg g.thin circle{stroke:none}
svg g.published path{stroke-dasharray:2 3;stroke-width:1.4}svg g.published circle{fill:var(--panel)}
svg path.grid{stroke:var(--line);stroke-width:1}svg path.frame{stroke:var(--soft);stroke-width:1}
svg path.mean{stroke:var(--ink);stroke-width:3}
svg path.base{stroke:var(--soft);stroke-width:1.3}
svg .b0{stroke-dasharray:7 4}svg .b1{stroke-dasharray:1 4}
svg .b2{stroke-dasharray:7 3 1 3}svg .b3{stroke-dasharray:12 3}
svg path.dots{stroke-width:5;stroke-linecap:round}
.matrix rect{fill:var(--c0)}
.keys{list-style:none;margin:.3rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.1rem .9rem;font-size:.8rem}
.keys svg{width:22px;height:12px;margin-right:.3rem;vertical-align:-1px}
@media (max-width:640px){th,td{padding:.25rem .45rem}tbody th{white-space:normal;min-width:5.5em}
.prose th:first-child{min-width:12em}
table{font-size:.82rem}h1{font-size:1.3rem}}
@media print{body{font-size:10pt}header,main{max-width:none;padding:0}.scroll{overflow:visible;border:0}
table{font-size:8pt}th,td{padding:.12rem .35rem;white-space:normal}a{color:inherit;text-decoration:none}
.charts{grid-template-columns:1fr 1fr}h2,h3{break-after:avoid}tr{break-inside:avoid}}
"""
)
