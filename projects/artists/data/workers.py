"""Work spread over processes, whatever single items do to them."""

from __future__ import annotations

import concurrent.futures as futures
import itertools
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Setup = Callable[[], None]


def spread(
    tasks: Iterable[Task], function: Callable[[Task], Result], workers: int, setup: Setup
) -> Iterator[tuple[Task, Result | None]]:
    """Each task with its result, in the order in which they are done.

    Few are in flight: few are suspected, and Ctrl-C waits for few. A single worker has one, so it is the guilty one.

    A task that is in flight when a process dies is tried once more, alone; None is the result of one that kills again.

    Args:
        setup: Called in every new process.
    """
    queue, left = iter(tasks), True
    while left:
        suspects: deque[Task] = deque()
        left = yield from _until_crash(queue, suspects, function, workers, setup)
        while suspects:
            guilty: deque[Task] = deque()
            yield from _until_crash(_drained(suspects), guilty, function, 1, setup)
            yield from ((task, None) for task in guilty)


def single_threaded() -> None:
    """A setup: one process a core already fills the machine; BLAS threads on top would fight."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)


def call_all(
    pool: futures.Executor, function: Callable[[Task], object], tasks: Iterable[Task], report: Callable[[int], None]
) -> None:
    """Calls in any order; `report` is given how many are done. Where one fails, those not begun are dropped."""
    running = [pool.submit(function, task) for task in tasks]
    try:
        for done, future in enumerate(futures.as_completed(running), start=1):
            future.result()
            report(done)
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def _drained(tasks: deque[Task]) -> Iterator[Task]:
    """From the left, so that what is not taken is still there."""
    while tasks:
        yield tasks.popleft()


def _until_crash(
    tasks: Iterator[Task], crashed: deque[Task], function: Callable[[Task], Result], workers: int, setup: Setup
) -> Generator[tuple[Task, Result], None, bool]:
    """Returns whether tasks may be left: a process has died, and those then in flight are in `crashed`."""
    in_flight = 1 if workers == 1 else 2 * workers
    running: dict[futures.Future[Result], Task] = {}
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(workers, context, _start, (setup,)) as pool:
        while True:
            for task in itertools.islice(tasks, 0 if crashed else in_flight - len(running)):
                try:
                    running[pool.submit(function, task)] = task
                except BrokenProcessPool:
                    crashed.append(task)
                    break
            if not running:
                return bool(crashed)
            for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    yield task, future.result()
                except BrokenProcessPool:
                    crashed.append(task)


def _start(setup: Setup) -> None:
    """Of a new process: it ends with the one that started it, even where that is killed."""
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    setup()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
