"""Audio in, probabilities out: features, clips and network exactly as in training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .audio.clips import clip_starts
from .audio.decode import read_audio
from .audio.features import log_mel
from .judge import pooling
from .saved import Card
from .systems.protocol import System

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Scored:
    """proba (n_clips, k) and embedding (n_clips, d) of a track; padded: it was shorter than one clip."""

    proba: np.ndarray
    embedding: np.ndarray
    seconds: float
    padded: bool


def score(source: Path | BinaryIO, system: System, card: Card) -> Scored:
    """Scores all disjoint clips of a track, or the whole of it, padded with silence, when it is shorter than one.

    Raises:
        DecodeError: It is not audio that can be read.
    """
    config = card.feature_config
    y = read_audio(source, config.sr, crop=config.crop)
    features = log_mel(y, config)
    padded = len(features) < card.clip_frames
    if padded:
        missing = card.clip_frames - len(features)
        silence = np.full((missing, features.shape[1]), features[:, : config.n_mels].min(), features.dtype)
        silence[:, config.n_mels :] = 0
        features = np.concatenate([features, silence])
    starts = clip_starts(len(features), card.clip_frames)
    clips = np.stack([features[start : start + card.clip_frames] for start in starts])
    # A system that judges songs wants all clips of one at once.
    size = len(clips) if system.unit == "song" else BATCH
    proba, embedding = system.scores(clips[i : i + size] for i in range(0, len(clips), size))
    return Scored(proba, embedding, len(y) / config.sr, padded)


def pooled(proba: np.ndarray, method: str) -> np.ndarray:
    """Probabilities (n_clips, k) of one track to (k,): `mean`, or the shares of votes of `vote` and `vote50`."""
    if method == "mean":
        return proba.mean(0)
    return pooling.vote_shares(proba, pooling.CONFIDENT if method == "vote50" else None)
