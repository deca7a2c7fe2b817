"""Logging the audio-in model of a run: the scorer, its copy of the package, the network, pinned requirements."""

from __future__ import annotations

import shutil
import warnings
from importlib import metadata
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, ColSpec, DataType

from ..errors import InputError
from . import server

PACKAGE = Path(__file__).resolve().parents[1]
REQUIREMENTS = (
    "mlflow", "keras", "tensorflow", "librosa", "numpy", "scipy", "scikit-learn", "pandas", "soundfile", "soxr",
    "pyyaml", "threadpoolctl",
)  # fmt: skip
# Seconds that the model waits for a server that is away; it cannot wait in the outbox, which holds no network.
PATIENCE = 120.0
SIGNATURE = ModelSignature(
    inputs=Schema(
        [ColSpec(DataType.string, "path", required=False), ColSpec(DataType.binary, "audio", required=False)]
    ),
    outputs=Schema(
        [
            ColSpec(DataType.string, "artist", required=False),
            ColSpec(DataType.double, "probability", required=False),
            ColSpec(Array(DataType.string), "top_artists"),
            ColSpec(Array(DataType.double), "top_probabilities"),
            ColSpec(DataType.long, "clips"),
            ColSpec(DataType.double, "seconds"),
            ColSpec(DataType.string, "status"),
            ColSpec(DataType.string, "reason"),
        ]
    ),
    params=ParamSchema([ParamSpec("pooling", DataType.string, "mean"), ParamSpec("top_k", DataType.long, 3)]),
)


def log_model(system_folder: Path, work: Path) -> str:
    """Logs the model of the active run.

    Args:
        system_folder: What `saved.save` wrote.
        work: An empty folder to build the copy of the package in.

    Returns:
        Its URI, models:/m-...
    """
    package = work / "package"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    with warnings.catch_warnings():
        # An input example would store audio and load the network again; the signature stands without one.
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        info = server.patient(
            lambda: mlflow.pyfunc.log_model(
                name="model",
                python_model=str(PACKAGE / "scorer.py"),
                artifacts={"package": str(package), "system": str(system_folder)},
                signature=SIGNATURE,
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIREMENTS],
            ),
            f"logging the model (what was learned is kept: later, go on with resume={mlflow.active_run().info.run_id})",
            seconds=PATIENCE,
        )
    return info.model_uri


def download_system(model: str, work: Path) -> Path:
    """The folder that `saved.load` reads, of a logged model.

    Args:
        model: A run id, or a URI (runs:/, models:/).

    Raises:
        InputError: No such run or model.
    """
    if not model:
        raise InputError("model= is missing; give the id of a training run, or a URI such as models:/name@alias.")
    try:
        uri = model if ":" in model else _model_of_run(model)
        local = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(work / "model")))
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model={model} cannot be loaded: {reason} Copy a run id from the MLflow UI.") from error
    folder = local / "artifacts" / "system"
    if not folder.is_dir():
        raise InputError(f"model={model} is not a model of this project.")
    return folder


def _model_of_run(run_id: str) -> str:
    uri = mlflow.get_run(run_id).data.tags.get("model_uri")
    if not uri:
        raise InputError(f"model={run_id}: that run logged no model; did its training finish?")
    return uri
