"""Enrolling artists: a few songs each into a reference, and how well so many songs are enough."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import corpora, prepare, recordings
from ..data.featurize import Features
from ..data.songs import query as queries_of
from ..data.tracks import Corpus, Progress
from ..errors import InputError
from ..evaluation import enrolment
from ..package import reference
from ..package.reference import Reference
from ..tracking import references
from ..tracking.runs import Run
from .embed import Embedder, SongVectors, open_embedder, song_vectors
from .options import SimilarOptions


def open_model(model: str | None, file: str | None, work: Path) -> tuple[Embedder, Reference | None]:
    """A network and the reference `file` that is extended or searched with it, whose own network is the default."""
    before = reference.read(references.fetch(file, reference.FILE, work)) if file else None
    embedder = open_embedder(model or (before.model_source if before else ""), work)
    if before:
        before.check_model(embedder.identity)
    return embedder, before


def log_reference(run: Run, kept: Reference, folder: Path) -> None:
    reference.write(folder / reference.FILE, kept)
    run.folder(folder)
    run.table(kept.table(), "reference.csv")
    run.tags({"reference_digest": kept.digest})
    run.metrics({"reference_songs": len(kept)})


def named(corpus: Corpus, label: str) -> Corpus:
    """The tracks that carry a value of `label`; one value is enough."""
    kept = tuple(track for track in corpus.tracks if track.label(label))
    if label not in corpus.label_columns or not kept:
        raise InputError(f"No track of {corpus.name} has a {label}; its columns are {', '.join(corpus.label_columns)}.")
    return Corpus(corpus.name, kept)


def enrolled(songs: SongVectors, embedder: Embedder, label: str, before: Reference | None = None) -> Reference:
    """The reference `before` with the songs added, or a first version of them; a recording counts once."""
    earlier = recordings.of_digests(before.audio_sha256 if before else (), embedder.config)
    identity = recordings.identities([songs.recordings, earlier])
    new = make_reference(songs, embedder, label, identity)
    return before.extended(new, identity) if before else new


def make_reference(
    songs: SongVectors, embedder: Embedder, label: str, identity: Mapping[str, str] | None = None
) -> Reference:
    """A first version of the songs; `identity` as in `reference.make`."""
    ids, labels = zip(*((track.track_id, track.label(label)) for track in songs.tracks), strict=True)
    source = {"model": embedder.identity, "model_name": embedder.name, "model_source": embedder.source, "label": label}
    return reference.make(ids, labels, songs.audio_sha256, songs.vectors, identity, **source)


def build_index(embedder: Embedder, options: SimilarOptions, run: Run, folder: Path, progress: Progress) -> Reference:
    """A reference of all songs of a corpus that carry the label."""
    corpus = named(corpora.load(str(options.data)), options.label)
    index = make_reference(song_vectors(run, embedder, corpus, options, progress), embedder, options.label)
    log_reference(run, index, folder)
    return index


def search(embedder: Embedder, index: Reference, options: SimilarOptions, run: Run) -> tuple[pd.DataFrame, Features]:
    """The neighbours of each query, and what could not be read of them."""
    queries = embedder.embed(queries_of(str(options.query)), workers=options.workers)
    run.table(prepare.quarantine_table(queries.features), "query_quarantined.csv")
    return neighbours(index, queries, options.k), queries.features


def neighbours(index: Reference, songs: SongVectors, k: int) -> pd.DataFrame:
    """The `k` nearest songs of an index to each query: query, rank, similarity, track_id, the label, same_audio."""
    tables = []
    for track, vector, digest in zip(songs.tracks, songs.vectors, songs.audio_sha256, strict=True):
        table = index.nearest(vector, k)
        table["same_audio"] = table.pop("audio_sha256") == digest
        table.insert(0, "query", track.track_id)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def log_curve(run: Run, index: Reference, embedder: Embedder, seed: int) -> pd.DataFrame:
    """`curve` as a table and metrics of the run; empty where there is none."""
    table = curve(index, embedder, seed)
    if not table.empty:
        run.table(table, "enrolment.csv")
    for row in table.to_dict("records"):
        names = ("accuracy", "low", "high", "unknown_auroc", "artists", "songs")
        run.metrics({f"enrolled_{row['enrolled']}_{name}": row[name] for name in names})
    return table


def curve(index: Reference, embedder: Embedder, seed: int) -> pd.DataFrame:
    """Accuracy against songs enrolled, of the artists of a reference that the network was not trained on.

    An artist of whom it has learned any song, under whatever label, takes no part.
    """
    labels = np.array(index.labels)
    songs = recordings.of_digests(index.audio_sha256, embedder.config)
    heard = labels[np.isin(index.audio_sha256, sorted(recordings.copies([songs], [embedder.trained_on])))]
    left_out = ~np.isin(labels, [*embedder.classes, *heard])
    if len(np.unique(labels[left_out])) < 2:
        return pd.DataFrame()
    return pd.DataFrame(enrolment.enrolment_curve(index.vectors[left_out], labels[left_out], seed=seed))
