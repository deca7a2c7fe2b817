"""One engine for many trainings: trials of an Optuna study, shared by any number of workers on one or several hosts.

A search draws its trials; a grid, and the end of a search, put theirs into a queue. Each is taken under a lock that
ends with its process, kept by heartbeats, and begun again where its worker was lost.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from ..data.cache import cache_root
from ..errors import InputError
from ..tracking import others
from ..tracking.runs import Run

logger = logging.getLogger(__name__)
# Seconds; creating tables and reporting happen under the lock.
WAIT = 600
# Heartbeats that may fail to come before a worker counts as lost.
PATIENCE = 3
POLL = 1.0
# Attributes of a trial: which of a queue it is, its run, the run of the command that took it, and its own number once
# it is taken (a retry starts as a copy).
KEY, RUN, WORKER, TAKEN = "key", "run_id", "worker_run_id", "taken"
LOST = "its worker was lost"

Train = Callable[[optuna.Trial], float | Sequence[float]]


class TrialFailed(Exception):
    """A trial could not be trained; the others go on. Its text is the reason."""


def storage_url(storage: str | None) -> str:
    """The URL that is used: the user's, or a file in the cache.

    Raises:
        InputError: Not a database that several processes can share.
    """
    url = storage or f"sqlite:///{cache_root() / 'searches.db'}"
    if not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg2://")):
        raise InputError(f"storage={url} must be sqlite:///FILE (one host) or postgresql://USER@HOST/DATABASE.")
    # SQLAlchemy's own choice of driver depends on its version.
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def open_storage(url: str, *, max_retry: int, heartbeat: int) -> RDBStorage:
    """The database of studies, made where it is missing.

    Raises:
        InputError: It does not answer.
    """
    # Every trial is told of by its own run; heartbeats and retries are experimental in Optuna 5.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    options = {"connect_args": {"timeout": WAIT}} if url.startswith("sqlite") else {}
    lost = functools.partial(_lost, max_retry, PATIENCE * heartbeat)
    try:
        with exclusive(url, "storage"):
            return RDBStorage(
                url, engine_kwargs=options, heartbeat_interval=heartbeat, grace_period=PATIENCE * heartbeat,
                heartbeat_stale_trial_callback=lost,
            )  # fmt: skip
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, ImportError) as error:
        raise InputError(f"storage={url} does not answer: {str(error).splitlines()[0]}") from error


def _lost(max_retry: int, seconds: int, study: optuna.Study, trial: FrozenTrial) -> None:
    """Called by whoever finds a trial without heartbeat: its runs end, and it may be begun again."""
    tried = len(trial.system_attrs.get("retry_history", []))
    then = f"retry {tried + 1} of {max_retry}" if tried < max_retry else f"max_retry={max_retry}"
    if RUN in trial.user_attrs:
        others.fail(trial.user_attrs[RUN], f"{LOST}: no sign of life for {seconds} s; {then}")
    if trial.user_attrs.get(WORKER):
        others.end(trial.user_attrs[WORKER], "KILLED")
    RetryHeartbeatStaleTrialCallback(max_retry)(study, trial)


@contextlib.contextmanager
def exclusive(url: str, name: str) -> Iterator[None]:
    """Waits until no other process is inside under the same name.

    The database or the operating system lets go when a process dies, however it does.
    """
    with contextlib.ExitStack() as stack:
        if url.startswith("postgresql"):
            engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
            connection = stack.enter_context(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
            lock = sqlalchemy.text("select pg_advisory_lock(hashtext(:name))")
            connection.execute(lock, {"name": f"artists {name}"})
        else:
            # A transaction on a database beside the one of the studies, which stays free for reading and writing.
            path = Path(url.removeprefix("sqlite:///") + ".lock")
            path.parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
            stack.enter_context(contextlib.closing(file)).execute("begin exclusive")
        yield


def digest(values: Any) -> str:
    """Eight hex digits of plain data; the order of a mapping does not matter."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]


