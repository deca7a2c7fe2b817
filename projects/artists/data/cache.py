"""Content-addressed features on local disk: audio bytes + feature configuration -> one .npy a track."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..audio.features import FeatureConfig


def cache_root() -> Path:
    """`ARTISTS_CACHE`, or ~/.cache/artists; deleting it costs only time."""
    root = Path(os.environ.get("ARTISTS_CACHE") or Path.home() / ".cache" / "artists").expanduser()
    root.mkdir(parents=True, exist_ok=True)
    return root


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at `path` whole or not at all, whatever kills the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp: its files are for their owner alone, and a cache may be shared.
    temporary = path.parent / f".partial-{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class FeatureStore:
    """The features of one configuration."""

    def __init__(self, config: FeatureConfig, root: Path | None = None) -> None:
        self.config = config
        self.root = root or cache_root()
        self.folder = self.root / "features" / config.digest

    def path(self, audio_digest: str) -> Path:
        return self.folder / audio_digest[:2] / f"{audio_digest}.npy"

    def n_frames(self, audio_digest: str) -> int | None:
        """Frames of a stored track, None when it is not stored whole."""
        try:
            return len(np.load(self.path(audio_digest), mmap_mode="r"))
        except (FileNotFoundError, ValueError, EOFError):
            return None

    def write(self, audio_digest: str, features: np.ndarray) -> None:
        with atomic_write(self.path(audio_digest)) as file:
            np.save(file, features)


def audio_digest(path: Path) -> str:
    """SHA-256 of the bytes of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class DigestIndex:
    """Remembers the digest of files that have not changed (path, size, times of change), as git does.

    Spares reading a whole library again on each run. Safe with many processes: it is SQLite.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._db = sqlite3.connect((root or cache_root()) / "digests.sqlite", timeout=60)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS file"
            " (path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, sha256 TEXT)"
        )

    def get(self, path: Path) -> str | None:
        try:
            stat = path.stat()
        except (OSError, ValueError):
            return None
        row = self._db.execute(
            "SELECT sha256 FROM file WHERE path = ? AND size = ? AND mtime = ? AND ctime = ?", _key(path, stat)
        ).fetchone()
        return row and row[0]

    def put(self, path: Path, stat: os.stat_result, sha256: str) -> None:
        """`stat` was taken before the bytes were read, so that a change in between is seen next time."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)", (*_key(path, stat), sha256))


def _key(path: Path, stat: os.stat_result) -> tuple[bytes, int, int, int]:
    """The time of modification can be set back, as `cp -p` does; that of the last change (ctime) cannot."""
    return os.fsencode(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
