"""Paths as a user types them: the system may refuse to look at one at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .tracks import nfc

SHOWN = 80


def given_path(name: str, value: str) -> Path:
    """The path of `name=value`, `~` expanded; nothing need be there. Raises InputError as `usable`."""
    with usable(name, value), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path = Path(value).expanduser()
        path.stat()
    return path


@contextlib.contextmanager
def usable(name: str, value: str) -> Iterator[None]:
    """Raises InputError where the path of `name=value` is too long, of no known user, or not to be looked at."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        shown = nfc(value) if len(value) <= SHOWN else f"{nfc(value[:SHOWN])}..."
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name}={shown} is no path that can be used: {reason}. Give another one.") from error
