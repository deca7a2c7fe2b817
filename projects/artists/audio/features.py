"""Log-mel spectrograms equal to librosa's `power_to_db(melspectrogram(y), ref=1.0)`, chroma, MFCC."""

from __future__ import annotations

import functools
import math

import numpy as np
import scipy.fft

from .options import FeatureConfig

AMIN = 1e-10
TOP_DB = 80.0
# Frames transformed at once: few enough that they stay in the cache of a core.
BLOCK_FRAMES = 128
# Neighbouring bands weighted at once: filters are narrow, and most of a full matrix of them is zeros.
BAND_GROUP = 16
CHROMA = 12


@functools.lru_cache(maxsize=8)
def mel_filters(config: FeatureConfig) -> np.ndarray:
    """Triangular filters, area-normalised, shape (n_mels, 1 + n_fft // 2), float32: those of `librosa.filters.mel`.

    Written out because every worker that starts would import librosa for them, which takes a second.
    """
    edges = _mel_edges(config)
    bins = np.fft.rfftfreq(config.n_fft, 1 / config.sr)
    ramps = np.subtract.outer(edges, bins)
    widths = np.diff(edges)[:, None]
    triangles = np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])
    filters = np.maximum(0, triangles).astype(np.float32)
    filters *= 2 / (edges[2:] - edges[:-2])[:, None]
    return filters


def _mel_edges(config: FeatureConfig) -> np.ndarray:
    """Where each filter begins, then where the last but one and the last end, in Hz, shape (n_mels + 2,).

    htk: O'Shaughnessy's formula. slaney: linear to 1 kHz, logarithmic above (Slaney's Auditory Toolbox).
    """
    highest = config.sr / 2
    if config.mel_scale == "htk":
        mels = np.linspace(0, 2595 * np.log10(1 + highest / 700), config.n_mels + 2)
        return 700 * (10 ** (mels / 2595) - 1)
    knee, step = 1000.0, math.log(6.4) / 27
    a_hertz = 3 / 200
    top = highest * a_hertz if highest < knee else knee * a_hertz + math.log(highest / knee) / step
    mels = np.linspace(0, top, config.n_mels + 2)
    return np.where(mels < knee * a_hertz, mels / a_hertz, knee * np.exp(step * (mels - knee * a_hertz)))


@functools.lru_cache(maxsize=8)
def _filter_groups(config: FeatureConfig) -> list[tuple[slice, slice, np.ndarray]]:
    """(bands, the FFT bins that they see, weights (bins, bands)) of groups of neighbouring filters."""
    filters, groups = mel_filters(config), []
    for start in range(0, config.n_mels, BAND_GROUP):
        bands = slice(start, start + BAND_GROUP)
        seen = np.flatnonzero(filters[bands].any(axis=0))
        bins = slice(seen[0], seen[-1] + 1) if len(seen) else slice(0)
        groups.append((bands, bins, np.ascontiguousarray(filters[bands, bins].T)))
    return groups


@functools.lru_cache(maxsize=8)
def chroma_filters(config: FeatureConfig) -> np.ndarray:
    """Weights of the pitch classes C to B, without a tuning of their own, shape (12, 1 + n_fft // 2), float32."""
    import librosa.filters

    return librosa.filters.chroma(sr=config.sr, n_fft=config.n_fft, n_chroma=CHROMA).astype(np.float32)


def mel_frequencies(config: FeatureConfig) -> np.ndarray:
    """Centre of each band in Hz, shape (n_mels,)."""
    return _mel_edges(config)[1:-1]


