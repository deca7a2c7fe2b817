"""The options of a search that are not those of a training."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from ...errors import InputError
from ..options import EngineOptions, words


@dataclasses.dataclass(frozen=True)
class SearchOptions(EngineOptions):
    """Search: what is searched for, how long, and where the study is kept."""

    n_trials: Annotated[int | None, "trials of the study, all workers together; none: by timeout alone"] = 30
    timeout: Annotated[float | None, "seconds after which this worker starts no trial"] = None
    objective: Annotated[str, "validation metric; several with commas between: the Pareto front"] = "val/song_f1"
    pruner: Annotated[Literal["median", "hyperband", "none"], "what ends hopeless trials"] = "median"
    space: Annotated[str | None, "YAML file of what is tried, over the system's own space"] = None
    points: Annotated[str | None, "YAML file of configurations that are tried first"] = None
    warm_start: Annotated[str | None, "earlier studies of the storage whose best are tried first"] = None
    study_name: Annotated[str | None, "a study to start, join or go on with"] = None
    seeds: Annotated[str, "of the trainings at the end, of the best and the published configuration"] = "0,21,42"

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
        seeds = words(self.seeds)
        if not seeds or not all(seed.isdecimal() and int(seed) < 2**32 for seed in seeds):
            raise InputError(f"seeds={self.seeds} must be whole numbers with commas between them, for example 0,21,42.")
        return [int(seed) for seed in seeds]
