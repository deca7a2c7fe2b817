"""What turns samples into features: the options, which import nothing that is slow to load."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Annotated, Literal

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

    def __post_init__(self) -> None:
        for name in ("sr", "n_fft", "hop_length", "n_mels"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be a positive whole number.")
        if self.crop is not None and not 0 < self.crop < math.inf:
            raise InputError(f"crop={self.crop} must be a positive number of seconds; leave it out for whole tracks.")
        if self.level is not None and not -80 <= self.level <= 0:
            raise InputError(f"level={self.level:g} must be from -80 to 0 dB, for example level=-18.")

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
