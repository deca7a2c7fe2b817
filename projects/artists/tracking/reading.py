"""Tracked runs as plain values, as reports read them."""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import mlflow
from mlflow.entities import Run, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from mlflow.utils.uri import append_to_uri_path

from ..errors import InputError
from ..evaluation.names import metric_name
from . import server

LOCAL_UI = "http://127.0.0.1:5000"
# A grid was called a study once; its runs are read as those of today.
OLD_TAGS = {"study": "grid", "study_parent": "grid_parent"} | {
    f"study_{name}": f"grid_{name}" for name in ("title", "paper", "columns", "metrics")
}


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """A run as stored, its metrics under today's names. seconds: from start to end, None while it has no end."""

    run_id: str
    experiment_id: str
    name: str
    status: str
    seconds: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def parent(self) -> str | None:
        return self.tags.get(MLFLOW_PARENT_RUN_ID)


def read(run_id: str) -> TrackedRun:
    """A run; raises InputError where there is no such run."""
    return _plain(server.existing(run_id))


def children(run_id: str) -> list[TrackedRun]:
    """The runs below a run, oldest first."""
    return _search(read(run_id).experiment_id, f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'")


def experiment(name: str) -> list[TrackedRun]:
    """All runs of an experiment, oldest first; raises InputError where there is no such experiment."""
    client = server.client(f"reading the experiment {name}")
    stored = client.get_experiment_by_name(name)
    if stored is None:
        known = ", ".join(sorted(e.name for e in client.search_experiments()))
        raise InputError(f"experiment_name={name} is unknown; this store has {known}.")
    return _search(stored.experiment_id, "")


def tagged(experiment_id: str, name: str, value: str) -> list[TrackedRun]:
    """The runs of an experiment with a tag of that value, of its old name too, oldest first."""
    names = [old for old, new in OLD_TAGS.items() if new == name] + [name]
    tagged = [run for each in names for run in _search(experiment_id, f"tags.`{each}` != ''")]
    # Compared here: MLflow's search has no way to quote a quotation mark.
    return [run for run in tagged if run.tags[name] == value]


def artifact(run_id: str, name: str, most: int) -> bytes | None:
    """The bytes of an artifact at the top of a run; None where there is none or it is larger than `most`."""
    with tempfile.TemporaryDirectory() as folder:
        file = download(run_id, name, Path(folder), most)
        return file.read_bytes() if file else None


def download(run_id: str, name: str, folder: Path, most: float = math.inf) -> Path | None:
    """An artifact of a run, in `folder`; None where there is none or it is larger than `most` bytes."""
    action = f"reading {name} of run {run_id}"
    client, parent = server.client(action), PurePosixPath(name).parent.as_posix()
    sizes = {file.path: file.file_size for file in client.list_artifacts(run_id, None if parent == "." else parent)}
    if name not in sizes or (sizes[name] or 0) > most:
        return None
    # Not as runs:/: MLflow 3.17 reports any error of it as a missing file.
    return server.download(append_to_uri_path(client.get_run(run_id).info.artifact_uri, name), folder, action)


def artifact_names(run_id: str) -> list[str]:
    """Files at the top of a run."""
    files = server.client(f"listing the artifacts of run {run_id}").list_artifacts(run_id)
    return sorted(file.path for file in files if not file.is_dir)


def ui_address() -> str:
    """The URL of MLflow's UI: the tracking server, or the default of `mlflow ui` for a local store."""
    uri = mlflow.get_tracking_uri()
    # An address with a password is not shown.
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) and "@" not in uri else LOCAL_UI


def _search(experiment_id: str, condition: str) -> list[TrackedRun]:
    search = functools.partial(server.client("reading runs").search_runs, [experiment_id], condition)
    order = ["attributes.start_time ASC"]
    return [_plain(run) for run in server.pages(functools.partial(search, order_by=order))]


def _plain(run: Run) -> TrackedRun:
    info, data = run.info, run.data
    seconds = info.end_time and (info.end_time - info.start_time) / 1000
    status = info.status if isinstance(info.status, str) else RunStatus.to_string(info.status)
    metrics = {metric_name(name): value for name, value in data.metrics.items()}
    tags = {OLD_TAGS.get(name, name): value for name, value in data.tags.items()}
    return TrackedRun(info.run_id, info.experiment_id, info.run_name or "", status, seconds, data.params, metrics, tags)
