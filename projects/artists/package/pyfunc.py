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
from mlflow.pyfunc import PythonModel


def load_package(folder: Path) -> str:
    """Imports the package in `folder`; returns the name it has in this process."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    name = f"artists_{digest.hexdigest()[:16]}"
    if name not in sys.modules:
        places = [str(folder)]
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=places)
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} holds no Python package.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return name


class Scorer(PythonModel):
    """Rows with a `path`, the bytes of a file in `audio` or its `base64` -> artist, probability, how it came about."""

    def load_context(self, context: Any) -> None:
        self._code = importlib.import_module(f"{load_package(Path(context.artifacts['package']))}.package.scorer")
        self._scorer = self._code.Scorer(Path(context.artifacts["system"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Raises MlflowException, which a server answers with status 400, where a value of `params` makes no sense."""
        try:
            answers = self._scorer.answers(model_input.to_dict("records"), params or {})
        except self._code.InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        table = pd.DataFrame(answers, columns=list(self._code.failed("")))
        # pandas' own strings would make the null of a broken file a NaN.
        return table.assign(artist=pd.Series([answer["artist"] for answer in answers], dtype=object))


mlflow.models.set_model(Scorer())
