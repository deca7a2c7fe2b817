"""What a search optimises: validation metrics by their names in a run, and what a model costs."""

from __future__ import annotations

import difflib
from typing import Literal

from ...errors import InputError
from ...evaluation.names import lower_is_better, metric_name
from ..options import words

COSTS = ("parameters", "seconds_per_clip")


def known() -> list[str]:
    """Everything that can be an objective."""
    from ...evaluation.metrics import LABEL_METRICS, METRICS

    names = [f"val/{level}_{name}" for level in ("song", "clip") for name in METRICS]
    votes = [f"val/song_{name}_{vote}" for vote in ("vote", "vote50") for name in LABEL_METRICS]
    return [*names, *votes, "val/loss", *COSTS]


def parse(objective: str) -> list[str]:
    """Names of objectives from names with commas between them.

    Raises:
        InputError: None, an unknown one, or one of the test subset.
    """
    names = list(dict.fromkeys(map(metric_name, words(objective))))
    if not names:
        raise InputError("objective= is empty; give a validation metric, for example objective=val/song_f1.")
    for name in names:
        if "test" in name:
            close = difflib.get_close_matches(name.replace("test", "val"), known(), n=1) or ["val/song_f1"]
            raise InputError(
                f"objective={name}: what is chosen by the test subset cannot be evaluated on it; take {close[0]}."
            )
        if name not in known():
            raise InputError(f"objective={name} is unknown; choose from {', '.join(known())}.")
    return names


def direction(name: str) -> Literal["minimize", "maximize"]:
    return "minimize" if name in COSTS or lower_is_better(name) else "maximize"


def prunable(names: list[str]) -> bool:
    """Whether a trial can be evaluated before its end: one objective, known after each epoch."""
    return len(names) == 1 and names[0] not in COSTS
