"""A fitted system in a folder: its own files, and one JSON with everything needed to use it on audio."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..audio.features import FeatureConfig
from ..systems import find
from ..systems.protocol import System

CARD = "system.json"


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
        return FeatureConfig(**self.features)


def save(folder: Path, system: System, card: Card) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system.save(folder)
    text = json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text, encoding="utf-8")


def load_card(folder: Path) -> Card:
    return Card(**json.loads((folder / CARD).read_text(encoding="utf-8")))


def load(folder: Path) -> tuple[System, Card]:
    card = load_card(folder)
    system = find(card.model)(**card.options)
    system.load(folder)
    return system, card
