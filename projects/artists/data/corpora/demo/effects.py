"""Effects and the production of an album: (n,) float arrays in and out, levels in dB of full scale.

Shelves and bells are the biquads of R. Bristow-Johnson's Audio EQ Cookbook; reverberation is a convolution
with noise that decays exponentially, faster at high frequencies (Moorer 1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import signal


def gain(db: float) -> float:
    """Amplitude factor of a level difference in dB."""
    return 10.0 ** (db / 20.0)


def _biquad(y: np.ndarray, b: tuple[float, ...], a: tuple[float, ...]) -> np.ndarray:
    return signal.sosfilt(np.array([[*b, *a]]) / a[0], y)


def shelf(y: np.ndarray, hz: float, db: float, *, sr: int, high: bool) -> np.ndarray:
    """Low or high shelf of slope 1 with its middle at `hz`."""
    a, w = gain(db / 2.0), 2.0 * np.pi * hz / sr
    sign = -1.0 if high else 1.0  # the high shelf is the low one with z replaced by -z
    c, slope = np.cos(w) * sign, np.sin(w) * np.sqrt(2.0 * a)
    zeros, poles = a + 1 - (a - 1) * c, a + 1 + (a - 1) * c
    b = (a * (zeros + slope), sign * 2 * a * (a - 1 - (a + 1) * c), a * (zeros - slope))
    return _biquad(y, b, (poles + slope, sign * -2 * (a - 1 + (a + 1) * c), poles - slope))


def bell(y: np.ndarray, hz: float, db: float, *, sr: int, q: float = 0.8) -> np.ndarray:
    """Peaking equaliser: `db` at `hz`."""
    a, w = gain(db / 2.0), 2.0 * np.pi * hz / sr
    alpha = np.sin(w) / (2.0 * q)
    middle = -2 * np.cos(w)
    return _biquad(y, (1 + alpha * a, middle, 1 - alpha * a), (1 + alpha / a, middle, 1 - alpha / a))


def band(y: np.ndarray, low: float, high: float, *, sr: int) -> np.ndarray:
    """Bandwidth of a medium: second-order high-pass at `low` Hz, sixth-order low-pass at `high` Hz."""
    y = signal.sosfilt(signal.butter(2, low, btype="highpass", fs=sr, output="sos"), y)
    return signal.sosfilt(signal.butter(6, min(high, 0.49 * sr), fs=sr, output="sos"), y)


def room(seconds: float, *, sr: int, rng: Generator, damping: float = 0.4) -> np.ndarray:
    """Impulse response of a room whose level falls by 60 dB in `seconds` (`damping` of that above 2 kHz)."""
    t = np.arange(round(seconds * sr)) / sr
    noise = rng.standard_normal(len(t))
    low = signal.sosfilt(signal.butter(1, 2000.0, fs=sr, output="sos"), noise)
    response = low * np.exp(-6.91 * t / seconds) + (noise - low) * np.exp(-6.91 * t / (damping * seconds))
    response[: round(0.012 * sr)] = 0.0  # the walls answer later than the instrument
    return response / np.sqrt(np.sum(response**2))


def reverb(y: np.ndarray, response: np.ndarray, wet: float) -> np.ndarray:
    """Mix of the dry sound and `wet` of its convolution with `response`, of the length of `y`."""
    return (1.0 - 0.5 * wet) * y + wet * signal.oaconvolve(y, response)[: len(y)]


def compress(y: np.ndarray, threshold: float, ratio: float, *, sr: int) -> np.ndarray:
    """Feed-forward compressor: RMS over `hop` samples, one-pole attack of 0.01 and release of 0.15 s."""
    hop = 64
    blocks = np.resize(y, -(-len(y) // hop) * hop).reshape(-1, hop)
    level = 10.0 * np.log10(np.mean(blocks**2, axis=1) + 1e-9)
    wanted = np.maximum(level - threshold, 0.0) * (1.0 / ratio - 1.0)
    rise, fall = (1.0 - np.exp(-hop / (sr * s)) for s in (0.01, 0.15))
    reduction, current = np.empty_like(wanted), 0.0
    for i, target in enumerate(wanted.tolist()):
        current += (rise if target < current else fall) * (target - current)
        reduction[i] = current
    at = (np.arange(len(reduction)) + 0.5) * hop
    return y * 10.0 ** (np.interp(np.arange(len(y)), at, reduction) / 20.0)


def saturate(y: np.ndarray, drive: float) -> np.ndarray:
    """Soft clipping; `drive` 0 leaves small signals alone, 4 is audible tape."""
    return np.tanh((1.0 + drive) * y) / (1.0 + drive)


def chorus(y: np.ndarray, *, sr: int, depth: float = 0.0025, hz: float = 0.7) -> np.ndarray:
    """Half dry, half a copy whose delay swings by `depth` seconds."""
    n = np.arange(len(y))
    delay = sr * (0.012 + depth * np.sin(2 * np.pi * hz * n / sr))
    return 0.7 * (y + np.interp(n - delay, n, y))


def tremolo(y: np.ndarray, *, sr: int, depth: float = 0.3, hz: float = 5.6) -> np.ndarray:
    """Amplitude modulation, as of a rotating loudspeaker."""
    return y * (1.0 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * hz * np.arange(len(y)) / sr)))


def echo(
    y: np.ndarray, seconds: float, *, sr: int, feedback: float = 0.45, wet: float = 0.4, repeats: int = 4
) -> np.ndarray:
    """`repeats` echoes, each `feedback` of the one before."""
    out, delay = y.copy(), round(seconds * sr)
    for k in range(1, repeats + 1):
        if k * delay < len(y):
            out[k * delay :] += wet * feedback ** (k - 1) * y[: -k * delay]
    return out


def crackle(n: int, per_second: float, *, sr: int, rng: Generator) -> np.ndarray:
    """Vinyl: clicks of random strength at random instants, some 1 ms long, unit peak at most."""
    y = np.zeros(n)
    count = int(rng.poisson(per_second * n / sr))
    y[rng.integers(0, n, size=count)] = rng.uniform(-1.0, 1.0, size=count) ** 3
    return signal.lfilter([1.0], [1.0, -0.72], y) * 0.7


def wow(y: np.ndarray, depth: float, *, sr: int, hz: float = 0.8) -> np.ndarray:
    """Uneven speed of a tape: time runs ahead and behind by `depth` seconds."""
    n = np.arange(len(y))
    return np.interp(n + sr * depth * np.sin(2 * np.pi * hz * n / sr), n, y)


@dataclass(frozen=True)
class Production:
    """What makes an album sound like one: equalisation in dB, room, compressor, medium, level."""

    low: float = 0.0
    mid: float = 0.0
    mid_hz: float = 1000.0
    high: float = 0.0
    room_seconds: float = 0.6
    wet: float = 0.1
    threshold: float = -20.0
    ratio: float = 2.0
    drive: float = 0.0
    bandwidth: float = 7600.0
    rumble: float = 35.0
    hiss: float = -75.0
    crackles: float = 0.0
    wow: float = 0.0
    loudness: float = -18.0


def produce(y: np.ndarray, p: Production, *, sr: int, rng: Generator, room_rng: Generator) -> np.ndarray:
    """A dry mix (n,) -> (n,) as the album sounds, near `loudness` dB RMS, its peaks limited.

    `rng` draws the noise of this song, `room_rng` the room, which is one for the album.
    """
    y = _at(y, -18.0)
    y = reverb(y, room(p.room_seconds, sr=sr, rng=room_rng), p.wet)
    y = compress(saturate(y, p.drive), p.threshold, p.ratio, sr=sr)
    y = shelf(shelf(y, 220.0, p.low, sr=sr, high=False), 2800.0, p.high, sr=sr, high=True)
    y = bell(y, p.mid_hz, p.mid, sr=sr)
    y = _at(y, -18.0)
    y = wow(y, p.wow, sr=sr) if p.wow else y
    y = y + gain(p.hiss) * rng.standard_normal(len(y)) + 0.12 * crackle(len(y), p.crackles, sr=sr, rng=rng)
    return level(band(y, p.rumble, p.bandwidth, sr=sr), p.loudness)


def _at(y: np.ndarray, db: float) -> np.ndarray:
    return y / (np.sqrt(np.mean(y**2)) + 1e-9) * gain(db)


def level(y: np.ndarray, loudness: float, *, highest: float = 0.97) -> np.ndarray:
    """`y` without its mean, at `loudness` dB RMS; from 0.7 on a limiter bends peaks to below `highest`."""
    y = _at(y - np.mean(y), loudness)
    over, room_left = np.maximum(np.abs(y) - 0.7, 0.0), highest - 0.7
    limited = np.sign(y) * (np.minimum(np.abs(y), 0.7) + room_left * np.tanh(over / room_left))
    return limited - np.mean(limited)
