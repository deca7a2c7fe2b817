"""Work spread over processes of which some die."""

from __future__ import annotations

import functools
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from projects.artists.data.workers import call_all, spread


def double(task: int | str) -> int:
    if task == "kill":
        os._exit(1)
    return 2 * task


def nothing() -> None:
    """A new process needs no preparation."""


def test_a_task_that_kills_its_process_has_no_result_and_every_other_has_one():
    tasks = [*range(5), "kill", *range(5, 9)]
    done = list(spread(tasks, double, 2, nothing))
    assert len(done) == 10 and dict(done) == {**{i: 2 * i for i in range(9)}, "kill": None}


def test_few_tasks_are_held_at_a_time():
    taken = []

    def tasks():
        for i in range(50):
            taken.append(i)
            yield i

    first = next(done := spread(tasks(), double, 1, nothing))
    assert first == (0, 0) and len(taken) <= 3
    assert len(list(done)) == 49


def write_or_fail(folder: Path, number: int) -> None:
    if not number:
        raise OSError("the first one fails")
    time.sleep(0.2)
    (folder / str(number)).touch()


def test_where_one_task_fails_no_other_process_goes_on_behind_it(tmp_path):
    with pytest.raises(OSError, match="the first one fails"), ProcessPoolExecutor(2) as pool:
        call_all(pool, functools.partial(write_or_fail, tmp_path), range(20), lambda done: None)
    left = len(list(tmp_path.iterdir()))
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) == left < 10
