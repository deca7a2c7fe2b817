"""From tracked runs to the rows of a report: which parameters vary, and mean, best and deviation over seeds.

Pure: runs in, data frames out. A configuration is a set of runs that differ in their seed alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ...evaluation.names import lower_is_better, metric_name
from ...tracking.reading import TrackedRun
from ..plan import NOT_OF_IDENTITY
from .worker import ENTRY, FINISHED, TRAINED, by_cell

SEEDS = ("seed", "random_seed", "random_state")
# Say how a run was made, not what it is.
IGNORED = (*NOT_OF_IDENTITY, "grid", "study", "study_name")
# Metrics of every training, the second also of one that was ended early; a promotion repeats those of its candidate.
TRAINING, CANDIDATE = {"train_seconds", "epoch/loss"}, "candidate_run_id"
FIRST = ("entry", "data", "model", "split", "label", "clip", "artists", "classes")
HEADLINES = ("test/clip_f1", "test/song_f1", "test/song_f1_vote50")
# Ends of the names of metrics, other people's too, of which less is better.
COSTS = ("loss", "seconds", "error", "rmse", "mse", "mae", "_mb")
MOST_METRICS = 6


@dataclasses.dataclass(frozen=True)
class Results:
    """Finished runs that count, each once, and the others.

    frame: a row a finished run, its index the run id; parameters as text, metrics as floats in columns named
    ("param", name) and ("metric", name). varying: parameters, apart from the seed, that tell configurations apart.
    left_out: number of runs beside trainings that trained nothing.
    """

    runs: Mapping[str, TrackedRun]
    others: Sequence[TrackedRun]
    frame: pd.DataFrame
    varying: tuple[str, ...]
    left_out: int = 0

    def param(self, name: str) -> pd.Series:
        return self.frame[("param", name)] if ("param", name) in self.frame else pd.Series("", self.frame.index)

    def metric(self, name: str) -> pd.Series:
        return self.frame[("metric", name)] if ("metric", name) in self.frame else pd.Series(np.nan, self.frame.index)

    @property
    def metrics(self) -> list[str]:
        return [name for kind, name in self.frame.columns if kind == "metric"]

    @property
    def seed(self) -> pd.Series:
        """The seed of each run, "" where it has none."""
        return next((self.param(name) for name in SEEDS if ("param", name) in self.frame), self.param(SEEDS[0]))

    def part(self, members: pd.Index) -> Results:
        """Some of the runs; what varies stays what varies in all of them."""
        return Results({i: self.runs[i] for i in members}, (), self.frame.loc[members], self.varying)

    def compared(self, names: Iterable[str], **columns: pd.Series) -> pd.DataFrame:
        """A row a run: those parameters, seed, and more columns."""
        return pd.DataFrame({name: self.param(name) for name in names} | {"seed": self.seed} | columns)

    def constants(self) -> dict[str, str]:
        """Parameters that all runs share."""
        columns = {name: self.param(name) for kind, name in self.frame.columns if kind == "param"}
        return {name: column.iloc[0] for name, column in columns.items() if len(column) and column.nunique() == 1}


def results(tracked: Iterable[TrackedRun]) -> Results:
    """Sorts runs into those that count and those that do not.

    Of the runs of one cell one counts. Beside trainings what else was done with their models, as evaluate and promote
    do, does not count, unless it is a cell.
    """
    tracked = list(tracked)
    parents = {run.parent for run in tracked}
    cells = {r.run_id for p in parents for r in by_cell(run for run in tracked if run.parent == p).values()}
    kept = [r for r in tracked if r.run_id not in parents and ("cell" not in r.tags or r.run_id in cells)]
    done = {run.run_id: run for run in kept if run.status == FINISHED and run.metrics}
    trained = {i for i, r in done.items() if TRAINING & set(r.metrics) and CANDIDATE not in r.tags}
    counted = {i: r for i, r in done.items() if not trained or i in trained or "cell" in r.tags}
    frame, others = _frame(counted, {run.run_id: run for run in tracked}), [r for r in kept if r.status != FINISHED]
    return Results(counted, others, frame, varying(frame["param"]) if done else (), len(done) - len(counted))


def _frame(runs: Mapping[str, TrackedRun], known: Mapping[str, TrackedRun]) -> pd.DataFrame:
    params = pd.DataFrame({i: _params(run, known) for i, run in runs.items()}).T.reindex(list(runs)).fillna("")
    metrics = pd.DataFrame({i: dict(run.metrics) for i, run in runs.items()}).T.reindex(list(runs)).astype(float)
    if "classes" in metrics:
        # The number of artists is an axis, though the corpus sets it.
        trained = [runs[i].tags.get(TRAINED, i) for i in runs]
        counts = metrics["classes"].reindex(trained)
        params["classes"] = [f"{value:g}" if math.isfinite(value) else "" for value in counts]
    return pd.concat({"param": params, "metric": metrics}, axis=1)


def _params(run: TrackedRun, known: Mapping[str, TrackedRun]) -> dict[str, str]:
    """Of a run on another's model: that run's parameters, then its own; `model` stays the system's name."""
    own = {name: plain(value) for name, value in run.params.items()}
    own |= {name: run.tags[name] for name in (ENTRY, "corpus") if name in run.tags}
    trained = known.get(run.tags.get(TRAINED, ""))
    return {**_params(trained, known), **own, "model": trained.params.get("model", "")} if trained else own


