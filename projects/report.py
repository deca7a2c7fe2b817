"""Entry point report: tables, charts and maps of many runs on one page, from what is tracked alone."""

from __future__ import annotations

import sys

from . import cli
from .artists.workflows.options import ReportOptions
from .artists.workflows.plan import values


def run(options: ReportOptions, run: cli.Run) -> None:
    from .artists.workflows.grid import report

    run.params({name: value for name, value in values(options).items() if value is not None})
    result = report.report(options)
    place = options.run_id or run.run_id
    report.log(result, place)
    run.tags({"report_run_id": place})
    print("\n".join(finding.sentence for finding in result.findings))
    print(f"\nreport.html, runs.csv and summary.csv are artifacts of run {place}.")


COMMAND = cli.Command(
    "report",
    run,
    usage="mlflow run . -e report -P run_id=<parent run> | -P experiment_name=<name> [-P name=value ...]",
    notes="Logs report.html, runs.csv (a row a run) and summary.csv (mean, best, deviation over seeds).",
    groups=(ReportOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
