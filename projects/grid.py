"""Entry point grid: many trainings from one file, by any number of workers, and the report of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from . import cli
from .artists.data.options import field_names
from .artists.errors import InputError, command
from .artists.workflows.grid.grid import Grid, read_grid
from .artists.workflows.options import GridOptions
from .artists.workflows.plan import resolve


class Request(NamedTuple):
    options: GridOptions
    grid: Grid
    flags: Mapping[str, str]


def plan(flags: Mapping[str, str]) -> Request:
    if "study" in flags:
        raise InputError(f"A study is called a grid now: {command('grid', grid=flags['study'])}")
    own = {name: value for name, value in flags.items() if name in field_names(GridOptions)}
    (options,) = resolve((GridOptions,), own)
    return Request(options, read_grid(options.grid, {n: v for n, v in flags.items() if n not in own}), flags)


def run(request: Request, run: cli.Run) -> None:
    import json

    from .artists.tracking import others
    from .artists.workflows.grid import report, worker
    from .artists.workflows.grid.cells import Trainer

    options, grid = request.options, request.grid
    run.params(request.flags)
    parent = worker.join(run, grid, options)
    tags = {"title": grid.title, "paper": grid.paper, "columns": grid.columns, "metrics": ",".join(grid.metrics)}
    others.tags(parent.run_id, {f"grid_{name}": value for name, value in tags.items()})
    cells = {cell.key: dict(cell.values) for cell in grid.cells}
    others.text(parent.run_id, json.dumps(cells, indent=1), "cells.json")
    print(f"{grid.title}: {len(grid.cells)} cells, parent run {parent.run_id}")
    # What follows a training takes its model.
    full = options.full or any(cell.needs for cell in grid.cells)
    trainer = Trainer(full=full, progress=cli.progress_bar("features"))
    outcome = worker.work(grid.cells, run, parent, trainer, options)
    print(f"{outcome.finished} finished, {len(outcome.failed)} failed")
    if outcome.finished:
        page = report.report(report.ReportOptions(run_id=parent.run_id))
        report.log(page, parent.run_id)
        print("\n".join(finding.sentence for finding in page.findings))
        print(f"\nreport.html, runs.csv and summary.csv are artifacts of run {parent.run_id}.")
    if outcome.failed:
        name, reason = next(iter(outcome.failed.items()))
        raise InputError(
            f"{len(outcome.failed)} cell(s) failed, the first {name}: {reason} The same command retries them alone."
        )


COMMAND = cli.Command(
    "grid",
    run,
    usage="mlflow run . -e grid -P grid=<name or YAML file> [-P name=value ...]",
    notes="then_<name> is a parameter of the entry point that follows each training, in grids that have one.\n"
    "The parameters of train hold for all cells; several values are separated by commas: -P seed=0,21 -P epochs=10\n"
    "Started again, it goes on: finished cells are left alone, failed and interrupted ones retried. Started twice at\n"
    "once, the two share the cells. Ends with a report on the parent run.",
    groups=(GridOptions,),
    without=("resume",),
    trains=True,
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
