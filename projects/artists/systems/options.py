"""Options from text, and checks of those that several systems have."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import InputError

T = TypeVar("T")


def whole_numbers(name: str, text: str) -> list[int]:
    """`2,4,4` to [2, 4, 4].

    Raises:
        InputError: Not whole numbers of at least 1, separated by commas.
    """
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise InputError(f"{name}={text} must be whole numbers of at least 1 between commas, for example 2,4,4.")
    return numbers


def check_fractions(config: object, *names: str) -> None:
    """Raises InputError where a dropout is not at least 0 and below 1."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise InputError(f"{name}={getattr(config, name)} must be at least 0 and below 1.")


def check_positive(config: object, *names: str) -> None:
    """Raises InputError where a whole number is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise InputError(f"{name}={getattr(config, name)} must be at least 1.")


def typed(cls: type[T], given: Mapping[str, Any]) -> T:
    """An object of a dataclass of options from those of the values, text or of the field's type, that it has.

    Raises:
        InputError: A value is not of its type, or makes no sense.
    """
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, cls)) if field.name in given]
    return cls(**{name: cast(name, given[name], hints[name]) for name in names})


def cast(name: str, value: Any, kind: Any) -> Any:
    """A flag's text or a file's value as the type of its field."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value in (None, "", "None", "none") else cast(name, value, arguments[0])
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{name}={value} is unknown; choose one of {', '.join(map(str, arguments))}.")
        return value
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(value).lower() not in words:
            raise InputError(f"{name}={value} is neither true nor false.")
        return words[str(value).lower()]
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float) and not value.is_integer()):
            raise ValueError
        converted = kind(value)
        if kind is float and not math.isfinite(converted):
            raise ValueError
        return converted
    except (TypeError, ValueError, OverflowError) as error:
        expected = {int: "a whole number", float: "a number"}.get(kind, "text; put it in quotes")
        raise InputError(f"{name}={value} is not {expected}.") from error
