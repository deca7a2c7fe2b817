"""One measured number, and the table of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number by its metric's name; `least` or `most` is what it has to reach or keep below, where there is such."""

    name: str
    value: float
    title: str
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    @property
    def target(self) -> str:
        if self.least is not None:
            return f"at least {self.least:g}"
        return "" if self.most is None else f"at most {self.most:g}"


def table(figures: Sequence[Figure]) -> str:
    """Aligned lines for a terminal."""
    rows = [("", "value", "wanted", "")]
    rows += [(f.title, f"{f.value:.4g}", f.target, "" if f.met else "MISSED") for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        f"{title:<{widths[0]}}  {value:>{widths[1]}}  {target:<{widths[2]}}  {missed}".rstrip()
        for title, value, target, missed in rows
    )