def plain(text: str) -> str:
    """A parameter's text; 5 for 5.0, as a flag may have said it either way."""
    return text.removesuffix(".0") if number(text) is not None else text


def varying(params: pd.DataFrame) -> tuple[str, ...]:
    """Parameters without which two runs that differ in more than a seed could not be told apart.

    One that follows from those before it, as an option that only one model has, is left out.
    """
    others = sorted(set(params) - set(FIRST) - set(SEEDS) - set(IGNORED))
    kept: list[str] = []
    for name in [*(n for n in FIRST if n in params), *others]:
        within = params.groupby(kept)[name] if kept else params[name]
        if np.max(within.nunique()) > 1:
            kept.append(name)
    return tuple(kept)


def shown_metrics(results: Results, wanted: Sequence[str]) -> list[str]:
    """Those asked for that some run has; else this project's headlines; else the first of what the runs have."""
    present = results.metrics
    named = [name for name in map(metric_name, wanted) if name in present]
    chosen = named or [name for name in HEADLINES if name in present]
    final = [n for n in present if not n.startswith(("epoch/", "system/")) and n not in ("classes", "parameters")]
    test = [name for name in final if name.startswith(("test/", "eval_", "val/"))]
    return chosen or (test or final)[:MOST_METRICS]


def summarise(results: Results, metrics: Sequence[str]) -> pd.DataFrame:
    """A row a configuration and metric: the varying parameters, metric, mean, best, deviation (n - 1), runs."""
    rows = []
    for values, members in groups(results, results.varying):
        for metric in metrics:
            scores = results.metric(metric)[members].dropna()
            low = lower_is_better(metric) or metric.endswith(COSTS)
            if len(scores):
                best, spread = scores.min() if low else scores.max(), scores.std(ddof=1)
                rows.append([*values.values(), metric, scores.mean(), best, spread, len(scores)])
    return pd.DataFrame(rows, columns=[*results.varying, "metric", "mean", "best", "deviation", "runs"])


def groups(results: Results, names: Sequence[str]) -> list[tuple[dict[str, str], pd.Index]]:
    """Runs by the values of some parameters, in the order of `in_order`."""
    members: dict[tuple[str, ...], list[str]] = {}
    for run_id in results.frame.index:
        members.setdefault(tuple(results.param(name)[run_id] for name in names), []).append(run_id)
    ranks = [{value: i for i, value in enumerate(in_order(results.param(name)))} for name in names]
    ordered = sorted(members, key=lambda values: [rank[value] for rank, value in zip(ranks, values, strict=True)])
    return [(dict(zip(names, values, strict=True)), pd.Index(members[values])) for values in ordered]


def in_order(values: Iterable[str]) -> list[str]:
    """Distinct values: numbers by size, `song` before `album`, else by name."""
    distinct = set(values)
    if all(number(value) is not None for value in distinct):
        return sorted(distinct, key=lambda value: number(value) or 0.0)
    return sorted(distinct, key=lambda value: (value != "song", value))


def number(text: str) -> float | None:
    """The finite number that a parameter's text says, else None."""
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)):
            return value
    return None


def is_numeric(values: Iterable[str]) -> bool:
    """Whether all that is there are numbers."""
    return all(number(value) is not None for value in values if value)


def axis_of(results: Results, name: str) -> str | None:
    """The parameter to run across tables and charts: `name` if it varies, else the one with most numeric values."""
    if name in results.varying:
        return name
    numeric = [name for name in results.varying if is_numeric(results.param(name))]
    return max(numeric, key=lambda name: results.param(name).nunique(), default=None)


def paired(results: Results, name: str, left: str, right: str, metric: str) -> pd.DataFrame:
    """Pairs of runs that differ in `name` alone: the other varying parameters, seed, scores by `left` and `right`."""
    rest = [other for other in results.varying if other != name]
    table = results.compared(rest, subset=results.param(name), score=results.metric(metric)).dropna(subset=["score"])
    subsets = [
        table[table["subset"] == value].groupby([*rest, "seed"])["score"].mean().rename(column)
        for value, column in ((left, "left"), (right, "right"))
    ]
    return pd.concat(subsets, axis=1, join="inner").reset_index()


def levels(results: Results, left: str, right: str) -> pd.DataFrame:
    """Two metrics of the same runs, as `paired` gives two runs."""
    table = results.compared(results.varying, left=results.metric(left), right=results.metric(right))
    return table.dropna(subset=["left", "right"])


@dataclasses.dataclass(frozen=True)
class Difference:
    """right - left over pairs: mean, mean of each seed's pairs, their deviation (NaN for one seed), number of pairs."""

    mean: float
    by_seed: tuple[float, ...]
    deviation: float
    pairs: int


def difference(pairs: pd.DataFrame) -> Difference:
    """Pairs of one seed share their test songs, so that seeds, not pairs, are what an uncertainty is taken over."""
    change = pairs["right"] - pairs["left"]
    by_seed = change.groupby(pairs["seed"]).mean()
    return Difference(float(change.mean()), tuple(by_seed), float(by_seed.std(ddof=1)), len(pairs))
