"""A run in MLflow: what is logged goes to its outbox, and from there to the tracking server."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import LifecycleStage
from mlflow.entities import Run as Entity
from mlflow.tracking import MlflowClient
from mlflow.utils import mlflow_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from ..errors import InputError, command
from ..evaluation.names import metric_name
from ..reports.markdown import inline
from . import server
from .delivery import Uploader
from .outbox import Outbox, encoded, now

PACKAGES = ("mlflow", "keras", "tensorflow", "numpy", "scikit-learn", "librosa", "soundfile", "soxr")
PROJECT, CODE = Path(__file__).resolve().parents[3], ("projects", "registry")
# Seconds that the end of a run waits for the server; ARTISTS_FLUSH_SECONDS sets another number.
FLUSH, FLUSH_KILLED = 60.0, 8.0


def _timed(method: Callable) -> Callable:
    """Adds the time of a call to `Run.seconds`; calls within calls count once."""

    @functools.wraps(method)
    def call(self: Run, *arguments: Any, **named: Any) -> Any:
        if self._timing:
            return method(self, *arguments, **named)
        self._timing, began = True, time.perf_counter()
        try:
            return method(self, *arguments, **named)
        finally:
            self.seconds += time.perf_counter() - began
            self._timing = False

    return call


class Run:
    """What an entry point logs to its run. Calls return at once: a thread talks to the tracking server.

    seconds: time spent in calls that log; artifact_uri: where its artifacts go, empty where the server was not asked.
    """

    def __init__(self, run_id: str, *, fresh: bool = False) -> None:
        """`fresh`: nothing has been logged to it yet but what `mlflow run` logs."""
        self.run_id, self.seconds, self.artifact_uri = run_id, 0.0, ""
        self._uploader: Uploader | None = None
        # (metric, step) -> value of what the server had before; None: not known.
        self._before: dict[tuple[str, int], float] | None = {} if fresh else None
        self._tags_before: dict[str, str] = {}
        self._own: dict[str, set[int]] = {}
        self._timing = False
        self._when_finished: list[Callable[[], object]] = []
        if fresh:
            self._open()

    @classmethod
    def reopened(cls, run_id: str) -> Run:
        """A run that was left without an end, to go on with; what it logged before is not repeated.

        Raises:
            InputError: There is no such run, or another process writes it.
        """
        run = cls(run_id)
        run._go_on(*_caught_up(run_id))
        server.client("going on with a run").update_run(run_id, status="RUNNING")
        return run

    def _go_on(self, uploader: Uploader, old: Entity, before: dict[tuple[str, int], float]) -> None:
        self.run_id, self._uploader, self._before, self._own = old.info.run_id, uploader, before, {}
        self._tags_before = dict(old.data.tags)
        # Where this is all that is logged, sync still finds a run to end.
        self._put("run", uri=server.address())

    @_timed
    def params(self, values: Mapping[str, Any]) -> None:
        """Logs parameters; those that `mlflow run` logged before, as text, stay as they are."""
        self._put("params", values={name: str(value) for name, value in values.items()})

    def resume(self, run_id: str) -> dict[str, str]:
        """Ends this run with a tag that names `run_id`, where everything goes from here on; returns its parameters.

        Raises:
            InputError: There is no such run, it is finished or deleted, it resumes another, or it is being written.
        """
        _check_resumable(server.existing(run_id, "resume"))
        uploader, old, before = _caught_up(run_id)
        self.tags({"resumes": run_id})
        delivered = self.end("FINISHED")
        self._go_on(uploader, old, before)
        self.artifact_uri = old.info.artifact_uri
        _leave("FINISHED", delivered)
        server.retry(lambda: mlflow.start_run(run_id=run_id), "going on with a run")
        self.environment()
        return dict(old.data.params)

    def steps(self, metric: str) -> set[int]:
        """Steps at which a metric has been logged, sent or not."""
        before = _history(self.run_id, [metric]) if self._before is None else self._before
        return {step for name, step in before if name == metric} | self._own.get(metric, set())

    def tag_before(self, name: str) -> str | None:
        """A tag of a run that goes on, as it was left; None where it had none."""
        return self._tags_before.get(name)

    @_timed
    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Logs metrics of one step, now; a resumed run does not repeat what it logged before."""
        before, at = self._before or {}, now()
        new = {name: float(value) for name, value in values.items() if before.get((name, step)) != float(value)}
        for name in new:
            self._own.setdefault(name, set()).add(step)
        if new:
            self._put("metrics", rows=[[name, encoded(value), at, step] for name, value in new.items()])

    @_timed
    def tags(self, values: Mapping[str, str]) -> None:
        self._put("tags", values={name: str(value) for name, value in values.items()})

    @_timed
    def description(self, markdown: str) -> None:
        """Sets the text that the UI shows on the run's page."""
        self.tags({"mlflow.note.content": markdown})

    def failed(self, reason: str) -> None:
        """Sets the reason of the failure as the description."""
        self.description(f"Failed: {inline(reason)}")

    @_timed
    def folder(self, folder: Path, artifact_path: str | None = None) -> None:
        """Logs all files below a folder, as they are now, as artifacts."""
        self._files(lambda copy: shutil.copytree(folder, copy), artifact_path)

    def artifact(self, name: str) -> str:
        """Where an artifact is: a path, from here where it lies below, or an address."""
        folder = self.artifact_uri.removeprefix("file://")
        with contextlib.suppress(ValueError):
            folder = str(Path(folder).relative_to(Path.cwd()))
        return f"{folder}/{name}" if folder else name

    @_timed
    def text(self, text: str, name: str) -> None:
        def write(folder: Path) -> None:
            file = folder / name
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8", errors="backslashreplace")

        self._files(write, None)

    @_timed
    def table(self, table: pd.DataFrame, name: str) -> None:
        """A CSV artifact."""
        self.text(table.to_csv(index=False), name)

    @_timed
    def dataset(self, table: pd.DataFrame, *, name: str, digest: str, context: str) -> None:
        """Records which tracks were used: ids, labels and digests, never audio."""
        tracks = from_pandas(table, name=name[:500], digest=digest)
        self._put("dataset", dataset=dict(tracks._to_mlflow_entity()), context=context)

    @_timed
    def environment(self) -> None:
        """Versions, commit and whether the checkout differs from it."""
        versions = {name: metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
        self.tags({"python": versions["python"], "tensorflow": versions["tensorflow"], **_git_tags()})
        self.text(json.dumps({"platform": platform.platform(), **versions}, indent=1), "environment.json")

    def when_finished(self, do: Callable[[], object]) -> None:
        """Something to do once the run has ended well, such as removing a checkpoint."""
        self._when_finished.append(do)

    def flush(self, seconds: float | None = None) -> bool:
        """Waits until the server has everything; False where it does not take it in time."""
        limit = server.seconds_setting("ARTISTS_FLUSH_SECONDS", FLUSH) if seconds is None else seconds
        return self._open().flush(limit)

    def end(self, status: str) -> bool:
        """Ends the run as FINISHED, FAILED or KILLED; returns whether the server knows everything.

        What it does not know stays in the outbox for `mlflow run . -e sync`.
        """
        uploader, done = self._open(), False
        try:
            if self._own:
                self.metrics({"logging_seconds": self.seconds})
            self._put("end", status=status, time=now())
            limit = server.seconds_setting("ARTISTS_FLUSH_SECONDS", FLUSH)
            done = self.flush(min(limit, FLUSH_KILLED) if status == "KILLED" else limit)
        except (KeyboardInterrupt, InputError) as error:
            print(f"\n{str(error) or 'Interrupted again: not waiting.'}", file=sys.stderr)
        done = uploader.close() and done
        if status == "FINISHED":
            for do in self._when_finished:
                do()
        if uploader.outbox.sent < uploader.outbox.written:
            print(
                f"\nThe tracking server {server.address()} has not taken all of run {self.run_id}; the rest waits in "
                f"{uploader.outbox.folder}.\nOnce the server is back: {command('sync')}",
                file=sys.stderr,
            )
        return done

    def _open(self) -> Uploader:
        if self._uploader is None:
            self._uploader = Uploader(Outbox(self.run_id))
            self._put("run", uri=server.address())
        return self._uploader

    def _put(self, kind: str, **content: Any) -> None:
        uploader = self._open()
        uploader.outbox.put(kind, **content)
        uploader.wake()

    def _files(self, fill: Callable[[Path], object], artifact_path: str | None) -> None:
        uploader = self._open()
        uploader.outbox.put_files(fill, artifact_path)
        uploader.wake()


@contextlib.contextmanager
def start() -> Iterator[Run]:
    """The run that `mlflow run` made, or a new one.

    It ends as FINISHED, as KILLED on Ctrl-C, and as FAILED on any other exception, which goes on.

    Raises:
        InputError: The tracking server does not answer.
    """
    # Taken from the environment: MLflow would forget it at its first attempt, and make a new run at the second; and a
    # process started from here would log into this run.
    given = os.environ.pop("MLFLOW_RUN_ID", None)
    active = server.retry(lambda: mlflow.start_run(run_id=given), "starting a run")
    status, delivered, last_word = "FAILED", False, None
    try:
        run = Run(active.info.run_id, fresh=True)
        run.artifact_uri = active.info.artifact_uri
        try:
            run.environment()
            yield run
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            last_word = _last_word(run.run_id) if given == run.run_id else None
            raise
        finally:
            delivered = run.end(status)
    finally:
        _leave(status, delivered)
        if last_word and last_word.stdout:
            # It prints that it is ready, or ends; before that `mlflow run` must not go on.
            last_word.stdout.readline()


def _last_word(run_id: str) -> subprocess.Popen:
    """Sees to it that KILLED outlasts `mlflow run`: see last_word.py. Ctrl-C in the terminal does not reach it."""
    script = Path(__file__).with_name("last_word.py")
    return subprocess.Popen(
        [sys.executable, "-P", str(script), run_id, str(now()), str(os.getppid())],
        env=os.environ | {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5"},
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@contextlib.contextmanager
def child(parent: Run, name: str, tags: Mapping[str, str] | None = None, *, run_id: str | None = None) -> Iterator[Run]:
    """A run below `parent`, for one of the trainings that it consists of; it ends as `start`'s does.

    It is not MLflow's active run: several may be open in threads.

    Args:
        run_id: A child that has not finished, to go on with; None for a new one.
    """
    run = Run.reopened(run_id) if run_id else Run(new_child(parent, name, tags or {}), fresh=True)
    status = "FAILED"
    try:
        run.environment()
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.end(status)


def new_child(parent: Run, name: str, tags: Mapping[str, str]) -> str:
    """Creates a run below `parent` with that run's user and source; returns its id."""
    action, at = "starting a child run", now()
    above = server.client(action).get_run(parent.run_id)
    experiment = above.info.experiment_id
    names = (mlflow_tags.MLFLOW_USER, mlflow_tags.MLFLOW_SOURCE_NAME, mlflow_tags.MLFLOW_SOURCE_TYPE)
    kept = {name: above.data.tags[name] for name in names if name in above.data.tags}
    tags = {**tags, MLFLOW_PARENT_RUN_ID: parent.run_id, **kept}
    below = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.run_id}' and attributes.start_time = {at}"

    def lost() -> Entity | None:
        return next((r for r in MlflowClient().search_runs([experiment], below) if r.info.run_name == name), None)

    def create() -> Entity:
        return MlflowClient().create_run(experiment, start_time=at, run_name=name, tags=tags)

    return server.retry(create, action, lost=lost).info.run_id


@contextlib.contextmanager
def active(run: Run) -> Iterator[None]:
    """Makes a child MLflow's active run for a while: models are logged to the active run."""
    server.retry(lambda: mlflow.start_run(run_id=run.run_id, nested=True), f"logging to run {run.run_id}")
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    finally:
        _leave(status, delivered=True)


def _leave(status: str, delivered: bool) -> None:
    """Takes the run from MLflow's stack of active runs, whose end asks the server once more: in vain if it is away."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    usual = os.environ.get(name)
    try:
        if not delivered:
            os.environ[name] = "2"
        with contextlib.suppress(Exception):
            mlflow.end_run(status)
    finally:
        os.environ.pop(name, None)
        if usual is not None:
            os.environ[name] = usual


def _caught_up(run_id: str) -> tuple[Uploader, Entity, dict[tuple[str, int], float]]:
    """The outbox of a run once the server has all of it, the run as it then stands, and the metrics that it has."""
    uploader = Uploader(Outbox(run_id))
    if not uploader.flush(server.PATIENCE):
        raise InputError(f"resume={run_id}: {server.address()} does not take what that run still has to log.")
    # After the flush: its parameters may have waited in the outbox.
    old = server.existing(run_id, "resume")
    return uploader, old, _history(run_id, old.data.metrics)


def _check_resumable(old: Entity) -> None:
    run_id, tags = old.info.run_id, old.data.tags
    entry_point = tags.get(mlflow_tags.MLFLOW_PROJECT_ENTRY_POINT, "train")
    reason = None
    if old.info.lifecycle_stage == LifecycleStage.DELETED:
        reason = "that run is deleted; restore it in the MLflow UI first."
    elif "resumes" in tags:
        reason = f"that run only resumed another; give resume={tags['resumes']}."
    elif entry_point != "train":
        reason = f"that is a run of {entry_point}; only trainings go on."
    elif old.info.status == "FINISHED":
        reason = "that run is finished, there is nothing to go on with; for more epochs start a training anew."
    if reason:
        raise InputError(f"resume={run_id}: {reason}")


def _history(run_id: str, names: Iterable[str]) -> dict[tuple[str, int], float]:
    """(metric, step) -> last value."""
    client = server.client("reading what was logged before")
    rows = [row for name in names for row in client.get_metric_history(run_id, name)]
    return {(metric_name(row.key), row.step): row.value for row in sorted(rows, key=lambda row: row.timestamp)}


def _git_tags() -> dict[str, str]:
    """Commit and dirtiness of the checkout; in an image, which has none, the commit that it was built from."""
    commit = os.environ.get("ARTISTS_COMMIT")
    unknown = {"git_dirty": "no repository"} | ({"mlflow.source.git.commit": commit} if commit else {})
    try:
        import git
    # What it raises where there is no git to call, as beside an archive of the project.
    except ImportError:
        return unknown
    try:
        repository = git.Repo(PROJECT, search_parent_directories=True)
        new = repository.git.ls_files("--others", "--exclude-standard", "--", *(PROJECT / name for name in CODE))
        return {
            "mlflow.source.git.commit": repository.head.commit.hexsha,
            # A new system is a file that git does not know yet; one beside the code changes nothing.
            "git_dirty": str(bool(repository.is_dirty() or new)).lower(),
        }
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, git.GitCommandError, ValueError):
        return unknown
