"""A fitted system in a folder: its own files, and one JSON with everything needed to use it on audio."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..audio.options import FeatureConfig
from ..errors import InputError
from ..systems import find

if TYPE_CHECKING:
    from ..systems.base import System

CARD = "system.json"
# 1 is that of cards without a number, which say nothing of the version of the features either; from 3 on, what
# scikit-learn has fitted lies in a file of skops.
FORMAT = 3


@dataclasses.dataclass(frozen=True)
class Card:
    """What a fitted system is.

    model, options: its name and Config; features: its FeatureConfig; clip_frames: frames a clip; classes: label values
    in the order of its outputs; settings: all parameters of its training; songs: SHA-256 of the audio by subset;
    groups: audio digest -> duplicate group, where a song has duplicates; temperatures: what calibrates the
    probabilities of single clips (`clip`) and of songs of several (`song`).
    """

    model: str
    options: Mapping[str, Any]
    features: Mapping[str, Any]
    clip_frames: int
    label: str
    classes: list[str]
    settings: Mapping[str, Any]
    songs: Mapping[str, list[str]]
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    temperatures: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"clip": 1.0, "song": 1.0})

    def subset_digest(self, subset: str) -> str:
        """Sixteen hex digits that change with any song of a subset."""
        return hashlib.sha256("\n".join(sorted(self.songs[subset])).encode()).hexdigest()[:16]

    @property
    def feature_config(self) -> FeatureConfig:
        return FeatureConfig.of(self.features)


def save(folder: Path, system: System, card: Card) -> None:
    """Writes the files of a fitted system and its card, with the format and the version of the features."""
    folder.mkdir(parents=True, exist_ok=True)
    system.save(folder)
    content = {"format": FORMAT, "features_version": card.feature_config.version} | dataclasses.asdict(card)
    (folder / CARD).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def load(folder: Path) -> tuple[System, Card]:
    """The system and the card of a folder that `save` wrote, to be used with the features of this code.

    Raises InputError as `load_card`; or the system was fitted to features of another version, or has other options.
    """
    card, version = _read(folder)
    if version != card.feature_config.version:
        raise InputError(
            f"The model was fitted to features of version {version or 'unknown'}, this code computes version "
            f"{card.feature_config.version}: its answers would be wrong. Train it anew, or use `score`, `promote` or a "
            "server, where it runs the code that it carries."
        )
    try:
        system = find(card.model)(**card.options)
    except TypeError as error:
        raise InputError(f"{card.model} has other options in this version: {error}. Train the model anew.") from error
    system.load(folder)
    return system, card


def load_card(folder: Path) -> Card:
    """The card alone, of a system that this code need not run.

    Raises InputError where there is none, it is of a newer format, or it holds what this code does not know.
    """
    return _read(folder)[0]


def _read(folder: Path) -> tuple[Card, int | None]:
    """The card, and the version of the features that the system was fitted to, None where nothing tells it."""
    try:
        content = json.loads((folder / CARD).read_text(encoding="utf-8"))
        number = content.pop("format", 1)
        if number not in range(1, FORMAT + 1):
            raise ValueError(f"it has format {number}, this code reads formats up to {FORMAT}")
        version = content.pop("features_version") if number > 1 else _version_of_code(folder.parent / "package")
        card = Card(**content)
        card.feature_config  # noqa: B018
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).replace("Card.__init__() ", "").replace("FeatureConfig.__init__() ", "")
        raise InputError(
            f"{CARD} of the model cannot be read: {reason}. Use the version of this project that trained it, or train "
            "it anew."
        ) from error
    return card, version


def _version_of_code(package: Path) -> int | None:
    """The version of the features in the copy of the code that a model carries."""
    for file in package.glob("audio/*.py"):
        if match := re.search(r"^VERSION = (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE):
            return int(match[1])
    return None
