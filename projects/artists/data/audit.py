"""What a file of music is and what is wrong with it: found while it is decoded, remembered by its bytes."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from ..audio.endings import cut_off
from .cache import atomic_write, cache_root

# Raise it when an audit changes its meaning: stored ones are then made anew.
VERSION = 1
# Clipped: this many samples or more on end, in one channel, within 0.1 % of full scale or beyond it, and such runs hold
# at least one sample in a thousand of the file. A master pressed against the ceiling stays below that.
FULL_SCALE, CLIPPED_RUN, CLIPPED_SHARE = 0.999, 4, 0.001
# Silent: no sample of any channel is above this.
SILENT_PEAK_DB = -60.0


@dataclasses.dataclass(frozen=True)
class Audit:
    """A file as it was decoded, at its own rate.

    seconds: decoded, not promised; peak_db, rms_db: over all channels, dB of full scale, None for digital silence;
    clipped_share: of samples in clipped runs; truncated: what is missing at the end, empty for a whole file, None where
    the format does not tell (`audio/endings.py` says which do).
    """

    seconds: float
    sample_rate: int
    channels: int
    peak_db: float | None
    rms_db: float | None
    clipped_share: float
    truncated: str | None

    @property
    def silent(self) -> bool:
        return self.peak_db is None or self.peak_db < SILENT_PEAK_DB

    @property
    def clipped(self) -> bool:
        return self.clipped_share >= CLIPPED_SHARE


class Auditor:
    """Listens to the blocks of a decoder: `read_audio(..., observe=auditor)`."""

    def __init__(self) -> None:
        self._frames, self._rate, self._peak, self._energy, self._clipped = 0, 0, 0.0, 0.0, 0
        self._open = np.empty(0, int)

    def __call__(self, block: np.ndarray, rate: int) -> None:
        """Takes a block, float32, shape (n, channels)."""
        if not self._frames:
            self._rate, self._open = rate, np.zeros(block.shape[1], int)
        self._frames += len(block)
        peak = float(max(block.max(), -block.min()))
        self._peak = max(self._peak, peak)
        flat = block.reshape(-1)
        self._energy += float(np.dot(flat, flat))
        if peak < FULL_SCALE:
            self._close(np.arange(len(self._open)))
            return
        for channel in range(block.shape[1]):
            self._runs(channel, np.abs(block[:, channel]) >= FULL_SCALE)

    def _runs(self, channel: int, full: np.ndarray) -> None:
        """Counts runs of True; one that touches the end of the block stays open."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
        starts, ends = edges[::2], edges[1::2]
        lengths = ends - starts
        if len(starts) and starts[0] == 0:
            lengths[0] += self._open[channel]
            self._open[channel] = 0
        self._close(np.array([channel]))
        if len(ends) and ends[-1] == len(full):
            self._open[channel], lengths = lengths[-1], lengths[:-1]
        self._clipped += int(lengths[lengths >= CLIPPED_RUN].sum())

    def _close(self, channels: np.ndarray) -> None:
        ended = self._open[channels]
        self._clipped += int(ended[ended >= CLIPPED_RUN].sum())
        self._open[channels] = 0

    def audit(self, path: Path) -> Audit:
        """After the last block of the file at `path`."""
        self._close(np.arange(len(self._open)))
        samples = self._frames * len(self._open)
        return Audit(
            seconds=round(self._frames / self._rate, 3),
            sample_rate=self._rate,
            channels=len(self._open),
            peak_db=_db(self._peak),
            rms_db=_db(math.sqrt(self._energy / samples)),
            clipped_share=self._clipped / samples,
            truncated=cut_off(path, self._frames),
        )


def _db(amplitude: float) -> float | None:
    return round(20 * math.log10(amplitude), 2) if amplitude > 0 else None


class AuditStore:
    """Audits in the cache, by the digest of the audio."""

    def __init__(self, root: Path | None = None) -> None:
        self.folder = (root or cache_root()) / "audits" / str(VERSION)

    def _path(self, audio_digest: str) -> Path:
        return self.folder / audio_digest[:2] / f"{audio_digest}.json"

    def get(self, audio_digest: str) -> Audit | None:
        """A stored audit, None when it is not stored whole."""
        try:
            return Audit(**json.loads(self._path(audio_digest).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, audio_digest: str, audit: Audit) -> None:
        with atomic_write(self._path(audio_digest)) as file:
            file.write(json.dumps(dataclasses.asdict(audit)).encode())
