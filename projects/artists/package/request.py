"""What a row of a request gives: a path where that is allowed, bytes or base64 within limits, and which part of it."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..audio.decode import DecodeError, Excerpt
from ..errors import InputError

ROOT = "ARTISTS_AUDIO_ROOT"
MAX_SECONDS = "ARTISTS_MAX_SECONDS"
MAX_MB = "ARTISTS_MAX_MB"


@dataclasses.dataclass(frozen=True)
class Gate:
    """What the process that loaded the model allows, and no request can change.

    roots: folders that paths must lie in, none unless named; max_seconds: of audio decoded for one row, and for all
    rows of a call that are bytes; max_bytes: of one row.
    """

    roots: tuple[Path, ...] = ()
    max_seconds: float = 3600.0
    max_bytes: int = 512 * 2**20

    @classmethod
    def of_environment(cls) -> Gate:
        """From ARTISTS_AUDIO_ROOT (folders as PATH has them), ARTISTS_MAX_SECONDS and ARTISTS_MAX_MB."""
        roots = tuple(Path(each).expanduser().resolve() for each in os.environ.get(ROOT, "").split(os.pathsep) if each)
        return cls(roots, _number(MAX_SECONDS, 3600.0), int(_number(MAX_MB, 512.0) * 2**20))

    def path(self, given: str) -> Path:
        """The file that a row's path names.

        Raises:
            InputError: Paths are off, or it lies outside the roots or is no file. What lies outside is not told.
        """
        if not self.roots:
            raise InputError(f"path: this process reads no files; send audio, or start it with {ROOT} set to a folder")
        try:
            # Neither a zero nor half a surrogate pair, which JSON can spell, is part of a name.
            inside = b"\0" not in os.fsencode(given)
        except UnicodeEncodeError:
            inside = False
        if not inside:
            raise InputError("path: there is no such file")
        for root in self.roots:
            # Links are followed first: what counts is where the file lies.
            path = Path(os.path.realpath(root / given))
            if path.is_relative_to(root):
                # Not Path.is_file, which raises where a name is too long.
                if os.path.isfile(path):
                    return path
                raise InputError("path: there is no such file")
        raise InputError(f"path: not below a folder of {ROOT}")

    def source(self, row: Mapping[str, Any]) -> Path | BinaryIO:
        """Where the audio of a row is.

        Raises:
            InputError: None or several are given, or it is not allowed, too large or no base64.
        """
        sources = [(name, row[name]) for name in ("path", "audio", "base64") if not is_missing(row.get(name))]
        if len(sources) != 1:
            raise InputError(f"give one of path, audio and base64 in a row, not {len(sources)}")
        ((name, value),) = sources
        if name == "path":
            return self.path(str(value))
        data = bytes(value) if name == "audio" else self._decoded(str(value))
        if len(data) > self.max_bytes:
            raise InputError(f"{name}: {len(data)} bytes, at most {self.max_bytes} are taken ({MAX_MB})")
        return io.BytesIO(data)

    def _decoded(self, text: str) -> bytes:
        if len(text) > self.max_bytes * 4 / 3 + 4:
            raise InputError(f"base64: longer than {self.max_bytes} bytes ({MAX_MB})")
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError(f"base64: {error}") from error

    def excerpt(self, row: Mapping[str, Any], crop: float | None, left: float = math.inf) -> Excerpt:
        """The part of it that a row asks for; `left`: seconds that the call may still decode."""
        start, seconds = (None if is_missing(row.get(name)) else float(row[name]) for name in ("start", "seconds"))
        if left <= 0:
            raise DecodeError(f"the rows before have used up the {self.max_seconds:g} s of audio of a request")
        return Excerpt(crop, start, seconds, min(self.max_seconds, left))


def is_missing(value: object) -> bool:
    """None, or what pandas makes of it."""
    return value is None or value != value or type(value).__name__ in ("NAType", "NaTType")


def _number(name: str, default: float) -> float:
    text = os.environ.get(name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"{name}={text} is no positive number.")
    return value
