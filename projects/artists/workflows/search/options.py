"""The options of a search that are not those of a training."""

from __future__ import annotations

import dataclasses
import typing

from ...errors import InputError
from ..engine import EngineOptions


@dataclasses.dataclass(frozen=True)
class SearchOptions(EngineOptions):
    """What is searched for, how long, and where the study is kept.

    n_trials: trials of the study, all workers together, the published configuration included; timeout: seconds after
    which this worker starts no trial; at least one of the two. objective: validation metrics, see `objectives`; pruner:
    what ends hopeless trials; space: YAML file over the system's own space; points: YAML file of configurations to try
    first; warm_start: earlier studies of the storage whose best are tried first; study_name: a study to start or join;
    seeds: of the trainings at the end.
    """

    n_trials: int | None = 30
    timeout: float | None = None
    objective: str = "val/song_f1"
    pruner: typing.Literal["median", "hyperband", "none"] = "median"
    space: str | None = None
    points: str | None = None
    warm_start: str | None = None
    study_name: str | None = None
    seeds: str = "0,21,42"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_trials is None and self.timeout is None:
            raise InputError("n_trials=none needs timeout=SECONDS: without either the search would not end.")
        if self.n_trials is not None and self.n_trials < 1:
            raise InputError(f"n_trials={self.n_trials} must be at least 1, or none to go by timeout alone.")
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"timeout={self.timeout:g} must be a positive number of seconds.")
        self.seed_list()

    def seed_list(self) -> list[int]:
        """The seeds of the trainings at the end."""
        words = [word.strip() for word in self.seeds.split(",") if word.strip()]
        if not words or not all(word.isdecimal() and int(word) < 2**32 for word in words):
            raise InputError(f"seeds={self.seeds} must be whole numbers with commas between them, for example 0,21,42.")
        return [int(word) for word in dict.fromkeys(words)]
