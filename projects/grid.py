"""Entry point study: a grid of trainings from one file, by any number of workers, and the report of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = f"""mlflow run . -e study -P study=<name or YAML file> [-P name=value ...]
study        one that is shipped (an unknown name lists them), or a file: see projects/studies/
full         true: every cell logs all that train logs, model included; false (default): what figures are drawn from
then_<name>  a parameter of the entry point that follows each training, in studies that have one
Started again, it goes on: finished cells are left alone, failed and interrupted ones retried. Started twice at once,
the two share the cells. Ends with a report on the parent run.
And the parameters of train, for all cells; several values separated by commas: -P seed=0,21 -P epochs=10
{cli.TRAINING}"""


def run(flags: Mapping[str, str], run) -> None:
    import json

    from .artists.errors import InputError
    from .artists.tracking import others
    from .artists.workflows.grid import report, worker
    from .artists.workflows.grid.cells import Trainer
    from .artists.workflows.grid.plan import StudyOptions, read_plan
    from .artists.workflows.plan import resolve

    own = {name: value for name, value in flags.items() if name in ("study", "full")}
    settings = resolve((StudyOptions,), own)
    options = settings.make(StudyOptions)
    plan = read_plan(options.study, {name: value for name, value in flags.items() if name not in own})
    run.params(flags)
    parent = worker.join(run, plan)
    said = {"title": plan.title, "paper": plan.paper, "columns": plan.columns, "metrics": ",".join(plan.metrics)}
    others.tags(parent.run_id, {f"study_{name}": value for name, value in said.items()})
    cells = {cell.key: dict(cell.settings.values) for cell in plan.cells}
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


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
