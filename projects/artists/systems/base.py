"""What every system of the literature offers, whether it is a network or a Gaussian."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..audio.lengths import clip_frames
from ..errors import InputError
from .space import suggested

if TYPE_CHECKING:
    import numpy as np

    from ..audio.options import FeatureConfig
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks
    from ..training.training import Training


class System(abc.ABC):
    """A classifier of clips; a module of this folder defines one as `System` and its options as `Config`.

    Config: frozen dataclass; its fields are flags of train, raising InputError on values that make no sense.
    unit: what it learns and scores. clip; frame: its frames, of which a clip's probabilities are made; song: each batch
        that `scores` is given must hold all clips of one song, and each of them gets the song's probabilities
        (ClipSet.batches_of). Embeddings are a clip's in any case; their mean is the song's.
    features, data, training: fields of FeatureConfig, DataOptions, Training that differ from the default.
    in_epochs: whether it is trained in epochs.
    space: what a search may try (`space.py`).
    """

    Config: ClassVar[type]
    unit: ClassVar[str] = "clip"
    features: ClassVar[dict[str, object]] = {}
    data: ClassVar[dict[str, object]] = {}
    training: ClassVar[dict[str, object]] = {}
    in_epochs: ClassVar[bool] = True
    space: ClassVar[dict[str, object]] = {}
    min_frames: ClassVar[int] = 1
    min_mels: ClassVar[int] = 1
    takes_chroma: ClassVar[bool] = False

    def __init__(self, **options: object) -> None:
        """Raises TypeError for an option that Config does not have."""
        self.config = self.Config(**options)

    @classmethod
    def suggest(cls, trial: Any, space: Mapping[str, object] | None = None) -> dict[str, object]:
        """Values of the parameters of `space`, the system's own where None, drawn by an Optuna trial."""
        return {name: suggested(trial, name, spec) for name, spec in (cls.space if space is None else space).items()}

    @classmethod
    def option_names(cls) -> list[str]:
        """What the constructor takes: fields of Config, and of FeatureConfig what tells how to read the columns."""
        return [field.name for field in dataclasses.fields(cls.Config)]

    @classmethod
    def defaults(cls, options: Any) -> dict[str, object]:
        """Fields of FeatureConfig, DataOptions, Training that differ from the default, with these options (Config)."""
        return {**cls.features, **cls.data, **cls.training}

    @classmethod
    def joined(cls, features: FeatureConfig, options: Any) -> FeatureConfig:
        """What is computed of a track: more than the parameters tell where members have features of their own."""
        return features

    @classmethod
    def modules(cls, options: Mapping[str, Any]) -> list[str]:
        """Names of other systems of which this one, with these options, is made."""
        return []

    @classmethod
    def unused(cls, config: Any) -> dict[str, str]:
        """Parameters that change nothing, each with the option of `config` that makes it so, "" where all do."""
        return {} if cls.in_epochs else dict.fromkeys(options_of_epochs(), "")

    @classmethod
    def least(cls, options: Any = None) -> tuple[int, int]:
        """Frames and bands that a clip must have; `options`: a Config, None for the defaults."""
        return cls.min_frames, cls.min_mels

    @classmethod
    def check_input(cls, clip: float, config: FeatureConfig, options: Any = None) -> None:
        """Raises InputError where the system cannot take clips of `clip` seconds, that few bands, or chroma."""
        name = cls.__module__.rsplit(".", 1)[-1]
        frames, (min_frames, min_mels) = clip_frames(clip, config), cls.least(options)
        if frames < min_frames:
            least = min_frames * config.hop_length / config.sr
            raise InputError(f"clip={clip:g} is {frames} frames; {name} needs {least:g} s or more.")
        if config.n_mels < min_mels:
            raise InputError(f"n_mels={config.n_mels} is too few; {name} needs {min_mels} or more.")
        if config.chroma and not cls.takes_chroma:
            raise InputError(f"chroma=true is for mfcc_gaussian; {name} has no use for it. Leave it out.")

    @abc.abstractmethod
    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        """Learns; the result has best_epoch and history."""

    @abc.abstractmethod
    def scores(self, batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Batches (b, frames, columns) -> probabilities (n, num_classes), embeddings before the softmax (n, d).

        A batch of an ensemble is a song: a tuple with an array of clips of each member.
        """

    @abc.abstractmethod
    def count_params(self) -> int:
        """Numbers that were fitted."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Writes files that hold no pickle."""

    @abc.abstractmethod
    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""


def options_of_epochs() -> list[str]:
    """Fields of Training that say how epochs go: all but the seed."""
    # Scoring loads the systems, and nothing of training.
    from ..training.training import Training

    return [field.name for field in dataclasses.fields(Training) if field.name != "seed"]
