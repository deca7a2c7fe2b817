"""Entry point promote: a trained run becomes a version of the registered model, and champion if it passes the gates."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import cli
from .artists.workflows.options import PromoteOptions
from .artists.workflows.plan import values


def run(options: PromoteOptions, run: cli.Run) -> None:
    from .artists.reports import verdict
    from .artists.tracking import candidates
    from .artists.tracking.registry import Registry
    from .artists.workflows.promote import decide

    run.params(values(options))
    if options.action == "history":
        steps = decide.steps_of(Registry(options.name))
        run.table(verdict.history_table(steps), "history.csv")
        text = verdict.history_text(steps, options.name)
    elif options.action == "rollback":
        decision = decide.rollback(options)
        run.tags({"version": decision.version, "role": "champion"})
        verb = "would be" if options.dry_run else "is"
        text = f"Version {decision.version} of {options.name} {verb} the champion again; before: {decision.against}."
    else:
        run_id = options.run_id or candidates.best_run(str(options.experiment_name), options.metric)
        with tempfile.TemporaryDirectory() as folder:
            candidate = decide.Candidate(run_id, *candidates.fetch(run_id, Path(folder, "candidate")))
            outcome = decide.promote(options, candidate, Path(folder))
        text = verdict.outcome_text(outcome, options.name, run_id)
        run.metrics({name: value for name, value in outcome.numbers.items() if value == value})
        run.tags({"role": outcome.verdict.role, "version": outcome.version or "none", "candidate_run_id": run_id})
        run.description(f"```\n{text}\n```")
    print("\n" + text)


COMMAND = cli.Command(
    "promote",
    run,
    usage="mlflow run . -e promote -P run_id=<run of train>    or  -P experiment_name=<name> [-P metric=val/song_f1]\n"
    "mlflow run . -e promote -P action=history | -P action=rollback",
    groups=(PromoteOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
