"""The report of tracked runs: read them, lay them out, log the page and its tables."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import pandas as pd

from ...errors import InputError
from ...reports import charts
from ...reports.markdown import plain
from ...reports.pages import Chart, Link, Row, Section, Table, Value, render
from ...tracking import others, reading
from ...tracking.reading import TrackedRun
from ..options import ReportOptions, words
from . import drawing, tables
from .findings import Finding, findings
from .published import beside, read_published
from .tables import Results

PAGE = "report.html"
MOST_PICTURES = 24
MOST_BYTES = 2_000_000
MOST_IMAGE_BYTES = 400_000
READING = (
    "An average is over runs that differ in their seed alone; best is the best of them, deviation that of the sample "
    "(n - 1). Error bars are one such deviation, small dots single runs, dashed lines with hollow dots the published "
    "figures, which are of another corpus unless this one is theirs. A seed also assigns the split, so the deviation "
    "holds the choice of test songs as well as the network's luck."
)


@dataclasses.dataclass(frozen=True)
class Report:
    """The page, a row a run, a row a configuration and metric, and the differences between configurations."""

    page: str
    runs: pd.DataFrame
    summary: pd.DataFrame
    findings: list[Finding]


def report(options: ReportOptions) -> Report:
    """Builds a report from the tracking store alone.

    Raises:
        InputError: No such run or experiment, or no finished run with metrics in it.
    """
    parent = reading.read(options.run_id) if options.run_id else None
    experiment = options.experiment_name or ""
    results = tables.results(reading.children(parent.run_id) if parent else reading.experiment(experiment))
    if not results.runs:
        where = f"run_id={options.run_id}" if parent else f"experiment_name={options.experiment_name}"
        raise InputError(f"{where} has no finished run with metrics; {len(results.others)} run(s) have not finished.")
    tags = parent.tags if parent else {}
    metrics = tables.shown_metrics(results, words(options.metrics or tags.get("grid_metrics")))
    if not metrics:
        raise InputError("These runs have no final metric; name one with metrics=.")
    axis = tables.axis_of(results, options.columns or tags.get("grid_columns") or "clip")
    published = read_published(options.paper or tags.get("grid_paper") or "")
    address = (options.ui or reading.ui_address()).rstrip("/")
    differences = findings(results, metrics, axis)
    columns = ["difference", "by seed", "95 % interval over seeds", "pairs"]
    rows = [Row([finding.name, finding.metric], finding.cells) for finding in differences]
    differing = [Table("", ["", "metric"], columns, rows, prose=True)] if rows else []
    sections = [
        Section("What the runs say", _DIFFERENCES, tables=differing),
        Section("Tables", READING, [drawing.paper_table(results, name, axis, published, address) for name in metrics]),
        Section("Charts", charts=[[chart] for chart in _charts(results, metrics, axis, published)]),
        Section("Paired", _PAIRED, charts=[[chart] for chart in drawing.paired_charts(results, metrics, axis)]),
        _pictures(results),
        Section("Seconds, memory, parameters", _COST, tables=[drawing.cost_table(results)]),
        Section("Every run", tables=[drawing.run_table(results, metrics, address)]),
        Section("Not finished, and not counted above", tables=_unfinished(results, address)),
    ]
    title = tags.get("grid_title") or (parent.name if parent else options.experiment_name) or "Report"
    page = render("report.html", title=title, facts=_facts(results, parent, address), sections=sections)
    summary = _beside(tables.summarise(results, metrics), results, published)
    return Report(page, _flat(results, address), summary, differences)


def log(report: Report, run_id: str) -> None:
    """Page and tables as artifacts of a run, which another process may have open."""
    others.text(run_id, report.page, PAGE)
    others.table(run_id, report.runs, "runs.csv")
    others.table(run_id, report.summary, "summary.csv")


_PAIRED = "Each line joins two results that differ in one thing alone; the thick one is the mean."
_DIFFERENCES = (
    "Differences between runs that are alike in everything else, as means over pairs. The interval is Student's over "
    "the means of seeds, since pairs of one seed share their test songs; one that reaches zero shows nothing."
)
_COST = (
    "Means over seeds. Memory is private memory of the process at its highest; runs of one study share a process, so "
    "what one leaves behind counts for the next."
)


def _facts(results: Results, parent: TrackedRun | None, address: str) -> list[Value]:
    run = next(iter(results.runs.values()))
    at = f"{address}/#/experiments/{run.experiment_id}" + (f"/runs/{parent.run_id}" if parent else "")
    facts: list[Value] = [f"{len(results.runs)} finished runs"]
    facts += [f"{len(results.others)} not finished"] if results.others else []
    facts += [f"{results.left_out} that trained nothing left out"] if results.left_out else []
    for tag in ("corpus", "device"):
        values = sorted({run.tags[tag] for run in results.runs.values() if tag in run.tags})
        facts += [f"{tag} {', '.join(values[:4])}"] if values else []
    return [*facts, Link("in MLflow", at)]


def _charts(results: Results, metrics: Sequence[str], axis: str | None, published: pd.DataFrame) -> list[Chart]:
    numeric = [n for n in results.varying if n not in (axis, "split") and tables.is_numeric(results.param(n))]
    axes = [name for name in (axis, *numeric[:3]) if name] or results.varying[:1]
    return [
        chart for name in axes for metric in metrics for chart in drawing.axis_charts(results, metric, name, published)
    ]


def _pictures(results: Results) -> Section:
    """Confusion matrix (all seeds added) and map (first seed) of each configuration, subset by subset."""
    pictures: list[list[Chart]] = []
    groups = tables.groups(results, results.varying)
    for values, members in groups[:MOST_PICTURES]:
        name = " ".join(f"{k} {v}" for k, v in values.items()) or "all runs"
        matrices = [m for m in (_csv(i, "confusion_song.csv") for i in members) if m is not None]
        places = next((m for m in (_csv(i, "tsne.csv") for i in members) if m is not None), None)
        pictures.append(_matrix(name, matrices) + _map(name, places) or _images(name, members[0]))
    cut = f" The first {MOST_PICTURES} of {len(groups)} configurations." if len(groups) > MOST_PICTURES else ""
    text = f"Songs of the test subset, all seeds added; map of the clips of one seed before the softmax.{cut}"
    return Section("Confusion matrices and t-SNE maps", text, charts=[group for group in pictures if group])


def _csv(run_id: str, name: str) -> pd.DataFrame | None:
    """A table of a run; a name such as NA is a name."""
    data = reading.artifact(run_id, name, MOST_BYTES)
    if data is None:
        return None
    try:
        return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    except ValueError:
        return None


def _matrix(name: str, matrices: Sequence[pd.DataFrame]) -> list[Chart]:
    """Matrices of the same classes, added; one of another run's classes is left out."""
    alike = [m for m in matrices if list(m.columns) == list(matrices[0].columns) and len(m) == m.shape[1] - 1]
    if not alike:
        return []
    counts = [m.iloc[:, 1:].apply(pd.to_numeric, errors="coerce").fillna(0.0).to_numpy() for m in alike]
    total = sum(counts[1:], counts[0])
    return [charts.matrix_chart(f"{name}: songs", total.tolist(), list(alike[0].columns[1:]))]


