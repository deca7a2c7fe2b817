"""Features of every track of a corpus: in parallel, once, and whatever single files do."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import numpy as np

from ..audio.decode import LONGEST_SECONDS, DecodeError, Excerpt, observe_audio, read_audio
from ..audio.features import log_mel, to_db
from ..audio.options import FeatureConfig
from ..errors import InputError
from .audit import Auditor, AuditStore
from .cache import DigestIndex, FeatureStore, audio_digest, sweep
from .fingerprints import FingerprintStore, fingerprint
from .machine import processes
from .tracks import Corpus, Progress, Track, nfc
from .workers import single_threaded, spread

MOST_LOST = 0.05


@dataclasses.dataclass(frozen=True)
class Entry:
    """The stored features of a track."""

    audio_digest: str
    n_frames: int
    path: Path


@dataclasses.dataclass(frozen=True)
class Features:
    """What featurizing a corpus gave: an entry or a reason for every track id; how many were computed, not found."""

    config: FeatureConfig
    entries: dict[str, Entry]
    quarantined: dict[str, str]
    computed: int


@dataclasses.dataclass(frozen=True)
class _Done:
    """What a worker sends back: a digest and a length, or the reason why not."""

    digest: str = ""
    n_frames: int = 0
    stat: os.stat_result | None = None
    computed: bool = False
    reason: str = ""


def featurize(
    corpus: Corpus,
    config: FeatureConfig,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    audits: AuditStore | None = None,
) -> Features:
    """Computes what the cache does not hold yet, of each part of the configuration; the entries are of its first.

    Args:
        workers: Processes; None for one a core.
        audits: Where the audit of every readable track goes; without it none is made.

    Raises:
        InputError: The cache cannot be written; what it holds by then is whole.
    """
    first, *others = config.parts
    features = _featurize(corpus, first, workers, progress, audits)
    for part in others:
        more = _featurize(corpus, part, workers, progress, None)
        entries = {track: entry for track, entry in features.entries.items() if track in more.entries}
        quarantined = {**more.quarantined, **features.quarantined}
        features = Features(first, entries, quarantined, features.computed + more.computed)
    return dataclasses.replace(features, config=config)


def _featurize(
    corpus: Corpus, config: FeatureConfig, workers: int | None, progress: Progress | None, audits: AuditStore | None
) -> Features:
    store, index = FeatureStore(config), DigestIndex()
    entries: dict[str, Entry] = {}
    missing: list[Track] = []
    for track in corpus.tracks:
        digest = index.get(track.path)
        frames = digest and store.n_frames(digest)
        if digest and frames and (audits is None or audits.get(digest)):
            entries[track.track_id] = Entry(digest, frames, store.path(digest))
        else:
            missing.append(track)
    if missing:
        sweep(store.folder)
    quarantined: dict[str, str] = {}
    total, computed = len(corpus.tracks), 0
    for track, done in _computed(missing, store, processes(workers), audits):
        if done.reason:
            quarantined[track.track_id] = done.reason
        else:
            computed += done.computed
            if done.stat:
                index.put(track.path, done.stat, done.digest)
            entries[track.track_id] = Entry(done.digest, done.n_frames, store.path(done.digest))
        if progress:
            progress(len(entries) + len(quarantined), total)
    return Features(config, entries, quarantined, computed)


def _computed(
    tracks: list[Track], store: FeatureStore, workers: int, audits: AuditStore | None = None
) -> Iterator[tuple[Track, _Done]]:
    """Runs the workers; what kills one twice is given up."""
    if not tracks:
        return
    compute = functools.partial(_compute, store=store, audits=audits)
    for track, done in spread(tracks, compute, min(workers, len(tracks)), single_threaded):
        yield track, done or _Done(reason="the decoder crashed on this file")


def _compute(track: Track, store: FeatureStore, audits: AuditStore | None = None) -> _Done:
    """Decodes a file once for all that is missing of it; a cropped one twice when it is audited, which is of it all."""
    path = track.path
    try:
        stat = path.stat()
        # Whoever opens a FIFO waits for its writer, and a device has no end.
        if not S_ISREG(stat.st_mode):
            what = "a folder" if S_ISDIR(stat.st_mode) else "a device, a socket or a FIFO"
            return _Done(reason=f"it is {what}, no file: {nfc(str(path))}")
        digest = audio_digest(path)
    except (OSError, ValueError) as error:
        return _Done(reason=f"{getattr(error, 'strerror', None) or error}: {nfc(str(path))}")
    frames, config = store.n_frames(digest), store.config
    auditor = Auditor() if audits and not audits.get(digest) else None
    if frames and not auditor:
        return _Done(digest, frames, stat)
    try:
        if auditor and (frames or config.crop is not None):
            observe_audio(path, auditor)
        if not frames:
            observe = auditor if config.crop is None else None
            excerpt = Excerpt(config.crop, limit=LONGEST_SECONDS)
            features = log_mel(read_audio(path, config.sr, excerpt, observe=observe), config)
    except DecodeError as error:
        return _Done(reason=str(error))
    except MemoryError:
        return _Done(reason="not enough memory to decode it")
    if not frames and not np.isfinite(features).all():
        return _Done(reason="its samples are too large: the power of the spectrum overflows")
    if audits and auditor:
        audits.write(digest, auditor.audit(path))
    if frames:
        return _Done(digest, frames, stat)
    store.write(digest, features)
    FingerprintStore(config, store.root).write(digest, fingerprint(to_db(features, config)))
    return _Done(digest, len(features), stat, computed=True)


def surviving(corpus: Corpus, features: Features, label: str) -> Corpus:
    """The tracks that have features.

    Raises:
        InputError: An artist or a value of `label` is lost whole, or more than 5 % of the tracks are.
    """
    kept = tuple(track for track in corpus.tracks if track.track_id in features.entries)
    lost = len(corpus.tracks) - len(kept)
    if not lost:
        return corpus
    example = min(features.quarantined.items())
    hint = f"The first: {example[0]}: {example[1]}. quarantined.csv of this run lists them all; mend or remove them."
    for column in dict.fromkeys((label, "artist")):
        gone = {track.label(column) for track in corpus.tracks} - {track.label(column) for track in kept}
        if gone:
            names = ", ".join(sorted(gone))
            raise InputError(f"No readable file is left of {column} {names} ({lost} bad file(s)). {hint}")
    if lost > MOST_LOST * len(corpus.tracks):
        raise InputError(
            f"{lost} of {len(corpus.tracks)} tracks are unreadable, more than {MOST_LOST:.0%} of the corpus. {hint}"
        )
    return corpus.only(kept)
