"""Parameters: one name each, from flags, a configuration file, a recipe or a default, in this order."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..audio.features import FeatureConfig
from ..data.options import DataOptions, as_given, check_seed, field_names
from ..errors import InputError, command
from ..evaluation.options import EvaluationOptions
from ..systems import find
from ..training.training import RECIPES, Training

T = TypeVar("T")
FIXED_BY_MODEL = ("label", "clip", "overlap", "leave_out")
# Say how a training is made and shown, and change none of its scores.
NO_IDENTITY = ("workers", "config", "resume", "log_audio", "tsne_split")


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where parameters come from. model: a system; recipe: a named set of values; config: a YAML file of values."""

    model: str = "crnn"
    recipe: str = "published"
    config: str | None = None
    resume: str | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """Every parameter of a run with the value that is used."""

    values: Mapping[str, Any]

    def given(self, names: Sequence[str]) -> dict[str, Any]:
        """The values of `names` that are set."""
        return {name: self.values[name] for name in names if self.values[name] is not None}

    def make(self, cls: type[T]) -> T:
        """A dataclass from the values of its fields."""
        return cls(**{name: self.values[name] for name in field_names(cls)})

    def changed(self, *groups: type) -> dict[str, Any]:
        """The values of the fields of `groups` that are not the fields' own defaults."""
        fields = [field for group in groups for field in dataclasses.fields(group)]
        return {field.name: self.values[field.name] for field in fields if self.values[field.name] != field.default}

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse_flags(argv: Sequence[str]) -> dict[str, str]:
    """`--name value` and `--name=value` to a mapping; hyphens in names are underscores."""
    flags, rest = {}, list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) < 3:
            raise InputError(f"'{word}' was given where --name value was expected.")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"--{name} has no value; give --{name} value.")
            value = rest.pop(0)
        flags[name.replace("-", "_")] = value
    return flags


def train_settings(flags: Mapping[str, Any]) -> Settings:
    """Settings of a training.

    Args:
        flags: Text, or values of a field's type.

    Raises:
        InputError: An unknown name, a value that is not of its type or makes no sense, or one that changes nothing.
    """
    settings = loose_settings(flags)
    refuse_unused(settings)
    return settings


def loose_settings(flags: Mapping[str, Any], more: Sequence[type] = ()) -> Settings:
    """Settings of a training, whether or not all that is given changes anything.

    Args:
        more: Dataclasses of a verb whose options stand beside those of a training.
    """
    # A resumed run hands over its parameters as text, "None" among them.
    config = _cast("config", flags.get("config"), str | None)
    file = read_config(config) if config else {}
    given = {**file, **flags}
    sources = _typed(Sources, given)
    system = find(sources.model)
    if sources.recipe not in RECIPES:
        raise InputError(f"recipe={sources.recipe} is unknown; choose one of {', '.join(RECIPES)}.")
    given = {**RECIPES[sources.recipe], **given}
    defaults = {**system.features, **system.data, **system.training}
    groups = (Sources, DataOptions, FeatureConfig, Training, EvaluationOptions, system.Config, *more)
    settings = resolve(groups, given, defaults)
    if settings["split"] == "all":
        raise InputError(
            "split=all tests every track and leaves none to train on; it is for evaluate. "
            "Choose song, album, kfold or manifest."
        )
    return settings


def refuse_unused(settings: Settings, but: Container[str] = ()) -> None:
    """Raises InputError where a parameter is set that changes nothing; its default is no such word.

    Args:
        but: Options of the system that are still open, and with them what they make useless.
    """
    _refuse_resume(settings)
    system = find(settings["model"])
    fields = [field for group in (Training, system.Config) for field in dataclasses.fields(group)]
    defaults = {**{field.name: field.default for field in fields}, **system.training}
    for name, option in unused(settings).items():
        if option not in but and settings[name] != defaults[name]:
            beside = f" with {option}={as_given(settings[option])}" if option else ", which is fitted at once"
            raise InputError(
                f"{name}={as_given(settings[name])} means nothing to {settings['model']}{beside}. Leave it out."
            )


