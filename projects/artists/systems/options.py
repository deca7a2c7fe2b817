"""Checks of options that several systems have."""

from __future__ import annotations

from ..errors import InputError


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
