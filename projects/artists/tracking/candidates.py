"""Trained runs as candidates: choosing the best of an experiment, and fetching the model of one."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..evaluation.metrics import lower_is_better
from . import model, server


def best_run(experiment_name: str, metric: str) -> str:
    """The finished run with a model that is best by a metric of validation.

    Raises:
        InputError: No such experiment, or no run of it has a model and that metric.
    """
    client = server.client(f"looking for the best run of {experiment_name}")
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        raise InputError(f"experiment_name={experiment_name} does not exist; copy a name from the MLflow UI.")
    order = "ASC" if lower_is_better(metric) else "DESC"
    found = client.search_runs(
        [experiment.experiment_id],
        f"attributes.status = 'FINISHED' and tags.model_uri != '' and metrics.`{metric}` > -1e300",
        order_by=[f"metrics.`{metric}` {order}", "attributes.start_time ASC"],
        max_results=1,
    )
    if not found:
        raise InputError(f"No finished run of {experiment_name} has a model and {metric}. Train one first.")
    return found[0].info.run_id


def fetch(run_id: str, work: Path) -> tuple[str, dict[str, float], Path]:
    """URI of a run's model, the run's metrics, and the model in a local folder.

    Raises:
        InputError: No such run, or it logged no model.
    """
    folder = model.download_model(run_id, work)
    run = server.existing(run_id)
    return run.data.tags["model_uri"], dict(run.data.metrics), folder
