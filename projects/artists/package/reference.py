"""Songs that a network has seen once, as vectors with names: an index to search, or artists to answer with.

One file, written whole or not at all: arrays and text, no pickle. It knows the model that made its vectors, and takes
no others. It imports nothing that trains, so that scoring can load it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.cache import atomic_write
from ..data.tracks import free_name
from ..errors import InputError
from ..evaluation import enrolment
from ..evaluation.retrieval import nearest

FILE = "reference.npz"
FORMAT = 1
COLUMNS = ("track_ids", "labels", "audio_sha256")
# Of the unpacked arrays: a small file may unpack to more than the machine has.
LARGEST = 4 << 30


@dataclasses.dataclass(frozen=True)
class Answer:
    """Who a track sounds like: the artist whose centroid is nearest, its cosine, and the best few.

    none_of_these: 0 to 1, the chance that it is by no artist of the reference, if that is as likely beforehand as that
    it is; None where the reference is too small to tell.
    """

    artist: str
    similarity: float
    none_of_these: float | None
    top_artists: list[str]
    top_similarities: list[float]


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Songs in the order of their ids.

    track_ids, labels (artists), audio_sha256: n each; vectors: (n, d) float32; model: identity of the network, of
    `model_name`, opened from `model_source`; version: counts from 1; previous: digest of the one it was made from.
    """

    track_ids: list[str]
    labels: list[str]
    audio_sha256: list[str]
    vectors: np.ndarray
    model: str
    model_name: str
    model_source: str
    label: str = "artist"
    version: int = 1
    previous: str = ""

    def __len__(self) -> int:
        return len(self.track_ids)

    @property
    def meta(self) -> dict[str, Any]:
        """What is not an array."""
        names = ("model", "model_name", "model_source", "label", "version", "previous")
        return {"format": FORMAT} | {name: getattr(self, name) for name in names}

    @functools.cached_property
    def digest(self) -> str:
        """Sixteen hex digits over songs, artists, vectors and model; not over where the model was opened from."""
        meta = {name: value for name, value in self.meta.items() if name != "model_source"}
        text = json.dumps([meta, self.track_ids, self.labels, self.audio_sha256], sort_keys=True)
        return hashlib.sha256(text.encode() + np.ascontiguousarray(self.vectors, "<f4").tobytes()).hexdigest()[:16]

    @functools.cached_property
    def _artists(self) -> tuple[np.ndarray, np.ndarray, enrolment.OpenSet | None]:
        labels = np.array(self.labels)
        return *enrolment.centroids(self.vectors, labels), enrolment.calibrate(self.vectors, labels)

    @property
    def artists(self) -> list[str]:
        """Names, sorted."""
        return sorted(set(self.labels))

    def check_model(self, identity: str) -> None:
        """Raises InputError where `identity` is not of the network that made the vectors."""
        if identity != self.model:
            raise InputError(
                f"The reference holds vectors of another model: it was made with {self.model_name} {self.model} "
                f"({self.model_source}), this is {identity}. Use that model, or make the reference anew with this one."
            )

    def answer(self, embeddings: np.ndarray, *, top_k: int = 3) -> Answer:
        """Answers for one track.

        Args:
            embeddings: Of its clips, (n_clips, d), or one vector of the song, (1, d), of this reference's model.
        """
        names, centres, open_set = self._artists
        vector = self._of_track(embeddings)
        cosines = enrolment.similarities(vector[None], centres)[0]
        best = np.argsort(-cosines, kind="stable")[:top_k]
        top = float(cosines[best[0]])
        return Answer(
            artist=str(names[best[0]]),
            similarity=top,
            none_of_these=None if open_set is None else float(open_set.none_of_these(top)),
            top_artists=[str(names[i]) for i in best],
            top_similarities=[float(cosines[i]) for i in best],
        )

    def nearest(self, vector: np.ndarray, k: int) -> pd.DataFrame:
        """The `k` songs nearest to a vector (d,): rank, similarity (cosine), track_id, the label, audio_sha256."""
        order, similarity = nearest(self.vectors, self._of_track(vector[None]), k)
        songs = self.table().iloc[order].reset_index(drop=True)
        ranks = pd.DataFrame({"rank": np.arange(1, len(order) + 1), "similarity": similarity})
        return pd.concat([ranks, songs], axis=1)

    def _of_track(self, embeddings: np.ndarray) -> np.ndarray:
        size = self.vectors.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != size:
            raise InputError(f"Got embeddings {embeddings.shape}; the reference holds {size} numbers a song.")
        return np.asarray(embeddings, float).mean(0)

    def extended(self, other: Reference, identity: Mapping[str, str] | None = None) -> Reference:
        """A new version with the songs of `other` added; songs that are here already, under the same name, stay.

        Raises:
            InputError: Another model, or a song that is here under another artist.
        """
        self.check_model(other.model)
        # Two folders may name their files alike.
        names = set(self.track_ids)
        songs: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in COLUMNS}
        songs["track_ids"] = self.track_ids + [free_name(name, names) for name in other.track_ids]
        songs["vectors"] = np.concatenate([self.vectors, other.vectors])
        together = dataclasses.replace(self, **songs, version=self.version + 1, previous=self.digest)
        return _once(together, identity, len(self))

    def table(self) -> pd.DataFrame:
        """A row a song: track_id, the label, audio_sha256."""
        return pd.DataFrame({"track_id": self.track_ids, self.label: self.labels, "audio_sha256": self.audio_sha256})


