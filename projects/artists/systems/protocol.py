"""What every system of the literature offers, whether it is a network or a Gaussian."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np

    from ..audio.options import FeatureConfig
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks
    from ..training.training import Training


class System(Protocol):
    """A classifier of clips; a module of this folder defines one as `System` and its options as `Config`.

    Config: frozen dataclass; its fields are flags of train, raising InputError on values that make no sense.
    unit: what it learns and scores. clip; frame: its frames, of which a clip's probabilities are made; song: each batch
        that `scores` is given must hold all clips of one song, and each of them gets the song's probabilities
        (ClipSet.batches_of). Embeddings are a clip's in any case; their mean is the song's.
    features, data, training: fields of FeatureConfig, DataOptions, Training that differ from the default.
    in_epochs: whether it is trained in epochs.
    unused: parameters that change nothing with some options, and the option that makes it so, "" where all do: without
        epochs, all of Training but its seed. Train refuses them.
    option_names: what its constructor takes: the fields of Config and, where it must know how to read the features'
        columns, the field of FeatureConfig that says so.
    least: frames and bands that it needs, by its options; check_input: raises InputError for features and lengths of
        clip that it cannot take.
    space, suggest: what a search may try, and the values of one trial of it; see `space.Searchable`.
    """

    Config: ClassVar[type]
    unit: ClassVar[str]
    features: ClassVar[dict[str, object]]
    data: ClassVar[dict[str, object]]
    training: ClassVar[dict[str, object]]
    in_epochs: ClassVar[bool]
    space: ClassVar[dict[str, object]]

    @classmethod
    def suggest(cls, trial: object, space: Mapping[str, object] | None = None) -> dict[str, object]: ...

    @classmethod
    def option_names(cls) -> list[str]: ...

    @classmethod
    def unused(cls, config: Any) -> dict[str, str]: ...

    @classmethod
    def least(cls, options: Any = None) -> tuple[int, int]: ...

    @classmethod
    def check_input(cls, clip: float, config: FeatureConfig, options: Any = None) -> None: ...

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        """Learns; the result has best_epoch and history."""

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches (b, frames, columns) -> probabilities (n, num_classes), embeddings before the softmax (n, d)."""

    def count_params(self) -> int: ...

    def save(self, folder: Path) -> None:
        """Writes files that hold no pickle."""

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
