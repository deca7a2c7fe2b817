"""The options of an evaluation: pooling of clips, subset of the t-SNE map, clips to listen to, deformations."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from ..audio.deform import deformations
from ..data.options import NO_IDENTITY


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """Evaluation: how scores are pooled and shown."""

    log_audio: Annotated[bool, "log playable clips of the worst songs", NO_IDENTITY] = True
    tsne_split: Annotated[
        Literal["train", "val", "test", "all"], "subset of the t-SNE map; all: the paper's figure 3", NO_IDENTITY
    ] = "test"
    # All metrics of songs but `_vote` and `_vote50` see it.
    pooling: Annotated[Literal["mean", "vote", "vote50"], "from a song's clips to its probabilities"] = "mean"
    deform: Annotated[
        str | None,
        "deformations of the test songs, with commas: any of level, mp3, lowpass, pitch, tempo, noise; with strengths "
        "level:-12 (dB), mp3:64 (kbit/s), lowpass:4000 (Hz), pitch:1 (semitones), tempo:1.1, noise:20 (dB SNR)",
        NO_IDENTITY,
    ] = None

    def __post_init__(self) -> None:
        deformations(self.deform)
