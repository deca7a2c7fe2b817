"""The study of a search: what it searches, which trial is next, and when there is none."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from ...errors import InputError
from .. import engine
from ..engine import KEY, digest
from . import objectives
from .space import Point, SearchSpace

# Random trials before the sampler learns from them, and before the median means something.
STARTUP = 5
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class SeededSampler(TPESampler):
    """TPE whose draws for a trial depend on the seed and the trial's number, not on what this process drew before.

    So a study that goes on in a new process does not repeat its first trials, and workers do not draw alike.
    """

    def __init__(self, seed: int, number: int = 0) -> None:
        self._first_seed = seed
        drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        super().__init__(seed=drawn, n_startup_trials=STARTUP, multivariate=True, group=True)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        SeededSampler.__init__(self, self._first_seed, trial.number)
        super().before_trial(study, trial)


def make_pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(1, epochs), reduction_factor=3)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1)
    return optuna.pruners.NopPruner()


def open_study(
    storage: RDBStorage,
    name: str,
    names: Sequence[str],
    *,
    sampler: BaseSampler,
    pruner: optuna.pruners.BasePruner,
    attributes: Mapping[str, Any],
) -> optuna.Study:
    """Starts or joins a study with objectives `names`; call it inside of `engine.exclusive`.

    A new one keeps the attributes, `identity` among them: a mapping that a study which is joined must share.

    Raises:
        InputError: There is one of that name that searches something else.
    """
    directions = [objectives.direction(name) for name in names]
    study = optuna.create_study(
        storage=storage, study_name=name, directions=directions, sampler=sampler, pruner=pruner, load_if_exists=True
    )
    known = study.user_attrs.get("identity")
    if known is None:
        for key, value in attributes.items():
            study.set_user_attr(key, value)
        return study
    new = json.loads(json.dumps(attributes["identity"]))
    different = sorted(key for key in {*known, *new} if known.get(key) != new.get(key))
    if different:
        pairs = [f"{key} ({_short(known.get(key))} there, {_short(new.get(key))} here)" for key in different[:3]]
        raise InputError(
            f"study_name={name} is a search of something else: {', '.join(pairs)}. Take another study_name; "
            f"warm_start={name} tries its best first."
        )
    return study


def enqueue(study: optuna.Study, space: SearchSpace, points: Sequence[Point], source: str) -> None:
    """Puts points on the list of trials that come first, once each, however often this is called."""
    known = {trial.user_attrs.get(KEY) for trial in study.get_trials(deepcopy=False)}
    for point in points:
        inside, pinned = space.split(point)
        key = digest(point)
        if key not in known:
            known.add(key)
            study.enqueue_trial(inside, user_attrs={"source": source, KEY: key, "pinned": pinned})


def work(
    study: optuna.Study,
    url: str,
    train: engine.Train,
    *,
    limit: int | None,
    deadline: float | None = None,
    worker: str = "",
    poll: float = engine.POLL,
) -> None:
    """Runs trials until the study has its `limit` of them; workers together start exactly so many, retries beside.

    No trial is started after the `deadline` of `time.monotonic`. Optuna's MaxTrialsCallback looks once a trial has
    ended: several workers would start too many.
    """

    def is_left() -> bool:
        if deadline is not None and time.monotonic() >= deadline:
            return False
        trials = study.get_trials(deepcopy=False)
        if limit is None or any(t.state == TrialState.WAITING and _is_retry(t) for t in trials):
            return True
        return sum(t.state != TrialState.WAITING and not _is_retry(t) for t in trials) < limit

    engine.work(study, url, train, is_left, worker=worker, poll=poll)


def _is_retry(trial: FrozenTrial) -> bool:
    return RetryHeartbeatStaleTrialCallback.retried_trial_number(trial) is not None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
