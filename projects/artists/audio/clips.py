"""Cutting a spectrogram into clips: where clips start, and all clips of a track."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .options import FeatureConfig


def clip_starts(n_frames: int, length: int, overlap: float = 0.0) -> np.ndarray:
    """First frames of a track's clips, neighbours sharing `overlap` (0 to below 1); none where it is too short."""
    hop = max(1, round(length * (1 - overlap)))
    return np.arange(0, n_frames - length + 1, hop)


def disjoint_clips(features: np.ndarray, length: int, n_mels: int) -> np.ndarray:
    """All disjoint clips of a track, (n_clips, length, columns); one, padded with silence, where it is shorter.

    Args:
        features: (n_frames, columns), the first `n_mels` of them bands in dB.
    """
    missing = length - len(features)
    if missing > 0:
        silence = np.zeros((missing, features.shape[1]), features.dtype)
        silence[:, :n_mels] = features[:, :n_mels].min()
        features = np.concatenate([features, silence])
    return np.stack([features[start : start + length] for start in clip_starts(len(features), length)])


def song_clips(features: Mapping[FeatureConfig, np.ndarray], config: FeatureConfig, length: int) -> Any:
    """All disjoint clips of a track (n, length, columns), for an ensemble a tuple with those of each member.

    Args:
        features: Those of each of `config.parts`.
        length: Frames a clip; an ensemble's members have lengths of their own.
    """
    if config.views:
        return tuple(disjoint_clips(features[part], frames, part.n_mels) for part, frames in config.views)
    return disjoint_clips(features[config], length, config.n_mels)
