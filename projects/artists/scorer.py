"""The registered model, as code: audio in, artists out.

MLflow copies this script into the model and runs it there. It imports nothing of the project: it loads the copy of
the package that the model carries, under a name made of its content, so that an edited checkout changes nothing and two
versions live in one process.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


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
    """Rows with a `path` or the bytes of a file in `audio` -> artist, probability, and how it came about."""

    def load_context(self, context: Any) -> None:
        package = load_package(Path(context.artifacts["package"]))
        self._scoring = importlib.import_module(f"{package}.scoring")
        self._error = importlib.import_module(f"{package}.errors").InputError
        saved = importlib.import_module(f"{package}.saved")
        self._system, self._card = saved.load(Path(context.artifacts["system"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        params = params or {}
        pooling, top_k = params.get("pooling", "mean"), params.get("top_k", 3)
        rows = pd.DataFrame([self._row(row, pooling, top_k) for row in model_input.to_dict("records")])
        # pandas' own strings would make the null of a broken file a NaN.
        return rows.assign(artist=pd.Series([name or None for name in rows["artist"].fillna("")], dtype=object))

    def _row(self, row: dict[str, Any], pooling: str, top_k: int) -> dict[str, Any]:
        audio = row.get("audio")
        try:
            source = io.BytesIO(audio) if isinstance(audio, bytes) else Path(row["path"])
            scored = self._scoring.score(source, self._system, self._card)
        except self._error as error:
            return _answer(status="error", reason=str(error))
        proba = self._scoring.pooled(scored.proba, pooling)
        best = (-proba).argsort(kind="stable")[:top_k]
        return _answer(
            artist=self._card.classes[best[0]],
            probability=float(proba[best[0]]),
            top_artists=[self._card.classes[i] for i in best],
            top_probabilities=[float(proba[i]) for i in best],
            clips=len(scored.proba),
            seconds=scored.seconds,
            status="padded" if scored.padded else "ok",
            reason="shorter than one clip, padded with silence" if scored.padded else "",
        )


def _answer(**given: Any) -> dict[str, Any]:
    empty = {"artist": None, "probability": None, "top_artists": [], "top_probabilities": [], "clips": 0}
    return {**empty, "seconds": 0.0, "status": "ok", "reason": "", **given}


mlflow.models.set_model(Scorer())
