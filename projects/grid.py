"""Entry point grid: many trainings from one file, by any number of workers, and the report of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

if TYPE_CHECKING:
    from .artists.tracking.runs import Run

USAGE = f"""mlflow run . -e grid -P grid=<name or YAML file> [-P name=value ...]
grid         one that is shipped (an unknown name lists them), or a file: see projects/grids/
full         true: every cell logs all that train logs, model included; false (default): what figures are drawn from
then_<name>  a parameter of the entry point that follows each training, in grids that have one
storage      sqlite:///FILE (default: in the cache) or postgresql://USER@HOST/DATABASE, where workers share the cells
max_retry heartbeat            what becomes of the cell of a worker that died
Started again, it goes on: finished cells are left alone, failed and interrupted ones retried. Started twice at once,
the two share the cells. Ends with a report on the parent run.
And the parameters of train, for all cells; several values separated by commas: -P seed=0,21 -P epochs=10
{cli.TRAINING}"""


def run(flags: Mapping[str, str], run: Run) -> None:
    import json

    from .artists.data.options import field_names
    from .artists.errors import InputError, command
    from .artists.tracking import others
    from .artists.workflows.grid import report, worker
    from .artists.workflows.grid.cells import Trainer
    from .artists.workflows.grid.grid import GridOptions, read_grid
    from .artists.workflows.plan import resolve

    if "study" in flags:
        raise InputError(f"A study is called a grid now: {command('grid', grid=flags['study'])}")
    own = {name: value for name, value in flags.items() if name in field_names(GridOptions)}
    options = resolve((GridOptions,), own).make(GridOptions)
    grid = read_grid(options.grid, {name: value for name, value in flags.items() if name not in own})
    run.params(flags)
    parent = worker.join(run, grid, options)
    tags = {"title": grid.title, "paper": grid.paper, "columns": grid.columns, "metrics": ",".join(grid.metrics)}
    others.tags(parent.run_id, {f"grid_{name}": value for name, value in tags.items()})
    cells = {cell.key: dict(cell.settings.values) for cell in grid.cells}
    others.text(parent.run_id, json.dumps(cells, indent=1), "cells.json")
    print(f"{grid.title}: {len(grid.cells)} cells, parent run {parent.run_id}")
    # What follows a training takes its model.
    full = options.full or any(cell.needs for cell in grid.cells)
    trainer = Trainer(full=full, progress=cli.progress_bar("features"))
    outcome = worker.work(grid.cells, run, parent, trainer, options)
    print(f"{outcome.finished} finished, {len(outcome.failed)} failed")
    if outcome.finished:
        results = report.report(report.ReportOptions(run_id=parent.run_id))
        report.log(results, parent.run_id)
        print("\n".join(finding.sentence for finding in results.said))
        print(f"\nreport.html, runs.csv and summary.csv are artifacts of run {parent.run_id}.")
    if outcome.failed:
        name, reason = next(iter(outcome.failed.items()))
        raise InputError(
            f"{len(outcome.failed)} cell(s) failed, the first {name}: {reason} The same command retries them alone."
        )


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
