"""Speed of scoring a library: the packaged model against the published way, a song at a time with Keras' predict."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...audio.clips import disjoint_clips
from ...audio.decode import read_audio
from ...audio.features import log_mel
from ...audio.lengths import clip_frames
from ...data.machine import cores
from ...package import card as saved
from ...package import golden, inference, request
from ...package.card import Card
from ...systems import crnn
from ...systems.base import System
from ...tracking import model
from ..score import pool
from . import sound
from .figure import Figure
from .speed import CONFIG, paired, published_log_mel

OF_PUBLISHED = 1.5
CLIP = 5.0
ARTISTS = 20
# Songs a measurement, of different lengths as those of a library; so many copies that starting processes counts little.
SONGS = 8
COPIES = 48


def songs_a_minute(y: np.ndarray, repeats: int, folder: Path) -> list[Figure]:
    """Songs a minute of the packaged model in one process and in one a core, over those of the published way.

    The network is the published one as it is initialised: its weights do not change its speed.
    """
    system, card = _network()
    saved.save(folder / "system", system, card)
    built = golden.write(folder / "golden", system, card)
    packaged = model.save_model(folder / "packaged", folder / "system", built, folder)
    # Stereo mp3 at 44.1 kHz, from half of `y` to all of it.
    lengths = (np.linspace(0.5, 1, SONGS) * len(y)).round().astype(int)
    paths = [sound.write_stereo(folder / f"{i}.mp3", y[:length]) for i, length in enumerate(lengths)]
    predict = _packaged(packaged)
    work = {
        "published": lambda: [_published(path, system, card) for path in paths],
        "ours": lambda: [predict(path) for path in paths],
        **_parts(paths, system, card),
    }
    for each in work.values():
        each()
    seconds = paired(work, repeats, time.perf_counter)
    whole = float(np.median(seconds["ours"]))
    share = {name: float(np.median(seconds[name])) / whole for name in ("decoding", "features", "network")}
    share["the rest"] = 1 - sum(share.values())
    speedup = float(np.median(seconds["published"] / seconds["ours"]))
    return [
        Figure("scoring_speedup", speedup, "scoring, one process: times as fast as published", OF_PUBLISHED),
        Figure("scoring_songs_a_minute", 60 * len(paths) / whole, "scoring, one process: songs a minute"),
        *(Figure(f"scoring_share_{n.split()[-1]}", v, f"scoring: share of {n}") for n, v in share.items()),
        *_all_cores(paths, packaged, 60 * len(paths) / float(np.median(seconds["published"])), folder),
    ]


def _network() -> tuple[Any, Card]:
    system = crnn.System()
    frames = clip_frames(CLIP, CONFIG)
    system.model = system.build(frames, CONFIG.n_mels, ARTISTS)
    card = Card(
        model="crnn",
        options=dataclasses.asdict(system.config),
        features=dataclasses.asdict(CONFIG),
        clip_frames=frames,
        label="artist",
        classes=[f"artist {i}" for i in range(ARTISTS)],
        settings={},
        songs={},
    )
    return system, card


def _packaged(folder: Path) -> Callable[[Path], pd.DataFrame]:
    os.environ[request.ROOT] = os.path.abspath(os.sep)
    loaded = model.load(str(folder))
    return lambda path: loaded.predict(pd.DataFrame([{"path": str(path)}]))


def _published(path: Path, system: Any, card: Card) -> np.ndarray:
    """As the authors' code and its successors do it: librosa.load, a spectrogram, one `model.predict` a song."""
    clips = disjoint_clips(published_log_mel(path), card.clip_frames, CONFIG.n_mels)
    return system.model.predict(clips, verbose=0).mean(0)


def _parts(paths: Sequence[Path], system: System, card: Card) -> dict[str, Callable[[], object]]:
    """The pieces of ours, each alone, on what the piece before it gives."""
    decoded = [read_audio(path, CONFIG.sr) for path in paths]
    clips = [disjoint_clips(log_mel(y, CONFIG), card.clip_frames, CONFIG.n_mels) for y in decoded]
    return {
        "decoding": lambda: [read_audio(path, CONFIG.sr) for path in paths],
        "features": lambda: [log_mel(y, CONFIG) for y in decoded],
        "network": lambda: [system.scores(inference.batches(each)) for each in clips],
    }


def _all_cores(paths: Sequence[Path], packaged: Path, published: float, folder: Path) -> list[Figure]:
    """As `score` does it, a process a core, the start of the processes included."""
    processes = cores()
    each = [sound.copies(path, folder / f"copies {path.stem}", COPIES // len(paths)) for path in paths]
    songs = [pool.Song(str(path), path) for copies in each for path in copies]
    began = time.perf_counter()
    done = sum(1 for _ in pool.answers(songs, packaged, {}, processes))
    rate = 60 * done / (time.perf_counter() - began)
    title = f"scoring {done} songs with {processes} processes, their start included"
    return [
        Figure("scoring_all_cores_speedup", rate / published, f"{title}: times as fast as published"),
        Figure("scoring_all_cores_songs_a_minute", rate, f"{title}: songs a minute"),
    ]
