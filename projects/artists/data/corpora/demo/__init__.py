"""The embedded corpus: invented artists whose songs are synthesised on first use, without a network or a licence.

Source: this file and audio/composer.py; nothing is recorded. Artists differ by style (scale, progressions, tempo,
rhythm, instruments), albums by production, songs by composition (key, tempo, form, melody). Instruments are shared
by several artists and studios by all, some songs were recorded elsewhere than their album, and each has a mix, a
tuning and drums of its own, so that no single trait names an artist.
Size: 6 artists, 4 albums each, 4 songs an album, about 16.6 s a song, 16 kHz mono FLAC, 27 minutes; as `demo30` 2 songs
an album of about 31 s, 25 minutes.
Expected, weighted F1 of songs by logistic regression on mean and deviation of 20 MFCC (tests/test_demo.py, 8 s a song):
.71 with a song of each album unseen, .55 with an album of each artist unseen, .48 of that on bands below 4 kHz at one
level; chance .17.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.random import Generator

from ....errors import InputError
from ... import cache
from ...machine import processes
from ...tracks import Corpus, Progress, track_id
from ...workers import call_all
from .. import manifest
from . import effects
from .composer import SCALES, Parts, Piece, Style, compose, draw
from .effects import Production, produce
from .synth import INSTRUMENTS, Kit, drum_part, play

logger = logging.getLogger(__name__)

VERSION = 3  # of the synthesis: raise it with any change that is heard, so that caches are made anew
SR = 16_000
ELSEWHERE = 0.15  # share of songs that were recorded in another studio than their album, as singles and live takes are
COLUMNS = ("track_id", "path", "artist", "album", "title", "genre", "tags")
MANIFEST = "tracks.csv"
PARAMETERS_FILE = "synthesis.json"
BLOCK = 65_536  # samples a write: libsndfile is not to be given a long file in one call

# fmt: off
ARTISTS: dict[str, Style] = {
    "Marble Harbour": Style(
        ("mixolydian", "major"), ((0, 3, 4, 3), (0, 6, 3, 0), (0, 4, 5, 3)), (94, 126), ("steel", "nylon", "piano"),
        ("strum", "pick"), ("flute", "voice", "reed"), ("upright", "fretless"), ("fifths", "country"),
        ("brush", "stomp", "backbeat"), ("nylon", "organ"), busy=0.55),
    "Żółta Latarnia": Style(
        ("harmonic minor", "minor"), ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 0, 3)), (112, 150),
        ("nylon", "reed", "piano"), ("waltz", "pick"), ("reed", "voice", "flute"), ("upright",), ("long", "fifths"),
        ("waltz", "none"), ("reed", "nylon"), beats_per_bar=3, busy=0.6, leap=0.25),
    "Orla and the Tin Moons": Style(
        ("dorian", "mixolydian"), ((1, 4, 0, 0), (0, 3, 1, 4), (0, 5, 1, 4)), (92, 132), ("epiano", "piano", "organ"),
        ("comp", "charleston"), ("reed", "flute", "steel"), ("upright", "fretless"), ("walk", "climb"),
        ("ride", "bop"), ("epiano", "pad"), swing=0.16, busy=0.65, leap=0.3, seventh=True),
    "Velvet Antenna": Style(
        ("minor", "phrygian"), ((0, 5, 2, 6), (0, 3, 5, 6), (0, 6, 5, 6)), (104, 132), ("pad", "saw", "organ"),
        ("sustain", "gallop"), ("square", "saw", "bell"), ("acid", "sub"), ("pump", "octaves"), ("four", "backbeat"),
        ("square", "bell"), busy=0.45, electronic=True),
    "Palm Static": Style(
        ("dorian", "minor"), ((0, 3, 0, 3), (0, 6, 0, 6), (0, 4, 3, 0)), (68, 94), ("organ", "steel", "epiano"),
        ("offbeat", "skank"), ("reed", "organ", "square"), ("sub", "fretless"), ("dub", "heart"),
        ("onedrop", "steppers"), ("organ", "pad"), swing=0.06, busy=0.35, echo=True),
    "Ilse Vanterpool": Style(
        ("lydian", "major"), ((0, 1, 0, 4), (0, 4, 1, 5), (0, 2, 3, 1)), (64, 92), ("pad", "epiano", "bell"),
        ("ripple", "halves", "pick"), ("voice", "flute", "bell"), ("sub", "fretless"), ("long", "heart"),
        ("none", "soft", "backbeat"), ("bell", "pad"), busy=0.3, seventh=True, echo=True, electronic=True),
    "Copper Kites": Style(
        ("major", "mixolydian"), ((0, 4, 5, 3), (0, 3, 0, 4), (5, 3, 0, 4)), (118, 152), ("steel", "organ", "saw"),
        ("eighths", "strum"), ("voice", "square", "steel"), ("fretless", "acid"), ("pump", "fifths"),
        ("backbeat", "stomp"), ("piano", "saw"), busy=0.5),
    "Tamsin Oduya Trio": Style(
        ("phrygian", "harmonic minor"), ((0, 1, 0, 6), (0, 1, 2, 1), (0, 6, 5, 4)), (84, 116),
        ("nylon", "epiano", "steel"), ("pick", "charleston"), ("steel", "reed", "bell"), ("fretless", "upright"),
        ("heart", "fifths"), ("steppers", "brush"), ("voice", "organ"), busy=0.6, leap=0.25),
}
STUDIOS = (  # tape, vinyl, hall, radio, loud, dry: where an album starts; `production` moves every knob a little
    Production(low=2.0, high=-9.0, bandwidth=6100.0, hiss=-59.0, wow=0.00035, drive=1.3, loudness=-19.7),
    Production(low=-1.9, mid=3.4, mid_hz=940.0, high=-4.0, bandwidth=6750.0, crackles=8.5, hiss=-62.0, loudness=-18.8),
    Production(low=-1.3, high=-5.6, room_seconds=1.6, wet=0.38, hiss=-70.0, loudness=-21.4),
    Production(low=-7.0, mid=4.4, mid_hz=1430.0, high=-4.0, bandwidth=5800.0, rumble=130.0, ratio=4.5,
               threshold=-27.5, drive=1.9, hiss=-62.0, loudness=-16.7),
    Production(low=3.2, mid=-2.6, mid_hz=650.0, high=1.6, ratio=3.3, threshold=-25.0, loudness=-14.6),
    Production(mid=1.3, mid_hz=1930.0, high=-1.9, room_seconds=0.4, wet=0.06, hiss=-73.0, loudness=-18.0),
)
FIRST_WORDS = ("Amber", "Borrowed", "Crooked", "Distant", "Early", "Faded", "Glass", "Hollow", "Idle", "Josephine's",
               "Little", "Midnight", "Northern", "Paper", "Quiet", "Salt", "Tender", "Wooden")
SECOND_WORDS = ("Atlas", "Bicycle", "Carousel", "Departure", "Engine", "Fable", "Garden", "Horizon", "Island",
                "Letter", "Meridian", "Orchard", "Parade", "Rivers", "Signal", "Theatre", "Umbrella", "Voyage")
# fmt: on


@dataclass(frozen=True)
class Parameters:
    """What the sound of the corpus depends on, beside VERSION."""

    artists: int = 6
    albums: int = 4
    songs: int = 4
    seconds: float = 16.5
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {"artists": (1, len(ARTISTS)), "albums": (1, 20), "songs": (1, 12), "seconds": (4, 600)}
        for name, (least, most) in ranges.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise InputError(f"The demo corpus cannot have {name}={value}. Choose a number from {least} to {most}.")

    def described(self) -> dict[str, object]:
        """As it is stored beside the songs and digested for the folder's name."""
        return {"version": VERSION, "sr": SR, **dataclasses.asdict(self)}


