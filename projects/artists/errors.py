"""The error a user can mend: shown as one sentence, without a traceback."""

from __future__ import annotations


class InputError(ValueError):
    """What was given, what was expected, what to do; verbs print it and fail the run."""
