"""Bytes to mono float32 samples at one rate: libsndfile decodes, soxr resamples, block by block."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from ..errors import InputError

Observer = Callable[[np.ndarray, int], None]

# Read at once: soundfile seeks after each read, which costs as much as decoding a while of mp3.
BLOCK_SECONDS = 10.0
# Resampled at once: what stays in the cache of a core.
PIECE = 1 << 16
# Longer than any music; a stream of unknown length claims 2**63 - 1 frames.
LONGEST_CLAIM_SECONDS = 24 * 3600
# A header can claim any rate; at 1 Hz a file of a few MB would be resampled to more than the memory holds.
RATES = (1_000, 1_000_000)
# libsndfile's own formats, and what only PyAV (the `m4a` extra) can read.
SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au"})
AV_SUFFIXES = frozenset({".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka"})


class DecodeError(InputError):
    """The bytes are not audio that can be read; the message is the reason."""


def read_audio(
    source: Path | BinaryIO, sr: int, *, crop: float | None = None, observe: Observer | None = None
) -> np.ndarray:
    """Decodes a whole file, or its centre.

    Args:
        source: A path or a seekable binary file.
        sr: Rate of the result in Hz.
        crop: Seconds to keep around the centre; None or more than the file has keeps all.
        observe: Called with every block that is decoded, float32 of shape (n, channels), and the rate of the file; the
            block is only there during the call.

    Returns:
        Mono samples, float32, shape (n,), n = ceil(frames * sr / native rate) as librosa.load.

    Raises:
        DecodeError: Not decodable, empty, or with NaN or infinite samples.
    """
    if isinstance(source, Path) and source.suffix.lower() in AV_SUFFIXES:
        y, native = _read_with_av(source, observe)
        _check_rate(native)
        return soxr.resample(_centre(y, native, crop), native, sr, quality="HQ")
    # Names of old collections are not always UTF-8, which soundfile insists on for str.
    opened = os.fsencode(source) if isinstance(source, Path) and os.name == "posix" else source
    try:
        with soundfile.SoundFile(opened) as file:
            return _resampled(file, sr, crop, observe)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise DecodeError(f"not readable as audio: {_reason(source, error)}") from error


def observe_audio(source: Path, observe: Observer) -> None:
    """Decodes a whole file for nothing but `observe`; arguments and errors are those of `read_audio`."""
    if source.suffix.lower() in AV_SUFFIXES:
        _read_with_av(source, observe)
        return
    try:
        with soundfile.SoundFile(os.fsencode(source) if os.name == "posix" else source) as file:
            for block in _blocks(file, file.frames):
                observe(block, file.samplerate)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise DecodeError(f"not readable as audio: {_reason(source, error)}") from error


def _resampled(file: soundfile.SoundFile, sr: int, crop: float | None, observe: Observer | None) -> np.ndarray:
    _check_rate(file.samplerate)
    frames = file.frames
    if crop is not None and frames > 0:
        start, frames = centre_span(file.frames, file.samplerate, crop)
        if start:
            file.seek(start)
    rate = file.samplerate
    y, decoded = _Growing(math.ceil(min(frames, LONGEST_CLAIM_SECONDS * rate) * sr / rate)), 0
    stream = None if rate == sr else soxr.ResampleStream(rate, sr, 1, dtype="float32", quality="HQ")
    for block in _blocks(file, frames):
        decoded += len(block)
        if observe:
            observe(block, rate)
        mono = _mono(block)
        y.add(stream.resample_chunk(mono) if stream else mono)
    if decoded == 0:
        raise DecodeError("the file holds no samples")
    if stream:
        y.add(stream.resample_chunk(np.empty(0, np.float32), last=True))
    return _fix_length(y.all, math.ceil(decoded * sr / rate))


class _Growing:
    """Samples that arrive in blocks, held once; `expected` of them are made room for, and touched as they come."""

    def __init__(self, expected: int) -> None:
        self._y, self._n = np.empty(expected, np.float32), 0

    def add(self, block: np.ndarray) -> None:
        if not np.isfinite(block).all():
            raise DecodeError("the file holds NaN or infinite samples")
        end = self._n + len(block)
        if end > len(self._y):
            self._y = np.concatenate([self._y[: self._n], np.empty(max(end - self._n, self._n // 4), np.float32)])
        self._y[self._n : end] = block
        self._n = end

    @property
    def all(self) -> np.ndarray:
        return self._y[: self._n]


def _check_rate(rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise DecodeError(f"its header says {rate} samples a second; from {RATES[0]} to {RATES[1]} are read")


def _blocks(file: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    """Blocks (n, channels) until `frames` are read or the stream ends, which a truncated file does early.

    A block is only there until the next one is asked for.
    """
    size = min(int(BLOCK_SECONDS * file.samplerate), frames)
    buffer = np.empty((max(size, 1), file.channels), np.float32)
    # Streams of unknown length report the largest integer.
    left = frames
    while left > 0:
        block = file.read(min(size, left), dtype="float32", always_2d=True, out=buffer[: min(size, left)])
        if len(block) == 0:
            return
        left -= len(block)
        for start in range(0, len(block), PIECE):
            yield block[start : start + PIECE]


def _mono(block: np.ndarray) -> np.ndarray:
    """Mean of the channels of (n, channels), exactly NumPy's, which takes five times as long over two of them."""
    if block.shape[1] == 1:
        return block[:, 0]
    if block.shape[1] > 2:
        return block.mean(axis=1)
    mono = block[:, 0] + block[:, 1]
    mono *= np.float32(0.5)
    return mono


