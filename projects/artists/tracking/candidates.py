"""Trained runs as candidates: choosing the best of an experiment, and fetching the model of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..evaluation.names import lower_is_better
from . import model, reading


def best_run(experiment_name: str, metric: str) -> str:
    """The finished run with a model that is best by a metric of validation; raises InputError where there is none."""
    runs = [
        run
        for run in reading.experiment(experiment_name)
        if run.status == "FINISHED" and run.tags.get("model_uri") and np.isfinite(run.metrics.get(metric, np.nan))
    ]
    if not runs:
        raise InputError(f"No finished run of {experiment_name} has a model and {metric}. Train one first.")
    # The oldest of equals.
    best = min if lower_is_better(metric) else max
    return best(runs, key=lambda run: run.metrics[metric]).run_id


def fetch(run_id: str, work: Path) -> tuple[str, dict[str, float], Path]:
    """URI of a run's model, the run's metrics, and the model in a local folder; raises InputError without a model."""
    folder = model.download_model(run_id, work)
    run = reading.read(run_id)
    return run.tags["model_uri"], dict(run.metrics), folder
