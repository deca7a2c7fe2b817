"""Audio fingerprints: what a recording keeps when it is encoded again, cut, resampled or made louder.

They are in the manner of Wang 2003 ("An industrial-strength audio search algorithm"), over the log-mel
features that are in the cache: local maxima in time and frequency (a change of level moves none of them), three
neighbouring ones a landmark, a fixed 16th of the landmarks kept by their hash, so that a copy keeps the same ones.
Two tracks are one recording where enough landmarks meet at one shift in time (tests/data/test_recordings.py).

Not found: other takes, covers, other speeds or pitches, and copies of a few seconds, which are compared by bytes alone.
The constants suit frames of 32 ms and 128 bands, the default; other features work by frames and bands, unmeasured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..audio.features import to_db
from .cache import FeatureStore

# Raise it when the fingerprints change: stored ones are then computed anew.
VERSION = 1
# A maximum of this many frames and bands to either side is a peak: about 15 a second of music.
NEAR_FRAMES, NEAR_BANDS = 8, 5
# A landmark is a peak and two of the next FAN peaks, at most FAR frames later.
FAN, FAR = 5, 64
KEPT_BITS = 4
# The same recording: this many landmarks meet at one shift, and this share of those where the two overlap.
# Between unlike music the share stays under 0.02, between copies over 0.06: tests/data/test_recordings.py prints both.
LEAST_MEETING, LEAST_SHARE = 8, 0.04
# And they meet in at least half of the eighths of the shorter one: a shared introduction makes no duplicate.
LEAST_SPREAD = 0.5
# Who is compared at all: tracks with this many landmarks at about one shift, among pairs of at most NEIGHBOURS entries
# apart in an index that is shuffled within each hash. Linear in the music, and copies share dozens. Of a corpus with
# more landmarks than INDEXED (35,000 songs of a minute) the index holds a share, by hash.
AT_ONE_SHIFT = 3
NEIGHBOURS = 4
INDEXED = 20_000_000
SHIFT_BITS = 22


def fingerprint(log_mel: np.ndarray) -> np.ndarray:
    """Landmarks of a track.

    Args:
        log_mel: (n_frames, n_mels) in dB.

    Returns:
        uint32, shape (n, 2): hash and frame, in the order of hashes; about 9 a second of music, none of silence.
    """
    frames, bands = _peaks(log_mel)
    bands = bands * 128 // max(128, log_mel.shape[1])
    landmarks = [np.empty((0, 2), np.uint64)]
    for first in range(1, FAN):
        for second in range(first + 1, FAN + 1):
            a, b, c = (slice(i, len(frames) - second + i) for i in (0, first, second))
            if len(frames) <= second:
                continue
            ahead, further = frames[b] - frames[a], frames[c] - frames[a]
            word = ((bands[a] << 14 | bands[b] << 7 | bands[c]) << 12) | (np.minimum(ahead, FAR - 1) << 6)
            word = (word | np.minimum(further, FAR - 1))[further < FAR]
            landmarks.append(np.stack([_mixed(word), frames[a][further < FAR].astype(np.uint64)], axis=1))
    marks = np.concatenate(landmarks)
    marks = marks[marks[:, 0] >> np.uint64(64 - KEPT_BITS) == 0]
    marks[:, 0] = (marks[:, 0] >> np.uint64(32 - KEPT_BITS)) & np.uint64(0xFFFFFFFF)
    return marks[np.lexsort((marks[:, 1], marks[:, 0]))].astype(np.uint32)


def _peaks(log_mel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frames, bands) of local maxima above the floor, in the order of time."""
    from scipy.ndimage import maximum_filter

    if not len(log_mel):
        return np.empty(0, int), np.empty(0, int)
    highest = maximum_filter(log_mel, (2 * NEAR_FRAMES + 1, 2 * NEAR_BANDS + 1))
    frames, bands = np.nonzero((log_mel == highest) & (log_mel > log_mel.min() + 1))
    return frames, bands


