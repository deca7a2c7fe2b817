"""What the machine lets this process use, and what a process uses of it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from ..errors import InputError


def cores() -> int:
    """Cores that this process may run on, which in a container or under `taskset` are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def private_mb(pid: int | None = None) -> float:
    """Private memory of a process, this one unless given, in MiB, mapped files aside; 0 of one that has ended.

    RssAnon on Linux, elsewhere the unique set size.
    """
    # Here, so that checking options needs the standard library alone.
    import psutil

    pid = pid or os.getpid()
    try:
        if sys.platform != "linux":
            return psutil.Process(pid).memory_full_info().uss / 2**20
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except (OSError, psutil.Error):
        return 0.0
    match = re.search(r"^RssAnon:\s+(\d+)", status, re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def processes(workers: int | None) -> int:
    """The processes that `workers` asks for: None for one a core.

    Raises:
        InputError: Fewer than one.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers} must be at least 1; leave it out for one a core.")
    return workers or cores()
