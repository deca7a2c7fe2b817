"""What every entry point does around its work: flags, `--help`, a run, and errors that a user can act on.

Workers are spawned and import the entry point again: what is slow to load is imported where it is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .artists.errors import InputError

if TYPE_CHECKING:
    from tqdm import tqdm

    from .artists.data.tracks import Progress
    from .artists.tracking.runs import Run as Run

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- parameters, written by `python -m projects.cli` -->", "<!-- end of the parameters -->"


@dataclasses.dataclass(frozen=True)
class Command:
    """An entry point: its flags become a plan, and the plan is carried out in a run.

    work: called with the plan and the run, None where there is none. usage, notes: of `--help`, before and after the
    table of parameters. groups: dataclasses whose fields are parameters, but for those of `without`; trains: takes
    those of a training too. plan: flags, as text, to what `work` is called with; raises InputError, and imports nothing
    that is slow to load; by default what `groups` make of the flags. tracked: whether it needs a run.
    """

    name: str
    work: Callable[[Any, Any], Any]
    usage: str = ""
    notes: str = ""
    groups: tuple[type, ...] = ()
    without: tuple[str, ...] = ()
    trains: bool = False
    plan: Callable[[Mapping[str, str]], Any] | None = None
    tracked: Callable[[], bool] = lambda: True

    def read(self, flags: Mapping[str, str]) -> Any:
        """The plan that flags make."""
        from .artists.workflows.plan import resolve

        if self.plan:
            return self.plan(flags)
        options = resolve(self.groups, flags)
        return options[0] if len(options) == 1 else options


def main(command: Command, argv: Sequence[str] | None = None) -> int:
    """Runs an entry point inside an MLflow run; returns 0, 1 for an error, 130 for Ctrl-C, 143 for SIGTERM.

    What is wrong with its flags is said before anything that is slow to load is imported; only a run that `mlflow run`
    has made is then marked as failed.
    """
    from .artists.workflows.plan import parse_flags

    argv = list(sys.argv[1:] if argv is None else argv)
    plan, refusal = None, None
    try:
        if {"--help", "-h"} & set(argv):
            print(help_text(command, parse_flags([word for word in argv if word not in ("--help", "-h")])))
            return 0
        plan = command.read(parse_flags(argv))
    except InputError as error:
        refusal = error
        _say(error)
        if "MLFLOW_RUN_ID" not in os.environ:
            return 1
    _environment()
    tracked = command.tracked()
    with Interruption() as interruption:
        from .artists.tracking import runs

        try:
            with runs.start() if tracked else contextlib.nullcontext() as run:
                interruption.allow()
                try:
                    if refusal:
                        raise refusal
                    command.work(plan, run)
                except InputError as error:
                    if run:
                        run.failed(str(error))
                    raise
        except InputError as error:
            if error is not refusal:
                _say(error)
            return 1
        except KeyboardInterrupt:
            print("\nInterrupted" + ("; the run is marked KILLED." if tracked else "."), file=sys.stderr)
            return 128 + (interruption.signal or signal.SIGINT)
    return 0


def _say(error: InputError) -> None:
    """Prints it, or with ARTISTS_TRACEBACK raises it."""
    from .artists.reports.names import printable_lines

    if os.environ.get("ARTISTS_TRACEBACK"):
        raise error
    print(f"\nerror: {printable_lines(error)}", file=sys.stderr)


def help_text(command: Command, flags: Mapping[str, str]) -> str:
    """What `--help` prints; with `--model NAME` it shows the options and defaults of that system."""
    from .artists import systems
    from .artists.reports.parameters import help_tables, parameters, title
    from .artists.workflows import plan

    tables = [(title(group), parameters(group, {}, command.without)) for group in command.groups]
    notes = [command.notes]
    if command.trains:
        chosen = plan.with_recipe({name: flags[name] for name in ("model", "recipe") if name in flags})
        name = chosen.get("model", plan.Sources.model)
        system = systems.find(name)
        defaults = {**system.defaults(plan.typed(system.Config, chosen)), **chosen, "model": name}
        tables += [(title(group), parameters(group, defaults, command.without)) for group in plan.GROUPS]
        own = parameters(system.Config, chosen, command.without)
        tables.append((f"Options of {name}: {title(system.Config)}", own))
        notes.append("A flag beats the config file, which beats the recipe, which beats the system's default.")
    return "\n\n".join(filter(None, [command.usage, help_tables(tables), *notes]))


def write_readme(path: Path = README) -> None:
    """Writes the tables of parameters into projects/README.md, between its marks."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{readme_tables()}\n{END}{after}", encoding="utf-8")


def readme_tables() -> str:
    """A table of what each entry point takes, and one for each group of parameters."""
    import importlib

    from .artists import systems
    from .artists.reports import parameters
    from .artists.workflows import plan

    names = sorted(path.stem for path in README.parent.glob("*.py") if path.stem not in ("__init__", "cli"))
    commands = [importlib.import_module(f"{__package__}.{name}").COMMAND for name in names]
    groups = dict.fromkeys([*plan.GROUPS, *(group for command in commands for group in command.groups)])
    rows = []
    for command in commands:
        taken = [*command.groups, *(plan.GROUPS if command.trains else ())]
        titles = [parameters.title(group).partition(":")[0] for group in taken]
        titles += ["options of the system"] if command.trains else []
        without = f"; not {', '.join(f'`{name}`' for name in command.without)}" if command.without else ""
        rows.append((f"`{command.name}`", f"{', '.join(titles) or 'nothing'}{without}"))
    parts = [parameters.markdown_table(("entry point", "takes"), rows)]
    for group in groups:
        parts.append(f"**{parameters.title(group)}**\n\n{parameters.parameter_table(parameters.parameters(group))}")
    configs = {name: systems.find(name).Config for name in systems.names()}
    parts.append(f"**Options of the systems**\n\n{parameters.options_table(configs)}")
    return "\n\n".join(parts)


class Interruption:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt once, after `allow`, so that the run can end in order.

    `mlflow run` gets Ctrl-C too, sends its child SIGTERM a quarter of a second later and waits for it: what comes after
    the first signal is ignored, unless a user presses Ctrl-C again after a second.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._allowed, self._at = False, 0.0
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def allow(self) -> None:
        """From here on there is a run to end; raises what came before, while MLflow was imported."""
        self._allowed = True
        if self.signal:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: object) -> None:
        if self.signal is None:
            self.signal, self._at = number, time.monotonic()
            if self._allowed:
                raise KeyboardInterrupt
        elif number == signal.SIGINT and time.monotonic() > self._at + 1:
            raise KeyboardInterrupt


def progress_bar(name: str) -> Progress:
    """A bar for (done, total) calls, and one of its own for each other `what`; it ends when all is done."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def show(done: int, total: int, what: str = name, /) -> None:
        if what not in bars:
            bars[what] = tqdm(desc=what, total=total, unit=" tracks", mininterval=0.5, dynamic_ncols=True)
        bars[what].update(done - bars[what].n)
        if done == total:
            bars[what].close()

    return show


def _environment() -> None:
    """Read by TensorFlow and MLflow: quiet, GPU memory taken as it is needed, and requests that end.

    MLflow would repeat a request for minutes; tracking/ repeats what it asks itself, and knows what may be repeated.
    """
    defaults = {
        "TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }  # fmt: skip
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("projects").setLevel(logging.INFO)


if __name__ == "__main__":
    write_readme()
