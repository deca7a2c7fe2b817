"""Several systems behind one model: each has features of its own, and their log-probabilities are averaged.

Card: a member's probabilities of a song are the softmax of the mean log-probabilities of its clips, calibrated by a
temperature fitted on validation where there are such songs; the ensemble's are the softmax of the members' weighted
mean (Kittler et al. 1998, product rule).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from ..audio.lengths import batch_size, clip_frames
from ..audio.options import FeatureConfig, JointConfig, longest
from ..errors import InputError
from . import base, find, fitted
from .lazy import np
from .options import typed

if TYPE_CHECKING:
    from ..data.clipset import ClipSet, JointClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks
    from ..training.training import Training

# Probabilities below this say nothing more.
LEAST = 1e-6


@dataclasses.dataclass(frozen=True)
class Member:
    """One system of an ensemble: its weight, its options by name, and all parameters that are given for it."""

    name: str
    weight: float
    given: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Member:
        """A member as text: `timbre`, `0.5*timbre:features=patches:seed=1`.

        Raises:
            InputError: It is no such text, or names no system that an ensemble can have.
        """
        first, *given = (word.strip() for word in text.split(":"))
        weight, times, name = first.rpartition("*")
        try:
            member = cls(name.strip(), float(weight) if times else 1.0, dict(each.split("=", 1) for each in given))
        except ValueError:
            raise InputError(f"members: '{text.strip()}' is not of the form weight*system:name=value.") from None
        if not 0 < member.weight < float("inf"):
            raise InputError(f"members: the weight of '{text.strip()}' must be above 0.")
        if member.name in ("ensemble", "tag_dcnn"):
            raise InputError(f"members: {member.name} cannot be a member of an ensemble.")
        return member

    @property
    def system(self) -> type[base.System]:
        return find(self.name)

    @property
    def options(self) -> Any:
        """Its Config."""
        return typed(self.system.Config, self.given)

    @property
    def values(self) -> dict[str, Any]:
        """Parameters that differ from the project's defaults."""
        return {**self.system.defaults(self.options), **self.given}

    def view(self, crop: float | None) -> tuple[FeatureConfig, int]:
        """Its features, of the centre `crop` seconds, and its frames a clip."""
        features = typed(FeatureConfig, {**self.values, "crop": crop})
        clip = float(self.values.get("clip", DEFAULT_CLIP))
        self.system.check_input(clip, features, self.options)
        return features, clip_frames(clip, features)

    def new(self) -> base.System:
        values = {**dataclasses.asdict(self.view(None)[0]), **dataclasses.asdict(self.options)}
        return self.system(**{name: values[name] for name in self.system.option_names()})

    def training(self, seed: int) -> Training:
        from ..training.training import Training

        return typed(Training, {"seed": seed, **self.values})

    def check_names(self) -> None:
        """Raises InputError where a parameter is given that a member cannot have."""
        from ..training.training import Training

        groups = (self.system.Config, FeatureConfig, Training)
        known = {field.name for group in groups for field in dataclasses.fields(group)} | {"clip"}
        if unknown := sorted(set(self.given) - known | set(self.given) & {"crop"}):
            raise InputError(
                f"members: {self.name} cannot have {unknown[0]}; a member has {', '.join(sorted(known - {'crop'}))}."
            )


DEFAULT_CLIP = 5.0


def members_of(text: str) -> list[Member]:
    """The members of `timbre+0.5*vectors:front_end=siamese`. Raises InputError as `Member.of`, or there is only one."""
    members = [Member.of(part) for part in text.split("+")]
    if len(members) < 2:
        raise InputError(f"members={text}: an ensemble has two members or more, with + between them.")
    return members


@dataclasses.dataclass(frozen=True)
class Config:
    """The members of the ensemble."""

    members: Annotated[
        str, "systems with + between them, each weight*system:name=value:...; without weight 1, without values its own"
    ] = "vectors+vectors:front_end=siamese:head_c=0.01"

    def __post_init__(self) -> None:
        for member in members_of(self.members):
            _ = member.options


