"""Writing to a run that another process may have open: straight to the tracking server, not through its outbox."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from mlflow.entities import RunStatus
from mlflow.tracking import MlflowClient

from . import server
from .delivery import Courier
from .outbox import Outbox


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


def finish(run_id: str) -> None:
    """Ends a run of which this process is not the one that started it."""
    status = RunStatus.to_string(RunStatus.FINISHED)
    server.patient(lambda: MlflowClient().set_terminated(run_id, status), "ending a run")


def deliver(run_id: str) -> None:
    """Sends what a killed process had left to send of a run.

    Raises:
        Busy: That process lives.
    """
    courier = Courier(Outbox(run_id))
    courier.flush(server.PATIENCE)
    courier.close()
