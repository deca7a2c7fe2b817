"""Published figures, to stand beside the results of a grid."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ...errors import InputError
from .grid import SHIPPED
from .tables import number

FILE = SHIPPED / "published.csv"
OWN = ("paper", "table", "metric", "average", "best", "note")


def read_published(paper: str) -> pd.DataFrame:
    """Rows of a paper; columns beside `OWN` are parameters that a configuration has to have, where they are filled in.

    Raises:
        InputError: No figures of that paper are here.
    """
    table = pd.read_csv(FILE, dtype=str, keep_default_na=False)
    if not paper:
        return table.iloc[:0]
    chosen = table[table["paper"] == paper]
    if chosen.empty:
        raise InputError(f"paper={paper} is unknown; choose one of {', '.join(sorted(set(table['paper'])))}.")
    return chosen


def beside(published: pd.DataFrame, metric: str, values: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Published average and best of a configuration with all its parameters, None where the paper has none."""
    for row in published[published["metric"] == metric].to_dict("records"):
        params = {name: value for name, value in row.items() if name not in OWN and value}
        if all(_same(values.get(name), value) for name, value in params.items()):
            return number(row["average"]), number(row["best"])
    return None, None


def _same(value: str | None, expected: str) -> bool:
    return value == expected or (value is not None and number(value) is not None and number(value) == number(expected))
