"""The space of a search: the system's own, what a YAML file makes of it, and the points that are tried first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from ...audio.options import FeatureConfig
from ...data.options import field_names
from ...errors import InputError
from ...systems.base import System, options_of_epochs
from ...systems.space import contains
from ..plan import did_you_mean, read_config

Point = dict[str, Any]
# Value of a parameter, as text or typed, to the value that a training would use; raises InputError.
Cast = Callable[[str, Any], Any]
BESIDE = ("overlap", "pooling")
NOTHING = "There is nothing to search: give a YAML file as space=, or fix fewer parameters by flags."


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """open: name -> specification of what is tried; fixed: name -> value of what the file fixes."""

    open: dict[str, Any]
    fixed: Point

    @property
    def names(self) -> list[str]:
        return [*self.open, *self.fixed]

    def without(self, names: Collection[str]) -> SearchSpace:
        """The space but for parameters that nothing comes of.

        Raises:
            InputError: Nothing is left to vary.
        """
        open_ = {name: spec for name, spec in self.open.items() if name not in names}
        if not open_:
            raise InputError(NOTHING)
        return SearchSpace(open_, self.fixed)

    def split(self, point: Mapping[str, Any]) -> tuple[Point, Point]:
        """A point as what can be suggested, and what is outside of the space and has to be set."""
        inside = {name: point[name] for name, spec in self.open.items() if contains(spec, point[name])}
        return inside, {name: point[name] for name in self.names if name not in inside}


def tunable(system: type[System]) -> list[str]:
    """Parameters that a search may vary: what is measured, and on what, stays the same."""
    training = options_of_epochs() if system.in_epochs else []
    options = [name for name in system.option_names() if name not in field_names(FeatureConfig)]
    return [*training, *options, *BESIDE]


def make_space(system: type[System], file: str | None, given: Mapping[str, Any], cast: Cast) -> SearchSpace:
    """The system's space, changed by a YAML file of `name: specification`, without the parameters that flags give.

    In the file a list is a choice, {low, high} a range (with log: true or step), a single value fixes a parameter, null
    leaves it to the configuration that is searched around.

    Raises:
        InputError: A name that cannot be varied, a specification that makes no sense, or nothing to vary.
    """
    wanted = {**getattr(system, "space", {}), **(_read(file, system) if file else {})}
    open_: dict[str, Any] = {}
    fixed: Point = {}
    for name, spec in wanted.items():
        if name in given or spec is None:
            continue
        if spec == []:
            raise InputError(f"space: {name} has no choices.")
        if isinstance(spec, list):
            open_[name] = list(dict.fromkeys(cast(name, value) for value in spec))
        elif isinstance(spec, dict):
            open_[name] = _range(name, spec, cast)
        else:
            fixed[name] = cast(name, spec)
    if not open_:
        raise InputError(NOTHING)
    return SearchSpace(open_, fixed)


def read_points(path: str, space: SearchSpace, cast: Cast) -> list[Point]:
    """Points of a YAML file: a mapping or a list of mappings of `name: value`."""
    try:
        content = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"points={path} cannot be read: {str(error).splitlines()[0]}.") from error
    points = [content] if isinstance(content, dict) else content
    if not isinstance(points, list) or not points or not all(isinstance(point, dict) for point in points):
        raise InputError(f"points={path} must hold a list of `name: value` mappings.")
    for name in sorted({str(name) for point in points for name in point} - set(space.names)):
        raise InputError(f"points={path}: {name} is not searched; searched are {', '.join(space.names)}.")
    return [{name: cast(name, value) for name, value in point.items()} for point in points]


def _read(path: str, system: type[System]) -> dict[str, Any]:
    try:
        wanted = read_config(path)
    except InputError as error:
        raise InputError(str(error).replace("config=", "space=", 1)) from error
    names = tunable(system)
    for name in wanted:
        if name not in names:
            hint = did_you_mean(name, names)
            raise InputError(f"space={path}: {name} cannot be searched.{hint} These can: {', '.join(names)}.")
    return wanted


def _range(name: str, spec: Mapping[str, Any], cast: Cast) -> dict[str, Any]:
    if not {"low", "high"} <= set(spec) <= {"low", "high", "log", "step"}:
        raise InputError(f"space: {name} must be a list, a value, or a range {{low, high}} with log: true or step.")
    low, high = cast(name, spec["low"]), cast(name, spec["high"])
    if isinstance(low, bool) or not isinstance(low, int | float):
        raise InputError(f"space: {name} is no number; give its choices as a list.")
    log, step = bool(spec.get("log", False)), spec.get("step")
    if step is not None:
        try:
            step = type(low)(step)
        except (TypeError, ValueError) as error:
            raise InputError(f"space: step of {name} must be a number.") from error
    if low >= high or (log and (low <= 0 or step)) or (step is not None and not 0 < step <= high - low):
        raise InputError(
            f"space: {name} from {low} to {high} is no range; low must be below high, above 0 with log: true, "
            "which takes no step, and a step must fit between them."
        )
    if step:
        # Optuna would say this with a warning.
        high = low + step * math.floor((high - low) / step + 1e-9)
    return {"low": low, "high": high} | ({"log": True} if log else {}) | ({"step": step} if step else {})
