"""Entry point sync: sends what runs could not log while the tracking server was away."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from . import cli
from .artists.errors import InputError

SECONDS = 60.0


def plan(flags: Mapping[str, str]) -> None:
    if flags:
        raise InputError(f"sync takes no parameters; leave out {', '.join(sorted(flags))}.")


def run(_: None, run: cli.Run | None) -> None:
    from .artists.tracking import delivery, server

    seconds = server.seconds_setting("ARTISTS_FLUSH_SECONDS", SECONDS)
    done = left = 0
    for run_id, arrived, message in delivery.deliver_left(seconds, own=run.run_id if run else None):
        print(f"{run_id}: {message}", flush=True)
        done, left = done + arrived, left + (not arrived)
    if run:
        run.metrics({"outboxes_done": done, "outboxes_left": left})
    if left:
        raise InputError(f"{left} of {done + left} outboxes are left; see above, and run sync again.")
    print(f"{done} outboxes done, none left.")


def tracked() -> bool:
    """Whether `mlflow run` has made a run, which has to end in order; sync makes none of its own."""
    return "MLFLOW_RUN_ID" in os.environ


COMMAND = cli.Command(
    "sync",
    run,
    usage="mlflow run . -e sync\n"
    "Sends the outboxes of the cache (ARTISTS_CACHE/outbox) to the tracking server, and ends the runs that died.\n"
    "`mlflow run` makes a run for it, as for every entry point; `python -m projects.sync` makes none. No parameters.",
    plan=plan,
    tracked=tracked,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