# demo30: long enough for clips of 30 s, as tables IV and V of Nasrullah and Zhao have, in as many minutes.
CORPORA = {"demo": Parameters(), "demo30": Parameters(songs=2, seconds=31.0)}


@dataclass(frozen=True)
class Song:
    """One song before a sample is computed; its labels follow. `key` is (seed, artist, album, song)."""

    artist: str
    album: str
    title: str
    key: tuple[int, int, int, int]
    n_bars: int
    piece: Piece

    @property
    def path(self) -> str:
        """Relative to the corpus; the track's id, as if the folder were read without its manifest."""
        return track_id(PurePosixPath(self.artist, self.album, f"{self.title}.flac"))


def matches(data: str) -> bool:
    """Whether `data` names this corpus."""
    return data in CORPORA


def load(data: str, progress: Progress | None = None) -> Corpus:
    """The corpus, synthesised into the cache on first use."""
    parameters = CORPORA[data]
    described = json.dumps(parameters.described(), sort_keys=True)
    folder = cache.cache_root() / f"demo-{hashlib.sha256(described.encode()).hexdigest()[:16]}"
    report = progress and (lambda done, total: progress(done, total, "demo corpus"))
    table = synthesise(folder, **dataclasses.asdict(parameters), progress=report)
    return dataclasses.replace(manifest.load(str(table)), name=data)


