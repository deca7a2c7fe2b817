"""Working off the cells of a grid, alone or beside other processes; whatever is killed, a cell counts once.

Every cell is a trial of a queue, see engine.py, and a child run, found by its tag `cell`: one that has finished is left
alone; one that has not is gone on with in its own run, from its last whole epoch, where that is in this cache.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ...reports.names import clock
from ...tracking import others, outbox, reading, runs
from ...tracking.reading import TrackedRun
from ...tracking.runs import Run
from .. import engine, train
from ..engine import KEY, RUN, Queue, reasons
from ..options import EngineOptions
from .grid import Cell, Grid

GRID, CELL, ENTRY, TRAINED, WORKER_OF = "grid", "cell", "entry", "trained_run_id", "grid_parent"
FINISHED, RUNNING = "FINISHED", "RUNNING"
RESULT = "result"
HEADLINES = ("test/song_f1", "test/clip_f1")

# A cell, its run, and the run id of the cell that it needs ("" for none) -> metrics.
Execute = Callable[[Cell, Run, str], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a grid stands when no worker is at it. failed: name of a cell -> reason."""

    finished: int
    failed: dict[str, str]


def join(run: Run, grid: Grid, options: EngineOptions) -> Run:
    """The parent run of the grid in the run's experiment: `run` itself where there is none yet."""
    experiment = reading.read(run.run_id).experiment_id
    with engine.exclusive(engine.storage_url(options.storage), f"grid {experiment} {grid.name}"):
        parents = [r for r in reading.tagged(experiment, GRID, grid.name) if r.parent is None]
        if not parents:
            others.tags(run.run_id, {GRID: grid.name})
            return run
    run.tags({WORKER_OF: parents[0].run_id})
    return Run(parents[0].run_id)


def by_cell(children: Iterable[TrackedRun]) -> dict[str, TrackedRun]:
    """The run that counts for each cell: the first that finished, else the last."""
    counted: dict[str, TrackedRun] = {}
    for child in children:
        key = child.tags.get(CELL)
        if key and not _finished(counted.get(key)):
            counted[key] = child
    return counted


def work(cells: Sequence[Cell], run: Run, parent: Run, execute: Execute, options: EngineOptions) -> Outcome:
    """Runs cells until each has finished, or has been tried since this command began, here or by another worker."""
    url = engine.storage_url(options.storage)
    storage = engine.open_storage(url, max_retry=options.max_retry, heartbeat=options.heartbeat)
    by_key = {cell.key: cell for cell in cells}
    # Other cells, of other parameters, are another queue.
    name = f"grid {parent.run_id} {engine.digest(sorted(by_key))}"

    def finished() -> set[str]:
        counted = by_cell(reading.children(parent.run_id))
        return {key for key in by_key if _finished(counted.get(key))}

    with engine.exclusive(url, name):
        needs = {cell.key: cell.needs for cell in cells}
        queue = Queue(storage, name, {key: {} for key in by_key}, finished(), needs)

    def run_cell(trial: optuna.Trial) -> float:
        cell = by_key[trial.user_attrs[KEY]]
        with reasons(trial, cell.name, ends=lambda error: True):
            metrics = _metrics(cell, parent, trial, execute)
        return next((metrics[name] for name in HEADLINES if name in metrics), 0.0)

    def tell(study: optuna.Study, trial: FrozenTrial) -> None:
        print(_progress(by_key[trial.user_attrs[KEY]].name, trial, queue, len(cells)), flush=True)

    engine.work(queue.study, url, run_cell, queue.is_left, worker=run.run_id, callbacks=[tell])
    done, last = finished(), queue.last()
    failed = [cell for cell in cells if cell.key in last and cell.key not in done]
    if run.run_id != parent.run_id and len(done) == len(cells):
        # Whoever started the grid may have been killed.
        others.end(parent.run_id)
    return Outcome(len(done), {cell.name: last[cell.key].user_attrs.get("failure", engine.LOST) for cell in failed})


def _metrics(cell: Cell, parent: Run, trial: optuna.Trial, execute: Execute) -> Mapping[str, float]:
    """Runs a cell in its child run, unless it has finished; what goes wrong with it is the child's failure."""
    before, goes_on = _state(cell, parent)
    if before and _finished(before):
        trial.set_user_attr(RESULT, _headlines(before.metrics))
        return before.metrics
    trained = by_cell(reading.children(parent.run_id))[cell.needs].run_id if cell.needs else ""
    with contextlib.ExitStack() as stack:
        run = _child(cell, parent, trained, before.run_id if before and goes_on else None, stack)
        if not trained:
            stack.enter_context(reasons(trial, cell.name, run, ends=lambda error: True))
        trial.set_user_attr(RUN, run.run_id)
        metrics = execute(cell, run, trained)
        try:
            trial.set_user_attr(RESULT, _headlines(metrics))
        except UpdateFinishedTrialError:
            # Taken for lost while it ran; its result counts unless somebody else trains the cell in another run.
            same = [child for child in reading.children(parent.run_id) if child.tags.get(CELL) == cell.key]
            if any(child.run_id != run.run_id and child.status in (RUNNING, FINISHED) for child in same):
                raise
        if not trained:
            run.description(f"{cell.name}: {_headlines(metrics)}")
    return metrics


def _child(cell: Cell, parent: Run, trained: str, run_id: str | None, stack: contextlib.ExitStack) -> Run:
    """The run of a cell; that of what follows a training is opened and ended by the process that follows."""
    tags = {CELL: cell.key, ENTRY: cell.entry} | ({TRAINED: trained} if trained else {})
    if trained:
        return Run(run_id or runs.new_child(parent, cell.name, tags))
    return stack.enter_context(runs.child(parent, cell.name, tags, run_id=run_id))


def _state(cell: Cell, parent: Run) -> tuple[TrackedRun | None, bool]:
    """The run of a cell, once all is sent that a killed worker may have left on this host, and whether it can go on.

    It cannot where what it has learned is in another cache, or somebody may still be at it there.
    """
    run = by_cell(reading.children(parent.run_id)).get(cell.key)
    if run is None or _finished(run):
        return run, False
    if run.run_id in outbox.left() or train.checkpoint(Run(run.run_id)).is_file():
        # Raises Busy, which fails the cell, where its process lives.
        others.deliver(run.run_id)
        return reading.read(run.run_id), True
    lost = run.status == RUNNING or run.tags.get("failure", "").startswith(engine.LOST)
    return run, not lost and "epoch/loss" not in run.metrics


def _finished(run: TrackedRun | None) -> bool:
    return run is not None and run.status == FINISHED


def _headlines(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {metrics[name]:.3f}" for name in HEADLINES if name in metrics)


def _progress(name: str, trial: FrozenTrial, queue: Queue, total: int) -> str:
    """A line a cell, with the time left if the others take as long as this one."""
    own, left = trial.duration.total_seconds() if trial.duration else 0.0, len(queue.left())
    workers = 1 + len(queue.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    complete = trial.state == TrialState.COMPLETE
    result = trial.user_attrs[RESULT] if complete else f"failed: {trial.user_attrs.get('failure')}"
    beside = f" by {workers} workers" if workers > 1 else ""
    rest = f"{left} left, about {clock(left * own / workers)}{beside}" if left else "none left"
    return f"[{total - left}/{total}] {name}: {result} ({clock(own)}); {rest}"