def log_mel(y: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The spectrogram that `config` asks for: `db` re 1.0, floored 80 dB below its own peak, or `log10`.

    Args:
        y: Mono samples at `config.sr`, shape (n,).

    Returns:
        float32, shape (n_frames, n_mels), or n_mels + 12 with chroma; time first.

    Examples:
        >>> log_mel(np.zeros(16000, np.float32), FeatureConfig()).shape
        (32, 128)
    """
    mel = mel_power(y, config)
    bands, chroma = mel[:, : config.n_mels], mel[:, config.n_mels :]
    if config.compression == "log10":
        np.log10(1 + 10 * bands, out=bands)
    else:
        np.log10(np.maximum(AMIN, bands, out=bands), out=bands)
        np.multiply(bands, 10.0, out=bands)
        np.maximum(bands, bands.max() - TOP_DB, out=bands)
    # As librosa's chroma_stft: the loudest pitch class of a frame is 1, a silent frame is 0.
    peak = chroma.max(1, keepdims=True, initial=0)
    np.divide(chroma, peak, out=chroma, where=peak > np.finfo(np.float32).tiny)
    return mel


def at_level(y: np.ndarray, level: float | None) -> np.ndarray:
    """Samples (n,) with one gain that brings their root mean square to `level` dB re full scale; silence stays silent.

    Examples:
        >>> float(at_level(np.full(4, 0.5), -20.0)[0].round(6))
        0.1
    """
    if level is None:
        return y
    rms = float(np.sqrt(np.mean(np.square(y, dtype=np.float64)))) if len(y) else 0.0
    return y * np.asarray(10 ** (level / 20) / rms, y.dtype) if rms > 1e-8 else y


def mel_power(y: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Mel-weighted power (magnitude for `log10`) of centred, zero-padded Hann frames, (n_frames, n_mels), float32.

    With chroma, the power of the pitch classes in twelve more columns. As librosa pads n_fft // 2 on both sides,
    n_frames is 1 + n // hop_length, n one sample less where n_fft is odd.
    """
    y = at_level(y.astype(np.float32, copy=False), config.level)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)).astype(np.float32)
    pitches = chroma_filters(config).T if config.chroma else None
    columns = config.n_mels + (CHROMA if config.chroma else 0)
    mel = np.empty((1 + (len(y) - config.n_fft % 2) // config.hop_length, columns), np.float32)
    for start in range(0, len(mel), BLOCK_FRAMES):
        out = mel[start : start + BLOCK_FRAMES]
        spectrum = scipy.fft.rfft(_frames(y, config, start, len(out)) * window, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        if pitches is not None:
            out[:, config.n_mels :] = power @ pitches
        if config.compression == "log10":
            np.sqrt(power, out=power)
        for bands, bins, weights in _filter_groups(config):
            out[:, bands] = power[:, bins] @ weights
    return mel


def _frames(y: np.ndarray, config: FeatureConfig, start: int, count: int) -> np.ndarray:
    """`count` frames from the `start`th on, a view of shape (count, n_fft); only the ends of the track are copied."""
    first = start * config.hop_length - config.n_fft // 2
    end = first + (count - 1) * config.hop_length + config.n_fft
    part = y[max(0, first) : end]
    if len(part) < end - first:
        before = max(0, -first)
        part = np.pad(part, (before, end - first - before - len(part)))
    return np.lib.stride_tricks.sliding_window_view(part, config.n_fft)[:: config.hop_length]


def to_db(features: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The bands (n_frames, n_mels) of stored features in dB, whatever their compression: for figures and baselines."""
    bands = np.asarray(features[:, : config.n_mels])
    if config.compression == "db":
        return bands
    magnitude = (np.power(10.0, bands) - 1) / 10
    db = 20 * np.log10(np.maximum(np.sqrt(AMIN), magnitude))
    return np.maximum(db, db.max() - TOP_DB).astype(np.float32)


def mfcc(log_mel: np.ndarray, n_mfcc: int) -> np.ndarray:
    """Orthonormal DCT-II over the bands of dB (..., n_mels): (..., n_mfcc), as `librosa.feature.mfcc(S=log_mel.T)`."""
    return scipy.fft.dct(log_mel, type=2, norm="ortho", axis=-1)[..., :n_mfcc]
