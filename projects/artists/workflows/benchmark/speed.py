"""Speed of the features: against librosa on one core, and of two workers against one."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.fft
import soundfile
import threadpoolctl

from ...audio.decode import read_audio
from ...audio.features import FeatureConfig, log_mel
from ...data.featurize import featurize
from ...data.tracks import Corpus, Track
from . import sound
from .figure import Figure

CONFIG = FeatureConfig()
# Least ratio to librosa; the files that are measured.
LEAST = {"mp3": 1.6, "ogg": 1.4}
KINDS = {"mp3": "44.1 kHz stereo mp3", "ogg": "16 kHz mono ogg"}
TWO_WORKERS = 1.8
# So much work that starting processes, a second or two, is not what is measured.
FILES = 48


def features(y: np.ndarray, repeats: int, folder: Path) -> list[Figure]:
    """Processor time of decoding, resampling and spectrogram, ours and librosa's in turn, with one thread each."""
    files = {
        "mp3": sound.write_stereo(folder / "a.mp3", y),
        "ogg": sound.write_mono(folder / "a.ogg", y, format="OGG", subtype="VORBIS"),
    }
    figures = []
    with threadpoolctl.threadpool_limits(1):
        for kind, path in files.items():
            figures += _against_librosa(kind, path, repeats)
    return figures


def _against_librosa(kind: str, path: Path, repeats: int) -> list[Figure]:
    reference, ours = published_log_mel(path), _ours(path)
    work = {
        "librosa": lambda: published_log_mel(path), "ours": lambda: _ours(path),
        "decoding": lambda: _decoded(path), "fft": _bare_fft(len(ours)),
    }  # fmt: skip
    seconds = paired(work, repeats, time.process_time)
    ratio = {name: float(np.median(seconds["ours"] / seconds[name])) for name in work}
    milliseconds = 1000 * float(np.median(seconds["ours"])) / (len(ours) * CONFIG.hop_length / CONFIG.sr / 60)
    difference, name, title = float(np.abs(reference - ours).max()), f"features_{kind}", KINDS[kind]
    return [
        Figure(f"{name}_speedup", 1 / ratio["librosa"], f"{title}: times as fast as librosa", LEAST[kind]),
        Figure(f"{name}_over_decoding", ratio["decoding"], f"{title}: time over decoding alone"),
        Figure(f"{name}_over_fft", ratio["fft"], f"{title}: time over the bare FFT"),
        Figure(f"{name}_ms_a_minute", milliseconds, f"{title}: ms a minute"),
        Figure(f"{name}_max_db", difference, f"{title}: largest difference, dB", most=1e-3),
    ]


def paired(work: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float]) -> dict[str, np.ndarray]:
    """Seconds of each piece of work, (repeats,), one after the other in turn: a slow minute is slow for all."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, call in work.items():
            began = clock()
            call()
            seconds[name].append(clock() - began)
    return {name: np.array(each) for name, each in seconds.items()}


def _ours(path: Path) -> np.ndarray:
    return log_mel(read_audio(path, CONFIG.sr), CONFIG)


def published_log_mel(path: Path) -> np.ndarray:
    """Frames (n, n_mels) in dB, with the calls of the authors' code."""
    import librosa

    y, _ = librosa.load(path, sr=CONFIG.sr)
    mel = librosa.feature.melspectrogram(
        y=y, sr=CONFIG.sr, n_fft=CONFIG.n_fft, hop_length=CONFIG.hop_length, n_mels=CONFIG.n_mels
    )
    return librosa.power_to_db(mel).T


def _decoded(path: Path) -> None:
    with soundfile.SoundFile(path) as file:
        while len(file.read(65_536, dtype="float32")):
            pass


def _bare_fft(frames: int) -> Callable[[], None]:
    """As many transforms as a file of `frames` frames needs, over samples that are in the cache already."""
    block = np.random.default_rng(0).standard_normal((64, CONFIG.n_fft)).astype(np.float32)

    def work() -> None:
        for _ in range(0, frames, len(block)):
            scipy.fft.rfft(block, axis=1)

    return work


def workers(y: np.ndarray, repeats: int, folder: Path) -> list[Figure]:
    """Time on the clock of featurizing the same files with one and with two processes, their start included."""
    paths = sound.copies(sound.write_stereo(folder / "a.mp3", y), folder / "copies", FILES)
    corpus = Corpus("copies", tuple(Track(path.name, path, artist=path.stem[-1]) for path in paths))

    def run(count: int) -> None:
        with empty_cache():
            featurize(corpus, CONFIG, workers=count)

    seconds = paired({"one": lambda: run(1), "two": lambda: run(2)}, max(1, repeats // 2), time.perf_counter)
    ratio = float(np.median(seconds["one"] / seconds["two"]))
    return [Figure("workers_speedup", ratio, "two workers: times as fast as one", TWO_WORKERS)]


@contextlib.contextmanager
def empty_cache() -> Iterator[Path]:
    """A cache of its own for what happens inside."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, ARTISTS_CACHE=folder):
        yield Path(folder)
