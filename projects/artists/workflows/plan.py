"""Parameters: one name each, from flags, a configuration file, a recipe or a default, in this order.

They are resolved here, once, in the entry point: a `TrainingPlan` or an `EvaluationPlan` holds them as typed objects.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from ..audio.options import FeatureConfig
from ..data.options import NO_IDENTITY, OF_KFOLD, DataOptions, as_given, field_names
from ..errors import InputError, command
from ..evaluation.options import EvaluationOptions
from ..systems import find, names
from ..systems.options import cast, typed
from ..training.training import RECIPES, SYSTEMS, Training
from .options import EvaluateOptions

if typing.TYPE_CHECKING:
    from ..systems.base import System

# What the model fixes; it says itself whom it knows.
FIXED_BY_MODEL = ("label", "clip", "overlap", "leave_out", "artists")


@dataclasses.dataclass(frozen=True)
class Sources:
    """Sources: where the values of other parameters come from."""

    model: Annotated[str, f"the system: {', '.join(names())}; its options: --model NAME --help"] = "crnn"
    recipe: Annotated[
        Literal["published", "paper", "long", "small", "modern", "strong", "embeddings"],
        "each system's own defaults; learning_rate=0.0001; that with epochs=300; adapt_batchnorm=true; random crops, "
        "the default of train without a model; the best that fetches nothing, or its way to train a model; the best",
    ] = "published"
    config: Annotated[str | None, "YAML file of `name: value` lines", NO_IDENTITY] = None
    resume: Annotated[str | None, "alone, of train: run id of an interrupted training to go on with", NO_IDENTITY] = (
        None
    )


# The parameters of a training but for the options of its system.
GROUPS = (Sources, DataOptions, FeatureConfig, Training, EvaluationOptions)


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """Everything that a training depends on.

    system: a class of `systems/`; options: its Config.
    """

    system: type[System]
    options: Any
    features: FeatureConfig
    data: DataOptions
    training: Training
    evaluation: EvaluationOptions
    sources: Sources

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """Name -> value of all parameters."""
        return values(self.sources, self.data, self.features, self.training, self.evaluation, self.options)

    @property
    def identity(self) -> dict[str, Any]:
        """The values that its scores depend on."""
        return {name: value for name, value in self.values.items() if name not in NOT_OF_IDENTITY}

    @property
    def model(self) -> str:
        """The name of the system."""
        return self.sources.model

    @property
    def seed(self) -> int:
        return self.training.seed

    @property
    def system_options(self) -> dict[str, Any]:
        """What the constructor of the system takes."""
        return {name: self.values[name] for name in self.system.option_names()}

    @functools.cached_property
    def unused(self) -> dict[str, str]:
        """Parameters that change nothing, each with the option of the system that makes it so, or ""."""
        return self.system.unused(self.options)

    def check_input(self) -> None:
        """Raises InputError where the system cannot take such clips."""
        self.system.check_input(self.data.clip, self.features, self.options)


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """Everything that the evaluation of a trained model depends on; model: where it is."""

    model: str
    data: DataOptions
    evaluation: EvaluationOptions
    seed: int

    @property
    def values(self) -> dict[str, Any]:
        """Name -> value of all parameters."""
        return {**values(self.data, self.evaluation), "seed": self.seed, "model": self.model}


def values(*options: Any) -> dict[str, Any]:
    """Name -> value of the fields of dataclasses, but for those that are computed."""
    return {name: value for each in options for name, value in dataclasses.asdict(each).items() if name != "views"}


def changed(*options: Any) -> dict[str, Any]:
    """The values that are not the fields' own defaults."""
    defaults = {field.name: field.default for each in options for field in dataclasses.fields(each)}
    return {name: value for name, value in values(*options).items() if value != defaults[name]}


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


def training_plan(flags: Mapping[str, Any]) -> TrainingPlan:
    """The plan of a training from flags: text, or values of a field's type.

    Raises:
        InputError: An unknown name, a value that is not of its type or makes no sense, or one that changes nothing.
    """
    plan = loose_plan(flags)
    refuse_unused(plan)
    return plan


def loose_plan(flags: Mapping[str, Any]) -> TrainingPlan:
    """The plan of a training, whether or not all that is given changes anything."""
    return loose_plan_and(flags)[0]


def loose_plan_and(flags: Mapping[str, Any], *groups: type) -> tuple[Any, ...]:
    """The plan of a training, and one of each of `groups`, the options of an entry point that stand beside it."""
    # A resumed run hands over its parameters as text, "None" among them.
    config = cast("config", flags.get("config"), str | None)
    given = {**(read_config(config) if config else {}), **flags}
    given = with_recipe(given)
    system = find(typed(Sources, given).model)
    defaults = system.defaults(typed(system.Config, given))
    resolved = resolve((*GROUPS, system.Config, *groups), given, defaults)
    sources, data, features, training, evaluation, options, *more = resolved
    if data.split == "all":
        raise InputError(
            "split=all tests every track and leaves none to train on; it is for evaluate. "
            "Choose song, album, artist, kfold or manifest."
        )
    return TrainingPlan(system, options, system.joined(features, options), data, training, evaluation, sources), *more


