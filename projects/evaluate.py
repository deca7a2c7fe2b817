"""Entry point evaluate: the scores, tables and figures of a logged model on any split or corpus."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from . import cli
from .artists.data.options import DataOptions
from .artists.evaluation.options import EvaluationOptions
from .artists.workflows.options import EvaluateOptions
from .artists.workflows.plan import FIXED_BY_MODEL, evaluation_plan


def plan(flags: Mapping[str, str]) -> Mapping[str, str]:
    """The flags: what is not given is as in the training of the model, which is yet to be read."""
    evaluation_plan(flags)
    return flags


def run(flags: Mapping[str, str], run: cli.Run) -> None:
    from .artists.data import prepare, recordings
    from .artists.package import card as saved
    from .artists.tracking.model import download_system
    from .artists.workflows import results

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = download_system(flags.get("model", ""), work)
        system, card = saved.load(model)
        learned = recordings.learned(model, card.songs, card.groups, card.feature_config)
        plan = evaluation_plan(flags, card.settings)
        run.params(plan.values)
        classes, progress = card.classes, cli.progress_bar("features")
        corpus, features = prepare.read_features(plan.data, card.feature_config, classes=classes, progress=progress)
        run.table(prepare.quarantine_table(features), "quarantined.csv")
        prepared = prepare.prepare(corpus, features, plan.data, seed=plan.seed, classes=classes, required=("test",))
        results.log_data(run, prepared, context="evaluation")
        results.log_again(run, system, card, learned, prepared, plan, work, progress)


COMMAND = cli.Command(
    "evaluate",
    run,
    usage="mlflow run . -e evaluate -P model=<run id or model URI> [-P name=value ...]",
    groups=(EvaluateOptions, DataOptions, EvaluationOptions),
    without=FIXED_BY_MODEL,
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
