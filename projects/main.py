"""Entry point main: check, featurize, train, evaluate, promote and score, each a run of its own below this one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from . import cli

USAGE = f"""mlflow run . [-P name=value ...]
The parameters of train:
{cli.TRAINING}"""
PROJECT = Path(__file__).resolve().parents[1]


def run(flags: Mapping[str, str], run) -> None:
    from .artists.data.cache import cache_root
    from .artists.data.options import CorpusOptions, field_names
    from .artists.workflows.plan import changed, training_plan

    plan = training_plan(flags)
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


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
