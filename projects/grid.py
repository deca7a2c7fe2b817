"""Entry point grid: a grid of trainings from one file, by any number of workers, and the report of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

# Spawned workers import this module again: what is slow to load is imported where it is used.
from . import cli
from .artists.data.options import field_names
from .artists.workflows.grid.plan import Plan, read_plan
from .artists.workflows.options import StudyOptions
from .artists.workflows.plan import resolve

if TYPE_CHECKING:
    from .artists.tracking.runs import Run


class Request(NamedTuple):
    options: StudyOptions
    plan: Plan
    flags: Mapping[str, str]


def plan(flags: Mapping[str, str]) -> Request:
    own = {name: value for name, value in flags.items() if name in field_names(StudyOptions)}
    (options,) = resolve((StudyOptions,), own)
    others = {name: value for name, value in flags.items() if name not in own}
    return Request(options, read_plan(options.study, others), flags)


def run(request: Request, run: Run) -> None:
    import json

    from .artists.errors import InputError
    from .artists.tracking import others
    from .artists.workflows.grid import report, worker
    from .artists.workflows.grid.cells import Trainer

    options, plan = request.options, request.plan
    run.params(request.flags)
    parent = worker.join(run, plan)
    said = {"title": plan.title, "paper": plan.paper, "columns": plan.columns, "metrics": ",".join(plan.metrics)}
    others.tags(parent.run_id, {f"study_{name}": value for name, value in said.items()})
    cells = {cell.key: dict(cell.values) for cell in plan.cells}
    others.text(parent.run_id, json.dumps(cells, indent=1), "cells.json")
    print(f"{plan.title}: {len(plan.cells)} cells, parent run {parent.run_id}")
    # What follows a training takes its model.
    full = options.full or any(cell.needs for cell in plan.cells)
    outcome = worker.work(plan.cells, parent, Trainer(full=full, progress=cli.progress_bar("features")))
    print(f"{outcome.finished} finished, {len(outcome.failed)} failed, {outcome.elsewhere} with other workers")
    if outcome.finished and not outcome.elsewhere:
        made = report.report(report.ReportOptions(run_id=parent.run_id))
        report.log(made, parent.run_id)
        print("\n".join(finding.sentence for finding in made.findings))
        print(f"\nreport.html, runs.csv and summary.csv are artifacts of run {parent.run_id}.")
    if outcome.failed:
        name, reason = next(iter(outcome.failed.items()))
        raise InputError(
            f"{len(outcome.failed)} cell(s) failed, the first {name}: {reason} The same command retries them alone."
        )
    worker.close(run, parent, outcome)


COMMAND = cli.Command(
    "grid",
    run,
    usage="mlflow run . -e grid -P study=<name or YAML file> [-P name=value ...]",
    notes="then_<name> is a parameter of the entry point that follows each training, in grids that have one.\n"
    "The parameters of train hold for all cells; several values are separated by commas: -P seed=0,21 -P epochs=10\n"
    "Started again, it goes on: finished cells are left alone, failed and interrupted ones retried. Started twice at\n"
    "once, the two share the cells. Ends with a report on the parent run.",
    groups=(StudyOptions,),
    without=("resume",),
    trains=True,
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
