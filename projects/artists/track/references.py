"""References among the artifacts of runs."""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from ..errors import InputError


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
    uri = value if ":/" in value else f"runs:/{value}/{file}"
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(work / "reference")))
    except (MlflowException, OSError) as error:
        raise InputError(
            f"{value} is neither a reference file nor a run that holds {file}: {str(error).splitlines()[0]} "
            "Give the run id of enrol or similar, or a path."
        ) from error
