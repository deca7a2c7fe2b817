"""What a user wants searched: flags, file and space, resolved before anything is read."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from ...data.options import field_names
from ...errors import InputError
from ..plan import TrainingPlan, loose_plan, loose_plan_and, read_config, refuse_unused
from . import objectives
from .options import SearchOptions
from .space import Cast, SearchSpace, make_space

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Request:
    """What a user asked for.

    given: parameters of a training that flags and the configuration file set; plan: all of them, which is the
    published configuration unless `given` says otherwise.
    """

    options: SearchOptions
    given: Mapping[str, Any]
    plan: TrainingPlan
    space: SearchSpace
    objectives: list[str]

    @property
    def params(self) -> dict[str, Any]:
        """What the parent run logs."""
        return {**self.plan.values, **dataclasses.asdict(self.options)}


def request(flags: Mapping[str, Any]) -> Request:
    """Checks everything that can be checked before audio is read, and imports nothing that is slow to load.

    Raises:
        InputError: An unknown name, or a value that makes no sense.
    """
    if flags.get("resume"):
        raise InputError("search takes no resume=; the same command, or its study_name, goes on with a study.")
    plan, options = loose_plan_and(flags, SearchOptions)
    if plan.data.validation == "none":
        raise InputError("validation=none leaves a search nothing to choose by. Take inner, or leave it out.")
    own, config = field_names(SearchOptions), plan.sources.config
    given = {**(read_config(config) if config else {}), **flags}
    given = {name: plan.values[name] for name in given if name not in (*own, "config")}
    plan = loose_plan(given)
    fixed_by_flags = set(flags) - set(own)
    cast = caster(given)
    space = make_space(plan.system, options.space, dict.fromkeys(fixed_by_flags), cast)
    fixed = loose_plan({**given, **space.fixed})
    refuse_unused(fixed, but=space.open)
    space = space.without([name for name, option in fixed.unused.items() if option not in space.open])
    names = objectives.parse(options.objective)
    if (not objectives.prunable(names) or plan.data.validation == "inner") and options.pruner != "none":
        if "pruner" in flags:
            raise InputError(f"pruner={options.pruner} needs one objective that is known after each epoch.")
        logger.info("No trial is pruned: that needs one objective that is known after each epoch.")
        options = dataclasses.replace(options, pruner="none")
    return Request(options, given, plan, space, names)


def caster(given: Mapping[str, Any]) -> Cast:
    """What makes of a value what a training with `given` would use."""

    return lambda name, value: loose_plan({**given, name: value}).values[name]
