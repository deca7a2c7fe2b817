"""From a corpus to clips ready to learn from: what featurize, train and evaluate have in common."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from ..audio.lengths import clip_frames
from ..audio.options import FeatureConfig
from ..errors import InputError
from . import corpora
from .audit import AuditStore
from .clipset import ClipSet, make_clips
from .featurize import Features, featurize, surviving
from .options import CorpusOptions, DataOptions
from .recordings import groups_of
from .selection import balanced, first_values
from .splits import SUBSETS, Split, check_subsets, make_split
from .tags import holds_tags
from .tracks import Corpus, Progress, Track


@dataclasses.dataclass(frozen=True)
class Assigned:
    """Who takes part in a training, readable or not, and in which subset.

    classes: label values in the order of class indices; groups: as in `Prepared`, among those who take part.
    """

    corpus: Corpus
    classes: list[str]
    groups: Mapping[str, str]
    split: Split


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A corpus with its features, its split and its clips.

    classes: label values in the order of class indices; tracks, clips: by subset; short: ids of tracks shorter than a
    clip; groups: duplicate group of the track ids that are the same recording as another track of the corpus, which is
    the smallest audio digest of its members.
    """

    corpus: Corpus
    features: Features
    split: Split
    label: str
    classes: list[str]
    tracks: Mapping[str, list[Track]]
    clips: Mapping[str, ClipSet]
    short: list[str]
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def used(self, subset: str) -> list[Track]:
        """The tracks of a subset that have a clip."""
        return [self.tracks[subset][i] for i in np.unique(self.clips[subset].songs)]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the scores has to know."""
        warnings = [
            f"No song of {self.label} {_first(values)} is in subset {subset}." for subset, values in self.absent.items()
        ]
        if self.short:
            warnings.append(
                f"{len(self.short)} song(s) are shorter than one clip and left out: {', '.join(self.short[:3])}."
            )
        if self.features.quarantined:
            warnings.append(f"{len(self.features.quarantined)} file(s) could not be read: see quarantined.csv.")
        warnings += unlabelled_warnings(self.corpus, self.label)
        warnings += artist_warnings(self.corpus, self.split, self.label)
        return warnings + duplicate_warnings(self.corpus, self.groups, self.split, self.label)

    @property
    def absent(self) -> dict[str, list[str]]:
        """Side with songs -> label values of the corpus without a clip there: no song, or only shorter ones."""
        values = {track.label(self.label) for track in self.corpus.tracks}
        present = {subset: {self.classes[i] for i in self.clips[subset].y} for subset in SUBSETS if self.tracks[subset]}
        return {subset: sorted(values - there) for subset, there in present.items() if values - there}


def read_features(
    options: CorpusOptions,
    config: FeatureConfig,
    *,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
    audits: AuditStore | None = None,
) -> tuple[Corpus, Features]:
    """The labelled tracks of a corpus and their features, computed where the cache has none.

    Args:
        classes: Label values of an existing model; tracks of others are left out. None: all.
        audits: Where the audit of every readable track goes; without it none is made.

    Raises:
        InputError: There is no such corpus, or the model knows fewer than two of its label values.
    """
    corpus = corpora.load(options.data, progress).labelled(options.label)
    corpus = first_values(corpus, options.label, options.artists, options.songs_per_artist)
    if classes:
        corpus = known_to_model(corpus, options.label, classes)
    return corpus, featurize(corpus, config, workers=options.workers, progress=progress, audits=audits)


def known_to_model(corpus: Corpus, label: str, classes: Sequence[str]) -> Corpus:
    """The tracks whose label value is one of `classes`.

    Raises:
        InputError: Fewer than two values are.
    """
    values = {track.label(label) for track in corpus.tracks}
    known = values & set(classes)
    if len(known) < 2:
        some = f"Only {min(known)}" if known else "None"
        raise InputError(
            f"{some} of the {label}s of {corpus.name} ({_first(values)}) is known to the model; "
            f"it knows {_first(classes)}. Give a corpus with two or more of these {label}s, spelled as here."
        )
    return corpus.only(track for track in corpus.tracks if track.label(label) in known)


def _first(values: Collection[str]) -> str:
    """The first five by name."""
    return ", ".join(sorted(values)[:5]) + (" ..." if len(values) > 5 else "")


def assign(
    corpus: Corpus, features: Features, options: DataOptions, *, seed: int, classes: Sequence[str] | None = None
) -> Assigned:
    """Takes what is learned from out of a corpus and splits it.

    Args:
        seed: Of all draws, unless the options have a `split_seed`.
        classes: Label values of an existing model; tracks of others are left out. None: all of the corpus.

    Raises:
        InputError: The options leave too little of the corpus, it cannot be split so, or the model knows nobody of it.
    """
    label = options.label
    seed = options.split_seed_or(seed)
    fresh = not classes
    classes = list(classes) if classes else _learned(corpus, options, seed)
    corpus = known_to_model(corpus, label, classes)
    # Before unreadable files are dropped: one bad file must not move the others.
    if options.songs_per_artist:
        corpus = balanced(corpus, label, options.songs_per_artist, seed)
        classes = sorted({track.label(label) for track in corpus.tracks}) if fresh else classes
    groups = groups_of(corpus.tracks, features)
    split = make_split(
        corpus,
        options.split,
        label=label,
        seed=seed,
        folds=options.folds,
        fold=options.fold,
        balanced=bool(options.songs_per_artist),
        groups=groups,
    )
    return Assigned(corpus, classes, groups, split)


def prepare(
    corpus: Corpus,
    features: Features,
    options: DataOptions,
    *,
    seed: int,
    classes: Sequence[str] | None = None,
    required: Sequence[str] = SUBSETS,
) -> Prepared:
    """Splits the readable tracks and cuts them into clips.

    Args:
        seed, classes: See `assign`.
        required: Sides that must not be empty.

    Raises:
        InputError: Too much of the corpus is unreadable, or a subset would be empty.
    """
    assigned, label = assign(corpus, features, options, seed=seed, classes=classes), options.label
    classes, split, groups = assigned.classes, assigned.split, assigned.groups
    kept = surviving(assigned.corpus, features, label)
    check_subsets(split, kept, options.split, label, required)
    number = {name: i for i, name in enumerate(classes)}
    length = clip_frames(options.clip, features.config)
    tag_sets = classes if holds_tags(label) else ()
    tracks, clips, short = {}, {}, []
    for subset in SUBSETS:
        tracks[subset] = split.tracks(kept, subset)
        entries = [features.entries[track.track_id] for track in tracks[subset]]
        overlap = options.overlap if subset == "train" else 0.0
        y = [number[t.label(label)] for t in tracks[subset]]
        clips[subset], too_short = make_clips(
            entries, y, length, overlap=overlap, tag_sets=tag_sets, views=features.config.views
        )
        short += [tracks[subset][i].track_id for i in too_short]
    empty = [subset for subset in required if not len(clips[subset])]
    if empty:
        raise InputError(
            f"No song in subset {' and '.join(empty)} is as long as one clip of {options.clip:g} s. "
            "Take a shorter clip."
        )
    return Prepared(kept, features, split, label, classes, tracks, clips, short, groups)


def unlabelled_warnings(corpus: Corpus, label: str) -> list[str]:
    """How many tracks were left out for want of a value of the label."""
    if not corpus.unlabelled:
        return []
    return [f"{len(corpus.unlabelled)} track(s) have no {label} and are left out: {', '.join(corpus.unlabelled[:3])}."]


def artist_warnings(corpus: Corpus, split: Split, label: str) -> list[str]:
    """Whether the label follows from the artist, and the split lets artists be trained on and tested.

    A manifest's folds are its author's, and a split that tests every track trains on none.
    """
    if label == "artist" or split.name in ("artist", "manifest", "all"):
        return []
    values: dict[str, list[str]] = {}
    for track in corpus.tracks:
        if track.artist:
            values.setdefault(track.artist, []).append(track.label(label))
    alone = all(len(each) == 1 for each in values.values())
    if alone or any(len(set(each)) > 1 for each in values.values()):
        return []
    return [
        f"Every artist of {corpus.name} has one {label}: scores may tell artists, not {label}s. "
        f"Use split=artist, which takes three artists of a {label}."
    ]


def duplicate_warnings(corpus: Corpus, groups: Mapping[str, str], split: Split, label: str) -> list[str]:
    """How many duplicates there are, and `duplicate_conflicts`."""
    recordings = _by_recording(corpus, groups)
    if not recordings:
        return []
    many = "one recording" if len(recordings) == 1 else f"{len(recordings)} recordings"
    summary = f"{sum(map(len, recordings))} tracks are {many}: {_some(recordings)}."
    return [summary, *duplicate_conflicts(corpus, groups, split, label)]


def duplicate_conflicts(corpus: Corpus, groups: Mapping[str, str], split: Split, label: str) -> list[str]:
    """Recordings that stand in two subsets of a manifest, or under two labels or artists."""
    recordings, messages = _by_recording(corpus, groups), []
    torn = [tracks for tracks in recordings if len({split.subsets[t.track_id] for t in tracks}) > 1]
    if torn:
        messages.append(
            f"THE SAME RECORDING IS IN TWO SUBSETS of the fold column ({len(torn)} found): {_some(torn)}. "
            "Scores are too high by what the model remembers; give all copies one fold."
        )
    for column in dict.fromkeys((label, "artist")):
        torn = [tracks for tracks in recordings if len({t.label(column) for t in tracks}) > 1]
        if torn:
            messages.append(
                f"The same recording carries two values of {column} ({len(torn)} found): {_some(torn)}. "
                "Correct the label or remove the copy."
            )
    return messages


def _by_recording(corpus: Corpus, groups: Mapping[str, str]) -> list[list[Track]]:
    """The tracks of each duplicate group that has two or more here."""
    members: dict[str, list[Track]] = {}
    for track in corpus.tracks:
        if track.track_id in groups:
            members.setdefault(groups[track.track_id], []).append(track)
    return [tracks for tracks in members.values() if len(tracks) > 1]


def _some(groups: Sequence[Sequence[Track]]) -> str:
    """The first groups, the beginning of each."""
    names = []
    for tracks in groups[:3]:
        names.append(" = ".join(t.track_id for t in tracks[:3]) + (" = ..." if len(tracks) > 3 else ""))
    return "; ".join(names) + ("; ..." if len(groups) > 3 else "")


def with_overlap(prepared: Prepared, overlap: float) -> Prepared:
    """The same tracks with their training clips cut anew; nothing is read."""
    train, number = prepared.clips["train"], {name: i for i, name in enumerate(prepared.classes)}
    y = [number[track.label(prepared.label)] for track in prepared.tracks["train"]]
    views = prepared.features.config.views
    cut, _ = make_clips(train.entries, y, train.length, overlap=overlap, tag_sets=train.tag_sets, views=views)
    return dataclasses.replace(prepared, clips={**prepared.clips, "train": cut})


def _learned(corpus: Corpus, options: DataOptions, seed: int) -> list[str]:
    """Sorted label values but the first `leave_out` of them in the order of their digests."""
    values = sorted({track.label(options.label) for track in corpus.tracks})
    if options.leave_out and options.leave_out > len(values) - 2:
        raise InputError(
            f"leave_out={options.leave_out} leaves fewer than two of {len(values)} {options.label}s to learn."
        )
    order = sorted(values, key=lambda value: hashlib.sha256(f"{seed}\n{value}".encode()).digest())
    return sorted(order[options.leave_out :])


def split_table(prepared: Prepared) -> pd.DataFrame:
    """A row a track: who it is, its subset, its length in seconds, the digest of its audio, its duplicate group."""
    config = prepared.features.config
    rows = []
    for track in prepared.corpus.tracks:
        entry = prepared.features.entries[track.track_id]
        rows.append(
            {
                "track_id": track.track_id,
                "artist": track.artist,
                "album": track.album,
                "title": track.title,
                "label": track.label(prepared.label),
                "subset": prepared.split.subsets[track.track_id],
                "seconds": round(entry.n_frames * config.hop_length / config.sr, 2),
                "audio_sha256": entry.audio_digest,
                "duplicate_group": prepared.groups.get(track.track_id, ""),
            }
        )
    return pd.DataFrame(rows)


def quarantine_table(features: Features) -> pd.DataFrame:
    return pd.DataFrame(sorted(features.quarantined.items()), columns=["track_id", "reason"])


def corpus_digest(table: pd.DataFrame) -> str:
    """Sixteen hex digits over ids, labels and audio bytes of all tracks of `split_table`."""
    rows = table[["track_id", "label", "audio_sha256"]].sort_values("track_id").itertuples(index=False)
    return hashlib.sha256("\n".join("\t".join(row) for row in rows).encode()).hexdigest()[:16]
