"""A study shared by any number of processes: which trial is next, whose it is, and when there is none."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from ...errors import InputError
from . import objectives
from .space import Point, SearchSpace
from .storage import exclusive

logger = logging.getLogger(__name__)
# Random trials before the sampler learns from them, and before the median means something.
STARTUP = 5
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
POLL = 1.0

Train = Callable[[optuna.Trial], float | Sequence[float]]


class TrialFailed(Exception):
    """A trial could not be trained; the study goes on. Its text is the reason."""


class SeededSampler(BaseSampler):
    """TPE whose draws for a trial depend on the seed and the trial's number, not on what this process drew before.

    So a study that goes on in a new process does not repeat its first trials, and workers do not draw alike.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._make(0)

    def _make(self, number: int) -> None:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._tpe = TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, group=True)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._make(trial.number)
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values) -> None:
        self._tpe.after_trial(study, trial, state, values)


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
    """Starts or joins a study; call it inside of `storage.exclusive`.

    Args:
        names: Objectives.
        attributes: What a new study keeps: `identity`, a mapping that a study which is joined must share, and more.

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
        said = ", ".join(pairs)
        raise InputError(
            f"study_name={name} is a search of something else: {said}. Take another study_name; warm_start={name} "
            "tries its best first."
        )
    return study


def enqueue(study: optuna.Study, space: SearchSpace, points: Sequence[Point], source: str) -> None:
    """Puts points on the list of trials that come first, once each, however often this is called."""
    known = {trial.user_attrs.get("point") for trial in study.get_trials(deepcopy=False)}
    for point in points:
        inside, pinned = space.split(point)
        key = digest(point)
        if key not in known:
            known.add(key)
            study.enqueue_trial(inside, user_attrs={"source": source, "point": key, "pinned": pinned})


def digest(values: Any) -> str:
    """Eight hex digits of plain data; the order of a mapping does not matter."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]


def work(
    study: optuna.Study, url: str, train: Train, *, limit: int | None, deadline: float | None = None, poll: float = POLL
) -> None:
    """Runs trials until the study has its `limit` of them, and until no other worker is at one that might be lost.

    Whether there is a trial left is asked, and the trial taken, under one lock, so that workers together start exactly
    `limit`. Retries are not counted.

    Args:
        train: The objective; TrialFailed fails the trial and nothing else.
        deadline: No trial is started after this time of `time.monotonic`.
        poll: Seconds between looks at what other workers do.
    """
    while True:
        lock = exclusive(url, study.study_name)
        lock.__enter__()
        held = [lock]
        try:
            _fail_lost(study)
            late = deadline is not None and time.monotonic() >= deadline
            start = not late and _is_trial_left(study, limit)
            if start:
                _one_trial(study, train, lambda held=held: held.pop().__exit__(None, None, None))
        finally:
            if held:
                held.pop().__exit__(None, None, None)
        if not start:
            if not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                return
            time.sleep(poll)


def _one_trial(study: optuna.Study, train: Train, taken: Callable[[], None]) -> None:
    trials: list[optuna.Trial] = []
    errors: list[Exception] = []

    def objective(trial: optuna.Trial) -> float | Sequence[float]:
        taken()
        trials.append(trial)
        try:
            return train(trial)
        except (optuna.TrialPruned, TrialFailed):
            raise
        except Exception as error:
            errors.append(error)
            raise

    try:
        study.optimize(objective, n_trials=1, catch=(TrialFailed,))
    except KeyboardInterrupt:
        if trials:
            _again(study, trials[0].number)
        raise
    except ValueError:
        # Optuna cannot be told of a trial that others failed because they took this worker for lost.
        if errors or not trials or study.trials[trials[0].number].state != TrialState.FAIL:
            raise
        logger.warning("Trial %d was taken for lost while it ran; its result is not used.", trials[0].number)


def _is_trial_left(study: optuna.Study, limit: int | None) -> bool:
    trials = study.get_trials(deepcopy=False)
    if limit is None or any(t.state == TrialState.WAITING and _is_retry(t) for t in trials):
        return True
    return sum(t.state != TrialState.WAITING and not _is_retry(t) for t in trials) < limit


def _is_retry(trial: FrozenTrial) -> bool:
    return "failed_trial" in trial.system_attrs


def _fail_lost(study: optuna.Study) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def _again(study: optuna.Study, number: int) -> None:
    """Puts a trial that the user interrupted back on the list."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        RetryHeartbeatStaleTrialCallback()(study, study.trials[number])


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
