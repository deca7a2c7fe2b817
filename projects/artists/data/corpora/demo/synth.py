"""Instruments and drums of the demo corpus: notes in, arrays out.

Pitched sounds are evolving wavetables: the amplitudes of the harmonics at a few instants (plucked strings
whose upper partials die first, filtered saws, formants of a voice) become one cycle each, and a phase runs
through them. Electric piano and bells are two-operator FM (Chowning 1973).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import signal

N_ROWS = 20
HIGHEST_PARTIAL = 0.46  # of the sampling rate: above it a partial would alias once the phase is interpolated


class Note(NamedTuple):
    """One note of one part: seconds, seconds, MIDI number (fractions allowed), 0 to 1."""

    start: float
    seconds: float
    midi: float
    velocity: float


@dataclass(frozen=True)
class Instrument:
    """A timbre.

    `voice(f0, n, sr, force, rng)` gives (n,) samples near unit RMS before the envelope of `attack` and
    `release` seconds; `family` is acoustic, electric or synthetic, `bright` what a listener would call it.
    """

    voice: Callable[..., np.ndarray]
    family: str
    bright: bool
    attack: float
    release: float


# Spectra: t (N_ROWS, 1) seconds, h (1, n_harmonics), f0 Hz, force 0 to 1 -> amplitudes (N_ROWS, n_harmonics).


def _low_pass(h: np.ndarray, f0: float, cutoff: float | np.ndarray) -> np.ndarray:
    """Magnitude of a two-pole low-pass (12 dB an octave) at the harmonics."""
    return 1.0 / (1.0 + (h * f0 / cutoff) ** 2)


def string(
    t: np.ndarray, h: np.ndarray, f0: float, force: float, *, position: float, tilt: float, damping: float
) -> np.ndarray:
    """A string plucked or struck at `position` of its length: high partials are weaker and die sooner."""
    start = np.abs(np.sin(np.pi * h * position)) / h ** (tilt - 0.5 * force)
    rate = damping * np.sqrt(f0 / 220.0) * (1.0 + 0.22 * (h - 1.0))
    return start * (0.9 * np.exp(-t * rate) + 0.1 * np.exp(-0.3 * t * rate))


def drawbars(t: np.ndarray, h: np.ndarray, f0: float, force: float, *, bars: tuple[float, ...]) -> np.ndarray:
    """Organ: amplitudes of the harmonics 1, 2, 3, 4, 6, 8 of the played note, constant in time."""
    amplitudes = np.zeros_like(h)
    for number, bar in zip((1, 2, 3, 4, 6, 8), bars, strict=True):
        amplitudes += bar * (h == number)
    return amplitudes + 0.0 * t


def subtractive(
    t: np.ndarray, h: np.ndarray, f0: float, force: float, *, square: bool, cutoff: float, sweep: float, decay: float
) -> np.ndarray:
    """Saw or square through a low-pass that closes from `cutoff * (1 + sweep)` Hz in `decay` seconds."""
    wave = (h % 2) / h if square else 1.0 / h
    moving = cutoff * (0.6 + 0.6 * force) * (1.0 + sweep * np.exp(-t / decay))
    return wave * _low_pass(h, f0, moving + 0.5 * f0)


def blown(t: np.ndarray, h: np.ndarray, f0: float, force: float, *, odd: float, tilt: float, rise: float) -> np.ndarray:
    """Flute, reed or brass: partials follow the pressure, upper ones later; `odd` weakens the even ones."""
    pressure = 1.0 - np.exp(-t / rise)
    balance = np.where(h % 2 == 0, 1.0 - odd, 1.0)
    return balance * h ** -(tilt - 0.6 * force) * pressure ** (0.6 + 0.25 * h)


def sung(t: np.ndarray, h: np.ndarray, f0: float, force: float, *, vowels: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """A voice gliding from the first vowel to the last in a quarter of a second; a vowel is three formants."""

    def shape(vowel: tuple[float, ...]) -> np.ndarray:
        formants = zip(vowel, (1.0, 0.6, 0.25), (90.0, 110.0, 160.0), strict=True)
        return sum((gain / (1.0 + ((h * f0 - hz) / width) ** 2) for hz, gain, width in formants), np.zeros_like(h))

    glide = np.clip(t / 0.25, 0.0, 1.0)
    return ((1.0 - glide) * shape(vowels[0]) + glide * shape(vowels[-1]) + 0.02) * h ** -(1.1 - 0.5 * force)


def additive(
    spectrum: Callable[..., np.ndarray],
    f0: float,
    n: int,
    sr: int,
    force: float,
    rng: Generator,
    *,
    vibrato: float = 0.0,
    detune: float = 0.0,
    breath: float = 0.0,
    **shape: object,
) -> np.ndarray:
    """Evolving wavetable -> (n,) float32: `spectrum` of a `shape` gives the harmonics, `vibrato` and `detune` are
    cents, `breath` the level of blown noise."""
    seconds = n / sr
    place = np.linspace(0.0, 1.0, N_ROWS)[:, None] ** 2  # rows crowd at the attack, where the sound changes
    h = np.arange(1.0, max(2.0, HIGHEST_PARTIAL * sr // f0))[None, :]
    amplitudes = spectrum(place * seconds, h, f0, force, **shape)
    tables = _cycles(amplitudes / np.sqrt(0.5 * np.max(np.sum(amplitudes**2, axis=1))))
    t = np.arange(n, dtype=np.float32) / sr
    wobble = vibrato / 1200.0 * np.sin(2 * np.pi * 5.3 * t) * np.minimum(t / 0.4, 1.0) if vibrato else 0.0
    rows = np.sqrt(t / seconds) * (N_ROWS - 1)
    pair = (detune, -detune) if detune else (0.0,)
    y = sum(_look_up(tables, rows, f0 * 2.0 ** (cents / 1200.0 + wobble) / sr) for cents in pair)
    y /= np.sqrt(len(pair))
    return y + breath * _noise_band(n, sr, 2.0 * f0, min(8.0 * f0, 0.45 * sr), rng) if breath else y


def _cycles(amplitudes: np.ndarray) -> np.ndarray:
    """(rows, harmonics) -> (rows, length + 1) float32: one cycle a row, its first sample again at the end."""
    n_harmonics = amplitudes.shape[1]
    length = max(256, 8 * 2 ** int(np.ceil(np.log2(n_harmonics))))
    phases = np.exp(2.4j * np.arange(1, n_harmonics + 1) ** 2)  # spread, so that cycles are not spikes
    spectrum = np.zeros((len(amplitudes), length // 2 + 1), dtype=complex)
    spectrum[:, 1 : n_harmonics + 1] = amplitudes * phases * (length / 2)
    cycles = np.fft.irfft(spectrum, n=length, axis=1).astype(np.float32)
    return np.concatenate([cycles, cycles[:, :1]], axis=1)


def _look_up(tables: np.ndarray, rows: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """Bilinear reading of `tables` at row positions `rows` (n,), `step` cycles a sample, a number or (n,)."""
    n, length = len(rows), tables.shape[1] - 1
    phase = np.cumsum(step) if np.ndim(step) else step * np.arange(n)
    column = (phase % 1.0) * length
    low = np.minimum(column.astype(np.int64), length - 1)
    row = np.minimum(rows.astype(np.int64), N_ROWS - 2)
    across, down = (column - low).astype(np.float32), (rows - row).astype(np.float32)
    flat, at = tables.ravel(), row * (length + 1) + low
    upper = flat[at] + across * (flat[at + 1] - flat[at])
    lower = flat[at + length + 1] + across * (flat[at + length + 2] - flat[at + length + 1])
    return upper + down * (lower - upper)


def fm(
    f0: float, n: int, sr: int, force: float, rng: Generator, *, ratio: float, index: float, decay: float, fade: float
) -> np.ndarray:
    """Two-operator FM -> (n,) float32: the index falls in `decay` seconds, the loudness in `fade` seconds."""
    t = np.arange(n, dtype=np.float64) / sr
    highest = max(0.0, (0.45 * sr - f0) / (ratio * f0) - 1.0)  # Carson: sidebands must stay below Nyquist
    depth = min(index * (0.4 + force), highest) * np.exp(-t / decay)
    carrier = np.sin(2 * np.pi * f0 * t + depth * np.sin(2 * np.pi * ratio * f0 * t))
    return (1.4 * carrier * np.exp(-t / fade * np.sqrt(f0 / 440.0))).astype(np.float32)


_VOWELS = ((700.0, 1150.0, 2600.0), (480.0, 850.0, 2500.0))


def _string(**shape: Any) -> Callable[..., np.ndarray]:
    return partial(additive, string, **shape)


def _saw(**shape: Any) -> Callable[..., np.ndarray]:
    return partial(additive, subtractive, square=False, **shape)


# fmt: off
INSTRUMENTS: dict[str, Instrument] = {
    name: Instrument(voice, family, bright, attack, release)
    for name, voice, family, bright, attack, release in (
        ("nylon", _string(position=0.23, tilt=1.6, damping=3.2), "acoustic", False, 0.003, 0.08),
        ("steel", _string(position=0.13, tilt=1.25, damping=2.0), "acoustic", True, 0.002, 0.08),
        ("piano", _string(position=0.11, tilt=1.4, damping=1.6, detune=1.5), "acoustic", False, 0.003, 0.12),
        ("flute", partial(additive, blown, odd=0.35, tilt=2.6, rise=0.05, vibrato=14.0, breath=0.05), "acoustic",
         False, 0.05, 0.07),
        ("reed", partial(additive, blown, odd=0.75, tilt=1.5, rise=0.03, vibrato=9.0), "acoustic", True, 0.025, 0.05),
        ("voice", partial(additive, sung, vowels=_VOWELS, vibrato=22.0, breath=0.02), "acoustic", False, 0.06, 0.09),
        ("organ", partial(additive, drawbars, bars=(1.0, 0.7, 0.5, 0.35, 0.2, 0.25)), "electric", True, 0.008, 0.03),
        ("epiano", partial(fm, ratio=1.0, index=1.3, decay=0.35, fade=1.3), "electric", False, 0.002, 0.1),
        ("bell", partial(fm, ratio=3.5, index=1.6, decay=0.5, fade=1.1), "electric", True, 0.002, 0.4),
        ("pad", _saw(cutoff=900.0, sweep=0.8, decay=0.9, detune=8.0), "synthetic", False, 0.12, 0.3),
        ("saw", _saw(cutoff=1800.0, sweep=1.5, decay=0.15, detune=5.0), "synthetic", True, 0.004, 0.05),
        ("square", partial(additive, subtractive, square=True, cutoff=2600.0, sweep=0.6, decay=0.2, vibrato=6.0),
         "synthetic", True, 0.004, 0.04),
        ("upright", _string(position=0.3, tilt=2.0, damping=3.5), "acoustic", False, 0.004, 0.05),
        ("fretless", _string(position=0.18, tilt=1.5, damping=2.0), "electric", False, 0.008, 0.05),
        ("sub", _saw(cutoff=160.0, sweep=1.0, decay=0.12), "synthetic", False, 0.005, 0.04),
        ("acid", _saw(cutoff=420.0, sweep=3.0, decay=0.12), "synthetic", True, 0.003, 0.03),
    )
}
# fmt: on


def play(
    notes: Iterable[Note], instrument: Instrument, n: int, *, sr: int, rng: Generator, tuning: float = 440.0
) -> np.ndarray:
    """One part -> (n,) float32; equal notes (pitch, length to 20 ms, force in four steps) are made once."""
    y = np.zeros(n, dtype=np.float32)
    made: dict[tuple[float, int, int], np.ndarray] = {}
    for note in sorted(notes):
        key = (note.midi, max(2, round(note.seconds / 0.02)), min(3, int(4 * note.velocity)))
        if key not in made:
            made[key] = _single(key, instrument, sr, rng, tuning)
        add(y, made[key], round(note.start * sr), note.velocity)
    return y


def _single(key: tuple[float, int, int], instrument: Instrument, sr: int, rng: Generator, tuning: float) -> np.ndarray:
    midi, length, force = key
    held, tail = round(0.02 * length * sr), max(1, round(instrument.release * sr))
    y = instrument.voice(tuning * 2.0 ** ((midi - 69.0) / 12.0), held + tail, sr, (force + 0.5) / 4.0, rng)
    rise = min(max(1, round(instrument.attack * sr)), held)
    envelope = np.ones(held + tail, dtype=np.float32)
    envelope[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    envelope[held:] = np.cos(0.5 * np.pi * np.arange(tail) / tail) ** 2
    return (y * envelope).astype(np.float32)


def add(y: np.ndarray, sound: np.ndarray, at: int, gain: float) -> None:
    """Mix `sound` into `y` in place from sample `at`; what stands outside `y` is dropped."""
    first, last = max(at, 0), min(at + len(sound), len(y))
    if last > first:
        y[first:last] += np.float32(gain) * sound[first - at : last - at]


# Drums


@dataclass(frozen=True)
class Kit:
    """How the drums of an album are tuned: factors about 1 of pitch, length and brightness."""

    pitch: float = 1.0
    length: float = 1.0
    bright: float = 1.0
    electronic: bool = False


def _noise_band(n: int, sr: int, low: float, high: float, rng: Generator) -> np.ndarray:
    """(n,) noise of unit RMS between `low` and `high` Hz."""
    sos = signal.butter(2, (low, min(high, 0.47 * sr)), btype="bandpass", fs=sr, output="sos")
    y = signal.sosfilt(sos, rng.standard_normal(n))
    return y / np.sqrt(np.mean(y**2))


def _swept(t: np.ndarray, start: float, end: float, fall: float) -> np.ndarray:
    """A sine falling from `start` to `end` Hz with time constant `fall` seconds."""
    return np.sin(2 * np.pi * (end * t + (start - end) * fall * (1.0 - np.exp(-t / fall))))


def kick(kit: Kit, sr: int, rng: Generator) -> np.ndarray:
    """Bass drum: a falling sine and the click of the beater."""
    t = np.arange(round(0.4 * sr)) / sr
    fade = (0.16 if kit.electronic else 0.09) * kit.length
    body = _swept(t, (240.0 if kit.electronic else 150.0) * kit.pitch, 50.0 * kit.pitch, 0.03)
    return 1.6 * body * np.exp(-t / fade) + 0.25 * kit.bright * _hiss(t, sr, 1200.0, 5000.0, 0.004, rng)


def snare(kit: Kit, sr: int, rng: Generator) -> np.ndarray:
    """Snare drum: two modes of the head under the wires' noise."""
    t = np.arange(round(0.35 * sr)) / sr
    head = np.sin(2 * np.pi * 185.0 * kit.pitch * t) + 0.6 * np.sin(2 * np.pi * 330.0 * kit.pitch * t)
    wires = _hiss(t, sr, 1500.0 if kit.electronic else 900.0, 6800.0 * kit.bright, 0.09 * kit.length, rng)
    return 0.6 * head * np.exp(-t / (0.05 * kit.length)) + 0.5 * wires


