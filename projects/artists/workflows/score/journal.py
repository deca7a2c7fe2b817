"""The state of a scoring on disk: what is to be scored, and what has been, one transaction a song.

A process that is killed loses at most the songs that it was computing. Nothing of it is held in memory.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...data.cache import unwritable
from ...errors import InputError
from .pool import Song

BATCH = 1000
# Of paths, which need not be UTF-8.
BYTES = ("utf-8", "surrogateescape")
# Of the tables below; a journal of another format is not gone on with.
FORMAT = "2"


class Journal:
    """Songs of one scoring and their answers, beside its output."""

    def __init__(self, file: Path, purpose: Mapping[str, str]) -> None:
        """Opens or makes it; raises InputError where it cannot be written or `purpose`, what is scored, is another."""
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=5)
            with self._db:
                # Held until it is closed: two processes at one scoring would do it twice.
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute("CREATE TABLE IF NOT EXISTS purpose (name TEXT PRIMARY KEY, value TEXT)")
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS song"
                    " (track_id TEXT PRIMARY KEY, path BLOB, label TEXT, stamp TEXT, listed INTEGER, answer TEXT)"
                )
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"{file} cannot be written: {error}. Is another scoring at work on it?") from error
        kept, due = dict(self._db.execute("SELECT name, value FROM purpose")), {**purpose, "format": FORMAT}
        if kept and kept != due:
            self.close()
            names = [name for name in sorted({*kept, *due}) if kept.get(name) != due.get(name)]
            other = ", ".join(f"{name}={kept.get(name, '')} where now {name}={due.get(name, '')}" for name in names)
            raise InputError(
                f"{file} is that of another scoring ({other}). Go on with that one, name another output or delete it."
            )
        with self._writable(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO purpose VALUES (?, ?)", due.items())
            self._db.execute("UPDATE song SET listed = 0")

    def expect(self, songs: Iterable[Song]) -> None:
        """Adds what is to be scored.

        The table is that of the files as they are now: a song that is known keeps its answer where its file has the
        same size and time of modification, or is missing as it was; where it has changed it waits again; songs that an
        interrupted scoring had listed and nobody has listed since are forgotten.
        """
        with self._writable(), self._db:
            self._db.executemany(
                "INSERT INTO song VALUES (?, ?, ?, ?, 1, NULL) ON CONFLICT (track_id) DO UPDATE SET"
                " answer = CASE WHEN stamp IS excluded.stamp THEN answer END,"
                " path = excluded.path, label = excluded.label, stamp = excluded.stamp, listed = 1",
                ((song.track_id, str(song.path).encode(*BYTES), song.label, _stamp(song.path)) for song in songs),
            )
            self._db.execute("DELETE FROM song WHERE NOT listed")

    def counts(self) -> tuple[int, int]:
        """Songs with an answer, and all."""
        return self._db.execute("SELECT count(answer), count(*) FROM song").fetchone()

    def waiting(self) -> Iterator[Song]:
        """Songs without an answer, a batch in memory at a time; answers may be put meanwhile."""
        last = ""
        while rows := self._db.execute(
            "SELECT track_id, path, label FROM song WHERE answer IS NULL AND track_id > ? ORDER BY track_id LIMIT ?",
            (last, BATCH),
        ).fetchall():
            yield from (Song(track_id, _path(path), label) for track_id, path, label in rows)
            last = rows[-1][0]

    def put(self, song: Song, answer: Mapping[str, Any]) -> None:
        with self._writable(), self._db:
            self._db.execute("UPDATE song SET answer = ? WHERE track_id = ?", (json.dumps(answer), song.track_id))

    def rows(self) -> Iterator[tuple[Song, dict[str, Any]]]:
        """All songs with their answers in the order of ids."""
        for track_id, path, label, answer in self._db.execute(
            "SELECT track_id, path, label, answer FROM song WHERE answer IS NOT NULL ORDER BY track_id"
        ):
            yield Song(track_id, _path(path), label), json.loads(answer)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise unwritable(self.file.parent, error) from error

    def close(self) -> None:
        self._db.close()

    def delete(self) -> None:
        self.close()
        self.file.unlink(missing_ok=True)


def _path(stored: bytes) -> Path:
    return Path(stored.decode(*BYTES))


def _stamp(path: Path) -> str | None:
    """What changes with a file: its size and time of modification; None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        stat = path.stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"
    return None
