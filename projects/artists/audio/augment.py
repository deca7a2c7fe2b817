"""Masks over spectrograms while a network learns: SpecAugment (Park et al. 2019) without its warping of time."""

from __future__ import annotations

import numpy as np

MASKS = 2
# Widest mask at strength 1, as a share of the axis.
WIDEST = 0.2


def masked(clips: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Two bands of time and two of frequency of each clip, set to the mean of that clip.

    Args:
        clips: (n, frames, bands), changed in place.
        strength: 0 to 1; a mask is as wide as a uniform draw from nothing to `strength` * 0.2 of its axis.

    Returns:
        The same array.
    """
    means = clips.mean((1, 2))
    for axis in (1, 2):
        size = clips.shape[axis]
        widths = rng.integers(0, int(strength * WIDEST * size) + 1, (len(clips), MASKS))
        starts = rng.integers(0, size - widths + 1)
        for clip, mean, *masks in zip(clips, means, *starts.T, *widths.T, strict=True):
            for start, width in zip(masks[:MASKS], masks[MASKS:], strict=True):
                (clip if axis == 1 else clip.T)[start : start + width] = mean
    return clips
