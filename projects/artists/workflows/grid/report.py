"""The report of tracked runs: read them, lay them out, log the page and its tables."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import pandas as pd

from ...errors import InputError
from ...reports import charts
from ...reports.report_page import Link, Row, Section, Table, Value, report_html
from ...reports.summary import plain
from ...tracking import others, reading
from ...tracking.reading import TrackedRun
from ..options import ReportOptions
from . import drawing, tables
from .findings import Finding, findings
from .published import read_published
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
    """The page, a row a run, a row a configuration and metric, and the sentences of what was found."""

    page: str
    runs: pd.DataFrame
    summary: pd.DataFrame
    said: list[Finding]


def report(options: ReportOptions) -> Report:
    """Builds a report from the tracking store alone.

    Raises:
        InputError: No such run or experiment, or no finished run with metrics in it.
    """
    parent = reading.read(options.run_id) if options.run_id else None
    tracked = reading.children(parent.run_id) if parent else reading.experiment(options.experiment_name or "")
    found = tables.results(tracked)
    if not found.runs:
        where = f"run_id={options.run_id}" if parent else f"experiment_name={options.experiment_name}"
        raise InputError(f"{where} has no finished run with metrics; {len(found.others)} run(s) have not finished.")
    said = dict(parent.tags) if parent else {}
    wanted = (options.metrics or said.get("study_metrics") or "").split(",")
    metrics = tables.shown_metrics(found, [name.strip() for name in wanted if name.strip()])
    if not metrics:
        raise InputError("These runs have no final metric; name one with metrics=.")
    axis = tables.axis_of(found, options.columns or said.get("study_columns") or "clip")
    published = read_published(options.paper or said.get("study_paper") or "")
    title = said.get("study_title") or (parent.name if parent else options.experiment_name) or "Report"
    address = (options.ui or reading.ui_address()).rstrip("/")
    said_so = findings(found, metrics, axis)
    page = report_html(
        title,
        _facts(found, parent, address),
        [
            Section("What the runs say", _SAYING, tables=_findings(said_so)),
            _tables(found, metrics, axis, published, address),
            _charts(found, metrics, axis, published),
            Section(
                "Paired",
                "Each line joins two results that differ in one thing alone; the thick one is the mean.",
                charts=drawing.paired_charts(found, metrics, axis),
            ),
            _pictures(found),
            Section("Seconds, memory, parameters", _COST, tables=[drawing.cost_table(found)]),
            Section("Every run", tables=[drawing.run_table(found, metrics, address)]),
            _unfinished(found, address),
        ],
    )
    return Report(page, _flat(found, address), _beside(tables.summarise(found, metrics), found, published), said_so)


def log(report: Report, run_id: str) -> None:
    """Page and tables as artifacts of a run, which another process may have open."""
    others.text(run_id, report.page, PAGE)
    others.table(run_id, report.runs, "runs.csv")
    others.table(run_id, report.summary, "summary.csv")


_SAYING = (
    "Differences between runs that are alike in everything else, as means over pairs. The interval is Student's over "
    "the means of seeds, since pairs of one seed share their test songs; one that reaches zero shows nothing."
)
_COST = (
    "Means over seeds. Memory is private memory of the process at its highest; runs of one study share a process, so "
    "what one leaves behind counts for the next."
)


def _facts(found: Results, parent: TrackedRun | None, address: str) -> list[Value]:
    run = next(iter(found.runs.values()))
    at = f"{address}/#/experiments/{run.experiment_id}" + (f"/runs/{parent.run_id}" if parent else "")
    corpora = sorted({r.tags["corpus"] for r in found.runs.values() if "corpus" in r.tags})
    devices = sorted({r.tags["device"] for r in found.runs.values() if "device" in r.tags})
    facts: list[Value] = [f"{len(found.runs)} finished runs"]
    facts += [f"{len(found.others)} not finished"] if found.others else []
    facts += [f"{found.left_out} that trained nothing left out"] if found.left_out else []
    facts += [f"corpus {', '.join(corpora[:4])}"] if corpora else []
    facts += [f"device {', '.join(devices[:4])}"] if devices else []
    return [*facts, Link("in MLflow", at)]


def _findings(said: Sequence[Finding]) -> list[Table]:
    rows = [Row([finding.said, finding.metric], finding.cells) for finding in said]
    columns = ["difference", "by seed", "95 % interval over seeds", "pairs"]
    return [Table("", ["", "metric"], columns, rows, prose=True)] if rows else []


def _tables(found: Results, metrics: Sequence[str], axis: str | None, published: pd.DataFrame, address: str) -> Section:
    made = []
    for metric in metrics:
        made.append(drawing.paper_table(found, metric, axis, published, address))
    return Section("Tables", READING, tables=made)


def _charts(found: Results, metrics: Sequence[str], axis: str | None, published: pd.DataFrame) -> Section:
    axes = [n for n in found.varying if n not in (axis, "split") and tables.is_numeric(found.param(n))]
    drawn: list[str] = []
    for name in [name for name in (axis, *axes[:3]) if name] or found.varying[:1]:
        for metric in metrics:
            drawn += drawing.axis_charts(found, metric, name, published)
    return Section("Charts", charts=drawn)


def _pictures(found: Results) -> Section:
    """Confusion matrix (all seeds added) and map (first seed) of each configuration, subset by subset."""
    drawn: list[str] = []
    groups = tables.groups(found, found.varying)
    for values, members in groups[:MOST_PICTURES]:
        name = " ".join(f"{k} {v}" for k, v in values.items()) or "all runs"
        matrices = [m for m in (_csv(i, "confusion_song.csv") for i in members) if m is not None]
        made = _matrix(name, matrices)
        places = next((m for m in (_csv(i, "tsne.csv") for i in members) if m is not None), None)
        made += _map(name, places)
        made = made or _images(name, members[0])
        drawn += [charts.side_by_side(made)] if made else []
    cut = f" The first {MOST_PICTURES} of {len(groups)} configurations." if len(groups) > MOST_PICTURES else ""
    text = f"Songs of the test subset, all seeds added; map of the clips of one seed before the softmax.{cut}"
    return Section("Confusion matrices and t-SNE maps", text, charts=drawn)


def _csv(run_id: str, name: str) -> pd.DataFrame | None:
    """A table of a run; a name such as NA is a name."""
    data = reading.artifact(run_id, name, MOST_BYTES)
    if data is None:
        return None
    try:
        return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    except ValueError:
        return None


def _matrix(name: str, matrices: Sequence[pd.DataFrame]) -> list[str]:
    """Matrices of the same classes, added; one of another run's classes is left out."""
    alike = [m for m in matrices if list(m.columns) == list(matrices[0].columns) and len(m) == m.shape[1] - 1]
    if not alike:
        return []
    counts = [m.iloc[:, 1:].apply(pd.to_numeric, errors="coerce").fillna(0.0).to_numpy() for m in alike]
    total = sum(counts[1:], counts[0])
    return [charts.matrix_chart(f"{name}: songs", total.tolist(), list(alike[0].columns[1:]))]


