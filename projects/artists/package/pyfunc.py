"""The registered model, as code: audio in, artists out.

MLflow copies this script into the model and runs it there. It imports nothing of the project: it loads the copy of
the package that the model carries, under a name made of its content, so that an edited checkout changes nothing and two
versions live in one process.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

PARAMS = {"pooling": "mean", "top_k": 3, "threshold": 0.0, "embedding": False}
COLUMNS = (
    "artist", "probability", "top_artists", "top_probabilities", "clips", "seconds", "embedding", "status", "reason"
)  # fmt: skip


def load_package(folder: Path) -> str:
    """Imports the package in `folder`; returns the name it has in this process."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    name = f"artists_{digest.hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return name


class Scorer(mlflow.pyfunc.PythonModel):
    """Rows with a `path`, the bytes of a file in `audio` or its `base64` -> artist, probability, how it came about."""

    def load_context(self, context: Any) -> None:
        package = load_package(Path(context.artifacts["package"]))
        self._scoring = importlib.import_module(f"{package}.package.inference")
        self._error = importlib.import_module(f"{package}.errors").InputError
        # Read once, here: what this process allows is not for a request to say.
        self._gate = importlib.import_module(f"{package}.package.request").Gate.of_environment()
        saved = importlib.import_module(f"{package}.package.card")
        self._system, self._card = saved.load(Path(context.artifacts["system"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        params = _checked({**PARAMS, **(params or {})})
        left, rows = self._gate.max_seconds, []
        for row in model_input.to_dict("records"):
            answer, used = self._row(row, params, left)
            left -= used
            rows.append(answer)
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        # pandas' own strings would make the null of a broken file a NaN.
        return table.assign(artist=pd.Series([row["artist"] for row in rows], dtype=object))

    def _row(self, row: dict[str, Any], params: dict[str, Any], left: float) -> tuple[dict[str, Any], float]:
        """The answer, and the seconds of audio that count for the request: those of bytes that were sent."""
        try:
            source = self._gate.source(row)
            sent = not isinstance(source, Path)
            excerpt = self._gate.excerpt(row, self._card.feature_config.crop, *([left] if sent else []))
            scored = self._scoring.score(source, self._system, self._card, excerpt)
        except (self._error, MemoryError) as error:
            reason = str(error) or "not enough memory to decode it"
            return _answer(status="error", reason=reason), getattr(error, "decoded", 0.0)
        proba, order = self._scoring.pooled(scored.proba, params["pooling"], self._card)
        best = order[: params["top_k"]]
        known = proba[best[0]] >= params["threshold"]
        return _answer(
            artist=self._card.classes[best[0]] if known else None,
            probability=float(proba[best[0]]),
            top_artists=[self._card.classes[i] for i in best],
            top_probabilities=[float(proba[i]) for i in best],
            clips=len(scored.proba),
            seconds=scored.seconds,
            embedding=scored.embedding.mean(0, dtype=float).tolist() if params["embedding"] else [],
            status="padded" if scored.padded else "ok",
            reason="shorter than one clip, padded with silence" if scored.padded else "",
        ), scored.seconds if sent else 0.0


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    """Raises MlflowException, which a server answers with status 400, where a value makes no sense."""
    if params["pooling"] not in ("mean", "vote", "vote50"):
        raise MlflowException.invalid_parameter_value(f"pooling={params['pooling']}: give mean, vote or vote50.")
    if params["top_k"] < 1:
        raise MlflowException.invalid_parameter_value(f"top_k={params['top_k']} must be at least 1.")
    if not 0 <= params["threshold"] <= 1:
        raise MlflowException.invalid_parameter_value(f"threshold={params['threshold']} must be from 0 to 1.")
    return params


def _answer(**given: Any) -> dict[str, Any]:
    empty = {"artist": None, "probability": None, "top_artists": [], "top_probabilities": [], "clips": 0}
    return {**empty, "seconds": 0.0, "embedding": [], "status": "ok", "reason": "", **given}


mlflow.models.set_model(Scorer())
