"""The options of an evaluation: pooling of clips, subset of the t-SNE map, clips to listen to."""

from __future__ import annotations

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """log_audio: log playable clips of the worst songs; tsne_split: subset of the map, `all` as in the paper's figure.

    pooling: from a song's clips to its probabilities, which all metrics of songs but `_vote` and `_vote50` see.
    """

    log_audio: bool = True
    tsne_split: typing.Literal["train", "val", "test", "all"] = "test"
    pooling: typing.Literal["mean", "vote", "vote50"] = "mean"