def synthesise(
    folder: Path, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None, **size: Any
) -> Path:
    """Write `<folder>/<artist>/<album>/<song>.flac`, then `<folder>/tracks.csv`, whose path is returned.

    A song lasts `seconds` - 1 or, to end its bar, up to one bar longer. What is complete is left alone: songs of
    an interrupted call are kept, a second call writes nothing, two at once write the same bytes. `workers`
    processes (None: one a core) change nothing but the time. `progress` is called with (songs done, songs);
    `size` are fields of Parameters.

    Raises:
        InputError: a parameter out of range, or `folder` holds a corpus of other parameters.
    """
    parameters, table = Parameters(**size), folder / MANIFEST
    _claim(folder, parameters)
    if table.exists():
        return table
    planned = plan(parameters)
    missing = [song for song in planned if not (folder / song.path).exists()]
    logger.info("synthesising %d of %d songs of the demo corpus into %s", len(missing), len(planned), folder)

    def report(written: int) -> None:
        if progress is not None:
            progress(len(planned) - len(missing) + written, len(planned))

    report(0)
    _write_songs(folder, missing, processes(workers), report)
    with cache.atomic_write(table) as file:
        file.write(pd.DataFrame(map(_row, planned), columns=COLUMNS).to_csv(index=False, lineterminator="\n").encode())
    cache.sweep(folder)
    return table


def plan(parameters: Parameters) -> list[Song]:
    """Every song of the corpus, in the order of artists, albums, songs."""
    planned = []
    for artist, name in enumerate(list(ARTISTS)[: parameters.artists]):
        titles = _titles(parameters, artist)
        for album in range(parameters.albums):
            for song in range(parameters.songs):
                key = (parameters.seed, artist, album, song)
                piece = draw(ARTISTS[name], _rng("piece", *key))
                title = titles[parameters.albums + album * parameters.songs + song]
                n_bars = piece.bars(parameters.seconds - 1.0)
                planned.append(Song(name, titles[album], title, key, n_bars, piece))
    return planned


def _titles(parameters: Parameters, artist: int) -> list[str]:
    """Names of the albums, then of the songs of an artist: no two alike and, as far as words go, no other's.

    But the first songs of the first two artists are namesakes: scoring by bare titles would merge them.
    """
    everything = [f"{first} {second}" for first in FIRST_WORDS for second in SECOND_WORDS]
    order = _rng("titles", parameters.seed).permutation(len(everything) - 1) + 1
    count = parameters.albums * (1 + parameters.songs)
    titles = [everything[order[(artist * count + i) % len(order)]] for i in range(count)]
    if artist < 2:
        titles[parameters.albums] = everything[0]
    return titles


def genre(style: Style) -> str:
    """One word for an artist, from the timbre of the chords, the middle of the tempo and the main scale."""
    families = [INSTRUMENTS[name].family for name in style.chords[:2]]
    if families == ["acoustic", "acoustic"]:
        return "folk"
    if sum(style.tempo) / 2 < 95:
        return "downtempo"
    if not _minor(style.scales[0]):
        return "pop"
    return "electronic" if "synthetic" in families else "jazz"


def tags(piece: Piece) -> list[str]:
    """Words for a song: mode, tempo, timbre of the instruments that carry it, metre."""
    carriers = [INSTRUMENTS[piece.chords], INSTRUMENTS[piece.lead]]
    words = [
        "minor" if _minor(piece.scale) else "major",
        "slow" if piece.bpm < 90 else "fast" if piece.bpm >= 115 else "moderate",
        "bright" if all(c.bright for c in carriers) else "warm",
        carriers[0].family,
    ]
    words += ["waltz"] if piece.style.beats_per_bar == 3 else []
    return words + (["swing"] if piece.style.swing > 0.1 else [])


def _minor(scale: str) -> bool:
    return SCALES[scale][2] == 3


def render(song: Song) -> np.ndarray:
    """(n_samples,) float32 at SR: the performance under the production of its album."""
    dry = _perform(song, compose(song.piece, song.n_bars, _rng("notes", *song.key)))
    sound, room_rng = _studio(song)
    # No two songs of an album are mixed quite alike; else a network tells albums, and so artists, without an error.
    mix = _turned(sound, _rng("mix", *song.key))
    return produce(dry, mix, sr=SR, rng=_rng("noise", *song.key), room_rng=room_rng).astype(np.float32)


def _studio(song: Song) -> tuple[Production, Generator]:
    """Where a song was recorded: with its album, or in any studio and a room of its own."""
    seed, artist, album, _ = song.key
    rng = _rng("elsewhere", *song.key)
    if rng.random() < ELSEWHERE:
        return _turned(STUDIOS[int(rng.integers(len(STUDIOS)))], rng), _rng("room", *song.key)
    return production(seed, artist, album), _rng("room", seed, artist, album)


