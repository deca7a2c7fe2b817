"""Runs that another process began: what is said of them goes to the tracking server at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from mlflow.entities import Metric, RunStatus, RunTag
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from ..reports.markdown import inline
from . import server
from .delivery import Uploader, missing
from .outbox import Outbox

KEPT = "all that was computed is kept: the same command goes on from there"


def fail(run_id: str, reason: str) -> None:
    """Ends a run, also one that had ended, as FAILED with the reason."""
    client = server.client(f"ending run {run_id}")
    client.set_tag(run_id, "failure", reason)
    client.set_tag(run_id, "mlflow.note.content", f"Failed: {inline(reason)}")
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))


def finish(run_id: str) -> None:
    """Ends a run well, whatever ended it before."""
    client = server.client(f"ending run {run_id} ({KEPT})")
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))


def log(run_id: str, *, metrics: Mapping[str, float], tags: Mapping[str, str], folder: Path) -> None:
    """Metrics, tags and all files below a folder."""
    client, now, doing = MlflowClient(), get_current_time_millis(), f"logging results to run {run_id} ({KEPT})"
    rows = [(name, float(value), now, 0) for name, value in metrics.items()]
    server.retry(
        lambda: client.log_batch(
            run_id,
            metrics=[Metric(*row) for row in missing(client, run_id, rows)],
            tags=[RunTag(*item) for item in tags.items()],
        ),
        doing,
    )
    server.client(doing).log_artifacts(run_id, str(folder))


def tags(run_id: str, values: Mapping[str, str]) -> None:
    client = server.client(f"setting tags of run {run_id}")
    for name, value in values.items():
        client.set_tag(run_id, name, value)


def text(run_id: str, content: str, name: str) -> None:
    """An artifact."""
    server.client(f"logging {name}").log_text(run_id, content, name)


def table(run_id: str, content: pd.DataFrame, name: str) -> None:
    """A CSV artifact."""
    text(run_id, content.to_csv(index=False), name)


def deliver(run_id: str) -> None:
    """Sends what a killed process had left to send of a run.

    Raises:
        Busy: That process lives.
    """
    uploader = Uploader(Outbox(run_id))
    uploader.flush(server.PATIENCE)
    uploader.close()