def with_recipe(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, and what its recipe sets where nothing is given: without a model, which one and its options.

    Raises:
        InputError: The recipe is nothing but a choice of the model, and another is given.
    """
    recipe = typed(Sources, given).recipe
    trained, chosen = RECIPES[recipe], SYSTEMS.get(recipe, RECIPES[recipe])
    if "model" not in given:
        return {**chosen, **given}
    if not trained and chosen and given["model"] != chosen["model"]:
        raise InputError(f"recipe={recipe} is model={chosen['model']} and trains no other. Leave one of the two out.")
    return {**trained, **given}


def with_default_recipe(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of a training that somebody starts by hand: a recipe of today where nothing says which, or what."""
    given = {**(read_config(flags["config"]) if flags.get("config") else {}), **flags}
    return {**flags} if {"model", "recipe"} & set(given) else {**flags, "recipe": "modern"}


def refuse_unused(plan: TrainingPlan, but: Container[str] = ()) -> None:
    """Raises InputError where a parameter is set, not to its default, that changes nothing.

    `but`: options of the system that are still open, and with them what they make useless.
    """
    if resume := plan.sources.resume:
        # Train takes the flag away before it reads the parameters of the old run.
        place = f"stands in {plan.sources.config}" if plan.sources.config else "is given beside other parameters"
        raise InputError(
            f"resume={resume} {place}; resume is a flag of train alone, which takes everything else from the old run: "
            f"{command('train', resume=resume)}"
        )
    fields = [field for group in (Training, plan.system.Config) for field in dataclasses.fields(group)]
    defaults = {**{field.name: field.default for field in fields}, **plan.system.defaults(plan.options)}
    for name, option in plan.unused.items():
        if option not in but and plan.values[name] != defaults[name]:
            at_once = "" if plan.system.in_epochs else ", which is fitted at once"
            beside = f" with {option}={as_given(plan.values[option])}" if option else at_once
            value = as_given(plan.values[name])
            raise InputError(f"{name}={value} means nothing to {plan.model}{beside}. Leave it out.")


def used(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, without what changes nothing beside the rest."""
    idle = loose_plan(given).unused
    return {name: value for name, value in given.items() if name not in idle}


def evaluation_plan(flags: Mapping[str, Any], trained: Mapping[str, Any] | None = None) -> EvaluationPlan:
    """The plan of an evaluation: what is given, else what the model was trained with.

    trained: the parameters of that training; None where they are not known yet, to check the flags alone.

    Raises:
        InputError: An unknown name, one that the model fixes, or a value that makes no sense.
    """
    groups = (EvaluateOptions, DataOptions, EvaluationOptions)
    known = [name for name in field_names(*groups) if name not in FIXED_BY_MODEL]
    if fixed := sorted(set(flags) - set(known)):
        raise InputError(f"evaluate does not take {', '.join(fixed)}: it takes {', '.join(sorted(known))}.")
    if trained is None:
        # The split that a fold is of may be the model's, and so may the number of its folds; its label is.
        trained = {"label": ""} | ({"split": "kfold"} if set(OF_KFOLD) & set(flags) else {})
        if flags.get("split", "kfold") == "kfold" and "folds" not in flags:
            flags = {name: value for name, value in flags.items() if name != "fold"}
    given = {name: trained[name] for name in (*FIXED_BY_MODEL, *known) if name in trained} | dict(flags)
    given |= {"model": flags.get("model", ""), "artists": None}
    if given.get("split") == "all" and "tsne_split" not in flags:
        given["tsne_split"] = "test"
    if given.get("split") != "kfold":
        # Those of the training belong to its own split.
        given = {name: value for name, value in given.items() if name in flags or name not in OF_KFOLD}
    model, data, evaluation = resolve(groups, given)
    return EvaluationPlan(model.model, data, evaluation, model.seed)


def resolve(
    groups: Sequence[type], given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """Options of all `groups` from the values given, else `defaults`, else the fields' own.

    Raises:
        InputError: An unknown name, or a value that makes no sense.
    """
    known = field_names(*groups)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            raise InputError(f"Unknown parameter {name}.{hint} Known: {', '.join(sorted(known))}.")
    return tuple(typed(group, {**(defaults or {}), **given}) for group in groups)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    return "".join(f" Did you mean {close}?" for close in difflib.get_close_matches(name, known, n=1))


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


def marked(mark: str, *groups: type) -> frozenset[str]:
    """Fields at which `mark` stands."""
    hints = [typing.get_type_hints(group, include_extras=True) for group in groups]
    return frozenset(name for each in hints for name, hint in each.items() if mark in getattr(hint, "__metadata__", ()))


NOT_OF_IDENTITY = marked(NO_IDENTITY, *GROUPS)
