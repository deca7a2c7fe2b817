"""A grid as a file: which trainings it consists of.

A YAML file of `title`, `paper` (whose published figures stand beside), `metrics` (what the report shows), `columns`
(the parameter that runs across its tables), `fixed` (parameters of all cells) and `grid`: a mapping of parameter -> one
value or a list of values, of which every combination is a cell, the last named changing fastest; or a list of such.
`then` names another entry point that takes `model=<run id>` (`entry`, `fixed`, `grid`): it is run on what each cell has
trained, in a cell of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.paths import given_path
from ...errors import InputError
from ...evaluation.names import metric_name
from ..plan import NOT_OF_IDENTITY, TrainingPlan, read_config, training_plan

SHIPPED = Path(__file__).parents[3] / "grids"
KEYS = ("title", "paper", "metrics", "columns", "fixed", "grid", "then")
FOLLOWERS = ("evaluate", "transfer")
# A flag of this form sets a parameter of the entry point that follows.
THEN = "then_"
PATHS = ("data", "config")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training of a grid, or what follows it. key: a digest of everything that its result depends on.

    values: all parameters; entry: the entry point; needs: key of the cell whose model it takes, "" for none; plan: of a
    training.
    """

    name: str
    values: Mapping[str, Any]
    key: str
    entry: str = "train"
    needs: str = ""
    plan: TrainingPlan | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """The cells of a grid in the order in which they are run, and what its report shows."""

    name: str
    title: str
    paper: str
    metrics: tuple[str, ...]
    columns: str
    cells: tuple[Cell, ...]


def shipped() -> list[str]:
    """Names of the grids that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read_grid(grid: str, overrides: Mapping[str, str]) -> Grid:
    """The grid of a YAML file, or of one of `shipped()` by its name.

    Values of `overrides`, or several with commas between, replace what the file says.

    Raises:
        InputError: No such file, an unknown key or parameter, or a value that makes no sense.
    """
    path = _find(grid)
    file = read_config(str(path))
    if unknown := set(file) - set(KEYS):
        raise InputError(f"grid={grid} has an unknown key {min(unknown)}; it may have {', '.join(KEYS)}.")
    # A path may have commas in it.
    several = {n: value.split(",") if "," in value and n not in PATHS else value for n, value in overrides.items()}
    then = {name.removeprefix(THEN): value for name, value in several.items() if name.startswith(THEN)}
    varied = {name: value for name, value in several.items() if not name.startswith(THEN)}
    cells: dict[str, Cell] = {}
    for part in _parts(grid, file.get("grid")):
        fixed = _mapping(grid, "fixed", file.get("fixed", {}))
        for values, axes in _combinations({**fixed, **part, **varied}):
            cell = _cell(grid, values, axes)
            for each in [cell, *_followers(grid, file.get("then"), then, cell)]:
                cells.setdefault(each.key, each)
    metrics = file.get("metrics", ())
    names = tuple(map(metric_name, [metrics] if isinstance(metrics, str) else metrics))
    return Grid(
        name=path.stem,
        title=str(file.get("title", path.stem)),
        paper=str(file.get("paper", "")),
        metrics=names,
        columns=str(file.get("columns", "clip")),
        cells=tuple(cells.values()),
    )


def _followers(grid: str, then: Any, given: Mapping[str, Any], cell: Cell) -> list[Cell]:
    """The cells that take the model of `cell`."""
    if not then:
        if given:
            raise InputError(f"{THEN}{min(given)} has no effect: grid={grid} has no `then`.")
        return []
    then = _mapping(grid, "then", then)
    entry = str(then.get("entry"))
    if entry not in FOLLOWERS:
        raise InputError(f"grid={grid}: then.entry={entry} is unknown; choose one of {', '.join(FOLLOWERS)}.")
    cells = []
    for part in _parts(grid, then.get("grid")):
        for values, axes in _combinations({**_mapping(grid, "fixed", then.get("fixed", {})), **part, **given}):
            name = " ".join([f"{cell.name} > {entry}", *(f"{axis}={values[axis]}" for axis in axes)])
            key = cell_key({**values, "entry": entry, "needs": cell.key})
            cells.append(Cell(name, values, key, entry, cell.key))
    return cells


def _find(grid: str) -> Path:
    if grid in shipped():
        return SHIPPED / f"{grid}.yaml"
    path = given_path("grid", grid)
    if not grid or not path.is_file():
        given = f"grid={grid} is neither a file nor a grid of this project" if grid else "grid= is missing"
        raise InputError(f"{given}; give a YAML file or one of {', '.join(shipped())}.")
    return path


def _mapping(grid: str, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"grid={grid}: {key} must hold `name: value` lines.")
    return {str(name): inner for name, inner in value.items()}


def _parts(grid: str, content: Any) -> list[dict[str, Any]]:
    if not content:
        raise InputError(f"grid={grid} has no grid; give `grid:` with lines such as `clip: [1, 3, 5]`.")
    return [_mapping(grid, "grid", part) for part in (content if isinstance(content, list) else [content])]


def _combinations(values: Mapping[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """Every combination of the listed values, and the names that are listed."""
    axes = [name for name, value in values.items() if isinstance(value, list)]
    fixed = {name: value for name, value in values.items() if name not in axes}
    chosen = itertools.product(*(values[name] for name in axes))
    return [({**fixed, **dict(zip(axes, row, strict=True))}, axes) for row in chosen]


def _cell(grid: str, values: Mapping[str, Any], axes: Sequence[str]) -> Cell:
    try:
        plan = training_plan(values)
        plan.check_input()
    except InputError as error:
        axis_values = " ".join(f"{name}={values[name]}" for name in axes)
        raise InputError(f"grid={grid}, cell {axis_values or 'of its only values'}: {error}") from error
    shown = dict.fromkeys(["model", *axes])
    name = " ".join(f"{axis}={_text(plan.values[axis])}" for axis in shown if axis in plan.values)
    return Cell(name, plan.values, cell_key(plan.values), plan=plan)


def cell_key(values: Mapping[str, Any]) -> str:
    """Sixteen hex digits over every value that a result depends on."""
    kept = {name: str(value) for name, value in values.items() if name not in NOT_OF_IDENTITY}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
