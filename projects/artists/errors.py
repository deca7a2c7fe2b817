"""Messages to the user: an error that is printed as one sentence, and commands to type next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


class InputError(ValueError):
    """What was given, what was expected, what to do; entry points print it and fail the run."""


def command(entry_point: str, **parameters: object) -> str:
    """The line of a shell that runs an entry point in an environment of the kind that this process has."""
    words = ["mlflow", "run", ".", "-e", entry_point]
    for name, value in parameters.items():
        words += ["-P", f"{name}={value}"]
    return shlex.join(words) + env_manager(Path(sys.prefix))


def env_manager(prefix: Path) -> str:
    """The flag of `mlflow run` by which an environment was built; MLflow does not pass it on."""
    if not prefix.name.startswith("mlflow-"):
        return " --env-manager=local"
    if (prefix / "conda-meta").is_dir():
        return ""
    config = prefix / "pyvenv.cfg"
    by_uv = config.is_file() and "\nuv = " in config.read_text(encoding="utf-8", errors="replace")
    return f" --env-manager={'uv' if by_uv else 'virtualenv'}"
