"""Entry point report: tables, charts and maps of many runs on one page, from what is tracked alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e report -P run_id=<parent run> | -P experiment_name=<name> [-P name=value ...]
run_id            a study, or any run with children: they are reported, and the report is logged there
experiment_name   all trainings of an experiment instead, or its other runs if it has none; logged in this run
metrics columns   metrics to show, separated by commas; the parameter that runs across the tables (clip)
paper             whose published figures stand beside: nasrullah_zhao, tandon_shah, park
ui                address of the MLflow UI that links lead to
Logs report.html, runs.csv (a row a run) and summary.csv (mean, best, deviation over seeds)."""


def run(flags: Mapping[str, str], run) -> None:
    from .artists.workflows.grid import report
    from .artists.workflows.plan import resolve

    settings = resolve((report.ReportOptions,), flags)
    run.params(settings.given(list(settings.values)))
    options = settings.make(report.ReportOptions)
    result = report.report(options)
    place = options.run_id or run.run_id
    report.log(result, place)
    run.tags({"report_run_id": place})
    print("\n".join(finding.sentence for finding in result.findings))
    print(f"\nreport.html, runs.csv and summary.csv are artifacts of run {place}.")


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
