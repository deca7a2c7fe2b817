"""Entry point train: a corpus to a trained, evaluated, tracked classifier."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from . import cli
from .artists.data import corpora
from .artists.data.options import ALL
from .artists.errors import InputError, command
from .artists.workflows.plan import TrainingPlan, training_plan, with_default_recipe


def plan(flags: Mapping[str, str]) -> TrainingPlan | str:
    """The plan of a training, or the id of the run that is to go on."""
    if flags.get("resume"):
        others = sorted(set(flags) - {"resume"})
        if others:
            raise InputError(f"resume keeps the parameters of the old run; leave out {', '.join(others)}.")
        return flags["resume"]
    plan = training_plan(with_default_recipe(flags))
    corpora.check(plan.data.data)
    plan.check_input()
    return plan


def run(plan: TrainingPlan | str, run: cli.Run) -> None:
    """Trains, evaluates on the best weights, and logs the model."""
    from .artists.workflows import train
    from .artists.workflows.grid.cells import Trainer

    if isinstance(plan, str):
        plan = train.resumed(plan, run)
    progress = cli.progress_bar("features")
    try:
        if plan.data.fold == ALL:
            run.params(plan.values)
            _, summary = Trainer(full=True, progress=progress).folds(plan, run)
            run.description(summary.markdown())
            print("\n" + summary.text())
        else:
            train.train(plan, run, progress)
    except KeyboardInterrupt:
        go_on = command("train", resume=run.run_id)
        print(f"\nWhat it has learned is kept. To go on: {go_on}", file=sys.stderr)
        run.tags({"resume_with": go_on})
        raise


COMMAND = cli.Command("train", run, usage="mlflow run . -e train -P clip=5 [-P name=value ...]", trains=True, plan=plan)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
