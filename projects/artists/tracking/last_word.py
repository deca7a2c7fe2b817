"""A process that sets the final status of a killed run: `python last_word.py <run id> <end in ms> <process>`.

`mlflow run` (3.17) writes FAILED over any status once its child has ended: `_maybe_set_run_terminated` in
mlflow.projects should leave a run alone that has ended, but compares its status, a string, with numbers. This process
waits for FAILED, writes KILLED again, and ends; it also ends once the process (`mlflow run`) is gone.
"""

from __future__ import annotations

import os
import sys
import time

PAUSE, LONGEST = 0.05, 30.0


def main(run_id: str, end: int, parent: int) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    client.get_run(run_id)
    print("ready", flush=True)
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        alive = _alive(parent)
        status = client.get_run(run_id).info.status
        if status == "FAILED":
            client.set_terminated(run_id, "KILLED", end_time=end)
        if status == "FAILED" or not alive:
            return
        time.sleep(PAUSE)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
