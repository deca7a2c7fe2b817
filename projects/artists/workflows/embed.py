"""Songs as vectors of a network: the mean over a song's clips of what stands before the softmax (Park et al. 2018)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.clips import song_clips
from ..audio.lengths import batch_size, clip_frames
from ..audio.options import FeatureConfig, longest
from ..data import prepare, recordings
from ..data.cache import FeatureStore
from ..data.featurize import Entry, Features, Progress, featurize, surviving
from ..data.paths import given_path
from ..data.recordings import Recordings
from ..data.tracks import Corpus, Track
from ..errors import InputError
from ..package.card import load
from ..package.reference import identity_of
from ..systems import find
from ..tracking.model import download_system
from ..tracking.runs import Run
from .options import EnrolOptions, SimilarOptions, TransferOptions

PRETRAINED = (".h5", ".hdf5")
# The published weights of this architecture are what `model=<file>` reads.
PRETRAINED_SYSTEM = "siamese_dcnn"
Options = EnrolOptions | SimilarOptions | TransferOptions
EmbedClips = Callable[[Iterable[np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Embedder:
    """A network and what it sees.

    name: the system's; source: what `model=` was; identity: changes with weights, features and clip; embed_clips:
    batches of clips (b, clip_frames, columns) -> (n, d); unit: `song` where a batch must hold all clips of one song;
    trained_on: what it has learned from; classes: the artists it has learned.
    """

    name: str
    source: str
    identity: str
    embed_clips: EmbedClips
    unit: str
    config: FeatureConfig
    clip_frames: int
    trained_on: Recordings = dataclasses.field(default_factory=Recordings)
    classes: tuple[str, ...] = ()

    def cropped(self, crop: float | None) -> Embedder:
        """The same network on the centre `crop` seconds of tracks; None keeps its own crop."""
        if crop is None:
            return self
        identity = hashlib.sha256(f"{self.identity}\n{float(crop)}".encode()).hexdigest()[:16]
        return dataclasses.replace(self, config=self.config.cropped(crop), identity=identity)

    def vectors(self, entries: Sequence[Entry]) -> np.ndarray:
        """Stored features of songs -> (n_songs, d), float32; a song shorter than a clip is padded with silence."""
        counts: list[int] = []
        songs = (self._clips(entry, counts) for entry in entries)
        embedding = self.embed_clips(songs if self.unit == "song" else _rebatched(songs))
        sums = np.add.reduceat(embedding, np.cumsum([0, *counts[:-1]]), axis=0)
        return (sums / np.array(counts)[:, None]).astype(np.float32)

    def _clips(self, entry: Entry, counts: list[int]) -> Any:
        """All disjoint clips of a song; their number is appended to `counts`."""
        first, *others = self.config.parts
        files = {first: entry.path} | {part: FeatureStore(part).path(entry.audio_digest) for part in others}
        features = {part: np.load(file, mmap_mode="r") for part, file in files.items()}
        clips = song_clips(features, self.config, self.clip_frames)
        counts.append(len(clips[longest(self.config.views)] if self.config.views else clips))
        return clips

    def embed(self, corpus: Corpus, *, workers: int | None, progress: Progress | None = None) -> SongVectors:
        """The readable tracks of a corpus; those that are not are in the result's `features.quarantined`."""
        features = featurize(corpus, self.config, workers=workers, progress=progress)
        tracks = tuple(track for track in corpus.tracks if track.track_id in features.entries)
        if not tracks:
            reason = next(iter(features.quarantined.items()))
            raise InputError(f"No file of {corpus.name} can be read; {reason[0]}: {reason[1]}.")
        entries = [features.entries[track.track_id] for track in tracks]
        return SongVectors(tracks, self.vectors(entries), [entry.audio_digest for entry in entries], features)


@dataclasses.dataclass(frozen=True)
class SongVectors:
    """vectors (n, d) of `tracks`, SHA-256 of their audio, and what featurizing gave."""

    tracks: tuple[Track, ...]
    vectors: np.ndarray
    audio_sha256: list[str]
    features: Features

    @property
    def recordings(self) -> Recordings:
        entries = (self.features.entries[track.track_id] for track in self.tracks)
        return recordings.of_entries(entries, self.features.config)


def song_vectors(run: Run, embedder: Embedder, corpus: Corpus, options: Options, progress: Progress) -> SongVectors:
    """The vectors of a corpus, with what was unreadable logged; raises InputError where that is too much."""
    songs = embedder.embed(corpus, workers=options.workers, progress=progress)
    run.table(prepare.quarantine_table(songs.features), "quarantined.csv")
    surviving(corpus, songs.features, options.label)
    return songs


def open_embedder(model: str, work: Path) -> Embedder:
    """A network by run id, model URI, or file of published weights; `work` is a folder to download to."""
    if Path(model).suffix.lower() in PRETRAINED:
        return _pretrained(given_path("model", model))
    folder = download_system(model, work)
    system, card = load(folder)
    return Embedder(
        name=card.model,
        source=model,
        identity=identity_of(folder),
        embed_clips=lambda batches: system.scores(batches)[1],
        unit=system.unit,
        config=card.feature_config,
        clip_frames=card.clip_frames,
        trained_on=recordings.learned(folder, card.songs, card.groups, card.feature_config),
        classes=tuple(card.classes),
    )


def _pretrained(file: Path) -> Embedder:
    if not file.is_file():
        raise InputError(f"model={file} does not exist. Give a run id, a model URI, or a .h5 file of weights.")
    cls: Any = find(PRETRAINED_SYSTEM)
    config = FeatureConfig(**cls.features)
    frames = clip_frames(cls.data["clip"], config)
    system = cls(pretrained=str(file), freeze=True)
    system.model = system.started(system.build(frames, config.n_mels, 0))
    parts = [hashlib.sha256(file.read_bytes()).hexdigest(), config.digest, str(frames)]
    identity = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return Embedder(
        name=PRETRAINED_SYSTEM,
        source=str(file.resolve()),
        identity=identity,
        embed_clips=lambda batches: np.concatenate([system.vectors(clips) for clips in batches]),
        unit="song",
        config=config,
        clip_frames=frames,
    )


def _rebatched(songs: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The clips of songs in batches of `batch_size`, the last one smaller."""
    waiting, held = [], 0
    for clips in songs:
        waiting.append(clips)
        held += len(clips)
        size = batch_size(clips.shape[1])
        if held >= size:
            joined = np.concatenate(waiting)
            whole = len(joined) // size * size
            yield from np.split(joined[:whole], whole // size)
            waiting, held = [joined[whole:]], len(joined) - whole
    if held:
        yield np.concatenate(waiting)
