"""One cell of a grid: a training and its scores, with what earlier cells of this process prepared."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ...data import corpora, prepare
from ...data.featurize import Features
from ...data.options import ALL
from ...data.prepare import Prepared
from ...data.tracks import Corpus, Progress
from ...errors import InputError
from ...reports.summary import Summary
from ...tracking import others, reading, runs
from ...tracking.runs import Run
from ...training import device
from .. import evaluate, folds, results, train
from ..plan import TrainingPlan
from ..results import Results
from ..train import Fitted
from .grid import Cell

ROOT = Path(__file__).parents[4]


class Trainer:
    """Runs cells; features are read once a corpus and configuration, splits and clips once a kind, seed and length."""

    def __init__(self, *, full: bool = False, progress: Progress | None = None) -> None:
        """full: log all that train logs."""
        self._full, self._progress = full, progress
        self._features: dict[tuple, tuple[Corpus, Features]] = {}
        self._prepared: dict[tuple, Prepared] = {}
        self._baselines: dict[tuple, dict[str, float]] = {}

    def __call__(self, cell: Cell, run: Run, trained: str = "") -> Mapping[str, float]:
        """Trains, evaluates and logs, or calls the entry point that follows; returns the metrics."""
        plan = cell.plan
        if plan is None:
            return follow(cell, run, trained)
        run.params(plan.values)
        if plan.data.fold == ALL:
            return self.folds(plan, run)[0]
        return self._train(plan, run)[2]

    def folds(self, plan: TrainingPlan, run: Run) -> tuple[dict[str, float], Summary]:
        """Trains each fold in a child run, and pools them in `run`; pooled metrics, and a summary."""
        return folds.run_folds(plan, run, self._prepare, self._train, drawn=self._full)

    def _train(self, plan: TrainingPlan, run: Run) -> Results:
        """Trains, evaluates and logs; probabilities of the test clips, temperatures, metrics."""
        run.params(plan.values)
        prepared = self._prepare(plan, run)
        results.log_data(run, prepared)
        run.metrics({"classes": len(prepared.classes)})
        try:
            fitted = train.fit(plan, prepared, run)
            if not self._full:
                return self._log_tables(run, fitted, prepared, plan)
            with runs.active(run):
                proba, temperatures, metrics = results.log_results(
                    run, fitted.system, prepared, plan, fitted.held_out, say=False
                )
            return Results(proba, temperatures, {**fitted.metrics, **metrics})
        finally:
            device.release()

    def _prepare(self, plan: TrainingPlan, run: Run | None = None) -> Prepared:
        """Each cell's run lists the unreadable files, also where an earlier cell has met them."""
        options, config = plan.data, plan.features
        source = (options.data, options.label, options.artists, options.songs_per_artist, config)
        if source not in self._features:
            self._features[source] = prepare.read_features(options, config, progress=self._progress)
        corpus, features = self._features[source]
        if run:
            run.table(prepare.quarantine_table(features), "quarantined.csv")
        wanted = (config, dataclasses.replace(options, workers=None), plan.seed)
        if wanted not in self._prepared:
            self._prepared[wanted] = prepare.prepare(corpus, features, options, seed=plan.seed)
        return self._prepared[wanted]

    def _log_tables(self, run: Run, fitted: Fitted, prepared: Prepared, plan: TrainingPlan) -> Results:
        subsets = results.score_subsets(fitted.system, prepared, plan.evaluation, fitted.held_out)
        temperatures = evaluate.temperatures(subsets.get("val"))
        metrics = evaluate.metrics_of(subsets, seed=plan.seed) | self._baseline_metrics(prepared, plan.seed)
        metrics |= evaluate.calibration_errors(subsets, temperatures)
        with tempfile.TemporaryDirectory() as folder:
            evaluate.write_report(Path(folder), prepared, subsets, plan.evaluation, seed=plan.seed, drawn=False)
            card = results.card_of(plan, prepared, temperatures)
            metrics |= results.write_deformations(Path(folder), fitted.system, card, prepared, plan, self._progress)
            run.folder(Path(folder))
        # Last: a run that holds scores holds all of its tables.
        run.metrics(metrics)
        return Results(subsets["test"].proba, temperatures, {**fitted.metrics, **metrics})

    def _baseline_metrics(self, prepared: Prepared, seed: int) -> dict[str, float]:
        """They see whole songs: the same at every length of clip."""
        subsets = tuple(tuple(t.track_id for t in prepared.used(subset)) for subset in ("train", "test"))
        key = (prepared.corpus.name, prepared.label, prepared.features.config, subsets, seed)
        if key not in self._baselines:
            self._baselines[key] = evaluate.baseline_metrics(prepared, seed=seed)
        return self._baselines[key]


def follow(cell: Cell, run: Run, trained: str) -> Mapping[str, float]:
    """Runs another entry point on a trained model, in a process of its own and in the run of the cell.

    Raises:
        InputError: It failed; its own words.
    """
    values = {"model": trained, **cell.values}
    flags = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    if "data" in values:
        others.tags(run.run_id, {"corpus": corpora.load(str(values["data"])).name})
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "MLFLOW_RUN_ID": run.run_id, "PYTHONPATH": path}
    command = [sys.executable, "-m", f"projects.{cell.entry}", *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        errors = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        raise InputError(errors[-1] if errors else f"{cell.entry} ended with {done.returncode}.")
    return reading.read(run.run_id).metrics
