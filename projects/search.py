"""Entry point search: Optuna over the hyperparameters around a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from . import cli
from .artists.data import corpora
from .artists.workflows.search.options import SearchOptions
from .artists.workflows.search.request import Request, request


def plan(flags: Mapping[str, str]) -> Request:
    search = request(flags)
    corpora.check(search.plan.data.data)
    search.plan.check_input()
    return search


def run(request: Request, run: cli.Run) -> None:
    """Prepares features and split once, then trains trial after trial in this process."""
    from .artists.data import prepare
    from .artists.workflows import results
    from .artists.workflows.search import search

    run.params(request.params)
    plan = request.plan
    corpus, features = prepare.read_features(plan.data, plan.features, progress=cli.progress_bar("features"))
    run.table(prepare.quarantine_table(features), "quarantined.csv")
    prepared = prepare.prepare(corpus, features, plan.data, seed=plan.seed)
    results.log_data(run, prepared)
    print("\n" + search.search(request, prepared, run))


COMMAND = cli.Command(
    "search",
    run,
    usage="mlflow run . -e search -P clip=5 -P n_trials=30 [-P name=value ...]",
    notes="The same command started again works on the same study. Those parameters of train that are given as flags\n"
    "stay as they are in all trials.",
    groups=(SearchOptions,),
    without=("resume",),
    trains=True,
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
