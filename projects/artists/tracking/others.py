"""Logging to runs that another process began: without an outbox, straight to the tracking server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import ExecutionException, MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from ..errors import InputError
from ..reports.markdown import inline
from . import server
from .delivery import Uploader, missing
from .outbox import Outbox
from .runs import PROJECT

KEPT = "all results are kept: the same command goes on from there"


def run_entry_point(entry_point: str, parameters: Mapping[str, object]) -> str:
    """Runs an entry point as a child of the active run; returns its run id, raises InputError where it failed."""
    active = mlflow.active_run()
    place = {"env_manager": "local", "experiment_id": active.info.experiment_id if active else None}
    try:
        return mlflow.projects.run(str(PROJECT), entry_point, parameters=dict(parameters), **place).run_id
    except ExecutionException as error:
        raise InputError(f"{entry_point} failed; its message stands above.") from error
    except MlflowException as error:
        raise InputError(
            f"{entry_point} cannot go on without the tracking server {server.address()}: {server.reason(error)}. "
            "Start it; the entry points that are done need not be run again."
        ) from error


def fail(run_id: str, reason: str) -> None:
    """Ends a run as FAILED with the reason, even one that has an end already."""
    client = server.client(f"ending run {run_id}")
    client.set_tag(run_id, "failure", reason)
    client.set_tag(run_id, "mlflow.note.content", f"Failed: {inline(reason)}")
    client.set_terminated(run_id, "FAILED")


def end(run_id: str, status: str = "FINISHED") -> None:
    """Ends a run, by default well, whatever ended it before."""
    server.client(f"ending run {run_id} ({KEPT})").set_terminated(run_id, status)


def log(run_id: str, *, metrics: Mapping[str, float], tags: Mapping[str, str], folder: Path) -> None:
    """Metrics, tags and all files below a folder."""
    client, now, action = MlflowClient(), get_current_time_millis(), f"logging results to run {run_id} ({KEPT})"
    rows = [(name, float(value), now, 0) for name, value in metrics.items()]
    pairs = [RunTag(*tag) for tag in tags.items()]

    def log_missing() -> None:
        client.log_batch(run_id, [Metric(*row) for row in missing(client, run_id, rows)], tags=pairs)

    server.retry(log_missing, action)
    server.client(action).log_artifacts(run_id, str(folder))


def tags(run_id: str, values: Mapping[str, str]) -> None:
    client = server.client(f"setting tags of run {run_id}")
    for name, value in values.items():
        client.set_tag(run_id, name, value)


def text(run_id: str, content: str, name: str) -> None:
    """Logs a text artifact."""
    server.client(f"logging {name}").log_text(run_id, content, name)


def table(run_id: str, content: pd.DataFrame, name: str) -> None:
    """Logs a CSV artifact."""
    text(run_id, content.to_csv(index=False), name)


def deliver(run_id: str) -> None:
    """Sends what a killed process left in the outbox of a run; raises Busy where that process is alive."""
    uploader = Uploader(Outbox(run_id))
    uploader.flush(server.PATIENCE)
    uploader.close()
