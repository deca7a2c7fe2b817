"""The end of a search: the best configuration and the published one, trained over several seeds and then tested, once.

The trainings are trials of a second study, so that workers share them and a lost one is begun again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from ...data import prepare
from ...errors import InputError
from ...tracking import runs
from ...training import device
from .. import results, train
from ..engine import KEY, RUN, Queue, digest, reasons
from ..plan import training_plan, used
from .trial import Search

METRIC = "test/song_f1"
SHOWN = ("test/song_f1", "test/song_f1_macro", "test/song_accuracy", "test/clip_f1")


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The best finished trial; of several objectives, that of the Pareto front which is best by the first.

    Raises:
        InputError: None has finished.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        failures = {trial.user_attrs.get("failure", "") for trial in study.trials} - {""}
        raise InputError(f"No trial of {study.study_name} has finished. {' '.join(sorted(failures)[:2])}")
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else -1
    return max(study.best_trials, key=lambda trial: (sign * trial.values[0], -trial.number))


def queue(
    storage: RDBStorage, name: str, seeds: Sequence[int], configurations: Mapping[str, Mapping[str, Any]]
) -> Queue:
    """The trainings at the end, one for each seed and configuration by what it is called, `published` and `best`.

    Equal ones are trained once. Call it inside of `engine.exclusive`.
    """
    jobs: dict[str, dict[str, Any]] = {}
    for called, values in configurations.items():
        for seed in seeds:
            jobs.setdefault(job_key(values, seed), {"called": called, "values": dict(values), "seed": seed})
    return Queue(storage, f"{name}: final", jobs)


def job_key(values: Mapping[str, Any], seed: int) -> str:
    return f"{digest(values)}-{seed}"


def run_final(search: Search, trial: optuna.Trial) -> float:
    """Trains and tests one configuration with one seed, on the split of the search, as `train` would; its run holds
    the model."""
    device.release()
    called, seed = trial.user_attrs["called"], trial.user_attrs["seed"]
    tags = {"study_name": search.name, "final": called}
    name = f"{called}, seed {seed}"
    with runs.child(search.parent, name, tags) as run, reasons(trial, name, run):
        trial.set_user_attr(RUN, run.run_id)
        split_seed = search.plan.data.split_seed_or(search.plan.seed)
        values = {**search.given, **trial.user_attrs["values"], "seed": seed, "split_seed": split_seed}
        chosen = training_plan(used(values))
        run.params(chosen.values)
        prepared = prepare.with_overlap(search.prepared, chosen.data.overlap)
        run.table(prepare.quarantine_table(prepared.features), "quarantined.csv")
        results.log_data(run, prepared)
        fitted = train.fit(chosen, prepared, run)
        with runs.active(run):
            metrics = results.log_results(run, fitted.system, prepared, chosen, fitted.held_out, say=False).metrics
        train.checkpoint(run).unlink(missing_ok=True)
        trial.set_user_attr("metrics", {name: metrics[name] for name in SHOWN})
    return metrics[METRIC]


def comparison(
    study: optuna.Study, seeds: Sequence[int], configurations: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """A row a configuration and seed: configuration, seed, `SHOWN` (NaN where its training failed), run_id."""
    ended = {t.user_attrs[KEY]: t for t in study.trials if t.state == TrialState.COMPLETE}
    rows = []
    for called, values in configurations.items():
        for seed in seeds:
            trial = ended.get(job_key(values, seed))
            scores = trial.user_attrs["metrics"] if trial else dict.fromkeys(SHOWN, np.nan)
            run_id = trial.user_attrs["run_id"] if trial else ""
            rows.append({"configuration": called, "seed": seed, **scores, "run_id": run_id})
    return pd.DataFrame(rows)
