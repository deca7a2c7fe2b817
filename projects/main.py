"""Entry point main: check, featurize, train, evaluate, promote and score, each a run of its own below this one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from . import cli
from .artists.data.options import CorpusOptions, field_names
from .artists.workflows.plan import TrainingPlan, changed, training_plan

if TYPE_CHECKING:
    from .artists.tracking.runs import Run

PROJECT = Path(__file__).resolve().parents[1]


def plan(flags: Mapping[str, str]) -> tuple[TrainingPlan, Mapping[str, str]]:
    """The plan, and the flags for train."""
    plan = training_plan(flags)
    plan.check_input()
    return plan, flags


def run(plans: tuple[TrainingPlan, Mapping[str, str]], run: Run) -> None:
    from .artists.data.cache import cache_root

    plan, flags = plans
    run.params(plan.values)
    _step("check", changed(plan.data, plan.features) | {"seed": plan.seed})
    corpus = CorpusOptions(**{name: plan.values[name] for name in field_names(CorpusOptions)})
    read = changed(corpus, plan.features)
    _step("featurize", read if corpus.artists else {name: read[name] for name in read if name != "songs_per_artist"})
    trained = _step("train", dict(flags))
    evaluated = _step("evaluate", {"model": trained})
    promoted = _step("promote", {"run_id": trained})
    output = str(cache_root() / "scores" / f"{trained}.parquet")
    scored = _step("score", {"model": trained, "audio": plan.data.data, "label": plan.data.label, "output": output})
    run.tags({"train_run_id": trained, "evaluate_run_id": evaluated})
    run.tags({"promote_run_id": promoted, "score_run_id": scored})


def _step(entry_point: str, parameters: Mapping[str, object]) -> str:
    """Runs an entry point in this environment, as a child of the active run; returns its run id."""
    import mlflow
    from mlflow.exceptions import ExecutionException, MlflowException

    from .artists.errors import InputError
    from .artists.tracking import server

    print(f"\n--- {entry_point} ---", flush=True)
    try:
        submitted = mlflow.projects.run(
            str(PROJECT), entry_point, parameters=dict(parameters), env_manager="local", experiment_id=_experiment()
        )
    except ExecutionException as error:
        raise InputError(f"{entry_point} failed; its message stands above.") from error
    except MlflowException as error:
        raise InputError(
            f"{entry_point} cannot go on without the tracking server {server.address()}: {server.reason(error)}. "
            "Start it; the entry points that are done need not be run again."
        ) from error
    return submitted.run_id


def _experiment() -> str:
    import mlflow

    return mlflow.active_run().info.experiment_id


COMMAND = cli.Command(
    "main",
    run,
    usage="mlflow run . [-P name=value ...]",
    without=("resume",),
    trains=True,
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
