"""The charts and tables of a report, from its results."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from ...evaluation.names import BASELINES
from ...reports import charts
from ...reports.charts import Series
from ...reports.names import decimal
from ...reports.pages import Chart, Link, Row, Table
from ...tracking.reading import TrackedRun
from . import tables
from .published import beside
from .tables import Results

SCORES = ("f1", "accuracy", "precision", "recall", "top3", "top5", "map", "auc")
MOST_SERIES = 8
MOST_ROWS = 60
COSTS = {
    "train_seconds": "training s", "clips_per_second": "clips/s", "peak_private_mb": "memory MB",
    "parameters": "parameters", "best_epoch": "best epoch",
}  # fmt: skip
# Rows of a table of the papers, with the kind of each, and their own figures.
STATISTICS, FIGURES = {"mean": "average", "best": "best", "deviation": "deviation"}, ("average", "best")
AXES = {"clip": "length of a clip, seconds", "classes": "number of artists (classes)"}
METRIC_NAMES = {
    "test/clip_f1": "F1 by clip",
    "test/clip_f1_macro": "Macro F1 by clip",
    "test/clip_accuracy": "Accuracy by clip",
    "test/song_f1": "F1 by song, mean probability",
    "test/song_f1_vote": "F1 by song, vote",
    "test/song_f1_vote50": "F1 by song, vote of the clips above 0.5",
    "test/song_accuracy": "Accuracy by song, mean probability",
}


def paper_table(results: Results, metric: str, axis: str | None, published: pd.DataFrame, address: str) -> Table:
    """The papers' form: average, best and deviation of each configuration, the axis from left to right."""
    others = [name for name in results.varying if name != axis]
    columns = tables.in_order(v for v in results.param(axis) if v) if axis else [""]
    records = tables.summarise(results, [metric]).to_dict("records")
    summary = {tuple(row[name] for name in results.varying): row for row in records}
    constants, rows = results.constants(), []
    groups = tables.groups(results, others)
    for values, members in groups[:MOST_ROWS]:
        cells = [values | ({axis: column} if axis else {}) for column in columns]
        scores = [summary.get(tuple(cell[name] for name in results.varying), {}) for cell in cells]
        if not any(scores):
            continue
        pairs = [beside(published, metric, {**constants, **cell}) for cell in cells]
        lines = [(kind, name, [row.get(kind) for row in scores]) for kind, name in STATISTICS.items()]
        lines += [("published", f"published {name}", [pair[i] for pair in pairs]) for i, name in enumerate(FIGURES)]
        for kind, name, numbers in lines:
            if kind != "published" or any(number is not None for number in numbers):
                rows.append(Row([*values.values(), name], [decimal(number) for number in numbers], kind))
        links = _run_links(results, members, metric, axis, columns, address)
        rows.append(Row([*values.values(), "runs, by seed"], links, "runs"))
    note = f"The first {MOST_ROWS} of {len(groups)} configurations." if len(groups) > MOST_ROWS else ""
    heads = [f"{column} s" if axis == "clip" else column for column in columns]
    title = f"{METRIC_NAMES[metric]} ({metric})" if metric in METRIC_NAMES else metric
    return Table(title, [*others, ""], heads, rows, note)


def _run_links(
    results: Results, members: pd.Index, metric: str, axis: str | None, columns: Sequence[str], address: str
) -> list[list[Link]]:
    scored = results.metric(metric).notna()
    cells = []
    for column in columns:
        ids = [i for i in members if scored[i] and (axis is None or results.param(axis)[i] == column)]
        ids.sort(key=lambda i: tables.number(results.seed[i]) or 0)
        addresses = [(results.seed[i], run_address(results.runs[i], address)) for i in ids]
        cells.append([Link(seed or str(n), page) for n, (seed, page) in enumerate(addresses, 1)])
    return cells


def run_address(run: TrackedRun, address: str) -> str:
    """A run's page in MLflow's UI."""
    return f"{address}/#/experiments/{run.experiment_id}/runs/{run.run_id}"


def axis_charts(results: Results, metric: str, axis: str, published: pd.DataFrame) -> list[Chart]:
    """A metric along a parameter: a chart a split, a line a configuration of the rest, bars of one deviation."""
    facets = ["split"] if "split" in results.varying and axis != "split" else []
    drawings: list[Chart] = []
    bounds = value_range(results.metric(metric), metric)
    for values, members in tables.groups(results, facets):
        part = results.part(members)
        if not part.metric(metric).notna().any():
            continue
        ticks = tables.in_order(v for v in part.param(axis) if v)
        series = _lines(part, metric, axis, ticks, published, {**results.constants(), **values})
        where = "".join(f", {name} {value}" for name, value in values.items())
        title = f"{METRIC_NAMES.get(metric, metric)} against {axis}{where}"
        # The mean score of each baseline on the same songs, of a metric of songs.
        root = metric.removesuffix("_vote50").removesuffix("_vote")
        means = {words: float(part.metric(f"{root}_{name}").mean()) for name, words in BASELINES.items()}
        lines = {words: mean for words, mean in means.items() if math.isfinite(mean)}
        labels = {"x_label": AXES.get(axis, axis), "y_label": metric}
        drawings.append(charts.line_chart(title, ticks, series, bounds=bounds, lines=lines, **labels))
    return drawings


