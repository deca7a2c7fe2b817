"""Composition for the demo corpus: a style and a generator in, the notes of a piece out.

A `Style` is what the songs of an artist share, a `Piece` one draw from it (scale, tempo, key, instruments,
patterns). `compose` writes the notes: form, chords led by the nearest voices, bass, drums with fills, and a
melody of two motifs that return. A rhythm is a bar of sixteenths: x accented, o plain, . silent; a bar of three
beats reads the first twelve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from .synth import Note

T = TypeVar("T")
Motif = list[tuple[int, int, int]]  # notes of (step, steps, degree)
# fmt: off
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11), "lydian": (0, 2, 4, 6, 7, 9, 11), "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10), "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
}
CHORD_RHYTHMS = {
    "strum": "x..oo.o.x.o.oo.o", "pick": "x.o.o.o.x.o.o.o.", "sustain": "x...............",
    "halves": "x.......o.......", "waltz": "....x...o.......", "comp": "x.....o...x.....",
    "charleston": "x.....x.......o.", "offbeat": "..x...x...x...x.", "skank": "..xo..x...xo..x.",
    "gallop": "x.oox.oox.oox.oo", "eighths": "x.o.o.o.x.o.o.o.", "ripple": "xooooooooooooooo",
}
BROKEN = ("pick", "ripple")  # one voice after the other; the others sound whole chords
BASS_LINES = {  # the digit is the degree above the root of the chord, 7 the octave
    "fifths": "0.......4.......", "country": "0.....0.4...2...", "long": "0...............",
    "walk": "0...2...4...5...", "climb": "0...4...7...6...", "pump": "0.0.0.0.0.0.0.0.",
    "octaves": "0.7.0.7.0.7.0.7.", "dub": "0.....0.2.0.....", "heart": "0..0....4..0....",
}
# fmt: on
BEATS: dict[str, dict[str, str]] = {
    "none": {},
    "soft": {"shaker": "o...o...o...o...", "kick": "o..............."},
    "brush": {"shaker": "x.o.x.o.x.o.x.o.", "kick": "x.......x.......", "rim": "....o.......o..."},
    "stomp": {"kick": "x...x...x...x...", "shaker": "..o...o...o...o.", "snare": "....o.......o..."},
    "waltz": {"kick": "x...........", "shaker": "....o...o...", "rim": "........o..."},
    "ride": {"ride": "x...x..ox...x..o", "open": "....o.......o...", "kick": "o..............."},
    "bop": {"ride": "x...x..ox...x..o", "hat": "....x.......x...", "snare": "......o........o", "kick": "o....."},
    "four": {"kick": "x...x...x...x...", "open": "..o...o...o...o.", "snare": "....x.......x..."},
    "backbeat": {"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    "onedrop": {"kick": "........x.......", "rim": "........x.......", "hat": "x.o.x.oox.o.x.o."},
    "steppers": {"kick": "x...x...x...x...", "rim": "......o...o...o.", "hat": "..x...x...x...x."},
}
FORMS = ("vc", "vcv", "vcbc", "vvc", "cvc", "vbc")
LOUDNESS = {"i": 0.5, "v": 0.72, "c": 1.0, "b": 0.55}  # intro, verse, chorus, break
ENDING = 2.6  # seconds from the last chord to the end
FAVOUR = 0.7  # how much rarer each further choice of a style is than the one before it
ACCENTS = {"x": 1.0, "o": 0.72}


@dataclass(frozen=True)
class Style:
    """What the songs of an artist have in common; a piece draws one of each choice, the earlier the likelier.

    tempo: lowest and highest, quarter notes a minute. swing: lateness of the second eighth, in quarters. busy
    and leap: density and leaps of the melody, 0 to 1. seventh: four voices a chord. echo: on the lead.
    """

    scales: tuple[str, ...]
    progressions: tuple[tuple[int, ...], ...]
    tempo: tuple[float, float]
    chords: tuple[str, ...]
    rhythms: tuple[str, ...]
    leads: tuple[str, ...]
    basses: tuple[str, ...]
    bass_lines: tuple[str, ...]
    beats: tuple[str, ...]
    layers: tuple[str, ...]
    beats_per_bar: int = 4
    swing: float = 0.0
    busy: float = 0.5
    leap: float = 0.15
    seventh: bool = False
    echo: bool = False
    electronic: bool = False


@dataclass(frozen=True)
class Piece:
    """One draw from a style: `tonic` a MIDI number, `verse` and `chorus` degrees, the rest names in tables."""

    style: Style
    scale: str
    bpm: float
    tonic: int
    verse: tuple[int, ...]
    chorus: tuple[int, ...]
    chords: str
    rhythm: str
    lead: str
    bass: str
    bass_line: str
    beat: str
    layer: str

    @property
    def steps(self) -> int:
        """Sixteenths a bar."""
        return 4 * self.style.beats_per_bar

    def at(self, bar: int, step: float) -> float:
        """Seconds of a step of a bar, the off-beats late by the swing."""
        beat, phase = divmod(step / 4.0, 1.0)
        swung = np.interp(phase, (0.0, 0.5, 1.0), (0.0, 0.5 + self.style.swing, 1.0))
        return bar * self.bar_seconds + float(beat + swung) * 60.0 / self.bpm

    @property
    def bar_seconds(self) -> float:
        return self.style.beats_per_bar * 60.0 / self.bpm

    def bars(self, seconds: float) -> int:
        """Bars of the shortest form that lasts `seconds` or longer, its ending included."""
        return max(1, math.ceil((seconds - ENDING) / self.bar_seconds))

    def seconds(self, n_bars: int) -> float:
        """Length of a form of `n_bars` and its ending."""
        return n_bars * self.bar_seconds + ENDING

    def pitch(self, degree: int, octave: int = 0) -> int:
        """MIDI number of a degree of the scale (0 the tonic, 7 its octave)."""
        return self.tonic + 12 * (octave + degree // 7) + SCALES[self.scale][degree % 7]


@dataclass
class Parts:
    """Notes by part and hits of (seconds, drum, velocity) of the drums."""

    chords: list[Note] = field(default_factory=list)
    layer: list[Note] = field(default_factory=list)
    bass: list[Note] = field(default_factory=list)
    lead: list[Note] = field(default_factory=list)
    drums: list[tuple[float, str, float]] = field(default_factory=list)


def draw(style: Style, rng: Generator) -> Piece:
    """A piece in `style`."""

    def one(choices: tuple[T, ...]) -> T:
        weights = FAVOUR ** np.arange(len(choices))
        return choices[int(rng.choice(len(choices), p=weights / weights.sum()))]

    return Piece(
        style=style,
        scale=one(style.scales),
        bpm=round(float(rng.uniform(*style.tempo)), 1),
        tonic=int(rng.integers(55, 67)),
        verse=one(style.progressions),
        chorus=one(style.progressions[::-1]),
        chords=one(style.chords),
        rhythm=one(style.rhythms),
        lead=one(style.leads),
        bass=one(style.basses),
        bass_line=one(style.bass_lines),
        beat=one(style.beats),
        layer=one(style.layers),
    )


def compose(piece: Piece, n_bars: int, rng: Generator) -> Parts:
    """The notes of a piece: `n_bars` of intro, verses, choruses, breaks, then a chord of ENDING seconds."""
    form = _form(n_bars, rng)
    melodies = {section: _phrase(piece, rng, lift) for section, lift in (("v", 0), ("c", 2), ("b", -1))}
    parts, turn = Parts(), 0
    for bar, section in enumerate(form):
        turn = turn + 1 if form[bar - 1 : bar] == section else 0
        progression = piece.chorus if section in "cb" else piece.verse
        root = progression[turn % len(progression)]
        _accompany(parts, piece, bar, root, section, rng)
        if section in "vc" or (section == "b" and rng.random() < 0.7):
            _sing(parts, piece, bar, root, melodies[section][turn % 4], LOUDNESS[section], rng)
        if section in "vc" or (section == "i" and rng.random() < 0.5):
            _beat(parts, piece, bar, section, first=turn == 0, fill=form[bar + 1 : bar + 2] != section, rng=rng)
    _end(parts, piece, n_bars)
    return parts


def _form(n_bars: int, rng: Generator) -> str:
    """A letter a bar, such as 'iivvvvccccvvcc': intro, then the sections of one of FORMS, equally long."""
    intro = 1 if n_bars < 8 else 2
    order = FORMS[int(rng.integers(len(FORMS) if n_bars > 6 else 2))]
    edges = np.round(np.linspace(0, n_bars - intro, len(order) + 1)).astype(int)
    return "i" * intro + "".join(s * int(n) for s, n in zip(order, np.diff(edges), strict=True))


def _voices(piece: Piece, root: int, centre: int = 62) -> list[int]:
    """The chord on a degree, each voice in the octave nearest to `centre`, low to high."""
    tones = (0, 2, 4, 6) if piece.style.seventh else (0, 2, 4)
    return sorted(centre - 6 + (piece.pitch(root + tone) - centre + 6) % 12 for tone in tones)


def _hits(pattern: str, n_steps: int) -> Iterator[tuple[int, int, str]]:
    """(step, steps until the next hit or the end of the bar, sign) of each sign but the dot."""
    places = [i for i, sign in enumerate(pattern[:n_steps]) if sign != "."]
    for place, following in zip(places, [*places[1:], n_steps], strict=True):
        yield place, following - place, pattern[place]


def _note(
    piece: Piece, bar: int, step: float, steps: float, midi: float, velocity: float, rng: Generator, gate: float = 0.95
) -> Note:
    """A note as a hand plays it: some milliseconds off, a little louder or softer; `gate` of its steps sound."""
    start = piece.at(bar, step)
    length = gate * (piece.at(bar, step + steps) - start)
    late = float(np.clip(rng.normal(0.0, 0.006), -0.015, 0.015))
    loud = float(np.clip(velocity * rng.normal(1.0, 0.09), 0.1, 1.0))
    return Note(max(0.0, start + late), max(0.05, length), midi, loud)


def _accompany(parts: Parts, piece: Piece, bar: int, root: int, section: str, rng: Generator) -> None:
    """Chords, bass and, in chorus and break, the layer, for one bar."""
    loud, voices = LOUDNESS[section], _voices(piece, root)
    for count, (step, steps, sign) in enumerate(_hits(CHORD_RHYTHMS[piece.rhythm], piece.steps)):
        velocity = loud * ACCENTS[sign]
        if piece.rhythm in BROKEN:
            turn = [*voices, voices[0] + 12, *voices[:0:-1]]
            parts.chords.append(_note(piece, bar, step, 2 * steps, turn[count % len(turn)], velocity, rng))
            continue
        for i, midi in enumerate(voices if sign == "x" else voices[::-1]):
            note = _note(piece, bar, step, steps, midi, 0.8 * velocity, rng, gate=0.9)
            parts.chords.append(note._replace(start=note.start + 0.012 * i))
    if section != "i":
        low = root if root < 4 else root - 7
        for step, steps, sign in _hits(BASS_LINES[piece.bass_line], piece.steps):
            midi = _audible(piece.pitch(low + int(sign), -2))
            parts.bass.append(_note(piece, bar, step, steps, midi, loud, rng, 0.85))
    if section in "cb":
        parts.layer += _layer(piece, bar, voices, 0.6 * loud, rng)


def _audible(midi: int) -> int:
    """A bass note in the octave that small loudspeakers still give."""
    return midi + 12 if midi < 33 else midi


def _layer(piece: Piece, bar: int, voices: list[int], loud: float, rng: Generator) -> list[Note]:
    """What a chorus adds: a held chord under broken accompaniment, an arpeggio of eighths over any other."""
    if piece.rhythm in BROKEN or piece.layer in ("pad", "organ", "voice"):
        return [_note(piece, bar, 0, piece.steps, midi, loud, rng) for midi in voices]
    turn = [voices[i % len(voices)] + 12 for i in range(piece.steps // 2)]
    return [_note(piece, bar, 2 * i, 2, midi, loud, rng, 1.2) for i, midi in enumerate(turn)]


def _phrase(piece: Piece, rng: Generator, lift: int) -> list[Motif]:
    """Four bars of melody, motifs A B A C, C the cadence of B."""
    one, two = _motif(piece, rng, lift), _motif(piece, rng, lift)
    rest = piece.steps - 6
    cadence = [(step, min(steps, rest - step), degree) for step, steps, degree in two if step < rest]
    return [one, two, one, [*cadence, (rest, 6, 0)]]


def _motif(piece: Piece, rng: Generator, lift: int) -> Motif:
    """One bar: onsets likelier on strong steps, degrees by a walk with some leaps."""
    style = piece.style
    strength = np.tile((0.95, 0.12, 0.5, 0.18), style.beats_per_bar) * (0.5 + style.busy)
    onsets = np.flatnonzero(rng.random(piece.steps) < strength)
    onsets = onsets if len(onsets) > 1 else np.array([0, piece.steps // 2])
    degree, motif = lift + int(rng.integers(0, 5)), []
    for step, following in zip(onsets, [*onsets[1:], piece.steps], strict=True):
        motif.append((int(step), int(following - step), degree))
        reach = int(rng.choice((3, 4, 5))) if rng.random() < style.leap else int(rng.choice((0, 1, 1, 2)))
        degree = int(np.clip(degree + reach * (1 if rng.random() < 0.5 else -1), lift - 2, lift + 7))
    return motif


def _sing(parts: Parts, piece: Piece, bar: int, root: int, motif: Motif, loud: float, rng: Generator) -> None:
    """One bar of the melody; notes on a beat or longer than one move to the nearest tone of the chord."""
    for step, steps, degree in motif:
        if step % 4 == 0 or steps > 4:
            tones = [root + tone + octave for tone in (0, 2, 4) for octave in (-7, 0, 7)]
            degree = tones[int(np.argmin(np.abs(np.array(tones) - degree)))]
        accent = 1.0 if step % 4 == 0 else 0.85
        parts.lead.append(_note(piece, bar, step, min(steps, 8), piece.pitch(degree), loud * accent, rng, 0.9))


def _beat(parts: Parts, piece: Piece, bar: int, section: str, *, first: bool, fill: bool, rng: Generator) -> None:
    """One bar of drums: a crash where the chorus begins, a fill on the last beat before a new section."""
    beat, n_steps = BEATS[piece.beat], piece.steps
    for name, pattern in beat.items():
        for step, _, sign in _hits(pattern, n_steps):
            if not (fill and step >= n_steps - 4 and section != "i"):
                hit = _note(piece, bar, step, 1, 0, LOUDNESS[section] * ACCENTS[sign], rng)
                parts.drums.append((hit.start, name, hit.velocity))
    if first and section == "c" and "shaker" not in beat and beat:
        parts.drums.append((piece.at(bar, 0), "crash", 0.6))
    if fill and section != "i" and beat:
        drum = "rim" if "rim" in beat else "tom" if rng.random() < 0.5 or "snare" not in beat else "snare"
        parts.drums += [(piece.at(bar, n_steps - 4 + i), drum, 0.5 + 0.12 * i) for i in range(4) if i != 1]


def _end(parts: Parts, piece: Piece, bar: int) -> None:
    """The last chord, spread from the bass up and held."""
    start, held = piece.at(bar, 0), ENDING - 0.6
    parts.bass.append(Note(start, held, _audible(piece.pitch(0, -2)), 0.8))
    parts.chords += [Note(start + 0.04 * i, held, midi, 0.7) for i, midi in enumerate(_voices(piece, 0))]
    parts.lead.append(Note(start + 0.1, 0.6 * held, piece.pitch(7), 0.6))
    if BEATS[piece.beat]:
        parts.drums.append((start, "kick", 0.8))
