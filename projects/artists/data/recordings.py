"""One identity of a recording, within a corpus and across several, for all who split, check, compare or enrol music.

A file is known by the SHA-256 of its bytes, its digest. Two digests are one recording where their fingerprints match
(`fingerprints.py`), where an earlier look put both into one group, or where a chain of others joins them.

A trained model carries the fingerprints of its training and validation songs in FILE beside its card: 10 KB for four
minutes of music. An older model has no such file: then the cache is asked, and a song that is in neither is compared by
its bytes and its group alone, which `Recordings.warning` says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..audio.options import FeatureConfig
from .cache import DigestIndex, audio_digest
from .fingerprints import VERSION, FingerprintStore, matching_pairs

if TYPE_CHECKING:
    from .featurize import Entry, Features
    from .tracks import Track

FILE = "recordings.npz"
T = TypeVar("T", bound=Any)


@dataclasses.dataclass(frozen=True)
class Recordings:
    """A set of recordings, and what is known of each.

    digests: SHA-256 of the bytes; marks: fingerprint (n, 2) by digest, where there is one; groups: digest -> duplicate
    group of an earlier look; config: of the features that the fingerprints were made of.
    """

    digests: frozenset[str] = frozenset()
    marks: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: FeatureConfig = dataclasses.field(default_factory=FeatureConfig)

    @property
    def warning(self) -> str:
        """What a reader of a comparison with these has to know; empty where all have a fingerprint."""
        unknown = len(self.digests - self.marks.keys())
        if not unknown:
            return ""
        return (
            f"{unknown} of the {len(self.digests)} songs that the model has learned from have no fingerprint, because "
            "an earlier version trained it: copies of them in another encoding are not recognised."
        )


def of_entries(entries: Iterable[Entry], config: FeatureConfig) -> Recordings:
    """Songs whose features are stored; a fingerprint that is missing is made of them."""
    store = FingerprintStore(config)
    marks = {entry.audio_digest: store.of_features(entry.audio_digest, entry.path) for entry in entries}
    return Recordings(frozenset(marks), marks, config=config)


def of_digests(
    digests: Iterable[str],
    config: FeatureConfig,
    groups: Mapping[str, str] | None = None,
    marks: Mapping[str, np.ndarray] | None = None,
) -> Recordings:
    """Songs that may not be here: those without one in `marks` have a fingerprint where the cache holds it."""
    store, digests, marks = FingerprintStore(config), frozenset(digests), marks or {}
    stored = {digest: mark for digest in digests - marks.keys() if (mark := store.get(digest)) is not None}
    return Recordings(digests, {**marks, **stored}, groups or {}, config)


def write(folder: Path, known: Recordings) -> None:
    """The fingerprints of `known` into FILE of a folder."""
    digests = sorted(known.marks)
    marks = np.concatenate([np.empty((0, 2), np.uint32), *(known.marks[digest] for digest in digests)])
    counts = np.array([len(known.marks[digest]) for digest in digests], int)
    np.savez_compressed(
        folder / FILE, version=VERSION, digests=np.array(digests, "S64"), counts=counts, hashes=marks[:, 0],
        frames=marks[:, 1],
    )  # fmt: skip


def learned(
    folder: Path, songs: Mapping[str, Sequence[str]], groups: Mapping[str, str], config: FeatureConfig
) -> Recordings:
    """What a model has trained and validated on.

    Args:
        folder: Of its card.
        songs, groups, config: Of its card: digests by subset, group by digest, features.
    """
    digests = {digest for subset in ("train", "val") for digest in songs.get(subset, ())}
    return of_digests(digests, config, groups, _read(folder / FILE))


def _read(file: Path) -> dict[str, np.ndarray]:
    """Fingerprint by digest; nothing of a file that is not there, is damaged or has fingerprints of another version."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            marks = np.stack([arrays["hashes"], arrays["frames"]], axis=1)
            digests, ends = arrays["digests"].astype(str).tolist(), np.cumsum(arrays["counts"])
            current = arrays["version"] == VERSION
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return {}
    return dict(zip(digests, np.split(marks, ends[:-1]), strict=True)) if current and digests else {}


def identities(known: Iterable[Recordings]) -> dict[str, str]:
    """Digest -> the smallest digest of the same recording, itself where there is no other."""
    links: list[Sequence[str]] = []
    comparable: dict[FeatureConfig, dict[str, np.ndarray]] = defaultdict(dict)
    for each in known:
        links += [(digest,) for digest in each.digests]
        links += each.groups.items()
        # No crop, chroma or gain changes the landmarks of the rest.
        comparable[dataclasses.replace(each.config.parts[0], crop=None, chroma=False, level=None)].update(each.marks)
    for marks in comparable.values():
        digests = sorted(marks)
        links += [(digests[i], digests[j]) for i, j in matching_pairs([marks[digest] for digest in digests])]
    return joined(links)


def copies(these: Iterable[Recordings], those: Iterable[Recordings]) -> set[str]:
    """The digests of `these` that are a recording among `those`, by all that is known of any of them."""
    these, those = list(these), list(those)
    digests = {digest for each in those for digest in each.digests}
    if not digests:
        return set()
    identity = identities([*these, *those])
    there = {identity[digest] for digest in digests}
    return {digest for each in these for digest in each.digests if identity[digest] in there}


def duplicate_groups(digests: Mapping[str, str], known: Recordings) -> dict[str, str]:
    """Group of the names (track id -> digest) that are one recording: the smallest digest of its members."""
    identity = identities([known])
    sizes = Counter(identity[digest] for digest in digests.values())
    return {name: identity[digest] for name, digest in digests.items() if sizes[identity[digest]] > 1}


def groups_of(tracks: Iterable[Track], features: Features) -> dict[str, str]:
    """Duplicate group of the readable tracks that are the same recording as another of them."""
    entries = {t.track_id: features.entries[t.track_id] for t in tracks if t.track_id in features.entries}
    digests = {name: entry.audio_digest for name, entry in entries.items()}
    return duplicate_groups(digests, of_entries(entries.values(), features.config))


def by_digest(tracks: Iterable[Track]) -> dict[str, Track]:
    """The first track of each digest, of files that can be read."""
    index, first = DigestIndex(), dict[str, "Track"]()
    for track in tracks:
        with contextlib.suppress(OSError):
            first.setdefault(index.get(track.path) or audio_digest(track.path), track)
    return first


def joined(links: Iterable[Sequence[T]]) -> dict[T, T]:
    """Item -> the smallest item that links join it to, directly or over others.

    Examples:
        >>> joined([("b", "c"), ("d",), ("a", "c")])
        {'b': 'a', 'c': 'a', 'd': 'd', 'a': 'a'}
    """
    from scipy.cluster.hierarchy import DisjointSet

    sets = DisjointSet()
    for first, *others in links:
        sets.add(first)
        for other in others:
            sets.add(other)
            sets.merge(first, other)
    smallest = {item: min(members) for members in sets.subsets() for item in members}
    return {item: smallest[item] for item in sets}