def _hiss(t: np.ndarray, sr: int, low: float, high: float, fade: float, rng: Generator) -> np.ndarray:
    return _noise_band(len(t), sr, low, high, rng) * np.exp(-t / fade)


def _cymbal(kit: Kit, sr: int, rng: Generator, *, fade: float, low: float, ping: float = 0.0) -> np.ndarray:
    """Noise above `low` Hz over inharmonic squares (the ratios of a TR-808), dying in `fade` seconds."""
    t = np.arange(round(min(6.0 * fade, 1.6) * sr)) / sr
    squares = (410.6, 608.8, 739.2, 1045.4, 1600.0)
    metal = sum(np.sign(np.sin(2 * np.pi * hz * kit.pitch * t)) for hz in squares)
    tone = signal.sosfilt(signal.butter(2, low, btype="highpass", fs=sr, output="sos"), metal)
    noise = _noise_band(len(t), sr, low * kit.bright, 7600.0, rng)
    ring = ping * np.sin(2 * np.pi * 2960.0 * kit.pitch * t) * np.exp(-t / 0.05)
    plate = 0.2 * noise + (0.1 if kit.electronic else 0.05) * tone
    return plate * np.exp(-t / (fade * kit.length)) + ring


def shaker(kit: Kit, sr: int, rng: Generator) -> np.ndarray:
    """Shaker or brush: noise that swells before it dies."""
    t = np.arange(round(0.24 * sr)) / sr
    grains = _noise_band(len(t), sr, 2500.0 * kit.bright, 7000.0, rng)
    return 0.35 * grains * (t / 0.03) * np.exp(1.0 - t / 0.03)