class System(base.System):
    Config = Config
    unit = "song"
    in_epochs = False
    fitted = ("num_classes", "temperatures")
    space: ClassVar = {}

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.members = members_of(self.config.members)
        self.systems = [member.new() for member in self.members]
        self.temperatures = [1.0] * len(self.members)
        # Of whose clips there is a row each.
        self.first = longest([member.view(None) for member in self.members])

    @classmethod
    def defaults(cls, options: Any) -> dict[str, object]:
        """Features and clip of the member that needs the longest tracks: the clips that are counted are its own."""
        members = members_of(options.members)
        for member in members:
            member.check_names()
        views = [member.view(None) for member in members]
        first = longest(views)
        return {**dataclasses.asdict(views[first][0]), "clip": float(members[first].values.get("clip", DEFAULT_CLIP))}

    @classmethod
    def joined(cls, features: FeatureConfig, options: Any) -> FeatureConfig:
        """Raises InputError where one but `crop` is not that of the longest member: they have features of their own."""
        for name, value in cls.defaults(options).items():
            if name not in ("clip", "crop") and getattr(features, name) != value:
                raise InputError(f"{name}={getattr(features, name)}: members have features of their own. Leave it out.")
        return JointConfig.join([member.view(features.crop) for member in members_of(options.members)])

    @classmethod
    def modules(cls, options: Mapping[str, Any]) -> list[str]:
        return [member.name for member in members_of(options["members"])]

    @classmethod
    def least(cls, options: Any = None) -> tuple[int, int]:
        """What the member that needs the longest tracks has."""
        views = [member.view(None) for member in members_of((options or cls.Config()).members)]
        config, frames = views[longest(views)]
        return frames, config.n_mels

    @classmethod
    def check_input(cls, clip: float, config: FeatureConfig, options: Any = None) -> None:
        """Raises InputError where the clip is not that of the longest member."""
        super().check_input(clip, config, options)
        if clip != cls.defaults(options or cls.Config())["clip"]:
            raise InputError(f"clip={clip:g}: the members of the ensemble have clips of their own. Leave it out.")

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..training import once

        self.num_classes = num_classes
        return once.fit(lambda: self.learn(train, val, training, hooks), self.scores, train, val, self.unit, hooks)

    def learn(self, train: Any, val: Any, training: Training, hooks: Hooks) -> None:
        for i, (member, system) in enumerate(zip(self.members, self.systems, strict=True)):
            print(f"member {i + 1} of {len(self.systems)}: {member.name}", flush=True)
            own = member.training(training.seed + i)
            system.fit(train.members[i], val.members[i], self.num_classes, own, hooks.of_part(f"member{i}"))
        if len(val):
            self.temperatures = [self.temperature(i, val) for i in range(len(self.systems))]

    def temperature(self, i: int, val: JointClipSet) -> float:
        from ..evaluation.calibration import fit_temperature

        logs = np.stack([self.heard(i, clips[i])[0] for clips in val.song_batches()])
        return fit_temperature(val.song_y, _softmax(logs))

    def heard(self, i: int, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean log-probabilities (num_classes,) of a member of a song's clips, and its mean embedding (d,)."""
        system, size = self.systems[i], batch_size(clips.shape[1])
        whole = system.unit == "song"
        parts = [clips] if whole else [clips[start : start + size] for start in range(0, len(clips), size)]
        proba, embedding = system.scores(parts)
        return np.log(np.maximum(proba, LEAST)).mean(0, dtype=float), embedding.mean(0, dtype=float)

    def scores(self, batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Batches, each of one song a tuple of the members' clips -> rows for the clips of the longest member."""
        probabilities, embeddings = [], []
        for song in batches:
            heard = [self.heard(i, clips) for i, clips in enumerate(song)]
            logs = np.stack([logs for logs, _ in heard]) / np.array(self.temperatures)[:, None]
            weights = np.array([member.weight for member in self.members])
            proba = _softmax((weights / weights.sum()) @ _log_softmax(logs))
            vector = np.concatenate([each / max(np.linalg.norm(each), LEAST) for _, each in heard])
            rows = len(song[self.first])
            probabilities.append(np.tile(proba.astype(np.float32), (rows, 1)))
            embeddings.append(np.tile(vector.astype(np.float32), (rows, 1)))
        return np.concatenate(probabilities), np.concatenate(embeddings)

    def count_params(self) -> int:
        return sum(system.count_params() for system in self.systems)

    def save(self, folder: Path) -> None:
        for i, system in enumerate(self.systems):
            (folder / f"member{i}").mkdir()
            system.save(folder / f"member{i}")
        fitted.save(folder, self)

    def load(self, folder: Path) -> None:
        for i, system in enumerate(self.systems):
            system.load(folder / f"member{i}")
        fitted.load(folder, self)


def _log_softmax(logs: np.ndarray) -> np.ndarray:
    return logs - np.logaddexp.reduce(logs, axis=-1, keepdims=True)


def _softmax(logs: np.ndarray) -> np.ndarray:
    return np.exp(_log_softmax(logs))