def _perform(song: Song, parts: Parts) -> np.ndarray:
    """The dry mix (n,): each part through its instrument and its effect, balanced to its level."""
    piece, n = song.piece, round(song.piece.seconds(song.n_bars) * SR)
    session = _rng("session", *song.key)
    tuning = 440.0 * 2.0 ** (session.normal(0.0, 0.1) / 12.0)
    pitch, length, bright = session.uniform((0.85, 0.7, 0.75), (1.2, 1.4, 1.1)).tolist()
    kit = Kit(pitch, length, bright, piece.style.electronic)
    rng, mix = _rng("takes", *song.key), np.zeros(n)
    for role, db in {"chords": -7.0, "layer": -12.0, "bass": -7.0, "lead": -5.0}.items():
        name = getattr(piece, role)
        y = play(getattr(parts, role), INSTRUMENTS[name], n, sr=SR, rng=rng, tuning=tuning)
        mix += _balanced(_with_effect(y, name, role, piece), db + rng.normal(0.0, 1.0))
    mix += _balanced(drum_part(parts.drums, kit, n, sr=SR, rng=rng), -9.0 + rng.normal(0.0, 1.5))
    fade = round(0.8 * SR)
    mix[-fade:] *= np.linspace(1.0, 0.0, fade) ** 2
    return mix


def _with_effect(y: np.ndarray, name: str, role: str, piece: Piece) -> np.ndarray:
    if name in ("organ", "epiano"):
        y = effects.tremolo(y, sr=SR)
    if name in ("pad", "bell"):
        y = effects.chorus(y, sr=SR)
    return effects.echo(y, 45.0 / piece.bpm, sr=SR) if piece.style.echo and role == "lead" else y


def _balanced(y: np.ndarray, db: float) -> np.ndarray:
    """`y` at `db` RMS over the time it sounds; silence stays silent."""
    sounding = np.abs(y) > 1e-4
    power = float(np.mean(y[sounding] ** 2)) if sounding.any() else 0.0
    return y * (effects.gain(db) / np.sqrt(power)) if power > 0.0 else y


def production(seed: int, artist: int, album: int) -> Production:
    """A studio, no two alike among the first albums of an artist, with every knob moved a little."""
    studio = STUDIOS[int(_rng("studios", seed, artist).permutation(len(STUDIOS))[album % len(STUDIOS)])]
    return _turned(studio, _rng("production", seed, artist, album))


def _turned(settings: Production, rng: Generator) -> Production:
    """Every knob moved a little: levels by some dB, the others by a share."""
    spreads = {"low": 1.2, "mid": 1.2, "high": 1.2, "threshold": 2.0, "hiss": 2.0, "loudness": 1.5}
    levels = {name: getattr(settings, name) + float(rng.normal(0.0, spread)) for name, spread in spreads.items()}
    others = ("mid_hz", "room_seconds", "wet", "bandwidth", "rumble", "crackles", "wow", "drive")
    shares = {name: getattr(settings, name) * float(rng.uniform(0.85, 1.15)) for name in others}
    return dataclasses.replace(settings, **levels, **shares)


def _rng(*key: object) -> Generator:
    """A generator that depends on `key` alone, in any process (Python's hash() does not)."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _write_songs(folder: Path, songs: list[Song], workers: int, report: Callable[[int], None]) -> None:
    """Render and write `songs`, here or in `workers` other processes; `report` is given how many are done."""
    workers = min(workers, len(songs))
    if workers <= 1:
        for done, song in enumerate(songs, start=1):
            _write_song(folder, song)
            report(done)
        return
    # spawn: a fork of a process that has TensorFlow's threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        call_all(pool, functools.partial(_write_song, folder), songs, report)


def _write_song(folder: Path, song: Song) -> None:
    """One FLAC, unless another process has written it since the call began."""
    target = folder / song.path
    if target.exists():
        return
    pcm = np.round(render(song) * 32767.0).astype(np.int16)
    # Encoded in memory: libsndfile does not say why a file cannot be written.
    flac = io.BytesIO()
    with soundfile.SoundFile(flac, "w", SR, 1, format="FLAC", subtype="PCM_16") as sound:
        for start in range(0, len(pcm), BLOCK):
            sound.write(pcm[start : start + BLOCK])
    with cache.atomic_write(target) as file:
        file.write(flac.getbuffer())


def _claim(folder: Path, parameters: Parameters) -> None:
    """Note the parameters in `folder`.

    Raises:
        InputError: it was made with others, or holds a tracks.csv that is not ours.
    """
    note, wanted = folder / PARAMETERS_FILE, parameters.described()
    if note.exists():
        stored = json.loads(note.read_text(encoding="utf-8"))
    elif (folder / MANIFEST).exists():
        stored = "a corpus of another kind"
    else:
        with cache.atomic_write(note) as file:
            file.write(json.dumps(wanted).encode())
        return
    if stored != wanted:
        raise InputError(f"{folder} holds {stored}, expected a demo corpus of {wanted}. Give an empty folder.")


def _row(song: Song) -> tuple[str, ...]:
    """COLUMNS of the manifest: the path relative to it, tags joined by semicolons."""
    words = ";".join(tags(song.piece))
    return song.path, song.path, song.artist, song.album, song.title, genre(song.piece.style), words