def make(
    track_ids: Sequence[str],
    labels: Sequence[str],
    audio_sha256: Sequence[str],
    vectors: np.ndarray,
    identity: Mapping[str, str] | None = None,
    **source: Any,
) -> Reference:
    """A first version; of songs that are one recording by one artist the first is kept.

    Args:
        identity: Digest -> recording, as `recordings.identities` has it; None compares bytes alone.
        source: model, model_name, model_source, label.

    Raises:
        InputError: The same audio stands under two artists.
    """
    songs = Reference(list(track_ids), list(labels), list(audio_sha256), np.asarray(vectors, np.float32), **source)
    return _once(songs, identity)


def write(path: Path, reference: Reference) -> None:
    arrays: dict[str, Any] = {name: np.array(getattr(reference, name), str) for name in COLUMNS}
    vectors, meta = np.ascontiguousarray(reference.vectors, "<f4"), json.dumps(reference.meta, ensure_ascii=False)
    with atomic_write(path) as file:
        np.savez(file, vectors=vectors, **arrays, meta=np.array(meta))


def read(path: Path) -> Reference:
    """Raises InputError where `path` is no reference, or not whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            parts = {name: arrays[name] for name in ("vectors", *COLUMNS)}
            meta = json.loads(str(arrays["meta"]))
        return _checked(parts, meta)
    except (OSError, EOFError, ValueError, KeyError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        message = f"reference {path} cannot be read: {reason}. Give a {FILE} that this project wrote."
        raise InputError(message) from error


def identity_of(folder: Path) -> str:
    """Sixteen hex digits over all files of a saved system: the same wherever it was copied to."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:16]


def _checked(parts: dict[str, np.ndarray], meta: Mapping[str, Any]) -> Reference:
    vectors = parts.pop("vectors")
    if not isinstance(meta, dict) or meta.pop("format", None) != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    if vectors.ndim != 2 or vectors.dtype != np.float32 or not np.isfinite(vectors).all():
        raise ValueError(f"its vectors are {vectors.dtype} {vectors.shape}, not finite float32 (n, d)")
    if not len(vectors) or any(part.dtype.kind != "U" or part.shape != (len(vectors),) for part in parts.values()):
        raise ValueError("its columns are not one text a vector")
    kinds = {field.name: int if field.name == "version" else str for field in dataclasses.fields(Reference)}
    if any(type(value) is not kinds.get(name) for name, value in meta.items()):
        raise ValueError("its description is not what this project writes")
    return Reference(**{name: part.tolist() for name, part in parts.items()}, vectors=vectors, **meta)


def _once(songs: Reference, identity: Mapping[str, str] | None, stay: int = 0) -> Reference:
    """The first `stay` songs and the first of each other recording, in the order of ids.

    Raises:
        InputError: One of the others stands under two artists.
    """
    first: dict[str, int] = {}
    for i, digest in enumerate(songs.audio_sha256):
        other = first.setdefault((identity or {}).get(digest, digest), i)
        if i >= stay and songs.labels[other] != songs.labels[i]:
            raise InputError(
                f"{songs.track_ids[i]} is enrolled as {songs.labels[other]} already; now it stands under "
                f"{songs.labels[i]}: with {songs.track_ids[other]} it is the same audio under two names. "
                "Remove one of them, or begin a reference of its own."
            )
    order = sorted({*range(stay), *first.values()}, key=lambda i: songs.track_ids[i])
    columns: dict[str, Any] = {name: [getattr(songs, name)[i] for i in order] for name in COLUMNS}
    return dataclasses.replace(songs, **columns, vectors=songs.vectors[order])
