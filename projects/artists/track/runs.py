"""A run in MLflow: the only module that talks to the tracking server."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import git
import mlflow
import pandas as pd
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from ..errors import InputError

PACKAGES = ("mlflow", "keras", "tensorflow", "numpy", "scikit-learn", "librosa", "soundfile", "soxr")
BATCH = 1000


class Run:
    """Everything that a verb says about its run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._client = MlflowClient()

    def params(self, values: Mapping[str, Any]) -> None:
        """Logs parameters; those that `mlflow run` logged before, as text, stay as they are."""
        known = self._client.get_run(self.run_id).data.params
        new = [Param(name, str(value)) for name, value in values.items() if name not in known]
        self._client.log_batch(self.run_id, params=new)

    def resume(self, run_id: str) -> dict[str, str]:
        """Ends this run with a tag that names `run_id`; from here on everything goes there.

        Returns:
            The parameters of that run, as text.

        Raises:
            InputError: There is no such run.
        """
        try:
            old = self._client.get_run(run_id)
        except MlflowException as error:
            raise InputError(f"resume={run_id}: no such run; copy the run id from the MLflow UI.") from error
        self.tags({"resumes": run_id})
        mlflow.end_run()
        mlflow.start_run(run_id=run_id)
        self.run_id = run_id
        return dict(old.data.params)

    def steps(self, metric: str) -> set[int]:
        """Steps at which a metric has been logged."""
        return {row.step for row in self._client.get_metric_history(self.run_id, metric)}

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        now = time.time_ns() // 1_000_000
        rows = [Metric(name, float(value), now, step) for name, value in values.items()]
        for start in range(0, len(rows), BATCH):
            self._client.log_batch(self.run_id, metrics=rows[start : start + BATCH])

    def tags(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self._client.set_tag(self.run_id, name, value)

    def description(self, markdown: str) -> None:
        """What the UI shows on the run's page."""
        self._client.set_tag(self.run_id, "mlflow.note.content", markdown)

    def folder(self, folder: Path, artifact_path: str | None = None) -> None:
        """Logs all files below a folder as artifacts."""
        self._client.log_artifacts(self.run_id, str(folder), artifact_path)

    def text(self, text: str, name: str) -> None:
        self._client.log_text(self.run_id, text, name)

    def table(self, table: pd.DataFrame, name: str) -> None:
        """A CSV artifact."""
        self.text(table.to_csv(index=False), name)

    def dataset(self, table: pd.DataFrame, *, name: str, digest: str, context: str) -> None:
        """Records which tracks were used: ids, labels and digests, never audio."""
        used = mlflow.data.from_pandas(table, name=name[:500], digest=digest)
        tags = [InputTag(MLFLOW_DATASET_CONTEXT, context)]
        self._client.log_inputs(self.run_id, [DatasetInput(used._to_mlflow_entity(), tags)])

    def environment(self, device: str) -> None:
        """Device, versions, commit and whether the checkout differs from it."""
        versions = {name: metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
        self.tags({"device": device, "python": versions["python"], "tensorflow": versions["tensorflow"], **_git_tags()})
        self.text(
            json.dumps({"device": device, "platform": platform.platform(), **versions}, indent=1), "environment.json"
        )


@contextlib.contextmanager
def start() -> Iterator[Run]:
    """The run that `mlflow run` made, or a new one.

    It ends as FINISHED, as KILLED on Ctrl-C, and as FAILED on any other exception, which goes on.
    """
    active = mlflow.start_run()
    # A process started from here would otherwise log into this run.
    os.environ.pop("MLFLOW_RUN_ID", None)
    status = RunStatus.FAILED
    try:
        yield Run(active.info.run_id)
        status = RunStatus.FINISHED
    except KeyboardInterrupt:
        status = RunStatus.KILLED
        raise
    finally:
        mlflow.end_run(RunStatus.to_string(status))


@contextlib.contextmanager
def child(parent: Run, name: str, tags: Mapping[str, str] | None = None) -> Iterator[Run]:
    """A run below `parent`, for one of the trainings that it consists of; it ends as `start`'s does.

    It is not MLflow's active run: several may be open in threads.
    """
    client = MlflowClient()
    experiment = client.get_run(parent.run_id).info.experiment_id
    tags = {**(tags or {}), MLFLOW_PARENT_RUN_ID: parent.run_id, **_source_tags(client, parent)}
    run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    status = RunStatus.FAILED
    try:
        yield Run(run_id)
        status = RunStatus.FINISHED
    except KeyboardInterrupt:
        status = RunStatus.KILLED
        raise
    finally:
        client.set_terminated(run_id, RunStatus.to_string(status))


@contextlib.contextmanager
def active(run: Run) -> Iterator[None]:
    """Makes a child MLflow's active run for a while: models are logged to the active run."""
    with mlflow.start_run(run_id=run.run_id, nested=True):
        yield


def _source_tags(client: MlflowClient, parent: Run) -> dict[str, str]:
    """Who and what started it, as the parent's run says."""
    tags = client.get_run(parent.run_id).data.tags
    names = (MLFLOW_USER, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE)
    return {name: tags[name] for name in names if name in tags}


def _git_tags() -> dict[str, str]:
    """Commit and dirtiness of the checkout; in an image, which has none, the commit that it was built from."""
    try:
        repository = git.Repo(Path(__file__), search_parent_directories=True)
        return {
            "mlflow.source.git.commit": repository.head.commit.hexsha,
            "git_dirty": str(repository.is_dirty(untracked_files=False)).lower(),
        }
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, git.GitCommandError, ValueError):
        commit = os.environ.get("ARTISTS_COMMIT")
        return {"git_dirty": "no repository"} | ({"mlflow.source.git.commit": commit} if commit else {})