def _refuse_resume(settings: Settings) -> None:
    """Train takes the flag away before it reads the parameters of the old run."""
    run_id, config = settings["resume"], settings["config"]
    if run_id:
        place = f"stands in {config}" if config else "is given beside other parameters"
        raise InputError(
            f"resume={run_id} {place}; resume is a flag of train alone, which takes everything else from the old run: "
            f"{command('train', resume=run_id)}"
        )


def unused(settings: Settings) -> dict[str, str]:
    """Parameters of a training that change nothing, each with the option of its system that makes it so, or ""."""
    system = find(settings["model"])
    return system.unused(settings.make(system.Config))


def used(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, without what changes nothing beside the rest."""
    idle = unused(loose_settings(given))
    return {name: value for name, value in given.items() if name not in idle}


def evaluate_settings(flags: Mapping[str, Any], trained: Mapping[str, Any]) -> Settings:
    """Settings of an evaluation: what is given, else what the model was trained with.

    Raises:
        InputError: An unknown name, or one that the model fixes.
    """
    free = [name for name in field_names(DataOptions) if name not in FIXED_BY_MODEL]
    free += ["seed", *field_names(EvaluationOptions), "model"]
    # A model says itself whom it knows.
    free.remove("artists")
    fixed = sorted(set(flags) - set(free))
    if fixed:
        raise InputError(f"evaluate does not take {', '.join(fixed)}: it takes {', '.join(sorted(free))}.")
    known = field_names(DataOptions, EvaluationOptions)
    values = {name: trained[name] for name in known if name in trained} | dict(flags)
    values.pop("artists", None)
    if values["split"] == "all" and "tsne_split" not in flags:
        values["tsne_split"] = "test"
    if values.get("split") != "kfold":
        # Those of the training belong to its own split.
        values = {name: value for name, value in values.items() if name in flags or name not in ("folds", "fold")}
    seed = _cast("seed", values.pop("seed", trained["seed"]), int)
    check_seed(seed)
    model = values.pop("model")
    settings = resolve((DataOptions, EvaluationOptions), values)
    return Settings({**settings.values, "seed": seed, "model": model})


def resolve(groups: Sequence[type], given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Settings:
    """Values of all fields of `groups`: those given, else `defaults`, else the fields' own."""
    known = field_names(*groups)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise InputError(f"Unknown parameter {name}.{hint} Known: {', '.join(sorted(known))}.")
    settings = {}
    for group in groups:
        settings |= dataclasses.asdict(_typed(group, {**(defaults or {}), **given}))
    return Settings(settings)


def read_config(path: str) -> dict[str, Any]:
    """A YAML (or JSON) file of `name: value` lines."""
    try:
        values = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    # RuntimeError: a home folder of nobody; RecursionError is one too, of lists in lists in lists.
    except (OSError, RuntimeError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"config={path} cannot be read: {reason}. Give a YAML file of `name: value` lines.") from error
    if not isinstance(values, dict):
        raise InputError(f"config={path} holds no `name: value` lines.")
    return {str(name): value for name, value in values.items()}


def _typed(cls: type[T], given: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(cls)
    return cls(**{name: _cast(name, given[name], hints[name]) for name in field_names(cls) if name in given})


def _cast(name: str, value: Any, kind: Any) -> Any:
    """A flag's text or a file's value as the type of its field."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value in (None, "", "None", "none") else _cast(name, value, arguments[0])
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{name}={value} is unknown; choose one of {', '.join(map(str, arguments))}.")
        return value
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(value).lower() not in words:
            raise InputError(f"{name}={value} is neither true nor false.")
        return words[str(value).lower()]
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float) and not value.is_integer()):
            raise ValueError
        cast = kind(value)
        if kind is float and not math.isfinite(cast):
            raise ValueError
        return cast
    except (TypeError, ValueError, OverflowError) as error:
        expected = {int: "a whole number", float: "a number"}.get(kind, "text; put it in quotes")
        raise InputError(f"{name}={value} is not {expected}.") from error
