"""One trial: a training in a child run, and what its end says."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import optuna

from ...data import prepare
from ...data.prepare import Prepared
from ...systems.base import System
from ...tracking import runs
from ...tracking.runs import Run
from ...training import device
from .. import evaluate as evaluation
from .. import train
from ..engine import RUN, reasons
from ..evaluate import SubsetScores
from ..plan import TrainingPlan, training_plan, used
from ..train import Fitted
from . import objectives
from .space import SearchSpace

LOGGED_ANYWAY = ("val/loss", "val/clip_f1", "val/song_f1")
# Timed twice: the first pass compiles.
TIMED_BATCHES = 4
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Search:
    """What all trials have in common.

    given: parameters of a training that flags and a configuration file set; objectives: names, the first the most
    important; prunes: whether hopeless trials are ended; parent: the run that is above all trials.
    """

    name: str
    given: Mapping[str, Any]
    plan: TrainingPlan
    prepared: Prepared
    space: SearchSpace
    objectives: list[str]
    prunes: bool
    parent: Run

    def values(self, trial: optuna.Trial) -> dict[str, Any]:
        """The values of a trial: suggested, but for what the file fixes and what a given point has outside."""
        pinned = trial.user_attrs.get("pinned", {})
        spec = {name: what for name, what in self.space.open.items() if name not in pinned}
        return {**self.space.fixed, **self.plan.system.suggest(trial, spec), **pinned}


class Watch:
    """What is seen of a training while it runs.

    proba: probabilities of the validation clips after the last epoch; value: the objective of the weights that early
    stopping would keep now; seconds: of the epochs, training and validation alone.
    """

    def __init__(self, search: Search, trial: optuna.Trial, plan: TrainingPlan) -> None:
        self._search, self._trial, self._plan = search, trial, plan
        self.proba = np.empty(0)
        self.seconds, self.best_loss, self.value = 0.0, float("inf"), float("nan")

    def validated(self, proba: np.ndarray) -> dict[str, float]:
        """Keeps the probabilities; the value of an objective that a training does not log anyway."""
        self.proba = proba
        names = self._search.objectives
        if names[0] in LOGGED_ANYWAY or not objectives.prunable(names):
            return {}
        return evaluation.validation_scores(self._clips, proba, self._plan.evaluation.pooling, names)

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Tells Optuna where the training stands; raises TrialPruned for a hopeless one."""
        self.seconds += logs["seconds"]
        if not objectives.prunable(self._search.objectives):
            return
        if logs["val_loss"] < self.best_loss:
            objective = self._search.objectives[0]
            self.best_loss, self.value = logs["val_loss"], logs["val_loss" if objective == "val/loss" else objective]
        self._trial.report(self.value, epoch + 1)
        # What everything is compared with is trained to its end.
        published = self._trial.user_attrs.get("source") == "published"
        if self._search.prunes and not published and self._trial.should_prune():
            raise optuna.TrialPruned(f"after epoch {epoch + 1}")

    def scores(self) -> SubsetScores:
        """The validation subset after the last epoch, without embeddings."""
        return SubsetScores.of_proba(self._clips, self.proba, self._plan.evaluation.pooling)

    @property
    def _clips(self) -> Any:
        return self._search.prepared.clips["val"]


def run_trial(search: Search, trial: optuna.Trial) -> float | list[float]:
    """Trains one configuration in a run of its own; the objective, or the list of objectives.

    Raises:
        TrialPruned: It was ended early; its run is complete all the same.
        TrialFailed: It could not be trained; its run says why.
    """
    # Whatever the last trial left, a failed one too.
    device.release()
    tags = {"study_name": search.name, "trial": str(trial.number), "source": trial.user_attrs.get("source", "sampler")}
    with runs.child(search.parent, f"trial {trial.number}", tags) as run, reasons(trial, f"trial {trial.number}", run):
        trial.set_user_attr(RUN, run.run_id)
        values = search.values(trial)
        trial.set_user_attr("values", values)
        plan = training_plan(used({**search.given, **values}))
        run.params(plan.values)
        watch, inner = Watch(search, trial, plan), plan.data.validation == "inner"
        pruned: optuna.TrialPruned | None = None
        prepared = prepare.with_overlap(search.prepared, plan.data.overlap)
        try:
            fitted = train.fit(plan, prepared, run, *(() if inner else (watch.epoch, watch.validated)))
        except optuna.TrialPruned as error:
            pruned = error
            _end(trial, run, watch, lambda folder: evaluation.write_validation(folder, prepared, watch.scores()))
        else:
            result = _end(trial, run, watch, partial(_evaluate, search, run, plan, prepared, fitted))
        finally:
            train.checkpoint(run).unlink(missing_ok=True)
        run.tags({"trial_state": "PRUNED" if pruned else "COMPLETE"})
    # A pruned trial's run has ended well.
    if pruned:
        raise pruned
    return result if len(result) > 1 else result[0]


def _evaluate(
    search: Search, run: Run, plan: TrainingPlan, prepared: Prepared, fitted: Fitted, folder: Path
) -> list[float]:
    """Scores the best weights on the validation subset, logs what they are worth; the objectives."""
    held_out, system = fitted.held_out, fitted.system
    scores = held_out or SubsetScores.of(system, prepared.clips["val"], plan.evaluation.pooling)
    metrics = scores.metrics("val", seed=plan.seed)
    metrics["val/loss"] = metrics["val/clip_log_loss"] if held_out else fitted.state.best_loss
    metrics["parameters"] = system.count_params()
    if "seconds_per_clip" in search.objectives:
        metrics["seconds_per_clip"] = seconds_per_clip(system, prepared)
    run.metrics({name: value for name, value in metrics.items() if name != "parameters"})
    evaluation.write_validation(folder, prepared, scores, seed=plan.seed)
    return [float(metrics[name]) for name in search.objectives]


def seconds_per_clip(system: System, prepared: Prepared) -> float:
    """Seconds that a clip takes to score, of a few hundred training clips."""
    batches = list(itertools.islice(prepared.clips["train"].batches_of(system.unit), TIMED_BATCHES))
    system.scores(batches)
    began = time.perf_counter()
    system.scores(batches)
    return (time.perf_counter() - began) / sum(map(len, batches))


def _end(trial: optuna.Trial, run: Run, watch: Watch, evaluate: Callable[[Path], T]) -> T:
    """Evaluates into a folder that is logged, with a clock of its own: it is no part of the overhead."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = evaluate(Path(folder))
        run.folder(Path(folder))
    seconds = time.perf_counter() - began
    run.metrics({"epochs_seconds": watch.seconds, "evaluation_seconds": seconds})
    # Raises where others took this worker for lost: the run then fails too.
    trial.set_user_attr("seconds", [watch.seconds, seconds])
    return result