def _map(name: str, places: pd.DataFrame | None) -> list[Chart]:
    if places is None or not {"x", "y", "label"} <= set(places) or places.empty:
        return []
    numbers, names = pd.factorize(places["label"], sort=True)
    xy = places[["x", "y"]].apply(pd.to_numeric, errors="coerce").to_numpy()
    return [charts.map_chart(f"{name}: map", xy, numbers, list(names))]


def _images(name: str, run_id: str) -> list[Chart]:
    """Confusion matrices and maps that a run of another project has as images alone."""
    images = []
    for file in reading.artifact_names(run_id):
        if file.endswith(".png") and any(word in file.lower() for word in ("confusion", "tsne", "t-sne")):
            data = reading.artifact(run_id, file, MOST_IMAGE_BYTES)
            if data and data.startswith(b"\x89PNG"):
                images.append(Chart(f"{name}: {file}", render("image.html", title=f"{name}: {file}", png=data)))
    return images[:2]


def _unfinished(results: Results, address: str) -> list[Table]:
    rows = []
    for run in results.others:
        link = Link(run.name or run.run_id, drawing.run_address(run, address))
        reason = plain((run.tags.get("mlflow.note.content", "").splitlines() or [""])[0])[:300]
        rows.append(Row([link, run.status, reason if run.status == "FAILED" else ""], []))
    return [Table("", ["run", "status", "reason"], [], rows)] if rows else []


def _flat(results: Results, address: str) -> pd.DataFrame:
    """A row a run: parameters under their names, metrics under theirs."""
    links = [drawing.run_address(results.runs[i], address) for i in results.frame.index]
    head = pd.DataFrame({"run_id": results.frame.index, "run": links}, index=results.frame.index)
    # The number of classes is a parameter for the axis and a metric as logged: once is enough.
    params = results.frame["param"].drop(columns=set(results.frame["param"]) & set(results.metrics))
    return pd.concat([head, params, results.frame["metric"]], axis=1)


def _beside(summary: pd.DataFrame, results: Results, published: pd.DataFrame) -> pd.DataFrame:
    constants = results.constants()
    rows = summary.to_dict("records")
    pairs = [beside(published, row["metric"], constants | {n: row[n] for n in results.varying}) for row in rows]
    return summary.assign(published_average=[a for a, _ in pairs], published_best=[b for _, b in pairs])
