"""What the machine lets this process use."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that this process may run on, which in a container or under `taskset` are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
