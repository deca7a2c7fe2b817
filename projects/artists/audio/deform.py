"""Deformations of a recording that leave its artist who it is: level, mp3, low-pass, pitch, tempo, noise.

Answers that change under them tell what a model listens to beside the music (Sturm 2014, "A simple method to determine
if a music information retrieval system is a 'horse'"). Options are checked with what is here, so that nothing slow to
load is imported before it is used.
"""

from __future__ import annotations

import dataclasses
import io
import math
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np

# What an encoder of MPEG audio takes, in Hz and kbit/s (ISO 11172-3, layer III).
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
BIT_RATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
# Least sample rate -> the bit rates between which libsndfile's compression level runs, 1 to 0.
BIT_RATE_RANGES = {32000: (32, 320), 16000: (8, 160), 0: (8, 64)}
LOWPASS_ORDER = 8


@dataclasses.dataclass(frozen=True)
class Kind:
    """Strengths of a deformation: how one is written, the usual ones, their range, and the one that changes nothing."""

    text: str
    usual: tuple[float, ...]
    least: float
    most: float
    neutral: float | None = None
    choices: tuple[float, ...] = ()

    def allows(self, strength: float) -> bool:
        known = not self.choices or strength in self.choices
        return known and self.least <= strength <= self.most and strength != self.neutral

    @property
    def rule(self) -> str:
        if self.choices:
            return f"one of {', '.join(f'{choice:g}' for choice in self.choices)}"
        but = "" if self.neutral is None else f", and not {self.neutral:g}, which changes nothing"
        return f"a number from {self.least:g} to {self.most:g}{but}"


KINDS = {
    "level": Kind("{:+g} dB", (-12, 6), -60, 60, neutral=0),
    "mp3": Kind("{:g} kbit/s", (64,), BIT_RATES[0], BIT_RATES[-1], choices=BIT_RATES),
    "lowpass": Kind("{:g} Hz", (4000,), 100, 100_000),
    "pitch": Kind("{:+g} (semitones)", (1,), -12, 12, neutral=0),
    "tempo": Kind("x {:g}", (1.1,), 0.5, 2, neutral=1),
    "noise": Kind("{:g} dB SNR", (20,), -20, 100),
}


@dataclasses.dataclass(frozen=True)
class Deformation:
    """A kind of `KINDS` and its strength in the unit of that kind."""

    name: str
    strength: float

    @property
    def key(self) -> str:
        """Its part of the name of a metric.

        Examples:
            >>> Deformation("level", -12.0).key, Deformation("tempo", 1.1).key
            ('level_-12', 'tempo_1.1')
        """
        return f"{self.name}_{self.strength:g}"

    @property
    def title(self) -> str:
        """For a reader.

        Examples:
            >>> Deformation("level", 6.0).title
            'level +6 dB'
        """
        return f"{self.name} {KINDS[self.name].text.format(self.strength)}"


def deformations(text: str | None) -> tuple[Deformation, ...]:
    """What `deform=` names: kinds with commas between, each with a strength after a colon or with its usual ones.

    Raises:
        InputError: A kind is unknown, a strength makes no sense, or a deformation is named twice.

    Examples:
        >>> [each.key for each in deformations("level,mp3:128")]
        ['level_-12', 'level_6', 'mp3_128']
    """
    chosen: list[Deformation] = []
    for word in text.split(",") if text else []:
        name, colon, given = word.strip().partition(":")
        if name not in KINDS:
            raise InputError(
                f"deform={word.strip()} is unknown; choose from {', '.join(KINDS)}, each alone or with a strength, "
                "for example deform=level:-12,mp3."
            )
        chosen += [Deformation(name, each) for each in ([_strength(name, given)] if colon else KINDS[name].usual)]
    keys = [each.key for each in chosen]
    if twice := [key for i, key in enumerate(keys) if key in keys[:i]]:
        raise InputError(f"deform={text} holds {twice[0].replace('_', ':')} twice; give each deformation once.")
    return tuple(chosen)


def _strength(name: str, given: str) -> float:
    try:
        strength = float(given)
    except ValueError:
        strength = math.nan
    if not KINDS[name].allows(strength):
        raise InputError(f"deform={name}:{given}: the strength of {name} must be {KINDS[name].rule}.")
    return strength