def _lines(
    part: Results, metric: str, axis: str, ticks: Sequence[str], published: pd.DataFrame, known: Mapping[str, str]
) -> list[Series]:
    groups = tables.groups(part, [name for name in part.varying if name not in (axis, "split")])
    if len(groups) > MOST_SERIES:
        return [Series("every run", (), (), (), _points(part, metric, axis, ticks))]
    ordered = all(tables.number(tick) is not None for tick in ticks)
    lines = []
    for colour, (values, members) in enumerate(groups):
        name = " ".join(values.values())
        points = _points(part.part(members), metric, axis, ticks)
        means = pd.DataFrame(points, columns=["x", "y"]).groupby("x")["y"].agg(["mean", "std"])
        title = name or "runs, mean and deviation"
        if points:
            lines.append(Series(title, means.index, means["mean"], means["std"], points, colour=colour, joined=ordered))
        figures = [beside(published, metric, {**known, **values, axis: tick})[0] for tick in ticks]
        x, y = [i for i, value in enumerate(figures) if value is not None], [v for v in figures if v is not None]
        if x:
            title = f"{name}, published" if name else "published"
            lines.append(Series(title, x, y, published=True, colour=colour))
    return lines


def _points(part: Results, metric: str, axis: str, ticks: Sequence[str]) -> list[tuple[int, float]]:
    pairs = zip(part.param(axis), part.metric(metric), strict=True)
    return [(ticks.index(value), float(score)) for value, score in pairs if value and not math.isnan(score)]


def value_range(scores: pd.Series, metric: str) -> tuple[float, float]:
    """0 to 1 for shares; else what the values span, with some air."""
    values = scores.dropna()
    if any(part in SCORES for part in re.split("[_/]", metric)) and values.between(0, 1).all():
        return 0.0, 1.0
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    air = 0.08 * (high - low) or 0.5
    return float(low - air), float(high + air)


def paired_charts(results: Results, metrics: Sequence[str], axis: str | None) -> list[Chart]:
    """Song against album split for each metric, and clip against song level for each split."""
    drawings: list[Chart] = []
    if {"song", "album"} <= set(results.param("split")):
        for metric in metrics:
            title = f"Song against album split: {METRIC_NAMES.get(metric, metric)}"
            pairs = tables.paired(results, "split", "song", "album", metric)
            drawings += _paired(title, ("song split", "album split"), pairs, metric, axis)
    pairs = tables.levels(results, "test/clip_f1", "test/song_f1")
    by, ends = "split" if "split" in results.varying else axis, ("clip level", "song level")
    return [*drawings, *_paired("Clip against song level, test F1", ends, pairs, "test/song_f1", by)]


def _paired(title: str, ends: tuple[str, str], pairs: pd.DataFrame, metric: str, by: str | None) -> list[Chart]:
    if pairs.empty:
        return []
    groups = tables.in_order(pairs[by]) if by in pairs else []
    colours = pairs[by].map(groups.index) if groups else [0] * len(pairs)
    lines = list(zip(pairs["left"], pairs["right"], colours, strict=True))
    bounds = value_range(pd.concat([pairs["left"], pairs["right"]]), metric)
    names = [f"{by} {group}" for group in groups]
    return [charts.paired_chart(title, ends, lines, names, y_label=metric, bounds=bounds)]


def cost_table(results: Results) -> Table:
    """Seconds, memory and parameters of each configuration: means over its runs."""
    present = [name for name in COSTS if name in results.metrics]
    rows = []
    for values, members in tables.groups(results, results.varying)[:MOST_ROWS]:
        whole = pd.Series([results.runs[i].seconds for i in members], dtype=float)
        means = [each.mean() for each in (whole, *(results.metric(name)[members] for name in present))]
        amounts = [f"{mean:,.0f}" if math.isfinite(mean) else "–" for mean in means]
        rows.append(Row([*values.values()], [*amounts, str(len(members))]))
    return Table("", [*results.varying], ["whole run s", *(COSTS[name] for name in present), "runs"], rows)


def run_table(results: Results, metrics: Sequence[str], address: str) -> Table:
    """Every run with its link and scores."""
    rows = []
    for values, members in tables.groups(results, results.varying):
        for i in members:
            link = Link(results.runs[i].name or i, run_address(results.runs[i], address))
            scores = [decimal(results.metric(metric)[i]) for metric in metrics]
            rows.append(Row([link, *values.values(), results.seed[i]], scores))
    return Table("", ["run", *results.varying, "seed"], list(metrics), rows)
