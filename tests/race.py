"""Rounds of two processes that promote at once, some of which are killed: run by test_promotion.py.

python race.py <rounds> <seed>   with MLFLOW_TRACKING_URI set; prints a line of JSON
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable

# Imported before the forks, which would each spend a second on it.
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
from mlflow.tracking import MlflowClient

from projects.artists.tracking.registry import Registry
from projects.artists.workflows.promote import decide

NAME = "raced"


def forked(work: Callable[[], None], deadline: float = 0.0) -> int:
    """Process id of a child that does the work; killed after `deadline` seconds, 0 for never."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if deadline:
            # Ends the process wherever it is, as SIGKILL does.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, deadline)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def killed_at(registry: Registry, call: int) -> None:
    """Makes the process kill itself before its n-th call of the store, or behind it."""
    left = [call]
    for name in ("entries", "append", "set_alias", "register", "aliases"):
        inner = getattr(registry, name)

        def counted(*args, _inner=inner, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            done = _inner(*args, **kwargs)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        setattr(registry, name, counted)


def promote(number: int, kill: int) -> None:
    """What promotion.promote does with the registry, for evidence that passes every gate."""
    registry = Registry(NAME)
    if kill:
        killed_at(registry, kill)
    decide.follow(registry)
    version = registry.register(f"runs:/{number:032x}/model", f"{number:032x}")
    decide.decide(
        registry,
        lambda state: decide.signed(
            action="promote", version=version, against=state.champion, role="champion", run_id=f"{number:032x}"
        ),
    )
    decide.follow(registry)


def check(repair: bool) -> None:
    """One champion, which replaying the log gives, and versions that were decided on only."""
    registry = Registry(NAME)
    if repair:
        decide.follow(registry)
    steps = decide.steps_of(registry)
    champion = ""
    for step in steps:  # a second implementation of the replay, for promotions alone
        assert step.valid == (step.decision.against == champion), step
        champion = step.decision.version if step.valid else champion
    assert registry.aliases() == ({"champion": champion} if champion else {}), (registry.aliases(), champion)
    versions = {str(v.version) for v in MlflowClient().search_model_versions(f"name='{NAME}'")}
    assert {step.decision.version for step in steps} <= versions
    with open(os.environ["RACE_COUNT"], "w") as file:
        json.dump([len(steps), sum(not step.valid for step in steps)], file)


def run(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def play(number: int, rng: random.Random) -> int:
    """One round; returns how many of its processes were killed."""
    # In each third round nobody is killed: the aliases are right without a repair.
    spared = number % 3 == 0
    kills = [0, 0] if spared else [rng.randint(1, 24), rng.choice([0, rng.randint(1, 24)])]
    deadlines = [rng.uniform(0.05, 0.6) if number % 3 == 1 else 0.0, 0.0]
    codes = run([forked(lambda i=i: promote(2 * number + i, kills[i]), deadlines[i]) for i in (0, 1)])
    assert all(code <= 0 for code in codes), codes
    (code,) = run([forked(lambda: check(repair=not spared))])
    assert code == 0, f"round {number}: killed before call {kills} or after {deadlines} s"
    return sum(code < 0 for code in codes)


def main(rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    killed = sum(play(number, rng) for number in range(rounds))
    with open(os.environ["RACE_COUNT"]) as file:
        decisions, void = json.load(file)
    print(json.dumps({"rounds": rounds, "killed": killed, "decisions": decisions, "void": void}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
