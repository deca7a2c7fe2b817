"""Entry point search: Optuna over the hyperparameters around a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = f"""mlflow run . -e search -P clip=5 -P n_trials=30 [-P name=value ...]
n_trials timeout               trials of the study, seconds of this worker
objective pruner               validation metrics (several: Pareto front); median, hyperband or none
space points warm_start        YAML of what is tried, YAML of what is tried first, earlier studies whose best are
study_name storage             a study to start, join or go on with; sqlite:///FILE or postgresql://USER@HOST/DATABASE
max_retry heartbeat            what becomes of the trial of a worker that died
seeds                          of the best and the published configuration at the end, which alone are tested
The same command started again works on the same study.
And the parameters of train; those given as flags stay as they are in all trials:
{cli.TRAINING}"""


def run(flags: Mapping[str, str], run) -> None:
    """Prepares features and split once, then trains trial after trial in this process."""
    from .artists.data import prepare
    from .artists.workflows import quarantine, results
    from .artists.workflows.search import search

    asked = search.request(flags)
    run.params(asked.params)
    plan = asked.plan
    plan.check_input()
    corpus, features = quarantine.read_features(run, plan.data, plan.features, progress=cli.progress_bar("features"))
    prepared = prepare.prepare(corpus, features, plan.data, seed=plan.seed)
    results.log_data(run, prepared)
    print("\n" + search.search(asked, prepared, run))


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
