"""References among the artifacts of runs."""

from __future__ import annotations

from pathlib import Path

from mlflow.exceptions import MlflowException

from ..errors import InputError
from . import reading, server


def fetch(value: str, file: str, work: Path) -> Path:
    """The local path of a reference.

    Args:
        value: A path, a run id, or an artifact URI (runs:/..., s3://...).
        file: Its name among the artifacts of a run.
        work: A folder to download to.

    Raises:
        InputError: There is none.
    """
    path = Path(value).expanduser()
    for local in (path, path / file):
        if local.is_file():
            return local
    try:
        if reference := _downloaded(value, file, work / "reference"):
            return reference
        reason = "that run has no such file."
    except (MlflowException, OSError) as error:
        reason = server.reason(error)
    raise InputError(
        f"{value} is neither a reference file nor a run that holds {file}: {reason} Give the run id of enrol or "
        "similar, or a path."
    )


def _downloaded(value: str, file: str, folder: Path) -> Path | None:
    if ":/" in value and not value.startswith("runs:/"):
        return server.download(value, folder, f"reading {server.without_password(value)}")
    run_id, _, name = value.removeprefix("runs:/").partition("/")
    return reading.download(run_id, name or file, folder)
