"""Features of every track of a corpus: in parallel, once, and whatever single files do."""

from __future__ import annotations

import concurrent.futures as futures
import dataclasses
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ..audio.decode import DecodeError, read_audio
from ..audio.features import FeatureConfig, log_mel
from ..errors import InputError
from .cache import DigestIndex, FeatureStore, audio_digest
from .tracks import Corpus, Track

MOST_LOST = 0.05
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Entry:
    """The stored features of a track."""

    audio_digest: str
    n_frames: int
    path: Path


@dataclasses.dataclass(frozen=True)
class Features:
    """What featurizing a corpus gave: an entry or a reason for every track id."""

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
    reason: str = ""


def featurize(
    corpus: Corpus, config: FeatureConfig, *, workers: int | None = None, progress: Progress | None = None
) -> Features:
    """Computes what the cache does not hold yet.

    Args:
        workers: Processes; None for one a core.
        progress: Called with (tracks done, tracks in all).
    """
    store, index = FeatureStore(config), DigestIndex()
    entries: dict[str, Entry] = {}
    missing: list[Track] = []
    for track in corpus.tracks:
        digest = index.get(track.path)
        frames = digest and store.n_frames(digest)
        if digest and frames:
            entries[track.track_id] = Entry(digest, frames, store.path(digest))
        else:
            missing.append(track)
    quarantined: dict[str, str] = {}
    total, computed = len(corpus.tracks), 0
    for track, done in _computed(missing, store, workers or os.cpu_count() or 1):
        if done.reason:
            quarantined[track.track_id] = done.reason
        else:
            computed += 1
            index.put(track.path, done.stat, done.digest)
            entries[track.track_id] = Entry(done.digest, done.n_frames, store.path(done.digest))
        if progress:
            progress(len(entries) + len(quarantined), total)
    return Features(config, entries, quarantined, computed)


def _computed(tracks: list[Track], store: FeatureStore, workers: int) -> Iterable[tuple[Track, _Done]]:
    """Runs the workers; a file that kills its process is tried once more alone, then given up."""
    if not tracks:
        return
    context = multiprocessing.get_context("spawn")
    suspects: list[Track] = []
    with futures.ProcessPoolExecutor(min(workers, len(tracks)), context, _single_threaded) as pool:
        running = {pool.submit(_compute, track.path, store): track for track in tracks}
        for future in futures.as_completed(running):
            try:
                yield running[future], future.result()
            except BrokenProcessPool:
                suspects.append(running[future])
    for track in suspects:
        with futures.ProcessPoolExecutor(1, context, _single_threaded) as pool:
            try:
                yield track, pool.submit(_compute, track.path, store).result()
            except BrokenProcessPool:
                yield track, _Done(reason="the decoder crashed on this file")


def _single_threaded() -> None:
    """One process a core already fills the machine; BLAS threads on top would fight."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)


def _compute(path: Path, store: FeatureStore) -> _Done:
    try:
        stat = path.stat()
        digest = audio_digest(path)
        frames = store.n_frames(digest)
        if not frames:
            features = log_mel(read_audio(path, store.config.sr, crop=store.config.crop), store.config)
            store.write(digest, features)
            frames = len(features)
        return _Done(digest, frames, stat)
    except DecodeError as error:
        return _Done(reason=str(error))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        return _Done(reason=f"{error.strerror}: {path}")
    except MemoryError:
        return _Done(reason="not enough memory to decode it")


def surviving(corpus: Corpus, features: Features, label: str) -> Corpus:
    """The tracks that have features.

    Raises:
        InputError: An artist (a value of `label`) is lost whole, or more than 5 % of the tracks are.
    """
    kept = tuple(track for track in corpus.tracks if track.track_id in features.entries)
    lost = len(corpus.tracks) - len(kept)
    if not lost:
        return corpus
    before = Counter(track.label(label) for track in corpus.tracks)
    gone = sorted(before.keys() - {track.label(label) for track in kept})
    example = next(iter(features.quarantined.items()))
    hint = f"The first: {example[0]}: {example[1]}. quarantined.csv of this run lists them all; mend or remove them."
    if gone:
        raise InputError(f"No readable file is left of {label} {', '.join(gone)} ({lost} bad file(s)). {hint}")
    if lost > MOST_LOST * len(corpus.tracks):
        raise InputError(
            f"{lost} of {len(corpus.tracks)} tracks are unreadable, more than {MOST_LOST:.0%} of the corpus. {hint}"
        )
    return Corpus(corpus.name, kept)
