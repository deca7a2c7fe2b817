"""A fitted system in a folder: its own files, and one JSON with everything needed to use it on audio."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .audio.features import FeatureConfig
from .systems import find
from .systems.protocol import System

CARD = "system.json"


@dataclasses.dataclass(frozen=True)
class Card:
    """What a fitted system is.

    model, options: its name and Config; features: its FeatureConfig; clip_frames: frames a clip; classes: label values
    in the order of its outputs; settings: all parameters of its training; songs: SHA-256 of the audio by side.
    """

    model: str
    options: Mapping[str, Any]
    features: Mapping[str, Any]
    clip_frames: int
    label: str
    classes: list[str]
    settings: Mapping[str, Any]
    songs: Mapping[str, list[str]]

    @property
    def feature_config(self) -> FeatureConfig:
        return FeatureConfig(**self.features)


def save(folder: Path, system: System, card: Card) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system.save(folder)
    text = json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text, encoding="utf-8")


def load(folder: Path) -> tuple[System, Card]:
    card = Card(**json.loads((folder / CARD).read_text(encoding="utf-8")))
    system = find(card.model)(**card.options)
    system.load(folder)
    return system, card
