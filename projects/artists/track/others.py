"""Runs that another process began: what is said of them goes to the tracking server at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from mlflow.entities import Metric, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from ..errors import InputError
from . import server
from .delivery import Courier
from .outbox import Outbox


def check(run_id: str) -> None:
    """Raises InputError where the tracking server does not know a run."""
    try:
        MlflowClient().get_run(run_id)
    except MlflowException as error:
        raise InputError(
            f"Run {run_id} is not on this tracking server; set MLFLOW_TRACKING_URI to the one that holds it."
        ) from error


def fail(run_id: str, reason: str) -> None:
    """Ends a run, also one that had ended, as FAILED with the reason."""
    client = MlflowClient()
    client.set_tag(run_id, "failure", reason)
    client.set_tag(run_id, "mlflow.note.content", f"Failed: {reason}")
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))


def finish(run_id: str) -> None:
    """Ends a run well, whatever ended it before."""
    MlflowClient().set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))


def log(run_id: str, *, metrics: Mapping[str, float], tags: Mapping[str, str], folder: Path) -> None:
    """Metrics, tags and all files below a folder."""
    client, now = MlflowClient(), get_current_time_millis()
    client.log_batch(
        run_id,
        metrics=[Metric(name, float(value), now, 0) for name, value in metrics.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    client.log_artifacts(run_id, str(folder))


def tags(run_id: str, values: Mapping[str, str]) -> None:
    client = MlflowClient()
    for name, value in values.items():
        server.patient(lambda name=name, value=value: client.set_tag(run_id, name, value), "setting a tag")


def text(run_id: str, content: str, name: str) -> None:
    """An artifact."""
    server.patient(lambda: MlflowClient().log_text(run_id, content, name), f"logging {name}")


def table(run_id: str, content: pd.DataFrame, name: str) -> None:
    """A CSV artifact."""
    text(run_id, content.to_csv(index=False), name)


def deliver(run_id: str) -> None:
    """Sends what a killed process had left to send of a run.

    Raises:
        Busy: That process lives.
    """
    courier = Courier(Outbox(run_id))
    courier.flush(server.PATIENCE)
    courier.close()
