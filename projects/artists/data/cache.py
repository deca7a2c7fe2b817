"""Content-addressed features on local disk: audio bytes + feature configuration -> one .npy a track.

Beside them lie, made anew at the price of time, fingerprints/, audits/, demo-*/, s3/, studies/ (locks) and
digests.sqlite; and, lost when they are deleted, outbox/ (what the tracking server has not got yet), checkpoints/ (of
killed trainings) and searches.db (trials).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..audio.options import FeatureConfig
from ..errors import InputError

# A temporary file older than this was left by a process that died.
STALE_SECONDS = 24 * 3600.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_root() -> Path:
    """`ARTISTS_CACHE`, or ~/.cache/artists.

    Raises:
        InputError: It cannot be made.
    """
    return existing(_named_root())


def existing(folder: Path) -> Path:
    """The folder, made where it is not there. Raises InputError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def _named_root() -> Path:
    return Path(os.environ.get("ARTISTS_CACHE") or Path.home() / ".cache" / "artists").expanduser()


def unwritable(folder: Path, error: Exception) -> InputError:
    """What to say when `error` came of writing into a folder, of the cache or one that the user named."""
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)
    # Neither NumPy nor SQLite keeps the number of the error.
    if number in FULL or (number is None and ("requested and" in reason or "full" in reason)):
        reason = f"the disk is full ({_free(folder)} left) or a quota is used up"
    if not folder.resolve().is_relative_to(_named_root().resolve()):
        return InputError(
            f"{folder} cannot be written: {reason}. Make room there or make it writable, and give the same command "
            "again; or name a folder on another disk."
        )
    return InputError(
        f"The cache cannot be written in {folder}: {reason}. Make room, or let ARTISTS_CACHE name a writable folder "
        "on another disk; what is whole stays, and the same command goes on from there."
    )


def _free(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return f"{shutil.disk_usage(folder).free / 2**20:.0f} MiB"
    return "nothing known"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at `path` whole or not at all, whatever kills the process.

    Raises:
        InputError: The disk is full, or the folder cannot be written.
    """
    # Not mkstemp: its files are for their owner alone, and a cache may be shared.
    temporary = path.parent / f".partial-{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise unwritable(path.parent, error) from error
        raise


def sweep(folder: Path) -> None:
    """Removes what processes that died have left half-written anywhere below a folder."""
    for partial in folder.rglob(".partial-*"):
        # Another process may sweep as well, and a cache may be read-only.
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > STALE_SECONDS:
                partial.unlink()


class FeatureStore:
    """Arrays of one configuration by the digest of the audio: its features, or what is made of them (`kind`)."""

    kind, version = "features", ""

    def __init__(self, config: FeatureConfig, root: Path | None = None) -> None:
        self.config, self.root = config.parts[0], root or cache_root()
        self.folder = self.root / self.kind / f"{self.config.digest}{self.version}"

    def path(self, audio_digest: str) -> Path:
        return self.folder / audio_digest[:2] / f"{audio_digest}.npy"

    def n_frames(self, audio_digest: str) -> int | None:
        """Frames of a stored track, None when it is not stored whole."""
        try:
            return len(np.load(self.path(audio_digest), mmap_mode="r"))
        except (FileNotFoundError, ValueError, EOFError):
            return None

    def write(self, audio_digest: str, array: np.ndarray) -> None:
        with atomic_write(self.path(audio_digest)) as file:
            np.save(file, array)


def audio_digest(path: Path) -> str:
    """SHA-256 of the bytes of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class DigestIndex:
    """Remembers the digest of files that have not changed (path, size, times of change), as git does.

    Spares reading a whole library again on each run. Safe with many processes: it is SQLite.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._path = (root or cache_root()) / "digests.sqlite"
        with self._explained():
            self._db = sqlite3.connect(self._path, timeout=60)
            columns = "path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, sha256 TEXT"
            self._db.execute(f"CREATE TABLE IF NOT EXISTS file ({columns})")

    def get(self, path: Path) -> str | None:
        try:
            stat = path.stat()
        except (OSError, ValueError):
            return None
        with self._explained():
            query = "SELECT sha256 FROM file WHERE path = ? AND size = ? AND mtime = ? AND ctime = ?"
            row = self._db.execute(query, _key(path, stat)).fetchone()
        return row and row[0]

    def put(self, path: Path, stat: os.stat_result, sha256: str) -> None:
        """`stat` was taken before the bytes were read, so that a change in between is seen next time."""
        with self._explained(), self._db:
            self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)", (*_key(path, stat), sha256))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise unwritable(self._path.parent, error) from error
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self._path} is damaged ({error}). Delete it; it is made anew.") from error


def _key(path: Path, stat: os.stat_result) -> tuple[bytes, int, int, int]:
    """The time of modification can be set back, as `cp -p` does; that of the last change (ctime) cannot."""
    return os.fsencode(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