class Queue:
    """Trainings that are known beforehand, each by a key, as waiting trials of a study of that name.

    One that failed is tried again by the next command, not by this one; one that needs another waits for it.
    """

    def __init__(
        self,
        storage: RDBStorage,
        name: str,
        jobs: Mapping[str, Mapping[str, Any]],
        done: Collection[str] | None = None,
        needs: Mapping[str, str] | None = None,
    ) -> None:
        """Opens the study of jobs, key -> attributes of its trial; call it inside of `exclusive`.

        `done`, whatever the study says; by default the keys of complete trials. `needs`: key -> key to be done before.
        """
        self.study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True,
            pruner=optuna.pruners.NopPruner(), sampler=optuna.samplers.RandomSampler(),
        )  # fmt: skip
        self._jobs, self._needs, self._done = jobs, needs or {}, set(done or ())
        trials = self.study.get_trials(deepcopy=False)
        self._first = len(trials)
        self._before = set() if done is None else {t.number for t in trials if t.state == TrialState.COMPLETE}

    def last(self) -> dict[str, FrozenTrial]:
        """The last trial of each key."""
        last = {trial.user_attrs[KEY]: trial for trial in self.study.get_trials(deepcopy=False)}
        complete = {key: t.number for key, t in last.items() if t.state == TrialState.COMPLETE}
        self._done |= {key for key, number in complete.items() if number not in self._before}
        return last

    def left(self) -> list[str]:
        """The keys that are neither done nor have failed since this command began."""
        last = self.last()
        failed = {key for key, t in last.items() if t.state == TrialState.FAIL and t.number >= self._first}
        return [key for key in self._jobs if key not in self._done | failed]

    def is_left(self) -> bool:
        """Whether a trial waits, once all that can be trained is in the queue."""
        last = self.last()
        for key in self.left():
            queued = key in last and not last[key].state.is_finished()
            if not queued and self._needs.get(key, "") in {"", *self._done}:
                self.study.enqueue_trial({}, user_attrs={KEY: key, **self._jobs[key]})
        return bool(self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def work(
    study: optuna.Study,
    url: str,
    train: Train,
    is_left: Callable[[], bool],
    *,
    worker: str = "",
    callbacks: Sequence[Callable[[optuna.Study, FrozenTrial], None]] = (),
    poll: float = POLL,
) -> None:
    """Runs trials until none is left, and until no other worker is at one that might be lost.

    Whether there is a trial left is asked, and the trial taken, under one lock; TrialFailed of `train` fails a trial
    and nothing else. Others end `worker`, the run of this command, where it is lost. `callbacks` are Optuna's; `poll`:
    seconds between looks at what other workers do.
    """
    waits = False
    while True:
        with contextlib.ExitStack() as lock:
            lock.enter_context(exclusive(url, study.study_name))
            _fail_lost(study)
            start = is_left()
            if start:
                _one_trial(study, train, worker, callbacks, lock.close)
        if not start:
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if not running:
                return
            if not waits:
                logger.info("Waiting for %d training(s) of other workers, in case they are lost.", len(running))
            waits = True
            time.sleep(poll)


def _fail_lost(study: optuna.Study) -> None:
    """Call it inside of `exclusive`: whoever is between taking a trial and its first heartbeat has died there."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(TAKEN) != trial.number:
            study.tell(trial.number, state=TrialState.FAIL)
            _again(study, trial.number)
    fail_stale_trials(study)


def _one_trial(
    study: optuna.Study, train: Train, worker: str, callbacks: Sequence[Callable], taken: Callable[[], None]
) -> None:
    trials: list[optuna.Trial] = []

    def objective(trial: optuna.Trial) -> float | Sequence[float]:
        trial.storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
        trial.set_user_attr(WORKER, worker)
        trial.set_user_attr(TAKEN, trial.number)
        taken()
        trials.append(trial)
        return train(trial)

    try:
        study.optimize(objective, n_trials=1, catch=(TrialFailed,), callbacks=callbacks)
    except KeyboardInterrupt:
        if trials:
            _again(study, trials[0].number)
        raise
    except ValueError as error:
        if str(error) != "Cannot tell a FAIL trial.":
            raise
        logger.warning("Trial %d was taken for lost while it ran.", trials[0].number)


def _again(study: optuna.Study, number: int) -> None:
    """Puts a trial that was interrupted back on the list."""
    RetryHeartbeatStaleTrialCallback()(study, study.trials[number])


def is_failure(error: Exception) -> bool:
    """Whether an error is of the configuration: numbers that ran away, or memory that is not there."""
    text = str(error).lower()
    memory = ("out of memory", "oom when", "failed to allocate", "unable to allocate")
    return (
        isinstance(error, InputError | MemoryError | ArithmeticError | np.linalg.LinAlgError)
        or type(error).__name__ == "ResourceExhaustedError"
        or any(words in text for words in memory)
        or (isinstance(error, ValueError) and re.search(r"\b(nan|infinity)\b", text) is not None)
    )


@contextlib.contextmanager
def reasons(
    trial: optuna.Trial, name: str, run: Run | None = None, ends: Callable[[Exception], bool] = is_failure
) -> Iterator[None]:
    """Errors that end a trial alone become TrialFailed, with the reason in the study, and in the run if there is one.

    `ends` says which do, by default those of its configuration. A fault of the program is shown with its traceback.
    """
    try:
        yield
    except TrialFailed:
        raise
    except UpdateFinishedTrialError as error:
        raise TrialFailed("taken for lost by another worker while it ran") from error
    except Exception as error:
        if not ends(error):
            raise
        text = (str(error).splitlines() or [""])[0][:500]
        reason = text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
        if run:
            run.tags({"failure": reason})
            run.failed(reason)
        with contextlib.suppress(UpdateFinishedTrialError):
            trial.set_user_attr("failure", reason)
        logger.warning("%s failed: %s", name, reason, exc_info=not is_failure(error))
        raise TrialFailed(reason) from None
