"""What a run achieved, in a few lines: as text for the terminal and as Markdown for the run's description."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from .markdown import fence
from .names import clean, decimal, display_width, printable, shorten
from .pages import render

Score = tuple[str, float, float | None, float | None]

WIDTH = 100
_NAME_WIDTH = 70
_INDENT = "  "
_TOKEN = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*'|["'])+""")
_BARE_OPTION = re.compile(r"--?[A-Za-z][\w-]*")


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run achieved; `title` is one line.

    scores: (name, value, low, high), the interval a 95 % one, or None twice where there is none; baselines: name of a
    baseline -> its value of the first score; figures: paths or addresses; next_commands: to type, a long one is
    continued with backslashes and can still be pasted; facts: anything else worth a line, such as run and model.
    """

    title: str
    scores: Sequence[Score] = ()
    baselines: Mapping[str, float] = dataclasses.field(default_factory=dict)
    figures: Sequence[str] = ()
    next_commands: Sequence[str] = ()
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def text(self) -> str:
        """As aligned text of at most 100 columns, for a terminal."""
        blocks = [_wrap(clean(self.title), ""), _score_lines(self.scores, self.baselines)]
        blocks += [_wrap(_verdict(self.scores, self.baselines), ""), _fact_lines(self.facts)]
        blocks.append(_under("Figures:", [_INDENT + printable(path) for path in self.figures]))
        blocks.append(_under("Next:", self._command_lines()))
        return "\n\n".join("\n".join(block) for block in blocks if any(block)) + "\n"

    def markdown(self) -> str:
        """The same as Markdown. Names stay plain text."""
        commands = "\n".join(line.removeprefix(_INDENT) for line in self._command_lines())
        parts = {"verdict": _verdict(self.scores, self.baselines), "interval": _interval}
        parts |= {"commands": Markup(commands), "fence": fence(commands, 3)}
        return render("summary.md", **vars(self), **parts)

    def _command_lines(self) -> list[str]:
        return [line for command in self.next_commands for line in _continued(command)]


def _under(heading: str, lines: list[str]) -> list[str]:
    return [heading, *lines] if lines else []


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{decimal(low)} to {decimal(high)}"


def _verdict(scores: Sequence[Score], baselines: Mapping[str, float]) -> str:
    """One sentence: is the first score above the best of the baselines, and by more than its interval."""
    measured = {name: value for name, value in baselines.items() if math.isfinite(value)}
    if not scores or not measured:
        return ""
    name, value, low, high = scores[0]
    best = max(measured, key=lambda key: measured[key])
    beginning = f"{shorten(clean(name), _NAME_WIDTH)} {decimal(value)} is"
    end = f"the best baseline ({shorten(clean(best), _NAME_WIDTH)}, {decimal(measured[best])})"
    if not value > measured[best]:
        return f"{beginning} not above {end}."
    if low is None or high is None:
        return f"{beginning} above {end}."
    if low > measured[best]:
        return f"{beginning} above {end}, and so is its whole 95 % interval."
    return f"{beginning} above {end}, but its 95 % interval reaches below that."


def _score_lines(scores: Sequence[Score], baselines: Mapping[str, float]) -> list[str]:
    if not scores:
        return []
    rows = [("", "value", "95 % interval")]
    rows += [(clean(name), decimal(value), _interval(low, high)) for name, value, low, high in scores]
    if baselines:
        rows.append((f"for comparison, {shorten(clean(scores[0][0]), _NAME_WIDTH - 20)} of", "", ""))
        rows += [(_INDENT + clean(name), decimal(value), "") for name, value in baselines.items()]
    names = [shorten(name, _NAME_WIDTH) for name, *_ in rows]
    widest = max(display_width(name) for name in names)
    heads = [_INDENT + name + " " * (widest - display_width(name)) for name in names]
    return [f"{head}  {row[1]:>6}  {row[2]}".rstrip() for head, row in zip(heads, rows, strict=True)]


def _fact_lines(facts: Mapping[str, str]) -> list[str]:
    names = {name: shorten(clean(name), _NAME_WIDTH // 2) for name in facts}
    widest = max((display_width(name) for name in names.values()), default=0)
    lines = []
    for name, value in facts.items():
        head = f"{_INDENT}{names[name]}{' ' * (widest - display_width(names[name]))}  "
        first, *rest = _wrap(clean(value), " " * display_width(head))
        lines += [head + first.lstrip(), *rest]
    return lines


def _wrap(text: str, indent: str) -> list[str]:
    """Lines of at most 100 columns, broken at spaces only: a path or address stays whole, however long."""
    return _fill(text.split(), indent, indent, WIDTH)


def _fill(pieces: Sequence[str], first: str, indent: str, width: int) -> list[str]:
    """As many pieces a line as `width` has room for; `first` begins the first line, `indent` the others."""
    lines, line = [], first
    for piece in pieces:
        longer = f"{line} {piece}" if line.strip() else line + piece
        if line.strip() and display_width(longer) > width:
            lines.append(line)
            longer = indent + piece
        line = longer
    return [*lines, line]


def _continued(command: str) -> list[str]:
    """A shell command in lines of at most 100 columns, each but the last ending in a backslash."""
    whole = _INDENT + printable(command)
    if display_width(whole) <= WIDTH:
        return [whole]
    *lines, last = _fill(_pieces(printable(command)), _INDENT, 3 * _INDENT, WIDTH - 2)
    return [*(f"{line} \\" for line in lines), last]


def _pieces(command: str) -> list[str]:
    """Words of a command, quoted ones whole, each option together with its value."""
    pieces: list[str] = []
    for token in _TOKEN.findall(command):
        if pieces and _BARE_OPTION.fullmatch(pieces[-1]) and not token.startswith("-"):
            pieces[-1] += " " + token
        else:
            pieces.append(token)
    return pieces
