"""What spectrograms in dB go through while a system learns: masks, equalisers, low-pass filters.

Masks are those of SpecAugment (Park et al. 2019) without its warping of time.
"""

from __future__ import annotations

import numpy as np

from .features import TOP_DB

MASKS = 2
# Widest mask at strength 1, as a share of the axis.
WIDEST = 0.2
# Cosines of an equaliser.
COSINES = 6
# Of a low-pass: where it begins, as a share of the bands, and dB that it falls from a band to the next.
CUTOFF, SLOPE = (0.55, 1.0), (0.5, 6.0)


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


def equalised(clips: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth gain over the bands, one for each clip: six cosines, the k-th normal of `deviation` / sqrt(k) dB.

    Args:
        clips: (n, frames, bands) in dB, changed in place.

    Returns:
        The same array.
    """
    k = np.arange(1, COSINES + 1)
    basis = np.cos(np.pi * np.outer(k, (np.arange(clips.shape[2]) + 0.5) / clips.shape[2]))
    gains = rng.normal(size=(len(clips), COSINES)) * deviation / np.sqrt(k) @ basis
    clips += gains[:, None].astype(clips.dtype)
    return clips


def low_passed(clips: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A low-pass over about `share` of the clips, from a band in the upper half on, of 0.5 to 6 dB a band.

    Nothing falls more than 80 dB below the clip's peak, as in the features themselves.

    Args:
        clips: (n, frames, bands) in dB, changed in place.

    Returns:
        The same array.
    """
    n, bands = len(clips), clips.shape[2]
    cutoff, slope = rng.uniform(*CUTOFF, n) * bands, rng.uniform(*SLOPE, n) * (rng.random(n) < share)
    above = np.maximum(0, np.arange(bands) - cutoff[:, None])
    clips -= (above * slope[:, None])[:, None].astype(clips.dtype)
    return np.maximum(clips, clips.max((1, 2), keepdims=True) - TOP_DB, out=clips)


def centred(clips: np.ndarray) -> np.ndarray:
    """Clips (n, frames, bands) in dB without their level: the mean of each is 0."""
    return clips - clips.mean((1, 2), keepdims=True)
