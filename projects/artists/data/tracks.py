"""What a corpus is: tracks with their labels, named the same on every machine."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Protocol

from ..errors import InputError


class Progress(Protocol):
    """Told how many of all files are done, and of what, where it is not the work that it was made for."""

    def __call__(self, done: int, total: int, what: str = ..., /) -> None: ...


@dataclasses.dataclass(frozen=True)
class Track:
    """A file of music. `track_id` is its NFC-normalised POSIX path relative to the corpus."""

    track_id: str
    path: Path
    artist: str
    album: str = ""
    title: str = ""
    fold: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def label(self, name: str) -> str:
        """The value of a label column; empty when the track has none."""
        return getattr(self, name) if name in ("artist", "album", "title", "fold") else self.labels.get(name, "")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Tracks in the order of their ids; unlabelled: ids of those that were left out for want of a label."""

    name: str
    tracks: tuple[Track, ...]
    unlabelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = Counter(track.track_id for track in self.tracks)
        if len(counts) < len(self.tracks):
            twice = sorted(name for name, count in counts.items() if count > 1)[:3]
            raise InputError(f"{self.name} names the same track twice: {', '.join(twice)}. Remove one of each.")
        object.__setattr__(self, "tracks", tuple(sorted(self.tracks, key=lambda track: track.track_id)))

    @property
    def label_columns(self) -> list[str]:
        """Names that `label=` can take here."""
        extra = {name for track in self.tracks for name in track.labels}
        return ["artist", "album", *sorted(extra)]

    def check_label(self, label: str) -> None:
        """Raises InputError where there is no such column."""
        if label not in self.label_columns:
            raise InputError(f"label={label} is no column of {self.name}; it has {', '.join(self.label_columns)}.")

    def labelled(self, label: str) -> Corpus:
        """The tracks that carry a value of `label`; the ids of the others are kept.

        Raises:
            InputError: The column is unknown, or fewer than two of its values are there.
        """
        self.check_label(label)
        kept = tuple(track for track in self.tracks if track.label(label))
        values = {track.label(label) for track in kept}
        if len(values) < 2:
            raise InputError(
                f"{self.name} holds {len(values)} {label}{' (' + values.pop() + ')' if values else 's'}; "
                f"a classifier needs at least two. Add music of another {label}, or choose another label: "
                f"{', '.join(self.label_columns)}."
            )
        return Corpus(self.name, kept, tuple(track.track_id for track in self.tracks if not track.label(label)))

    def only(self, tracks: Iterable[Track]) -> Corpus:
        """The same corpus with no more than these of its tracks."""
        return dataclasses.replace(self, tracks=tuple(tracks))


def track_id(relative: PurePath) -> str:
    """The id of a file at `relative` to its corpus: the same whether the file system composes accents or not."""
    return nfc(relative.as_posix())


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken; adds what it returns.

    Two files may have one id: their names differ in Unicode form or in the spelling of their bytes alone.

    Examples:
        >>> taken = {"a.mp3"}
        >>> [free_name(name, taken) for name in ("a.mp3", "b.mp3", "a.mp3")]
        ['a.mp3 (2)', 'b.mp3', 'a.mp3 (3)']
    """
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    taken.add(free)
    return free


def nfc(name: str) -> str:
    r"""A file name as NFC text; bytes in it that are no UTF-8, as in old collections, are spelled \xNN."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
