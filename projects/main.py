"""Entry point main: check, featurize, train, evaluate, promote and score, each a run of its own below this one."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from . import cli
from .artists.data import corpora
from .artists.data.options import CorpusOptions, field_names
from .artists.workflows.plan import TrainingPlan, changed, training_plan, with_default_recipe


def plan(flags: Mapping[str, str]) -> tuple[TrainingPlan, Mapping[str, str]]:
    """The plan, and the flags for train."""
    plan = training_plan(with_default_recipe(flags))
    corpora.check(plan.data.data)
    plan.check_input()
    return plan, flags


def run(plans: tuple[TrainingPlan, Mapping[str, str]], run: cli.Run) -> None:
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
    from .artists.tracking.others import run_entry_point

    print(f"\n--- {entry_point} ---", flush=True)
    return run_entry_point(entry_point, parameters)


COMMAND = cli.Command(
    "main", run, usage="mlflow run . [-P name=value ...]", without=("resume",), trains=True, plan=plan
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
