"""Who works on which cell: a lock of the operating system a cell, so that a process killed anyhow holds none.

The locks are files below the cache folder. They hold between processes of one host, and between hosts only where the
cache is on a file system that passes flock(2) on, as NFS of Linux does. They say who works, never what is done: that is
in the tracking store, so the folder can be deleted while no study runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path

from ...data.cache import cache_root


class Claims:
    """The locks of one study."""

    def __init__(self, *identity: str, root: Path | None = None) -> None:
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
        self.folder = (root or cache_root()) / "studies" / digest
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """True while this process alone holds `key`; False at once where another does."""
        with (self.folder / f"{key}.lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until no other process is inside."""
        with (self.folder / "study.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
