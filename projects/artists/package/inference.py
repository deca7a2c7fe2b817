"""Audio in, probabilities out: features, clips and network exactly as in training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..audio.clips import song_clips
from ..audio.decode import DecodeError, Excerpt, read_at_rates
from ..audio.features import log_mel
from ..audio.lengths import batch_size
from ..audio.options import FeatureConfig
from ..evaluation import calibration, pooling

if TYPE_CHECKING:
    from ..systems.base import System
    from .card import Card


@dataclasses.dataclass(frozen=True)
class Scored:
    """proba (n_clips, k) and embedding (n_clips, d) of a track; padded: it was shorter than one clip."""

    proba: np.ndarray
    embedding: np.ndarray
    seconds: float
    padded: bool


def score(source: Path | BinaryIO, system: System, card: Card, excerpt: Excerpt | None = None) -> Scored:
    """Scores all disjoint clips of a track, or the whole of it, padded with silence, when it is shorter than one.

    Args:
        excerpt: What is read of it; None for what the system was trained on, the centre or all.

    Raises:
        DecodeError: It is not audio that can be read, or too long.
    """
    config = card.feature_config
    rates = sample_rates(config)
    samples = dict(zip(rates, read_at_rates(source, rates, excerpt or Excerpt(config.crop)), strict=True))
    features = features_of(samples, config)
    proba, embedding = score_features(features, system, card)
    padded = len(features[config.parts[0]]) < card.clip_frames
    return Scored(proba, embedding, len(samples[config.sr]) / config.sr, padded)


def sample_rates(config: FeatureConfig) -> list[int]:
    """Those at which the parts of a configuration need a track, rising."""
    return sorted({part.sr for part in config.parts})


def features_of(samples: Mapping[int, np.ndarray], config: FeatureConfig) -> dict[FeatureConfig, np.ndarray]:
    """Features (n_frames, columns) of each part of a configuration.

    Args:
        samples: The track, cropped already, at each of its `sample_rates`, (n,).

    Raises:
        DecodeError: The samples are too large.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        features = {part: log_mel(samples[part.sr], part) for part in config.parts}
    if not all(np.isfinite(each).all() for each in features.values()):
        raise DecodeError("its samples are too large: the power of the spectrum overflows")
    return features


def score_features(
    features: Mapping[FeatureConfig, np.ndarray], system: System, card: Card
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n_clips, k) and embeddings (n_clips, d) of a track by its `features_of`."""
    clips = song_clips(features, card.feature_config, card.clip_frames)
    return system.scores([clips] if system.unit == "song" else batches(clips))


def batches(clips: np.ndarray) -> Iterator[np.ndarray]:
    """Clips (n, frames, bands), a few at a time."""
    size = batch_size(clips.shape[1])
    for start in range(0, len(clips), size):
        yield clips[start : start + size]


def pooled(proba: np.ndarray, method: str, card: Card) -> tuple[np.ndarray, np.ndarray]:
    """One track's clips to one answer, as evaluate's.

    Args:
        proba: Probabilities (n_clips, k) as the network gives them.
        method: `mean`, or the shares of votes of `vote` and `vote50`.

    Returns:
        (k,) calibrated mean probabilities or shares of votes, and (k,) class indices, the answer first.
    """
    if method == "mean":
        temperature = card.temperatures["clip" if len(proba) == 1 else "song"]
        mean = calibration.tempered(proba.mean(0, dtype=float)[None], temperature)[0]
        return mean, (-mean).argsort(kind="stable")
    threshold = pooling.CONFIDENT if method == "vote50" else None
    shares = pooling.vote_shares(proba, threshold)
    order = (-shares).argsort(kind="stable")
    # Of classes with as many votes the vote itself says which has won.
    _, (winner,) = pooling.vote(proba, np.zeros(len(proba), int), threshold)
    return shares, np.concatenate([[winner], order[order != winner]])
