"""Which values a search tries: a space of plain data, and the suggestions of a trial. Imports no Optuna.

A space maps the name of a parameter to what it may be: a list of choices, or a range {"low", "high"} with "log" or
"step" where wanted; a range between whole numbers is one of whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Every system that is trained in epochs on clips. The published value of each is in it.
TRAINING_SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "schedule": ["constant", "cosine", "plateau"],
    "weight_decay": [0.0, 1e-4, 1e-3, 1e-2],
    "batch_size": [8, 16, 32, 64],
    "label_smoothing": {"low": 0.0, "high": 0.2},
    "augment": {"low": 0.0, "high": 1.0},
    "overlap": [0.0, 0.25, 0.5],
    "pooling": ["mean", "vote", "vote50"],
}
# Systems that are fitted at once.
CLIPS_SPACE: dict[str, Any] = {name: TRAINING_SPACE[name] for name in ("overlap", "pooling")}
RECURRENT_SPACE: dict[str, Any] = {"gru_units": [16, 32, 64, 128], "gru_layers": [1, 2, 3]}


def contains(spec: Any, value: Any) -> bool:
    """Whether a parameter of this specification can have the value."""
    if isinstance(spec, list):
        return any(type(choice) is type(value) and choice == value for choice in spec)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if whole(spec) and not float(value).is_integer():
        return False
    steps = (value - spec["low"]) / spec["step"] if spec.get("step") else 0.0
    return spec["low"] <= value <= spec["high"] and math.isclose(steps, round(steps), abs_tol=1e-9)


def whole(spec: Mapping[str, Any]) -> bool:
    """Whether a range is one of whole numbers."""
    return isinstance(spec["low"], int) and isinstance(spec["high"], int)


def suggested(trial: Any, name: str, spec: Any) -> Any:
    """A value of a parameter, drawn by an Optuna trial."""
    if isinstance(spec, list):
        return trial.suggest_categorical(name, spec)
    log, step = bool(spec.get("log")), spec.get("step")
    if whole(spec):
        return trial.suggest_int(name, spec["low"], spec["high"], step=step or 1, log=log)
    return trial.suggest_float(name, spec["low"], spec["high"], step=step, log=log)
