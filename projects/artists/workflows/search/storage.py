"""Where studies live, and what processes need to share one: a lock, heartbeats, and what becomes of the lost."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

from ...data.cache import cache_root
from ...errors import InputError
from ...tracking import others

# Seconds; creating tables and reporting happen under the lock.
WAIT = 600
# Heartbeats that may fail to come before a worker counts as lost.
PATIENCE = 3


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
    options = {"connect_args": {"timeout": WAIT}} if url.startswith("sqlite") else {}
    try:
        with warnings.catch_warnings(), exclusive(url, "storage"):
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=heartbeat,
                grace_period=PATIENCE * heartbeat,
                heartbeat_stale_trial_callback=Lost(max_retry, PATIENCE * heartbeat),
            )
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, ImportError) as error:
        raise InputError(f"storage={url} does not answer: {str(error).splitlines()[0]}") from error


class Lost:
    """Called by whoever finds a trial without heartbeat: its run fails with the reason, and it may be begun again."""

    def __init__(self, max_retry: int, seconds: int) -> None:
        self._max_retry, self._seconds = max_retry, seconds
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._again = RetryHeartbeatStaleTrialCallback(max_retry)

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        tried = len(trial.system_attrs.get("retry_history", []))
        then = f"retry {tried + 1} of {self._max_retry}" if tried < self._max_retry else f"max_retry={self._max_retry}"
        run_id = trial.user_attrs.get("run_id")
        if run_id:
            others.fail(run_id, f"its worker was lost: no sign of life for {self._seconds} s; {then}")
        self._again(study, trial)


@contextlib.contextmanager
def exclusive(url: str, name: str) -> Iterator[None]:
    """Waits until no other process is inside under the same name.

    The database or the operating system lets go when a process dies, however it does.
    """
    with _postgresql_lock(url, name) if url.startswith("postgresql") else _sqlite_lock(url):
        yield


@contextlib.contextmanager
def _postgresql_lock(url: str, name: str) -> Iterator[None]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("select pg_advisory_lock(hashtext(:name))"), {"name": f"artists {name}"})
        yield


@contextlib.contextmanager
def _sqlite_lock(url: str) -> Iterator[None]:
    """A transaction on a database beside the one of the studies, which stays free for reading and writing."""
    path = Path(url.removeprefix("sqlite:///") + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, timeout=WAIT, isolation_level=None)) as connection:
        connection.execute("begin exclusive")
        yield
