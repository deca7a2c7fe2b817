"""What the machine lets this process use."""

from __future__ import annotations

import os

from ..errors import InputError


def cores() -> int:
    """Cores that this process may run on, which in a container or under `taskset` are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes(workers: int | None) -> int:
    """The processes that `workers` asks for: None for one a core.

    Raises:
        InputError: Fewer than one.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers} must be at least 1; leave it out for one a core.")
    return workers or cores()
