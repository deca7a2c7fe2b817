"""What every system of the literature offers, whether it is a network or a Gaussian."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from ..audio.features import FeatureConfig
from ..data.clipset import ClipSet


class System(Protocol):
    """A classifier of clips; a module of this folder defines one as `System` and its options as `Config`.

    Config: frozen dataclass; its fields are flags of train, raising InputError on values that make no sense.
    features: fields of FeatureConfig that differ from the default.
    training: fields of Training that differ from the default.
    space, suggest: what a search may try, and the values of one trial of it; see `space.Searchable`.
    check_input: raises InputError for a length of clip or a number of bands that it cannot take.
    """

    Config: ClassVar[type]
    features: ClassVar[dict[str, object]]
    training: ClassVar[dict[str, object]]
    space: ClassVar[dict[str, object]]

    @classmethod
    def suggest(cls, trial: object, space: Mapping[str, object] | None = None) -> dict[str, object]: ...

    @classmethod
    def option_names(cls) -> list[str]: ...

    @classmethod
    def check_input(cls, clip: float, config: FeatureConfig) -> None: ...

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: object, hooks: object) -> object:
        """Learns; the result has best_epoch and history."""

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches (b, frames, n_mels) -> probabilities (n, num_classes), embeddings before the softmax (n, d)."""

    def count_params(self) -> int: ...

    def save(self, folder: Path) -> None:
        """Writes files that hold no pickle."""

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