def _mixed(words: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: neighbouring words end far apart."""
    x = words.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class FingerprintStore(FeatureStore):
    """Fingerprints beside the features of one configuration, by the digest of the audio."""

    kind, version = "fingerprints", f"-{VERSION}"

    def get(self, audio_digest: str) -> np.ndarray | None:
        """A stored fingerprint, None when it is not stored whole."""
        try:
            marks = np.load(self.path(audio_digest))
        except (FileNotFoundError, ValueError, EOFError):
            return None
        return marks if marks.ndim == 2 and marks.shape[1] == 2 and marks.dtype == np.uint32 else None

    def of_features(self, audio_digest: str, features: Path) -> np.ndarray:
        """The stored fingerprint; where there is none, it is made of the stored features."""
        marks = self.get(audio_digest)
        if marks is None:
            marks = fingerprint(to_db(np.load(features, mmap_mode="r"), self.config))
            self.write(audio_digest, marks)
        return marks


def agreement(a: np.ndarray, b: np.ndarray) -> tuple[int, float, float]:
    """How far two fingerprints are of one recording.

    Returns:
        Landmarks that meet at the best shift; their share of those where the two overlap at that shift; and the share
        of the eighths of the shorter one, in time, in which some meet. All 0 where none meet.
    """
    first, last = (np.searchsorted(b[:, 0], a[:, 0], side) for side in ("left", "right"))
    times = last - first
    if not times.sum():
        return 0, 0.0, 0.0
    partner = np.repeat(first - np.cumsum(times) + times, times) + np.arange(times.sum())
    in_a, in_b = np.repeat(a[:, 1].astype(np.int64), times), b[partner, 1].astype(np.int64)
    shifts = in_a - in_b
    low = shifts.min()
    counts = np.bincount(shifts - low)
    # A cut between two frames lets peaks fall into either.
    both = counts[:-1] + counts[1:] if len(counts) > 1 else counts
    best = int(both.argmax())
    shift, meeting = int(low) + best, int(both[best])
    at = (shifts == shift) | (shifts == shift + 1)
    spread = _eighths(a, in_a[at]) if np.ptp(a[:, 1]) <= np.ptp(b[:, 1]) else _eighths(b, in_b[at])
    overlapping = min(_between(a, b, shift), _between(b, a, -shift))
    return meeting, meeting / max(1, overlapping), spread


def _eighths(marks: np.ndarray, times: np.ndarray) -> float:
    """Share of the eighths of a track, from its first landmark to its last, that hold one of `times`."""
    start, length = int(marks[:, 1].min()), int(np.ptp(marks[:, 1])) + 1
    return len(np.unique((times - start) * 8 // length)) / 8


def _between(a: np.ndarray, b: np.ndarray, shift: int) -> int:
    """Landmarks of `a` at times that `b`, moved by `shift` frames, covers."""
    times = a[:, 1].astype(np.int64) - shift
    return int(np.count_nonzero((times >= int(b[:, 1].min()) - 1) & (times <= int(b[:, 1].max()) + 1)))


def same_recording(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two fingerprints are of one recording over at least half of the shorter one."""
    meeting, share, spread = agreement(a, b)
    return meeting >= LEAST_MEETING and share >= LEAST_SHARE and spread >= LEAST_SPREAD


def matching_pairs(marks: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Positions (i < j) of fingerprints of one recording; of many copies some pairs, enough to connect them all."""
    return [(i, j) for i, j in _candidates(marks) if same_recording(marks[i], marks[j])]


def _candidates(marks: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs (i < j) worth comparing: an inverted index, where neighbours with one hash vote for their shift."""
    n, total = len(marks), sum(map(len, marks))
    limit = np.uint32(min(1.0, INDEXED / max(1, total)) * (2**32 - 1))
    kept = [mark[: np.searchsorted(mark[:, 0], limit, "right")] for mark in marks]
    entries = np.concatenate([np.empty((0, 2), np.uint32), *kept])
    owner = np.repeat(np.arange(n), [len(mark) for mark in kept])
    order = np.random.default_rng(0).permutation(len(entries))
    order = order[np.argsort(entries[order, 0], kind="stable")]
    hashes, frames, owner = entries[order, 0], entries[order, 1].astype(np.int64), owner[order]
    votes = [np.empty(0, np.int64)]
    for step in range(1, NEIGHBOURS + 1):
        near = np.flatnonzero((hashes[step:] == hashes[:-step]) & (owner[step:] != owner[:-step]))
        i, j, shift = owner[near], owner[near + step], frames[near] - frames[near + step]
        pair = np.minimum(i, j) * n + np.maximum(i, j)
        # Shifts of 2k and 2k + 1 are one: a cut between two frames gives both.
        votes.append(pair << SHIFT_BITS | np.where(i < j, shift, -shift) >> 1 & (1 << SHIFT_BITS) - 1)
    ballots, counts = np.unique(np.concatenate(votes), return_counts=True)
    pairs = np.unique(ballots[counts >= AT_ONE_SHIFT] >> SHIFT_BITS)
    return [divmod(int(pair), n) for pair in pairs]
