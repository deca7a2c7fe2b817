"""Calls to the tracking server: repeated for a limited time, and the error messages when it does not answer."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils import get_results_from_paginated_fn

from ..errors import InputError

T = TypeVar("T")
PAGE = 1000
# Seconds: of a call with all its attempts, and of the first and the longest wait between two attempts.
PATIENCE, FIRST_WAIT, LONGEST_WAIT = 30.0, 0.5, 5.0
# HTTP statuses of a request that the server refuses: a repetition would change nothing.
REFUSED = (400, 401, 403, 404, 409, 413, 422)
# Prefixes of calls that may be carried out twice: they read, or set a value.
REPEATABLE = (
    "get_", "search_", "list_", "set_", "update_", "log_text", "log_artifacts", "delete_registered_model_alias",
)  # fmt: skip


def retry(
    call: Callable[[], T], action: str, seconds: float = PATIENCE, *, lost: Callable[[], T | None] | None = None
) -> T:
    """The answer to a call, which is repeated while the server is away.

    Args:
        action: What the call does, for the error message, such as `reading a run`.
        lost: For a call that must not be carried out twice: the result of an attempt whose answer was lost, or None.
            It is looked up before each repetition.

    Raises:
        InputError: No answer within `seconds`.
        MlflowException: The server refused.
    """
    until, wait, again = time.monotonic() + seconds, FIRST_WAIT, False
    while True:
        try:
            result = lost() if lost and again else None
            return call() if result is None else result
        except Exception as error:
            if refused(error) or not _transient(error) or not mlflow.get_tracking_uri().startswith("http"):
                raise
            if time.monotonic() + wait > until:
                raise InputError(
                    f"The tracking server {address()} did not answer for {seconds:.0f} s while {action}: "
                    f"{reason(error)}. Start it, or point MLFLOW_TRACKING_URI to one that runs."
                ) from error
        time.sleep(wait)
        wait, again = min(2 * wait, LONGEST_WAIT), True


class _Retrying:
    def __init__(self, action: str) -> None:
        self._client, self._action = MlflowClient(), action

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith(REPEATABLE):
            raise AttributeError(f"{name} may create something twice; call it through `retry`, with lost=.")
        call = getattr(self._client, name)
        return lambda *args, **named: retry(functools.partial(call, *args, **named), self._action)


def client(action: str) -> MlflowClient:
    """MLflow's client with its REPEATABLE calls alone, each through `retry`; `action` as there."""
    return cast(MlflowClient, _Retrying(action))


def pages(search: Callable[..., Any]) -> list[Any]:
    """All results of a search that takes `max_results` and `page_token`."""
    return get_results_from_paginated_fn(lambda count, token: search(max_results=count, page_token=token), PAGE)


def download(uri: str, folder: Path, action: str) -> Path:
    """The local path of an artifact, in `folder` where it is not local already; `action` as of `retry`."""
    return Path(retry(lambda: mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)), action))


def existing(run_id: str, name: str = "run_id") -> Run:
    """A run; raises InputError, which calls the parameter that gave it `name`, where the server has it not."""
    try:
        return client(f"reading run {run_id}").get_run(run_id)
    except MlflowException as error:
        raise InputError(
            f"{name}={run_id}: no such run in {address()}; copy the run id from the MLflow UI, or point "
            "MLFLOW_TRACKING_URI to the server that has it."
        ) from error


def refused(error: Exception) -> bool:
    """Whether the server answered and refused the request."""
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
    """Whether there was no answer: an error of MLflow, sockets, files or an artifact store's client."""
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
    """The first line of an error, at most 200 characters, without a password."""
    text = (str(error).splitlines() or [type(error).__name__])[0].replace(mlflow.get_tracking_uri(), address())
    return text if len(text) <= 200 else f"{text[:200]} ..."


def seconds_setting(name: str, default: float) -> float:
    """A number of seconds from an environment variable; raises InputError where it is none."""
    try:
        return float(os.environ.get(name) or default)
    except ValueError as error:
        raise InputError(f"{name}={os.environ[name]} is not a number of seconds.") from error
