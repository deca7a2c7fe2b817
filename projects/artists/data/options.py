"""What is read and how it is split: the options, and checks that options of other parts share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from ..errors import InputError
from .machine import processes

# Stands at a field that says how a run is made or shown and changes none of its scores: no part of its identity.
NO_IDENTITY = "no identity"
# What means nothing with another split.
OF_KFOLD = ("folds", "fold", "album_order")
# Every fold, each in a run of its own.
ALL = "all"


@dataclasses.dataclass(frozen=True)
class CorpusOptions:
    """Corpus: what is read."""

    data: Annotated[str, "demo, demo30, a folder, a manifest (.csv, .parquet) or s3://bucket/prefix"] = "demo"
    label: Annotated[str, "the column that is learned"] = "artist"
    # Park et al.: 500 to 10,000.
    artists: Annotated[int | None, "so many values of the label, the first by the digest of their names; none: all"] = (
        None
    )
    songs_per_artist: Annotated[int | None, "so many songs of each value, and no value with fewer; none: all"] = None
    workers: Annotated[int | None, "processes that compute features; none: one a core", NO_IDENTITY] = None

    def __post_init__(self) -> None:
        processes(self.workers)
        if self.songs_per_artist is not None and self.songs_per_artist < 1:
            raise InputError(f"songs_per_artist={self.songs_per_artist} must be at least 1; leave it out for all.")


@dataclasses.dataclass(frozen=True)
class DataOptions(CorpusOptions):
    """Data: what is read, how it is split, how it is cut into clips."""

    split: Annotated[
        Literal["song", "album", "artist", "manifest", "kfold", "all"],
        "who is tested: songs 90/10 by label, twice; an album of each artist; artists 90/10 by label, twice (for other "
        "labels); the manifest's fold column; a fold of albums; all tracks (evaluate alone)",
    ] = "album"
    folds: Annotated[int, "number of folds, of split=kfold alone"] = 5
    fold: Annotated[str, "the fold that is tested, or all: each in a run of its own, their answers pooled"] = "0"
    album_order: Annotated[
        Literal["digest", "name"], "in which an artist's albums are assigned to folds, of split=kfold alone"
    ] = "digest"
    validation: Annotated[
        Literal["split", "none", "inner"],
        "songs that choose epochs and calibrate: as the split assigns; none, they are learned from too; those and all "
        "training songs, each by a model of three that has not learned it",
    ] = "split"
    clip: Annotated[float, "seconds of a clip; 1, 3, 5, 6, 10, 20, 30 have the published frame counts"] = 5.0
    leave_out: Annotated[int, "so many values of the label that are not learned, to be enrolled later"] = 0
    split_seed: Annotated[int | None, "seed of the split, where it is not to change with seed"] = None
    overlap: Annotated[float, "share of a training clip that is in the next one too"] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_folds(self)
        check_label_of_split(self.split, self.label)
        if not 0 <= self.overlap < 1:
            raise InputError(f"overlap={self.overlap:g} must be at least 0 and below 1, for example overlap=0.5.")
        if self.split_seed is not None:
            check_seed(self.split_seed, "split_seed")
        if self.leave_out < 0:
            raise InputError(f"leave_out={self.leave_out} must be 0 or more.")
        if not self.clip > 0:
            raise InputError(f"clip={self.clip:g} must be a positive number of seconds, for example clip=3.")

    @property
    def required(self) -> tuple[str, ...]:
        """Subsets that must not be empty."""
        return ("train", "val", "test") if self.validation == "split" else ("train", "test")

    def split_seed_or(self, seed: int) -> int:
        """The seed of the split where that of the run is `seed`."""
        return seed if self.split_seed is None else self.split_seed


def check_seed(seed: int, name: str = "seed") -> None:
    """Raises InputError for a number that NumPy or TensorFlow would not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"{name}={seed} must be from 0 to 4294967295.")


def check_fold(folds: int, fold: int) -> None:
    """Raises InputError for folds that cannot be assigned, or a fold that is none of them."""
    if not (folds >= 3 and 0 <= fold < folds):
        raise InputError(f"folds={folds}, fold={fold}: folds must be at least 3 and fold from 0 to folds - 1.")


def check_label_of_split(split: str, label: str) -> None:
    """Raises InputError for artists that are to be learned from songs of other artists."""
    if split == "artist" and label == "artist":
        raise InputError(
            "split=artist tests artists that are not trained on, so label=artist cannot be learned with it. "
            "Give another label, or another split: song, album, kfold or manifest."
        )


def refuse(options: Any, names: Sequence[str], where: str) -> None:
    """Raises InputError where one of the fields `names` is set; its default is no such word.

    Args:
        where: What they mean nothing with, a phrase of the sentence.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in names and value != field.default:
            raise InputError(f"{field.name}={as_given(value)} means nothing {where}. Leave it out.")


def check_folds(options: Any) -> None:
    """Raises InputError for folds that cannot be, or that are chosen for a split that has none."""
    if options.split != "kfold":
        refuse(options, OF_KFOLD, f"with split={options.split}, only with split=kfold")
    elif options.fold != ALL:
        check_fold(options.folds, whole_number("fold", options.fold))


def whole_number(name: str, text: str | int) -> int:
    """Raises InputError where it is none."""
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name}={text} is not a whole number.") from None


def as_given(value: Any) -> str:
    """A value as it is given."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def field_names(*groups: type) -> list[str]:
    return [field.name for group in groups for field in dataclasses.fields(group)]
