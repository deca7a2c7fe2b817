"""The knobs of the benchmark."""

from __future__ import annotations

import dataclasses
import typing

from ...errors import InputError


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """only: the part that is measured; data: corpus whose songs it is measured on; minutes: length of the files made of
    them; repeats: of each pair; tracks: of the smaller corpus whose memory is compared with one ten times as large;
    epochs: of the training whose share of MLflow is measured.
    """

    only: typing.Literal["all", "features", "workers", "epoch", "mlflow", "memory", "scoring"] = "all"
    data: str = "demo"
    minutes: float = 4.0
    repeats: int = 5
    tracks: int = 12
    epochs: int = 5

    def __post_init__(self) -> None:
        for name, least in (("minutes", 0.1), ("repeats", 1), ("tracks", 12), ("epochs", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name):g} is too small; give {least:g} or more.")

    def measures(self, part: str) -> bool:
        return self.only in ("all", part)
