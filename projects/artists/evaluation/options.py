"""The options of an evaluation: pooling of clips, subset of the t-SNE map, clips to listen to."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

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
