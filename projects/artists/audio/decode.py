"""Bytes to mono float32 samples at one rate: libsndfile decodes, soxr resamples, block by block."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from ..errors import InputError

Observer = Callable[[np.ndarray, int], None]

# Read at once: soundfile seeks after each read, which costs as much as decoding a while of mp3.
BLOCK_SECONDS = 10.0
# A header may claim any number of channels: what is read at once is bounded whatever it says.
BLOCK_VALUES = 8_000_000
UNKNOWN_LENGTH = 2**62
# Resampled at once: what stays in the cache of a core.
PIECE = 1 << 16
# Longer than any music; a stream of unknown length claims 2**63 - 1 frames.
LONGEST_CLAIM_SECONDS = 24 * 3600
# Of a file that is learned from, or that PyAV reads: a flac of silence of some MB is days, and GB once it is decoded.
LONGEST_SECONDS = 6 * 3600.0
# A header can claim any rate; at 1 Hz a file of a few MB would be resampled to more than the memory holds.
RATES = (1_000, 1_000_000)
# libsndfile's own formats, and what only PyAV (the `m4a` extra) can read.
SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au"})
AV_SUFFIXES = frozenset({".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka"})


class DecodeError(InputError):
    """The bytes are not audio that can be read; the message is the reason. decoded: seconds that it took to tell."""

    decoded: float = 0.0


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """What is read of a file, in seconds.

    crop: kept around the centre; start, seconds: or from here on, that long; limit: more than that is refused, early.
    """

    crop: float | None = None
    start: float | None = None
    seconds: float | None = None
    limit: float = math.inf

    def span(self, frames: int, rate: int) -> tuple[int, int]:
        """(first frame, number of frames) of a file of `frames` frames.

        Raises:
            DecodeError: It is empty or longer than the limit.
        """
        if self.start is None and self.seconds is None:
            first, keep = (0, frames) if self.crop is None else centre_span(frames, rate, self.crop)
        else:
            begin, length = self.start or 0.0, math.inf if self.seconds is None else self.seconds
            if not (0 <= begin < math.inf and length > 0):
                raise DecodeError(f"start={begin:g} and seconds={length:g} must be no less than 0 and more than 0")
            if begin * rate >= frames:
                raise DecodeError(f"start={begin:g} lies behind the end, {frames / rate:.1f} s")
            first = int(begin * rate)
            keep = frames - first if length * rate >= frames - first else max(1, round(length * rate))
        if frames < UNKNOWN_LENGTH and keep > self.limit * rate:
            raise _too_long(self.limit)
        return first, keep

    @property
    def most(self) -> float:
        """Seconds that may be decoded where only that tells the length of a file."""
        whole = self.crop is None and self.start is None and self.seconds is None
        return min(self.limit, LONGEST_SECONDS) if whole else LONGEST_SECONDS


def read_audio(
    source: Path | BinaryIO,
    sr: int,
    excerpt: Excerpt | None = None,
    *,
    crop: float | None = None,
    observe: Observer | None = None,
) -> np.ndarray:
    """Decodes a whole file, or a part of it.

    Args:
        source: A path or a seekable binary file.
        sr: Rate of the result in Hz.
        excerpt: The part; None for `Excerpt(crop)`.
        crop: Seconds to keep around the centre; None or more than the file has keeps all.
        observe: Called with every block that is decoded, float32 of shape (n, channels), and the rate of the file; the
            block is only there during the call.

    Returns:
        Mono samples, float32, shape (n,), n = ceil(frames * sr / native rate) as librosa.load.

    Raises:
        DecodeError: Not decodable, empty, too long, or with NaN or infinite samples.
    """
    return read_at_rates(source, [sr], excerpt or Excerpt(crop), observe=observe)[0]


def read_at_rates(
    source: Path | BinaryIO, rates: Sequence[int], excerpt: Excerpt, *, observe: Observer | None = None
) -> list[np.ndarray]:
    """The samples of a file at each of several rates, decoded once; arguments and errors are those of `read_audio`."""
    if isinstance(source, Path) and source.suffix.lower() in AV_SUFFIXES:
        y, native = _read_with_av(source, excerpt.most, observe)
        start, frames = excerpt.span(len(y), native)
        return [soxr.resample(y[start : start + frames], native, sr, quality="HQ") for sr in rates]
    # Names of old collections are not always UTF-8, which soundfile insists on for str.
    opened = os.fsencode(source) if isinstance(source, Path) and os.name == "posix" else source
    try:
        with soundfile.SoundFile(opened) as file:
            return _resampled(file, rates, excerpt, observe)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise DecodeError(f"not readable as audio: {_reason(source, error)}") from error


def read_channels(source: Path | BinaryIO, crop: float | None = None) -> tuple[np.ndarray, int]:
    """Decodes the centre `crop` seconds of a file, or all of it, as it is.

    Returns:
        Samples, float32, shape (n, channels), and their rate in Hz.

    Raises:
        DecodeError: As `read_audio`.
    """
    blocks: list[np.ndarray] = []
    rates: list[int] = []

    def keep(block: np.ndarray, rate: int) -> None:
        blocks.append(block.copy())
        rates.append(rate)

    excerpt = Excerpt(crop, limit=LONGEST_SECONDS)
    read_audio(source, RATES[0], excerpt, observe=keep)
    y, rate = np.concatenate(blocks), rates[0]
    # What PyAV decodes is cropped at the end alone.
    start, frames = excerpt.span(len(y), rate)
    return y[start : start + frames], rate


def excerpt_at(y: np.ndarray, native: int, sr: int, crop: float | None = None) -> np.ndarray:
    """Of samples (n,) at the rate `native` what `read_audio` gives of a file of them.

    Examples:
        >>> excerpt_at(np.arange(8, dtype=np.float32), 4, 4, crop=1.0)
        array([2., 3., 4., 5.], dtype=float32)
    """
    start, frames = Excerpt(crop).span(len(y), native)
    kept = y[start : start + frames]
    if native == sr:
        return kept
    return _fix_length(soxr.resample(kept, native, sr, quality="HQ"), math.ceil(frames * sr / native))


def observe_audio(source: Path, observe: Observer) -> None:
    """Decodes a whole file for nothing but `observe`; arguments and errors are those of `read_audio`."""
    if source.suffix.lower() in AV_SUFFIXES:
        for block, rate in _av_blocks(source):
            observe(block, rate)
        return
    try:
        with soundfile.SoundFile(os.fsencode(source) if os.name == "posix" else source) as file:
            _check_rate(file.samplerate)
            for block in _blocks(file, file.frames):
                observe(block, file.samplerate)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise DecodeError(f"not readable as audio: {_reason(source, error)}") from error


def _resampled(
    file: soundfile.SoundFile, rates: Sequence[int], excerpt: Excerpt, observe: Observer | None
) -> list[np.ndarray]:
    rate = file.samplerate
    _check_rate(rate)
    start, frames = excerpt.span(file.frames, rate) if file.frames > 0 else (0, file.frames)
    if start:
        file.seek(start)
    resamplers, decoded = [_Resampler(rate, sr, min(frames, LONGEST_CLAIM_SECONDS * rate)) for sr in rates], 0
    for block in _blocks(file, frames):
        decoded += len(block)
        if decoded > excerpt.limit * rate:
            raise _too_long(excerpt.limit, decoded / rate)
        if observe:
            observe(block, rate)
        mono = _mono(block)
        for resampler in resamplers:
            resampler.add(mono)
    if decoded == 0:
        raise DecodeError("the file holds no samples")
    return [resampler.end(decoded) for resampler in resamplers]


def _too_long(limit: float, decoded: float = 0.0) -> DecodeError:
    error = DecodeError(f"longer than the limit of {limit:g} s")
    error.decoded = decoded
    return error


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


class _Resampler:
    """Samples of a rate that arrive in blocks, at another rate."""

    def __init__(self, rate: int, sr: int, expected: float) -> None:
        self._ratio, self._y = sr / rate, _Growing(math.ceil(expected * sr / rate))
        self._stream = None if rate == sr else soxr.ResampleStream(rate, sr, 1, dtype="float32", quality="HQ")

    def add(self, mono: np.ndarray, last: bool = False) -> None:
        self._y.add(self._stream.resample_chunk(mono, last=last) if self._stream else mono)

    def end(self, decoded: int) -> np.ndarray:
        """All, of so many samples that have arrived."""
        self.add(np.empty(0, np.float32), last=True)
        return _fix_length(self._y.all, math.ceil(decoded * self._ratio))


def _check_rate(rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise DecodeError(f"its header says {rate} samples a second; from {RATES[0]} to {RATES[1]} are read")


def _blocks(file: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    """Blocks (n, channels) until `frames` are read or the stream ends, which a truncated file does early.

    A block is only there until the next one is asked for.
    """
    size = min(int(BLOCK_SECONDS * file.samplerate), max(1, BLOCK_VALUES // file.channels), frames)
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


def _fix_length(y: np.ndarray, n: int) -> np.ndarray:
    return y[:n] if len(y) >= n else np.pad(y, (0, n - len(y)))


def _read_with_av(path: Path, most: float, observe: Observer | None = None) -> tuple[np.ndarray, int]:
    """(mono float32 samples, native rate) of a container that libsndfile does not know, of at most `most` seconds."""
    y, decoded = _Growing(0), 0
    for block, rate in _av_blocks(path):
        decoded += len(block)
        if decoded > most * rate:
            raise _too_long(most, decoded / rate)
        if observe:
            observe(block, rate)
        y.add(block.mean(axis=1))
    return y.all, rate


def _av_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (n, channels), float32, and their rate; one at least."""
    try:
        import av
    except ImportError as error:
        raise DecodeError(
            f"{path.suffix} needs PyAV: `pip install av` in the environment that runs this (which --env-manager=uv "
            "builds anew from requirements.txt: add the line av there), or convert the file to flac"
        ) from error
    rate = None
    try:
        with av.open(str(path)) as container:
            # Not layout="mono": FFmpeg's downmix of stereo is 3 dB louder than the mean.
            resampler = av.AudioResampler(format="fltp")
            for raw in itertools.chain(container.decode(audio=0), [None]):
                for frame in resampler.resample(raw):
                    if rate is None:
                        rate = frame.sample_rate
                        _check_rate(rate)
                    yield frame.to_ndarray().T, rate
    except DecodeError:
        raise
    # ValueError: rate or channels change on the way.
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise DecodeError(f"not readable as audio: {_reason(path, error)}") from error
    if rate is None:
        raise DecodeError("the file holds no samples")


def _reason(source: Path | BinaryIO, error: Exception) -> str:
    # Not Path.is_file, which raises where a name is too long.
    if isinstance(source, Path) and not os.path.isfile(source):
        return "it is a folder" if os.path.isdir(source) else "there is no such file"
    said = (getattr(error, "strerror", None) or str(error).rsplit(": ", 1)[-1]).strip()
    # What libsndfile says of any .mp3 in which it finds no MPEG frame.
    return "Format not recognised." if said.startswith("File does not exist") else said or type(error).__name__
