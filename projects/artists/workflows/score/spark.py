"""The packaged model on Spark: MLflow's own user-defined function over a table of paths, no engine of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...package import request
from ...tracking import model
from .pool import Song

COLUMNS = "track_id string, path string"


def answers(
    songs: Iterable[Song], folder: Path, params: Mapping[str, Any], processes: int
) -> Iterator[tuple[Song, dict[str, Any]]]:
    """The model's row of each song. Where Spark runs on several hosts, the files must lie at the same paths on all."""
    known = {song.track_id: song for song in songs}
    if not known:
        return
    with _session(processes) as session:
        from pyspark.sql import functions

        table = session.createDataFrame([(song.track_id, str(song.path)) for song in known.values()], COLUMNS)
        table = table.repartition(processes)
        answered = table.withColumn("answer", model.spark_udf(session, folder, params)(functions.struct("path")))
        for row in answered.toLocalIterator():
            yield known[row["track_id"]], _with_nulls(row["answer"].asDict(recursive=True), params["threshold"])


def _with_nulls(answer: dict[str, Any], threshold: float) -> dict[str, Any]:
    """MLflow's function makes text of a null in a column of text: the scorer's own rule says where there was one."""
    answer = {name: None if request.is_missing(value) else value for name, value in answer.items()}
    known = answer["probability"] is not None and answer["probability"] >= threshold
    return answer | ({} if known else {"artist": None})


def _session(processes: int) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        needed = "engine=spark needs pyspark: `pip install pyspark` in this environment, and Java 17."
        raise InputError(needed) from error
    root = os.path.abspath(os.sep)
    # Python workers of Spark read it from the environment: of this process in local mode, of executors elsewhere.
    os.environ[request.ROOT] = root
    # Else it takes whatever is called python3 on the path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("artists").config(f"spark.executorEnv.{request.ROOT}", root)
    if not os.environ.get("SPARK_REMOTE") and not os.environ.get("MASTER"):
        builder = builder.master(f"local[{processes}]").config("spark.ui.enabled", "false")
    try:
        return builder.getOrCreate()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"Spark does not start: {reason} It needs Java 17: set JAVA_HOME.") from error
