"""Entry point promote: a trained run becomes a version of the registered model, and champion if it passes the gates."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e promote -P run_id=<run of train>    or  -P experiment_name=<name> [-P metric=val/song_f1]
mlflow run . -e promote -P action=history | -P action=rollback
action                          promote (default), history, rollback
run_id                          the candidate
experiment_name metric          instead: its best run by a validation metric
name                            the registered model (artist-classifier)
dry_run                         says what would be decided and writes nothing; not with history
policy data workers             registry/policy.yaml; the candidate's corpus; processes that score its test songs
History takes the name alone, rollback name and dry_run."""


def run(flags: Mapping[str, str], run) -> None:
    from .artists.workflows.plan import resolve, values
    from .artists.workflows.promote import decide

    (options,) = resolve((decide.PromoteOptions,), flags)
    run.params(values(options))
    with tempfile.TemporaryDirectory() as folder:
        {"promote": _promote, "history": _history, "rollback": _rollback}[options.action](options, run, Path(folder))


def _promote(options, run, work: Path) -> None:
    from .artists.reports import verdict
    from .artists.tracking import candidates
    from .artists.workflows.promote import decide

    run_id = options.run_id or candidates.best_run(options.experiment_name, options.metric)
    candidate = decide.Candidate(run_id, *candidates.fetch(run_id, work / "candidate"))
    outcome = decide.promote(options, candidate, work)
    text = verdict.outcome_text(outcome, options.name, run_id)
    run.metrics({name: value for name, value in outcome.numbers.items() if value == value})
    run.tags({"role": outcome.verdict.role, "version": outcome.version or "none", "candidate_run_id": run_id})
    run.description(f"```\n{text}\n```")
    print("\n" + text)


def _history(options, run, work: Path) -> None:
    from .artists.reports import verdict
    from .artists.tracking.registry import Registry
    from .artists.workflows.promote import decide

    steps = decide.steps_of(Registry(options.name))
    run.table(verdict.history_table(steps), "history.csv")
    print("\n" + verdict.history_text(steps, options.name))


def _rollback(options, run, work: Path) -> None:
    from .artists.workflows.promote import decide

    decision = decide.rollback(options)
    run.tags({"version": decision.version, "role": "champion"})
    said = "would be" if options.dry_run else "is"
    print(f"\nVersion {decision.version} of {options.name} {said} the champion again; before: {decision.against}.")


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