def deformed(y: np.ndarray, sr: int, deformation: Deformation, seed: int = 0) -> np.ndarray:
    """A deformed recording, mono.

    mp3 codes the channels; the other deformations see their mean.

    Args:
        y: Samples (n, channels), float32; they may exceed full scale and are never clipped.
        sr: Their rate in Hz.
        seed: Of the noise.

    Returns:
        (m,) float32 at the same rate; m is n, of a tempo n / strength.
    """
    name, strength = deformation.name, deformation.strength
    if name == "mp3":
        return mp3(y, sr, int(strength)).mean(1)
    mono = y.mean(1)
    if name == "level":
        return level(mono, strength)
    if name == "lowpass":
        return lowpass(mono, sr, strength)
    if name == "pitch":
        return pitch(mono, sr, strength)
    return tempo(mono, strength) if name == "tempo" else noise(mono, strength, seed)


def level(y: np.ndarray, gain: float) -> np.ndarray:
    """Samples with a gain in dB, not clipped.

    Examples:
        >>> import numpy as np
        >>> level(np.array([0.5, -1.0]), 20.0)
        array([  5., -10.])
    """
    return y * y.dtype.type(10 ** (gain / 20))


def lowpass(y: np.ndarray, sr: int, cutoff: float) -> np.ndarray:
    """Samples (n,) through a Butterworth filter, forwards and backwards: no delay, -6 dB at `cutoff` Hz.

    Those of a rate that holds nothing above `cutoff` stay as they are.
    """
    import numpy as np
    import scipy.signal

    if cutoff >= sr / 2:
        return y
    sections = scipy.signal.butter(LOWPASS_ORDER, cutoff, fs=sr, output="sos")
    filtered = scipy.signal.sosfiltfilt(sections, y.astype(np.float64), padlen=min(len(y) - 1, sr))
    return filtered.astype(y.dtype)


def pitch(y: np.ndarray, sr: int, semitones: float) -> np.ndarray:
    """Samples (n,) shifted by equal-tempered semitones, as long as they were (librosa's phase vocoder)."""
    import librosa

    return librosa.effects.pitch_shift(y, sr=sr, n_steps=semitones)


def tempo(y: np.ndarray, factor: float) -> np.ndarray:
    """Samples (n,) played `factor` times as fast at the same pitch, (n / factor,) (librosa's phase vocoder)."""
    import librosa

    return librosa.effects.time_stretch(y, rate=factor)


def noise(y: np.ndarray, snr: float, seed: int) -> np.ndarray:
    """Samples (n,) with white Gaussian noise whose power is `snr` dB below theirs; silence stays silent."""
    import numpy as np

    power = float(np.mean(np.square(y, dtype=np.float64))) / 10 ** (snr / 10)
    return y + (np.sqrt(power) * np.random.default_rng(seed).standard_normal(len(y))).astype(y.dtype)


def mp3(y: np.ndarray, sr: int, bit_rate: int) -> np.ndarray:
    """Samples (n, channels) through an mp3 encoder and a decoder, as many as they were; of more than two channels one.

    Between them they have a rate that mp3 knows, and the bit rate is at most what it allows there.
    """
    import numpy as np
    import soundfile
    import soxr

    if y.shape[1] > 2:
        y = y.mean(1, keepdims=True)
    rate = max((known for known in MP3_RATES if known <= sr), default=MP3_RATES[0])
    file = io.BytesIO(encoded_mp3(y if rate == sr else soxr.resample(y, sr, rate, quality="HQ"), rate, bit_rate))
    decoded = soundfile.read(file, dtype="float32", always_2d=True)[0]
    decoded = decoded if rate == sr else soxr.resample(decoded, rate, sr, quality="HQ")
    # At low rates the decoder leaves the encoder's padding at the end.
    return np.pad(decoded, ((0, max(0, len(y) - len(decoded))), (0, 0)))[: len(y)]


def encoded_mp3(y: np.ndarray, sr: int, bit_rate: int) -> bytes:
    """An mp3 file of samples (n, 1 or 2) at constant kbit/s; sr: one of `MP3_RATES`."""
    import soundfile

    least, most = next(span for rate, span in BIT_RATE_RANGES.items() if sr >= rate)
    # libsndfile refuses 1 itself; LAME takes the nearest bit rate.
    compression = min((most - min(bit_rate, most)) / (most - least), 0.9999)
    file = io.BytesIO()
    soundfile.write(
        file, y, sr, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=compression
    )
    return file.getvalue()
