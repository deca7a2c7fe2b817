"""Golden clips: synthetic audio and what the trained system says of it, kept with the model.

Whoever gets the packaged model can tell whether it still does what the training did: decoding, features, network and
calibration. The audio is synthetic, so that a model carries no music of its corpus.
"""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..systems.base import System
from . import inference
from .card import Card

FILE = "golden.npz"
# (clips long, rate in Hz, channels): exact, padded, resampled from stereo, and several clips.
SHAPES = ((1.0, 16000, 1), (0.5, 22050, 1), (2.5, 44100, 2), (6.0, 16000, 1))
LONGEST = 60.0


@dataclasses.dataclass(frozen=True)
class Golden:
    """audio: files; proba (n, k) by song and embedding (n, d), mean over clips; seconds (n,) of audio."""

    audio: list[bytes]
    proba: np.ndarray
    embedding: np.ndarray
    seconds: np.ndarray

    def difference(self, proba: np.ndarray, embedding: np.ndarray) -> float:
        """Largest deviation of a probability, or of an embedding in parts of its largest value."""
        if proba.shape != self.proba.shape or embedding.shape != self.embedding.shape:
            return math.inf
        scale = max(1.0, float(np.abs(self.embedding).max()))
        worst = max(np.abs(proba - self.proba).max(), np.abs(embedding - self.embedding).max() / scale)
        return float(worst) if np.isfinite(worst) else math.inf


def write(folder: Path, system: System, card: Card) -> Path:
    """Scores the golden clips with a fitted system; returns the file."""
    config = card.feature_config
    clip = card.clip_frames * config.hop_length / config.sr
    shapes = [(min(clips * clip, LONGEST), sr, channels) for clips, sr, channels in SHAPES]
    audio = [_music(seed, *shape) for seed, shape in enumerate(shapes)]
    scored = [inference.score(io.BytesIO(data), system, card) for data in audio]
    arrays: dict[str, Any] = {f"audio_{i}": np.frombuffer(data, np.uint8) for i, data in enumerate(audio)}
    arrays["proba"] = np.stack([inference.pooled(each.proba, "mean", card)[0] for each in scored])
    arrays["embedding"] = np.stack([each.embedding.mean(0) for each in scored])
    arrays["seconds"] = np.array([each.seconds for each in scored])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / FILE, **arrays)
    return folder / FILE


def read(file: Path) -> Golden:
    with np.load(file, allow_pickle=False) as arrays:
        audio = [arrays[f"audio_{i}"].tobytes() for i in range(len(arrays["seconds"]))]
        return Golden(audio, arrays["proba"], arrays["embedding"], arrays["seconds"])


def _music(seed: int, seconds: float, sr: int, channels: int) -> bytes:
    """A flac of plucked chords over a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(max(1, round(seconds * sr))) / sr
    y = np.zeros((len(t), channels), np.float32)
    for channel in range(channels):
        for pitch in rng.uniform(110, 880, 6):
            beat = rng.uniform(0.3, 0.9)
            harmonics = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 6) if pitch * k < sr / 2)
            y[:, channel] += 0.04 * harmonics * np.exp(-4 * (t % beat))
        y[:, channel] += 0.002 * rng.standard_normal(len(t))
    file = io.BytesIO()
    soundfile.write(file, y, sr, format="FLAC", subtype="PCM_16")
    return file.getvalue()