def _map(name: str, places: pd.DataFrame | None) -> list[str]:
    if places is None or not {"x", "y", "label"} <= set(places) or places.empty:
        return []
    names = sorted(set(places["label"]))
    number = {label: i for i, label in enumerate(names)}
    xy = places[["x", "y"]].apply(pd.to_numeric, errors="coerce").to_numpy()
    return [charts.map_chart(f"{name}: map", xy.tolist(), [number[label] for label in places["label"]], names)]


def _images(name: str, run_id: str) -> list[str]:
    """Confusion matrices and maps that a run of another project has as images alone."""
    made = []
    for file in reading.artifact_names(run_id):
        if file.endswith(".png") and any(word in file.lower() for word in ("confusion", "tsne", "t-sne")):
            data = reading.artifact(run_id, file, MOST_IMAGE_BYTES)
            made += [charts.image_chart(f"{name}: {file}", data)] if data and data.startswith(b"\x89PNG") else []
    return made[:2]


def _unfinished(found: Results, address: str) -> Section:
    rows = []
    for run in found.others:
        link = Link(run.name or run.run_id, f"{address}/#/experiments/{run.experiment_id}/runs/{run.run_id}")
        reason = plain((run.tags.get("mlflow.note.content", "").splitlines() or [""])[0])[:300]
        rows.append(Row([link, run.status, reason if run.status == "FAILED" else ""], []))
    made = [Table("", ["run", "status", "reason"], [], rows)] if rows else []
    return Section("Not finished, and not counted above", tables=made)


def _flat(found: Results, address: str) -> pd.DataFrame:
    """A row a run: parameters under their names, metrics under theirs."""
    links = [drawing.run_address(found, i, address) for i in found.frame.index]
    head = pd.DataFrame({"run_id": found.frame.index, "run": links}, index=found.frame.index)
    # The number of classes is a parameter for the axis and a metric as logged: once is enough.
    params = found.frame["param"].drop(columns=set(found.frame["param"]) & set(found.metrics))
    return pd.concat([head, params, found.frame["metric"]], axis=1)


def _beside(summary: pd.DataFrame, found: Results, published: pd.DataFrame) -> pd.DataFrame:
    from .published import beside

    constants = found.constants()
    pairs = [
        beside(published, row["metric"], {**constants, **{name: row[name] for name in found.varying}})
        for row in summary.to_dict("records")
    ]
    return summary.assign(published_average=[a for a, _ in pairs], published_best=[b for _, b in pairs])
