"""What a run achieved, in a few lines: as text for the terminal and as Markdown for the run's description."""

from __future__ import annotations

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


def summary_text(
    title: str,
    scores: Sequence[Score],
    baselines: Mapping[str, float],
    figures: Sequence[str],
    next_commands: Sequence[str],
    facts: Mapping[str, str],
    *,
    against: str | None = None,
) -> str:
    """The summary as aligned text of at most 100 columns, for a terminal.

    Args:
        title: One line.
        scores: (name, value, low, high), the interval a 95 % one, or None twice where there is none.
        baselines: Name of a baseline -> its value of the score `against`.
        figures: Where the figures are: paths or addresses, each on a line of its own.
        next_commands: Commands to type. A long one is continued with backslashes, and can still be pasted.
        facts: Anything else worth a line: run, data, device, seconds.
        against: Name of the score that `baselines` was measured by; the first one when None.

    Raises:
        ValueError: `against` is not the name of a score.
    """
    headline = _headline(scores, against)
    blocks = [_wrap(clean(title), "")]
    if scores:
        blocks.append(_score_lines(scores, baselines, headline))
    if verdict := _verdict(headline, baselines):
        blocks.append(_wrap(verdict, ""))
    blocks.append(_fact_lines(facts))
    if figures:
        blocks.append(["Figures:", *(_INDENT + printable(path) for path in figures)])
    if next_commands:
        blocks.append(["Next:", *(line for command in next_commands for line in _continued(command))])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def summary_markdown(
    title: str,
    scores: Sequence[Score],
    baselines: Mapping[str, float],
    figures: Sequence[str],
    next_commands: Sequence[str],
    facts: Mapping[str, str],
    *,
    against: str | None = None,
) -> str:
    """The same as Markdown; arguments and errors as those of `summary_text`. Names stay plain text."""
    headline = _headline(scores, against)
    commands = "\n".join(line.removeprefix(_INDENT) for command in next_commands for line in _continued(command))
    return render(
        "summary.md", title=title, verdict=_verdict(headline, baselines), scores=scores, headline=headline, facts=facts,
        baselines=baselines, figures=figures, commands=Markup(commands), fence=fence(commands, 3), interval=_interval,
    )  # fmt: skip


def _headline(scores: Sequence[Score], against: str | None) -> Score | None:
    """The score that the baselines are compared by."""
    if against is None:
        return scores[0] if scores else None
    for score in scores:
        if score[0] == against:
            return score
    known = ", ".join(score[0] for score in scores) or "none"
    raise ValueError(f"baselines are given by {against!r}, which is not among the scores: {known}")


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{decimal(low)} to {decimal(high)}"


def _verdict(headline: Score | None, baselines: Mapping[str, float]) -> str:
    """One sentence: is the score above the best of the baselines, and by more than its interval."""
    measured = {name: value for name, value in baselines.items() if math.isfinite(value)}
    if headline is None or not measured:
        return ""
    name, value, low, high = headline
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


def _score_lines(scores: Sequence[Score], baselines: Mapping[str, float], headline: Score | None) -> list[str]:
    rows = [("", "value", "95 % interval")]
    rows += [(clean(name), decimal(value), _interval(low, high)) for name, value, low, high in scores]
    if baselines and headline:
        rows.append((f"for comparison, {shorten(clean(headline[0]), _NAME_WIDTH - 20)} of", "", ""))
        rows += [(_INDENT + clean(name), decimal(value), "") for name, value in baselines.items()]
    names = [shorten(name, _NAME_WIDTH) for name, *_ in rows]
    widest = max(display_width(name) for name in names)
    return [
        f"{_INDENT}{name}{' ' * (widest - display_width(name))}  {value:>6}  {interval}".rstrip()
        for name, (_, value, interval) in zip(names, rows, strict=True)
    ]


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
