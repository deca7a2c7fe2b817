"""Logging the audio-in model of a run: the scorer, the code that it imports, the network, pinned requirements."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, ColSpec

from ..errors import InputError
from ..package import contents, scorer
from ..package.card import load_card
from ..systems import find
from . import server

# A model that has not answered by then is broken.
FRESH_SECONDS = 600
# Seconds that the model waits for a server that is away; it cannot wait in the outbox, which holds no network.
PATIENCE = 120.0
# For the workflows, which import no MLflow: the model of a folder that `download_model` gave.
load = mlflow.pyfunc.load_model
INPUTS = {"path": "string", "audio": "binary", "base64": "string", "start": "double", "seconds": "double"}
# Of a file that cannot be scored the first two are null.
OUTPUTS: dict[str, Any] = {
    "artist": "string", "probability": "double", "top_artists": Array("string"), "top_probabilities": Array("double"),
    "clips": "long", "seconds": "double", "embedding": Array("double"), "status": "string", "reason": "string",
}  # fmt: skip
PARAMS = {"pooling": "string", "top_k": "long", "threshold": "double", "embedding": "boolean"}
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(kind, name, required=False) for name, kind in INPUTS.items()]),
    outputs=Schema([ColSpec(kind, name, name not in ("artist", "probability")) for name, kind in OUTPUTS.items()]),
    params=ParamSchema([ParamSpec(name, kind, scorer.PARAMS[name]) for name, kind in PARAMS.items()]),
)


def log_model(system_folder: Path, golden: Path, work: Path) -> str:
    """Logs the model of the active run; returns its URI, models:/m-...

    Args:
        system_folder: What `card.save` wrote.
        golden: What `golden.write` wrote.
        work: An empty folder to build the copy of the package in.
    """
    parts, run = _parts(system_folder, golden, work), mlflow.active_run()
    go_on = f" (what was learned is kept: later, go on with resume={run.info.run_id})" if run else ""
    action = f"logging the model{go_on}"
    with _quiet():
        return server.retry(lambda: mlflow.pyfunc.log_model(name="model", **parts), action, PATIENCE).model_uri


def save_model(folder: Path, system_folder: Path, golden: Path, work: Path) -> Path:
    """Writes the model that `log_model` logs to `folder`, which must not be there yet; returns it."""
    with _quiet():
        mlflow.pyfunc.save_model(path=str(folder), **_parts(system_folder, golden, work))
    return folder


def _parts(system_folder: Path, golden: Path, work: Path) -> dict[str, Any]:
    """What the model is made of; the copy of the package is built in `work`."""
    card = load_card(system_folder)
    package = contents.copy([card.model, *find(card.model).modules(card.options)], work / "package")
    return {
        "python_model": str(contents.SCRIPT),
        "artifacts": {"package": str(package), "system": str(system_folder), "golden": str(golden)},
        "signature": SIGNATURE,
        "pip_requirements": contents.requirements([contents.SCRIPT, *package.rglob("*.py")]),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """An input example would store audio and load the network again; the signature stands without one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        yield


def download_system(model: str, work: Path) -> Path:
    """The folder that `card.load` reads, of a logged model; Args, Raises: as `download_model`."""
    return download_model(model, work) / "artifacts" / "system"


def download_model(model: str, work: Path) -> Path:
    """A logged model as a local folder, which `mlflow.pyfunc` loads and predicts with.

    Args:
        model: A run id, or a URI (runs:/, models:/).
        work: An empty folder to put it in, where it is not local already.

    Raises:
        InputError: No such run or model.
    """
    if not model:
        raise InputError("model= is missing; give the id of a training run, or a URI such as models:/name@alias.")
    with _explained(model):
        local = server.download(_uri(model), work / "model", f"reading the model {model}")
    if not (local / "artifacts" / "system").is_dir():
        raise InputError(f"model={model} is not a model of this project.")
    return local


@contextlib.contextmanager
def _explained(model: str) -> Iterator[None]:
    """Turns MLflow's exceptions into a sentence."""
    try:
        yield
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model={model} cannot be loaded: {reason} Copy a run id from the MLflow UI.") from error


def _uri(model: str) -> str:
    """The URI of a model. That of a run is looked up: of runs:/ MLflow says that nothing is there, whatever failed."""
    if not (match := re.fullmatch(r"runs:/([^/]+)/model|([^:]+)", model)):
        return model
    run_id = match[1] or match[2]
    if uri := server.client(f"reading run {run_id}").get_run(run_id).data.tags.get("model_uri"):
        return uri
    raise InputError(f"model={run_id}: that run logged no model; did its training finish?")


def facts(folder: Path) -> tuple[dict[str, object], float]:
    """Signature of a packaged model, and the size of its files in MB."""
    signature = mlflow.models.Model.load(str(folder)).signature.to_dict()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return signature, size / 1e6


def repeat_golden(folder: Path, golden: Path, work: Path) -> dict[str, np.ndarray]:
    """What a packaged model says of its golden clips in a fresh process that knows nothing of this checkout.

    Returns:
        labels (k,), proba (n, k), embedding (n, d), and speed, seconds of audio scored in a second.

    Raises:
        InputError: The model cannot be loaded there; the end of what it said is in the message.
    """
    out = work / "repeated.npz"
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    command = [sys.executable, "-I", str(Path(__file__).with_name("fresh.py")), str(folder), str(golden), str(out)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=FRESH_SECONDS)
    if done.returncode:
        raise InputError(f"the packaged model fails in a fresh process: {done.stderr.strip()[-500:]}")
    with np.load(out, allow_pickle=False) as arrays:
        return dict(arrays)


def spark_udf(session: Any, folder: Path, params: Mapping[str, Any]) -> Callable[..., Any]:
    """A function of the column `path` for Spark's tables, whose result is the model's row."""
    return mlflow.pyfunc.spark_udf(session, str(folder), params=dict(params), env_manager="local")


def named(uri: str) -> tuple[str, str]:
    """What a model is called and the run that trained it: aliases are resolved to a version, once.

    Args:
        uri: A run id, or a URI (runs:/, models:/).

    Raises:
        InputError: No such run or model.
    """
    match = re.fullmatch(r"models:/([^@/]+)(?:@([^/]+)|/(\d+))", uri)
    with _explained(uri):
        if not match:
            uri = _uri(uri)
            action = f"reading the model {uri}"
            return uri, server.retry(lambda: mlflow.models.get_model_info(uri), action).run_id or ""
        name, alias, version = match.groups()
        client = server.client(f"reading the model {uri}")
        entry = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
        return f"models:/{name}/{entry.version}", entry.run_id or ""
