"""The systems of the literature, one module each: the listing of this folder is the list of `model=` names."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from .base import System

_SHARED = {"base", "options", "keras_system", "layers", "park", "pretrained", "array_system", "fitted", "space", "lazy"}


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED)


def find(name: str) -> type[System]:
    """The System class of a name.

    Raises:
        InputError: Not one of `names()`.
    """
    if name not in names():
        raise InputError(f"model={name} is unknown; choose one of {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}").System
