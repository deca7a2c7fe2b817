"""Who is trained on, validated on and tested on: a function of track ids and a seed, and of nothing else.

Song and album split as Nasrullah and Zhao: songs 90/10 by artist, twice; or one album of each artist to test, one to
validation. An artist split, for labels that are not artists, assigns whole artists as the song split assigns songs.
The order is that of SHA-256 digests, so neither a random generator nor a folder listing has a say.

Tracks of one recording (`recordings.py`) stand in one subset. The songs or albums that share one are joined,
whole, before anything is assigned, and assigned as the one of them that comes first by name: an album stays in one
subset, and a corpus without duplicates is assigned as if nobody had looked. A compilation of an artist's own albums
therefore joins them all, which leaves that artist too few to assign: warnings and `check` name it. Where two artists
(or labels) share a recording, what is joined is assigned among those of the first by name: in an artist split, all that
either artist has. A manifest's folds are never changed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from ..errors import InputError
from .options import check_fold, check_label_of_split
from .recordings import joined
from .tags import holds_tags
from .tracks import Corpus, Track

SUBSETS = ("train", "val", "test")
SPLITS = ("song", "album", "artist", "manifest", "kfold", "all")
_SPELLINGS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "val"
)


@dataclasses.dataclass(frozen=True)
class Split:
    """The subset of every track id, and the value of `SPLITS` that assigned it."""

    subsets: Mapping[str, str]
    name: str = dataclasses.field(default="", compare=False)

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change when any track changes subsets."""
        lines = "\n".join(f"{track}\t{subset}" for track, subset in sorted(self.subsets.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def tracks(self, corpus: Corpus, subset: str) -> list[Track]:
        return [track for track in corpus.tracks if self.subsets.get(track.track_id) == subset]


def make_split(
    corpus: Corpus,
    split: str,
    *,
    label: str = "artist",
    seed: int = 0,
    folds: int = 5,
    fold: int = 0,
    balanced: bool = False,
    groups: Mapping[str, str] | None = None,
) -> Split:
    """Assigns the tracks of a corpus to train, val and test.

    Args:
        split: `song` (stratified by `label`), `album` (by artist), `artist` (whole artists, stratified by the value of
            `label` that most of their songs have; one stratum where the label holds tags), `kfold` (albums of an artist
            assigned to `folds` folds, `fold` tested, the next one validated), `manifest` (its fold column), or `all`
            (every track is tested: nothing is left to train on).
        balanced: All values of `label` have equally many songs: the song split is Park et al.'s, 15/3/2 of 20.
        groups: Group of the track ids that are the same recording as another.

    Raises:
        InputError: Unknown split, a fold that does not exist, a manifest without folds, or an artist split for
            label=artist or of tracks without an artist.
    """
    groups = groups or {}
    if split == "song":
        shares = functools.partial(_shares, balanced=balanced)
        subsets = _assigned(corpus, lambda t: t.label(label), lambda t: t.track_id, seed, shares, groups)
    elif split == "album":
        subsets = _assigned(corpus, lambda t: t.artist, _album, seed, _one_each, groups)
    elif split == "artist":
        check_label_of_split(split, label)
        shares, strata = functools.partial(_shares, balanced=False), _artist_strata(corpus, label)
        subsets = _assigned(corpus, lambda t: strata[t.artist], lambda t: t.artist, seed, shares, groups)
    elif split == "kfold":
        check_fold(folds, fold)
        subsets = _assigned(corpus, lambda t: t.artist, _album, seed, lambda n: _fold_subsets(n, folds, fold), groups)
    elif split == "manifest":
        subsets = {track.track_id: _manifest_subset(track) for track in corpus.tracks}
    elif split == "all":
        subsets = dict.fromkeys((track.track_id for track in corpus.tracks), "test")
    else:
        raise InputError(f"split={split} is unknown; choose one of {', '.join(SPLITS)}.")
    return Split(subsets, split)


def check_subsets(split: Split, corpus: Corpus, name: str, label: str, required: Sequence[str] = SUBSETS) -> None:
    """Raises InputError where a required subset has fewer than two values of `label`."""
    values = {subset: {track.label(label) for track in split.tracks(corpus, subset)} for subset in required}
    short = [subset for subset in required if len(values[subset]) < 2]
    if not short:
        return
    why = {
        "song": "an artist needs three songs to stand in all subsets",
        "album": "an artist needs three albums to stand in all subsets",
        "artist": f"a {label} needs three artists to stand in all subsets",
        "kfold": "an artist needs as many albums as there are folds to stand in all subsets of each",
        "manifest": "its fold column says so",
        "all": "it tests every track",
    }[name]
    raise InputError(
        f"split={name} leaves fewer than two {label}s on {' and '.join(short)} of {corpus.name}: {why}. "
        "Use another split (song, album, artist, kfold, manifest) or add music."
    )


def _artist_strata(corpus: Corpus, label: str) -> dict[str, str]:
    """Artist -> the value of `label` that most of the artist's songs have, the first by name among equals.

    Tags overlap, so that few artists have the same ones: all are in one stratum.
    """
    if nameless := [track.track_id for track in corpus.tracks if not track.artist]:
        raise InputError(
            f"split=artist: {len(nameless)} of {len(corpus.tracks)} tracks of {corpus.name} have no artist, the first "
            f"{nameless[0]}. Name the artist of each, or choose another split."
        )
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for track in corpus.tracks:
        values[track.artist]["" if holds_tags(label) else track.label(label)] += 1
    return {artist: min(counts, key=lambda value: (-counts[value], value)) for artist, counts in values.items()}


def _album(track: Track) -> str:
    """Two artists' albums of one name are two albums."""
    return f"{track.artist}\n{track.album}"


Unit = tuple[str, str]


def _assigned(
    corpus: Corpus,
    stratum: Callable[[Track], str],
    unit: Callable[[Track], str],
    seed: int,
    assign: Callable[[int], list[str]],
    groups: Mapping[str, str],
) -> dict[str, str]:
    """Assigns units (songs, albums or artists), whole, within each stratum, in the order of their digests."""
    units: dict[Unit, list[Track]] = defaultdict(list)
    for track in corpus.tracks:
        units[stratum(track), unit(track)].append(track)
    strata: dict[str, dict[str, list[Track]]] = defaultdict(lambda: defaultdict(list))
    for own, (home, name) in _joined(units, groups).items():
        strata[home][name] += units[own]
    subsets: dict[str, str] = {}
    for assigned in strata.values():
        order = sorted(assigned, key=lambda u: hashlib.sha256(f"{seed}\n{u}".encode()).digest())
        for name, subset in zip(order, assign(len(order)), strict=True):
            subsets |= {track.track_id: subset for track in assigned[name]}
    return subsets


def _joined(units: Mapping[Unit, list[Track]], groups: Mapping[str, str]) -> dict[Unit, Unit]:
    """The first by name of the units that duplicates join a unit to: itself where there are none."""
    members: dict[str, list[Unit]] = defaultdict(list)
    for unit, tracks in units.items():
        for group in {groups[track.track_id] for track in tracks if track.track_id in groups}:
            members[group].append(unit)
    return joined([*([unit] for unit in units), *members.values()])


def _shares(n: int, balanced: bool) -> list[str]:
    """A tenth to test and a tenth of the rest to validation, or two and three of twenty; one each where there are two
    or three."""
    test = max(1, round(0.1 * n)) if n > 1 else 0
    val = max(1, round(0.15 * n if balanced else 0.1 * (n - test))) if n > 2 else 0
    return ["test"] * test + ["val"] * val + ["train"] * (n - test - val)


def _one_each(n: int) -> list[str]:
    return (["test"] * (n > 1) + ["val"] * (n > 2) + ["train"] * n)[:n]


def _fold_subsets(n: int, folds: int, fold: int) -> list[str]:
    special = {fold: "test", (fold + 1) % folds: "val"}
    return [special.get(i % folds, "train") for i in range(n)]


def _manifest_subset(track: Track) -> str:
    subset = _SPELLINGS.get(track.fold.lower())
    if subset is None:
        raise InputError(
            f"split=manifest: {track.track_id} has fold '{track.fold}'; the manifest needs a column fold with "
            "train, val or test in every row. Or choose split=song, album or kfold."
        )
    return subset
