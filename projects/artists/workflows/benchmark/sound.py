"""Files to measure on: the songs of a corpus one after the other, as they come in the wild."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from ...audio.decode import read_audio
from ...data.tracks import Corpus
from ...errors import InputError

SR = 16_000
STEREO_SR = 44_100
# libsndfile can crash on one long Vorbis write.
BLOCK = 4096
# An ID3v1 tag: 128 bytes that no decoder takes for music.
TAG_BYTES = 128


def concatenated(corpus: Corpus, minutes: float) -> np.ndarray:
    """`minutes` of the songs of a corpus, again from the first where they are too few; mono at 16 kHz."""
    wanted, parts, held = round(minutes * 60 * SR), [], 0
    for track in corpus.tracks:
        parts.append(read_audio(track.path, SR))
        held += len(parts[-1])
        if held >= wanted:
            break
    y = np.concatenate(parts)
    if not y.any():
        raise InputError(f"The first songs of {corpus.name} are silent; give a corpus with music.")
    return np.resize(y, wanted)


def tune(minutes: float, seed: int) -> np.ndarray:
    """Random notes, mono at 16 kHz: music that no other seed has, so that nothing takes it for a copy."""
    rng, t = np.random.default_rng(seed), np.arange(SR // 4) / SR
    pitches = 110 * 2 ** (rng.integers(0, 36, round(minutes * 240)) / 12)
    waves = sum(np.sin(2 * np.pi * k * np.outer(pitches, t)) / k for k in (1, 2, 3))
    return (0.2 * waves * np.exp(-6 * t)).astype(np.float32).ravel()


def write_mono(path: Path, y: np.ndarray, **options: str) -> Path:
    """`y` at 16 kHz; `options` are soundfile's format and subtype."""
    return _write(path, y[:, None], SR, **options)


def write_stereo(path: Path, y: np.ndarray) -> Path:
    """An mp3 at 44.1 kHz whose channels differ, as those of most music do."""
    left = soxr.resample(y, SR, STEREO_SR)
    return _write(path, np.stack([left, 0.8 * np.roll(left, 441)], axis=1), STEREO_SR, format="MP3")


def copies(source: Path, folder: Path, count: int) -> list[Path]:
    """Files of the same music and different bytes, so that each counts as a song of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04d}{source.suffix}" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(source.read_bytes() + b"TAG" + str(i).encode().ljust(TAG_BYTES - 3, b"\0"))
    return paths


def _write(path: Path, y: np.ndarray, sr: int, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", sr, y.shape[1], **options) as file:
        for start in range(0, len(y), BLOCK):
            file.write(y[start : start + BLOCK])
    return path
