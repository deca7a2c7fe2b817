"""Asking the tracking server: bounded in time, and what to say when it does not answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import mlflow
from mlflow.exceptions import MlflowException

from ..errors import InputError

T = TypeVar("T")
# Seconds that a question may take in all, and the longest wait between two attempts.
PATIENCE, LONGEST_WAIT = 30.0, 5.0
# What the server says about the request itself: asking again would change nothing.
REFUSED = (400, 401, 403, 404, 409, 413, 422)


def patient(ask: Callable[[], T], doing: str, seconds: float = PATIENCE) -> T:
    """The answer of the server, asked again while it is away.

    Raises:
        InputError: No answer within `seconds`.
        MlflowException: The server refused.
    """
    until, wait = time.monotonic() + seconds, 0.5
    while True:
        try:
            return ask()
        except Exception as error:
            if refused(error) or not _transient(error) or not mlflow.get_tracking_uri().startswith("http"):
                raise
            if time.monotonic() + wait > until:
                raise InputError(
                    f"The tracking server {address()} did not answer for {seconds:.0f} s while {doing}: "
                    f"{reason(error)}. Start it, or point MLFLOW_TRACKING_URI to one that runs."
                ) from error
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def refused(error: Exception) -> bool:
    """Whether it is the server's answer to what was asked, rather than no answer."""
    return isinstance(error, MlflowException) and error.get_http_status_code() in REFUSED


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
