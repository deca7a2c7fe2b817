"""Asking the tracking server: bounded in time, and what to say when it does not answer."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ..errors import InputError

T = TypeVar("T")
# Seconds that a question may take in all, and the first and the longest wait between two attempts.
PATIENCE, FIRST_WAIT, LONGEST_WAIT = 30.0, 0.5, 5.0
# What the server says about the request itself: asking again would change nothing.
REFUSED = (400, 401, 403, 404, 409, 413, 422)
# How calls begin that may be carried out twice: they read, or set something to what it is then.
REPEATABLE = (
    "get_", "search_", "list_", "set_", "update_", "log_text", "log_artifacts", "delete_registered_model_alias",
)  # fmt: skip


def retry(
    ask: Callable[[], T], doing: str, seconds: float = PATIENCE, *, made: Callable[[], T | None] | None = None
) -> T:
    """The answer of the server, asked again while it is away.

    Args:
        made: Before `ask` is repeated, where it must not be carried out twice: what an attempt whose answer was lost
            has made; None where it has made nothing.

    Raises:
        InputError: No answer within `seconds`.
        MlflowException: The server refused.
    """
    until, wait, again = time.monotonic() + seconds, FIRST_WAIT, False
    while True:
        try:
            found = made() if made and again else None
            return ask() if found is None else found
        except Exception as error:
            if refused(error) or not _transient(error) or not mlflow.get_tracking_uri().startswith("http"):
                raise
            if time.monotonic() + wait > until:
                raise InputError(
                    f"The tracking server {address()} did not answer for {seconds:.0f} s while {doing}: "
                    f"{reason(error)}. Start it, or point MLFLOW_TRACKING_URI to one that runs."
                ) from error
        time.sleep(wait)
        wait, again = min(2 * wait, LONGEST_WAIT), True


class _Patient:
    def __init__(self, doing: str) -> None:
        self._client, self._doing = MlflowClient(), doing

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith(REPEATABLE):
            raise AttributeError(f"{name} may make something twice; call it by `retry`, with made=.")
        call = getattr(self._client, name)
        return lambda *args, **named: retry(functools.partial(call, *args, **named), self._doing)


def client(doing: str) -> MlflowClient:
    """MLflow's client, whose REPEATABLE calls are `retry`; it has no others."""
    return cast(MlflowClient, _Patient(doing))


def existing(run_id: str, name: str = "run_id") -> Run:
    """A run; raises InputError where the server has none, `name` being the parameter that named it."""
    try:
        return client(f"reading run {run_id}").get_run(run_id)
    except MlflowException as error:
        raise InputError(
            f"{name}={run_id}: no such run in {address()}; copy the run id from the MLflow UI, or point "
            "MLFLOW_TRACKING_URI to the server that has it."
        ) from error


def refused(error: Exception) -> bool:
    """Whether it is the server's answer to what was asked, rather than no answer."""
    return _status(error) in REFUSED


def _status(error: Exception) -> int | None:
    """The HTTP status in an error of MLflow, botocore or requests."""
    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return getattr(response, "status_code", None)


def _transient(error: Exception) -> bool:
    """No answer, in the words of MLflow, of sockets and files, or of an artifact store's client (boto, requests)."""
    return isinstance(error, MlflowException | OSError) or type(error).__module__.split(".")[0] in (
        "botocore", "boto3", "requests", "urllib3", "sqlalchemy",
    )  # fmt: skip


def address() -> str:
    """The tracking URI without a password."""
    return without_password(mlflow.get_tracking_uri())


def without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else uri


def reason(error: Exception) -> str:
    """The first line of an error, short, without a password."""
    text = (str(error).splitlines() or [type(error).__name__])[0].replace(mlflow.get_tracking_uri(), address())
    return text if len(text) <= 200 else f"{text[:200]} ..."


def seconds_setting(name: str, default: float) -> float:
    """A number of seconds from the environment."""
    try:
        return float(os.environ.get(name) or default)
    except ValueError as error:
        raise InputError(f"{name}={os.environ[name]} is not a number of seconds.") from error
