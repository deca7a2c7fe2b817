"""Working off the cells of a study, alone or beside other processes; whatever is killed, a cell counts once.

Every cell has one child run, found by its tag `cell`: one that has not finished is gone on with, in its own run and
from its last whole epoch, by whoever holds the cell's lock; one that has finished is left alone.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ...errors import InputError
from ...reports.names import clock
from ...tracking import others, reading, runs
from ...tracking.outbox import Busy
from ...tracking.reading import TrackedRun
from ...tracking.runs import Run
from .claims import Claims
from .plan import Cell, Plan

STUDY, CELL, ENTRY, TRAINED, WORKER_OF = "study", "cell", "entry", "trained_run_id", "study_parent"
FINISHED = "FINISHED"
HEADLINES = ("test/song_f1", "test/clip_f1")

# A cell, its run, and the run id of the cell that it needs ("" for none) -> metrics.
Execute = Callable[[Cell, Run, str], Mapping[str, float]]
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a study stands when a worker leaves it. failed: name of a cell -> reason; elsewhere: with other workers."""

    finished: int
    failed: dict[str, str]
    elsewhere: int


def join(run: Run, plan: Plan) -> Run:
    """The parent run of the study in the run's experiment: `run` itself where there is none yet."""
    experiment = reading.read(run.run_id).experiment_id
    with Claims(reading.store(), experiment, plan.name).alone():
        parents = [r for r in reading.tagged(experiment, STUDY, plan.name) if r.parent is None]
        if not parents:
            others.tags(run.run_id, {STUDY: plan.name})
            return run
    run.tags({WORKER_OF: parents[0].run_id})
    return Run(parents[0].run_id)


def by_cell(children: Iterable[TrackedRun]) -> dict[str, TrackedRun]:
    """The run that counts for each cell: the first that finished, else the first."""
    counted: dict[str, TrackedRun] = {}
    for child in children:
        key = child.tags.get(CELL)
        if key and (key not in counted or (child.status == FINISHED) > (counted[key].status == FINISHED)):
            counted[key] = child
    return counted


def work(cells: Sequence[Cell], parent: Run, execute: Execute) -> Outcome:
    """Runs cells until none is left that is neither finished, nor tried here, nor with another worker."""
    claims = Claims(reading.store(), parent.run_id)
    failed: dict[str, str] = {}
    durations: list[float] = []
    tried: set[str] = set()
    while True:
        known = by_cell(reading.children(parent.run_id))
        open_ = [c for c in cells if c.key not in tried and not _finished(known.get(c.key))]
        ready = [c for c in open_ if not c.needs or _finished(known.get(c.needs))]
        began, elsewhere = time.perf_counter(), 0
        for cell in ready:
            with claims.claim(cell.key) as mine:
                # Read again: another worker may have finished it since.
                before = _state(cell, parent) if mine else None
                if mine and not _finished(before):
                    tried.add(cell.key)
                    trained = known[cell.needs].run_id if cell.needs else ""
                    said = _run_cell(cell, parent, before, trained, execute, failed)
                    break
            elsewhere += not mine
        else:
            known = by_cell(reading.children(parent.run_id))
            return Outcome(sum(_finished(known.get(c.key)) for c in cells), failed, elsewhere)
        durations.append(time.perf_counter() - began)
        _tell(cell, said, durations, len(open_) - 1, len(cells), elsewhere + 1)


def close(run: Run, parent: Run, outcome: Outcome) -> None:
    """Marks the parent as finished once all cells are, though the process that started it may have been killed."""
    if run.run_id != parent.run_id and not outcome.elsewhere:
        others.finish(parent.run_id)


def _state(cell: Cell, parent: Run) -> TrackedRun | None:
    """The run of a cell, once all is sent that a killed worker may have left on this host, its end included."""
    run = by_cell(reading.children(parent.run_id)).get(cell.key)
    if run is None or _finished(run):
        return run
    try:
        others.deliver(run.run_id)
    except Busy:
        # Somebody sends it just now; going on with the run will say so.
        return run
    return reading.read(run.run_id)


def _finished(run: TrackedRun | None) -> bool:
    return run is not None and run.status == FINISHED


def _run_cell(
    cell: Cell, parent: Run, before: TrackedRun | None, trained: str, execute: Execute, failed: dict[str, str]
) -> str:
    """Runs a cell in its child run; what goes wrong with it is the child's failure, not the study's."""
    tags = {CELL: cell.key, ENTRY: cell.entry} | ({TRAINED: trained} if trained else {})
    run_id = before and before.run_id
    try:
        if trained:
            # The process that follows opens and ends the run itself.
            run = Run(run_id or runs.new_child(parent, cell.name, tags))
            return _said(execute(cell, run, trained))
        with runs.child(parent, cell.name, tags, run_id=run_id) as run:
            try:
                metrics = execute(cell, run, trained)
            except Exception as error:
                run.failed(_reason(error))
                raise
            run.description(f"{cell.name}: {_said(metrics)}")
            return _said(metrics)
    except Exception as error:
        log.debug("cell %s failed", cell.name, exc_info=True)
        failed[cell.name] = _reason(error)
        return f"failed: {failed[cell.name]}"


def _said(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {metrics[name]:.3f}" for name in HEADLINES if name in metrics)


def _reason(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0][:500]
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def _tell(cell: Cell, said: str, durations: Sequence[float], left: int, total: int, workers: int) -> None:
    """A line a cell, with the time left if the others take as long as those of this process did."""
    seconds = left * sum(durations) / len(durations) / workers
    beside = f" by {workers} workers" if workers > 1 else ""
    rest = f"{left} left, about {clock(seconds)}{beside}" if left else "none left"
    print(f"[{total - left}/{total}] {cell.name}: {said} ({clock(durations[-1])}); {rest}", flush=True)
