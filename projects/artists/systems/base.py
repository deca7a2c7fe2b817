"""What every system is made of, before it is a network or a scikit-learn model."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ..audio.options import FeatureConfig
from ..errors import InputError
from .space import Searchable


class BaseSystem(Searchable):
    """Defaults of the protocol; subclasses define Config."""

    Config: ClassVar[type]
    unit: ClassVar[str] = "clip"
    features: ClassVar[dict[str, object]] = {}
    data: ClassVar[dict[str, object]] = {}
    training: ClassVar[dict[str, object]] = {}
    in_epochs: ClassVar[bool] = True
    min_frames: ClassVar[int] = 1
    min_mels: ClassVar[int] = 1
    takes_chroma: ClassVar[bool] = False

    def __init__(self, **options: object) -> None:
        """Raises TypeError for an option that Config does not have."""
        self.config = self.Config(**options)

    @classmethod
    def option_names(cls) -> list[str]:
        """Fields of Config."""
        return [field.name for field in dataclasses.fields(cls.Config)]

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
        from ..audio.clips import clip_frames

        name = cls.__module__.rsplit(".", 1)[-1]
        frames, (min_frames, min_mels) = clip_frames(clip, config), cls.least(options)
        if frames < min_frames:
            least = min_frames * config.hop_length / config.sr
            raise InputError(f"clip={clip:g} is {frames} frames; {name} needs {least:g} s or more.")
        if config.n_mels < min_mels:
            raise InputError(f"n_mels={config.n_mels} is too few; {name} needs {min_mels} or more.")
        if config.chroma and not cls.takes_chroma:
            raise InputError(f"chroma=true is for mfcc_gaussian; {name} has no use for it. Leave it out.")


def options_of_epochs() -> list[str]:
    """Fields of Training that say how epochs go: all but the seed."""
    # Scoring loads the systems, and nothing of learn.
    from ..training.training import Training

    return [field.name for field in dataclasses.fields(Training) if field.name != "seed"]
