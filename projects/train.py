"""Entry point train: a corpus to a trained, evaluated, tracked classifier."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = f"""mlflow run . -e train -P clip=5 [-P name=value ...]
{cli.TRAINING}
resume                                         alone: run id of an interrupted training that is to go on"""


def run(flags: Mapping[str, str], run) -> None:
    """Trains, evaluates on the best weights, and logs the model."""
    if flags.get("resume"):
        flags = _resumed(flags, run)
    try:
        _train(flags, run)
    except KeyboardInterrupt:
        from .artists.errors import command

        go_on = command("train", resume=run.run_id)
        print(f"\nWhat it has learned is kept. To go on: {go_on}", file=sys.stderr)
        run.tags({"resume_with": go_on})
        raise


def _train(flags: Mapping[str, str], run) -> None:
    from .artists.data import prepare
    from .artists.training import device
    from .artists.workflows import quarantine, results, train
    from .artists.workflows.plan import training_plan

    plan = training_plan(flags)
    run.params(plan.values)
    train.check_checkpoint(plan, run)
    plan.check_input()
    corpus, features = quarantine.read_features(run, plan.data, plan.features, progress=cli.progress_bar("features"))
    prepared = prepare.prepare(corpus, features, plan.data, seed=plan.seed)
    results.log_data(run, prepared)
    hint = device.idle_gpu_hint()
    if hint:
        print(f"warning: {hint}")
    system, _ = train.fit(plan, prepared, run)
    with tempfile.TemporaryDirectory() as folder:
        results.log_results(run, system, prepared, plan, Path(folder))


def _resumed(flags: Mapping[str, str], run) -> Mapping[str, str]:
    """The parameters of the run that is to go on.

    What its configuration file set is among them, unless it died before it logged more than `mlflow run` had.
    """
    from .artists.data.options import field_names
    from .artists.errors import InputError
    from .artists.training.training import Training

    others = sorted(set(flags) - {"resume"})
    if others:
        raise InputError(f"resume keeps the parameters of the old run; leave out {', '.join(others)}.")
    logged = run.resume(flags["resume"])
    # `mlflow run` logs names as they were typed; those that train logged count.
    old = {name.replace("-", "_"): value for name, value in sorted(logged.items(), key=lambda each: "-" not in each[0])}
    whole = set(field_names(Training)) <= set(old)
    return {name: value for name, value in old.items() if name != "resume" and not (whole and name == "config")}


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
