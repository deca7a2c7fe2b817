"""Lengths of clips and of batches: the published frame counts. Imports nothing that is slow to load."""

from __future__ import annotations

import math

from ..errors import InputError
from .options import FeatureConfig

# Lengths whose published frame count is not ceil(seconds * sr / hop_length): Nasrullah and Zhao's "20 s" and "30 s"
# (29.12 s in truth), Park et al.'s "3 s"; by (sr, hop_length, seconds).
PUBLISHED_FRAMES = {(16000, 512, 20.0): 628, (16000, 512, 30.0): 911, (22050, 512, 3.0): 129}

# What a network holds of a batch that it only evaluates grows with its frames, whatever the clips' length.
FRAMES_A_BATCH, MOST_CLIPS = 5_000, 64


def clip_frames(clip: float, config: FeatureConfig) -> int:
    """Frames of a clip of `clip` seconds.

    Raises:
        InputError: `clip` is not positive.
    """
    if not clip > 0 or not math.isfinite(clip * config.sr):
        raise InputError(f"clip={clip:g} must be a positive number of seconds, for example clip=3.")
    published = PUBLISHED_FRAMES.get((config.sr, config.hop_length, float(clip)))
    # 64.224 s are 2,007 frames, not 2,007.0000000000002.
    return published or math.ceil(round(clip * config.sr / config.hop_length, 6))


def batch_size(length: int) -> int:
    """Clips of `length` frames that are evaluated at once: 64 of 1 s, 31 of 5 s, 5 of 30 s."""
    return max(1, min(MOST_CLIPS, FRAMES_A_BATCH // length))
