"""What turns samples into features: the options, which import nothing that is slow to load."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from ..errors import InputError

# Raise it when decode.py or features.py changes the numbers: cached features are then computed anew.
VERSION = 2


@dataclasses.dataclass(frozen=True)
class FeatureConfig:
    """Features: what turns samples into a log-mel spectrogram (Nasrullah and Zhao, table II)."""

    sr: Annotated[int, "sample rate in Hz"] = 16000
    n_fft: Annotated[int, "samples of a frame"] = 2048
    hop_length: Annotated[int, "samples from a frame to the next"] = 512
    n_mels: Annotated[int, "mel bands"] = 128
    mel_scale: Annotated[Literal["slaney", "htk"], "librosa's default, or equation 2 of Nasrullah and Zhao"] = "slaney"
    crop: Annotated[float | None, "seconds kept around the centre of each track; none: all of it"] = None
    compression: Annotated[
        Literal["db", "log10"], "decibels of the power, or Park et al.'s log10(1 + 10 * mel) of the magnitude"
    ] = "db"
    chroma: Annotated[bool, "twelve pitch classes beside the bands, for mfcc_gaussian"] = False
    level: Annotated[
        float | None, "root mean square in dB re full scale that one gain brings each track to; none: as it is"
    ] = None

    # (configuration, frames of a clip) of the members of an ensemble.
    views: ClassVar[tuple[tuple[FeatureConfig, int], ...]] = ()

    def __post_init__(self) -> None:
        for name in ("sr", "n_fft", "hop_length", "n_mels"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be a positive whole number.")
        if self.crop is not None and not 0 < self.crop < math.inf:
            raise InputError(f"crop={self.crop} must be a positive number of seconds; leave it out for whole tracks.")
        if self.level is not None and not -80 <= self.level <= 0:
            raise InputError(f"level={self.level:g} must be from -80 to 0 dB, for example level=-18.")

    @staticmethod
    def of(fields: Mapping[str, Any]) -> FeatureConfig:
        """The configuration that `dataclasses.asdict` made these fields of."""
        views = tuple((FeatureConfig(**config), frames) for config, frames in fields.get("views", ()))
        return JointConfig(**{**fields, "views": views}) if views else FeatureConfig(**fields)

    @property
    def parts(self) -> tuple[FeatureConfig, ...]:
        """The configurations that are computed of a track, that of the clips first."""
        return (self,)

    def cropped(self, crop: float | None) -> FeatureConfig:
        """The same of the centre `crop` seconds."""
        return dataclasses.replace(self, crop=crop)

    @property
    def version(self) -> int:
        """Of the numbers that this configuration gives; frames of an odd length were once one sample off at the end."""
        return VERSION + self.n_fft % 2

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with any field."""
        # 60 and 60.0 are one configuration.
        crop = None if self.crop is None else float(self.crop)
        fields = {**dataclasses.asdict(self), "crop": crop, "version": self.version}
        for name, usual in (("compression", "db"), ("chroma", False), ("level", None)):
            # Younger than the caches of many: the usual values leave the digest as it was.
            if fields[name] == usual:
                del fields[name]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class JointConfig(FeatureConfig):
    """The features of the members of an ensemble, of the same audio; its own fields are those of the longest clip.

    views: configuration and frames of a clip of each.
    """

    views: tuple[tuple[FeatureConfig, int], ...] = ()  # type: ignore[misc]

    @classmethod
    def join(cls, views: Sequence[tuple[FeatureConfig, int]]) -> JointConfig:
        return cls(**dataclasses.asdict(views[longest(views)][0]), views=tuple(views))

    @property
    def parts(self) -> tuple[FeatureConfig, ...]:
        first = self.views[longest(self.views)][0]
        return tuple(dict.fromkeys([first, *(config for config, _ in self.views)]))

    def cropped(self, crop: float | None) -> FeatureConfig:
        return self.join([(config.cropped(crop), frames) for config, frames in self.views])


def longest(views: Sequence[tuple[FeatureConfig, int]]) -> int:
    """Position of the one that needs the longest tracks, the first of several."""
    seconds = [(frames - 1) * config.hop_length / config.sr for config, frames in views]
    return seconds.index(max(seconds))
