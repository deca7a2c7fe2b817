"""What a run logs, on local disk before it is sent: an append-only file of JSON lines, and copies of artifacts.

ARTISTS_CACHE/outbox/<run id>/log.jsonl, sent (bytes of it that the server has), files/<n>/ and lock. What was put is
safe from `kill -9` at once, and from a power cut once it has been fsync'd, which the sending thread does before it
sends: within a second or so.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..data.cache import atomic_write, cache_root
from ..errors import InputError

LOG, SENT, FILES, LOCK = "log.jsonl", "sent", "files", "lock"


class Busy(InputError):
    """Another process, or this one, writes or sends this outbox."""


@dataclasses.dataclass(frozen=True)
class Record:
    """A line: kind, content, time of writing (ms since 1970), and the position of the byte after it."""

    kind: str
    content: dict[str, Any]
    at: int
    end: int


class Outbox:
    """The outbox of one run; an object of this class holds its lock. Safe for several threads."""

    def __init__(self, run_id: str) -> None:
        """Opens or creates it, without an incomplete last line, as `kill -9` leaves it.

        Raises:
            Busy: It is open elsewhere.
            InputError: The cache cannot be written.
        """
        self.run_id, self.folder = run_id, root() / run_id
        self._mutex = threading.Lock()
        try:
            (self.folder / FILES).mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.folder / LOCK)
            self._log = os.open(self.folder / LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self.written = _whole_lines(self._log)
            if self.written < os.fstat(self._log).st_size:
                os.ftruncate(self._log, self.written)
        except OSError as error:
            raise InputError(_full(error)) from error
        self._synced = self.sent = min(_number(self.folder / SENT), self.written)
        self._next_file = 1 + max((int(f.name) for f in (self.folder / FILES).iterdir()), default=0)

    def put(self, kind: str, **content: Any) -> None:
        """Appends a record in one write, as `_storable` has it; raises InputError where the disk is full or gone."""
        line = (json.dumps({"kind": kind, "at": now(), **_storable(content)}, allow_nan=False) + "\n").encode()
        with self._mutex:
            try:
                if os.write(self._log, line) != len(line):
                    raise OSError("the disk is full")
            except OSError as error:
                os.ftruncate(self._log, self.written)
                raise InputError(_full(error)) from error
            self.written += len(line)

    def put_files(self, fill: Callable[[Path], object], artifact_path: str | None) -> None:
        """Appends artifacts: `fill` writes them into a folder that does not exist yet."""
        with self._mutex:
            number, self._next_file = self._next_file, self._next_file + 1
        try:
            fill(self.files(number))
        except OSError as error:
            raise InputError(_full(error)) from error
        self.put("files", number=number, to=artifact_path)

    def files(self, number: int) -> Path:
        return self.folder / FILES / str(number)

    def records(self, start: int = 0, limit: int | None = None) -> list[Record]:
        """Whole records from a byte on, in order; reads at most `limit` bytes, but one record at least."""
        end = self.written
        size = min(end - start, limit or end)
        data = os.pread(self._log, size, start)
        if not data.endswith(b"\n") and size:
            whole = data.rfind(b"\n") + 1
            if not whole:
                return self.records(start, limit and 2 * limit)
            data = data[:whole]
        records, at = [], start
        for line in data.splitlines(keepends=True):
            at += len(line)
            content = json.loads(line)
            records.append(Record(content.pop("kind"), content, content.pop("at"), at))
        return records

    def sync(self) -> None:
        """Flushes what was written to the disk itself."""
        if self._synced < self.written:
            reached = self.written
            os.fsync(self._log)
            self._synced = reached

    def mark_sent(self, records: list[Record]) -> None:
        """Records that the server has these; their artifacts are deleted."""
        with atomic_write(self.folder / SENT) as file:
            file.write(str(records[-1].end).encode())
        self.sent = records[-1].end
        for record in records:
            if record.kind == "files":
                shutil.rmtree(self.files(record.content["number"]), ignore_errors=True)

    def close(self, *, remove: bool = False) -> None:
        """Releases the lock; `remove`: there is nothing left to send."""
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._log)
        os.close(self._lock)


def root() -> Path:
    return cache_root() / "outbox"


def left() -> list[str]:
    """Run ids of all outboxes of the cache."""
    return sorted(path.parent.name for path in root().glob(f"*/{LOG}"))


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def encoded(value: float) -> float | str:
    """A number for JSON, which has no nan and no infinity; float() reads it back."""
    return value if math.isfinite(value) else str(value)


def _storable(value: Any) -> Any:
    """The same with lone surrogates and zeros in text as escapes: one such text would be refused again and again."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if isinstance(value, Mapping):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list | tuple) else value


def _locked(path: Path) -> int:
    """A locked file that is still at `path`: whoever had the lock before may have removed the outbox."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise Busy(f"Run {path.parent.name} is still being written by process {owner}.") from error
        if path.exists() and os.stat(path).st_ino == os.fstat(lock).st_ino:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock
        os.close(lock)
        path.parent.joinpath(FILES).mkdir(parents=True, exist_ok=True)


def _whole_lines(file: int) -> int:
    """Bytes up to and with the last newline."""
    size = os.fstat(file).st_size
    while size:
        start = max(0, size - 65536)
        newline = os.pread(file, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _full(error: OSError) -> str:
    reason = error.strerror or error
    return f"The outbox cannot be written in {root()}: {reason}. Make room, or point ARTISTS_CACHE to a disk with room."
