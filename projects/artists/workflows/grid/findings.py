"""What the runs of a study say, each comparison with its uncertainty."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pandas as pd

from ...evaluation.names import BASELINES
from . import tables
from .tables import Difference, Results

MOST = 24


@dataclasses.dataclass(frozen=True)
class Finding:
    """A difference between runs that are otherwise alike. where: the configurations it is over, "" for all."""

    what: str
    where: str
    metric: str
    change: Difference

    @property
    def name(self) -> str:
        return f"{self.what}, {self.where}" if self.where else self.what

    @property
    def cells(self) -> list[str]:
        """Difference, its mean for each seed, its 95 % interval over seeds, pairs."""
        interval = interval_over_seeds(self.change)
        bounds = f"{interval[0]:+.3f} to {interval[1]:+.3f}" if interval else "one seed"
        seeds = ", ".join(f"{value:+.3f}" for value in self.change.by_seed)
        return [f"{self.change.mean:+.3f}", seeds, bounds, str(self.change.pairs)]

    @property
    def sentence(self) -> str:
        mean, seeds, interval, pairs = self.cells
        return f"{self.metric}, {self.name}: {mean} over {pairs} pairs; by seed {seeds}; 95 % {interval}."


def findings(results: Results, metrics: Sequence[str], axis: str | None) -> list[Finding]:
    """Producer effect, level, a numeric axis end to end and the baselines, as far as the runs allow."""
    score = "test/song_f1"
    comparisons: list[tuple[str, str, pd.DataFrame, Sequence[str]]] = []
    if {"song", "album"} <= set(results.param("split")):
        for metric in metrics:
            pairs = tables.paired(results, "split", "song", "album", metric)
            comparisons.append(("album split minus song split", metric, pairs, []))
    pairs = tables.levels(results, "test/clip_f1", score)
    comparisons.append(("song level minus clip level", "F1, mean probability", pairs, ["split"]))
    values = [value for value in tables.in_order(results.param(axis)) if value] if axis else []
    if axis and len(values) > 1 and tables.is_numeric(values):
        others = [name for name in results.varying if name != axis]
        for metric in metrics:
            pairs = tables.paired(results, axis, values[0], values[-1], metric)
            comparisons.append((f"{axis} {values[-1]} minus {axis} {values[0]}", metric, pairs, others))
    # The strongest first: what is beyond MOST is not shown.
    for name, baseline in reversed(BASELINES.items()):
        comparisons.append((f"above {baseline}", score, tables.levels(results, f"{score}_{name}", score), ["split"]))
    differences = [
        Finding(what, where, metric, tables.difference(part))
        for what, metric, pairs, names in comparisons
        for where, part in _by(pairs, names)
    ]
    return [finding for finding in differences if finding.change.pairs][:MOST]


def interval_over_seeds(change: Difference) -> tuple[float, float] | None:
    """Student's t over the means of seeds; None for fewer than two.

    Pairs of one seed share test songs and are no independent witnesses.
    """
    from scipy import stats

    if (count := len(change.by_seed)) < 2:
        return None
    mean, error = sum(change.by_seed) / count, change.deviation / math.sqrt(count)
    low, high = mean + error * stats.t.ppf([0.025, 0.975], count - 1)
    return float(low), float(high)


def _by(pairs: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Pairs by the values of those of `names` that they have, with what to call each group."""
    present = [name for name in names if name in pairs]
    if not present or pairs.empty:
        return [("", pairs)]
    grouped = pairs.groupby(present, sort=True)
    return [(", ".join(f"{n} {v}" for n, v in zip(present, key, strict=True)), part) for key, part in grouped]