def centre_span(frames: int, rate: int, crop: float) -> tuple[int, int]:
    """(first frame, number of frames) of the centre `crop` seconds of a file of `frames` frames."""
    keep = frames if crop * rate >= frames else max(1, round(crop * rate))
    return (frames - keep) // 2, keep


def _centre(y: np.ndarray, rate: int, crop: float | None) -> np.ndarray:
    if crop is None:
        return y
    start, keep = centre_span(len(y), rate, crop)
    return y[start : start + keep]


def _fix_length(y: np.ndarray, n: int) -> np.ndarray:
    return y[:n] if len(y) >= n else np.pad(y, (0, n - len(y)))


def _read_with_av(path: Path, observe: Observer | None = None) -> tuple[np.ndarray, int]:
    """(mono float32 samples, native rate) of a container that libsndfile does not know."""
    try:
        import av
    except ImportError as error:
        raise DecodeError(
            f"{path.suffix} needs PyAV: `pip install av` in the environment that runs this, or convert the file to flac"
        ) from error
    try:
        with av.open(str(path)) as container:
            # Not layout="mono": FFmpeg's downmix of stereo is 3 dB louder than the mean.
            resampler = av.AudioResampler(format="fltp")
            frames = [f for raw in container.decode(audio=0) for f in resampler.resample(raw)]
            frames += resampler.resample(None)
    # ValueError: rate or channels change on the way.
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise DecodeError(f"not readable as audio: {_reason(path, error)}") from error
    if not frames:
        raise DecodeError("the file holds no samples")
    rate, mono = frames[0].sample_rate, []
    for frame in frames:
        block = frame.to_ndarray().T
        if observe:
            observe(block, rate)
        mono.append(block.mean(axis=1))
    return np.concatenate(mono), rate


def _reason(source: Path | BinaryIO, error: Exception) -> str:
    if isinstance(source, Path) and not source.is_file():
        return "it is a folder" if source.is_dir() else "there is no such file"
    said = (getattr(error, "strerror", None) or str(error).rsplit(": ", 1)[-1]).strip()
    # What libsndfile says of any .mp3 in which it finds no MPEG frame.
    return "Format not recognised." if said.startswith("File does not exist") else said or type(error).__name__
