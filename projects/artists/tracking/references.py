"""References among the artifacts of runs."""

from __future__ import annotations

from pathlib import Path

import mlflow
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
    if path.is_file():
        return path
    if (path / file).is_file():
        return path / file
    try:
        found = _downloaded(value, file, work / "reference")
    except (MlflowException, OSError) as error:
        raise _unknown(value, file, server.reason(error)) from error
    if found is None:
        raise _unknown(value, file, "that run has no such file.")
    return found


def _downloaded(value: str, file: str, folder: Path) -> Path | None:
    if ":/" in value and not value.startswith("runs:/"):
        return server.retry(
            lambda: Path(mlflow.artifacts.download_artifacts(artifact_uri=value, dst_path=str(folder))),
            f"reading {server.without_password(value)}",
        )
    run_id, _, name = value.removeprefix("runs:/").partition("/")
    return reading.download(run_id, name or file, folder)


def _unknown(value: str, file: str, why: str) -> InputError:
    return InputError(
        f"{value} is neither a reference file nor a run that holds {file}: {why} Give the run id of enrol or similar, "
        "or a path."
    )