def rim(kit: Kit, sr: int, rng: Generator) -> np.ndarray:
    """Rim click: two short modes."""
    t = np.arange(round(0.08 * sr)) / sr
    modes = np.sin(2 * np.pi * 820.0 * kit.pitch * t) + np.sin(2 * np.pi * 1730.0 * kit.pitch * t)
    return 0.6 * modes * np.exp(-t / (0.012 * kit.length))


def tom(kit: Kit, sr: int, rng: Generator) -> np.ndarray:
    """Tom: a longer, higher bass drum."""
    t = np.arange(round(0.4 * sr)) / sr
    return _swept(t, 190.0 * kit.pitch, 105.0 * kit.pitch, 0.06) * np.exp(-t / (0.12 * kit.length))


# fmt: off
DRUMS: dict[str, Callable[[Kit, int, Generator], np.ndarray]] = {
    "kick": kick, "snare": snare, "rim": rim, "tom": tom, "shaker": shaker,
    "hat": partial(_cymbal, fade=0.035, low=5000.0), "open": partial(_cymbal, fade=0.2, low=4500.0),
    "ride": partial(_cymbal, fade=0.12, low=4000.0, ping=0.3),
    "crash": partial(_cymbal, fade=0.35, low=2500.0),
}
# fmt: on


def drum_part(hits: Iterable[tuple[float, str, float]], kit: Kit, n: int, *, sr: int, rng: Generator) -> np.ndarray:
    """Hits of (seconds, drum, velocity) -> (n,) float32; two takes of each drum alternate, as sticks do."""
    y = np.zeros(n, dtype=np.float32)
    hits = sorted(hits)
    takes = {
        name: [DRUMS[name](kit, sr, rng).astype(np.float32) for _ in range(2)]
        for name in sorted({name for _, name, _ in hits})
    }
    for count, (start, name, velocity) in enumerate(hits):
        add(y, takes[name][count % 2], round(start * sr), velocity)
    return y
