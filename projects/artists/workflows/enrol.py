"""Enrolling artists: a few songs each into a reference, and how well so many songs are enough."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..data import recordings
from ..data.tracks import Corpus
from ..errors import InputError
from ..evaluation import enrolment
from ..package import reference
from ..package.reference import Reference
from .embed import Embedder, SongVectors


def named(corpus: Corpus, label: str) -> Corpus:
    """The tracks that carry a value of `label`; one value is enough.

    Raises:
        InputError: The column is unknown or empty.
    """
    kept = tuple(track for track in corpus.tracks if track.label(label))
    if label not in corpus.label_columns or not kept:
        raise InputError(f"No track of {corpus.name} has a {label}; its columns are {', '.join(corpus.label_columns)}.")
    return Corpus(corpus.name, kept)


def enrolled(songs: SongVectors, embedder: Embedder, label: str, before: Reference | None = None) -> Reference:
    """The reference `before` with the songs added, or a first version of them; a recording counts once.

    Raises:
        InputError: A recording stands under two artists, or `before` is of another model.
    """
    earlier = recordings.of_digests(before.audio_sha256 if before else (), embedder.config)
    identity = recordings.identities([songs.recordings, earlier])
    new = make_reference(songs, embedder, label, identity)
    return before.extended(new, identity) if before else new


def make_reference(
    songs: SongVectors, embedder: Embedder, label: str, identity: Mapping[str, str] | None = None
) -> Reference:
    """A first version of the songs; `identity` as in `reference.make`."""
    return reference.make(
        [track.track_id for track in songs.tracks],
        [track.label(label) for track in songs.tracks],
        songs.audio_sha256,
        songs.vectors,
        identity,
        model=embedder.identity,
        model_name=embedder.name,
        model_source=embedder.source,
        label=label,
    )


def neighbours(index: Reference, songs: SongVectors, k: int) -> pd.DataFrame:
    """The `k` nearest songs of an index to each query: query, rank, similarity, track_id, the label, same_audio."""
    tables = []
    for track, vector, digest in zip(songs.tracks, songs.vectors, songs.audio_sha256, strict=True):
        table = index.nearest(vector, k)
        table["same_audio"] = table.pop("audio_sha256") == digest
        table.insert(0, "query", track.track_id)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


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
