"""What is read and how it is split: the options, and checks that options of other parts share."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from .machine import processes
from .splits import check_fold


@dataclasses.dataclass(frozen=True)
class CorpusOptions:
    """What is read: corpus, label, so many values of the label alone; processes that compute features.

    songs_per_artist: keep so many songs of each value of the label, and no value with fewer (Park et al.: 20).
    """

    data: str = "demo"
    label: str = "artist"
    # Park et al.: 500 to 10,000.
    artists: int | None = None
    songs_per_artist: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        processes(self.workers)
        if self.songs_per_artist is not None and self.songs_per_artist < 1:
            raise InputError(f"songs_per_artist={self.songs_per_artist} must be at least 1; leave it out for all.")


@dataclasses.dataclass(frozen=True)
class DataOptions(CorpusOptions):
    """What is learned from: a corpus, its split, length of a clip in seconds.

    folds, fold: of split=kfold alone; split_seed: seed of the split, where that is not to change with `seed`; overlap:
    share of a training clip that is in the next one too (validation and test clips are disjoint).
    leave_out: so many values of the label, drawn by the seed, are no part of the training: to be enrolled later.
    """

    split: typing.Literal["song", "album", "manifest", "kfold", "all"] = "album"
    folds: int = 5
    fold: int = 0
    clip: float = 5.0
    leave_out: int = 0
    split_seed: int | None = None
    overlap: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_folds(self)
        if not 0 <= self.overlap < 1:
            raise InputError(f"overlap={self.overlap:g} must be at least 0 and below 1, for example overlap=0.5.")
        if self.split_seed is not None:
            check_seed(self.split_seed, "split_seed")
        if self.leave_out < 0:
            raise InputError(f"leave_out={self.leave_out} must be 0 or more.")
        if not self.clip > 0:
            raise InputError(f"clip={self.clip:g} must be a positive number of seconds, for example clip=3.")

    def split_seed_or(self, seed: int) -> int:
        """The seed of the split where that of the run is `seed`."""
        return seed if self.split_seed is None else self.split_seed


def check_seed(seed: int, name: str = "seed") -> None:
    """Raises InputError for a number that NumPy or TensorFlow would not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"{name}={seed} must be from 0 to 4294967295.")


def refuse(options: object, names: Sequence[str], where: str) -> None:
    """Raises InputError where one of the fields `names` is set; its default is no such word.

    Args:
        where: What they mean nothing with, a phrase of the sentence.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in names and value != field.default:
            raise InputError(f"{field.name}={as_given(value)} means nothing {where}. Leave it out.")


def check_folds(options: object) -> None:
    """Raises InputError for folds that cannot be, or that are chosen for a split that has none."""
    if options.split == "kfold":
        check_fold(options.folds, options.fold)
    else:
        refuse(options, ("folds", "fold"), f"with split={options.split}, only with split=kfold")


def as_given(value: Any) -> str:
    """A value as it is given."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def field_names(*groups: type) -> list[str]:
    return [field.name for group in groups for field in dataclasses.fields(group)]
