"""One training, from a plan to a fitted system in a run: what train, search and grid have in common."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..data import prepare
from ..data.cache import cache_root
from ..data.options import field_names
from ..data.prepare import Prepared
from ..data.splits import inner_folds
from ..data.tracks import Progress
from ..errors import InputError
from ..systems.base import System
from ..tracking.runs import Run
from ..training import device
from ..training.checkpoints import State
from ..training.loop import Hooks
from ..training.training import Training
from . import evaluate, results
from .evaluate import SubsetScores
from .plan import TrainingPlan, training_plan

# From so many steps an epoch on `adapt_batchnorm` changes nothing.
STEPS = 80
# Of the training songs, with validation=inner.
INNER_FOLDS = 3
OnEpoch = Callable[[int, Mapping[str, float]], None]
OnValidation = Callable[[np.ndarray], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The system with its best weights, and the state of the training at its end.

    metrics: what the training took; held_out: with validation=inner, scores of the training songs by systems that have
    not learned them.
    """

    system: System
    state: State
    metrics: Mapping[str, float]
    held_out: SubsetScores | None = None


def checkpoint(run: Run) -> Path:
    """Where the training of a run is kept after each epoch."""
    return cache_root() / "checkpoints" / f"{run.run_id}.npz"


def check_checkpoint(plan: TrainingPlan, run: Run) -> None:
    """Raises InputError where a run has logged epochs and what it learned in them is not here."""
    logged, file = run.steps("epoch/loss"), checkpoint(run)
    if logged and "epochs" not in plan.unused and not file.is_file():
        raise InputError(
            f"Run {run.run_id} has logged {len(logged)} epoch(s), but their checkpoint {file} is not there. "
            "Go on where it was trained, with the ARTISTS_CACHE that it had, or delete that run and train anew."
        )


def train(plan: TrainingPlan, run: Run, progress: Progress | None = None) -> None:
    """Reads the corpus, fits the system, evaluates its best weights and logs everything."""
    run.params(plan.values)
    check_checkpoint(plan, run)
    corpus, features = prepare.read_features(plan.data, plan.features, progress=progress)
    run.table(prepare.quarantine_table(features), "quarantined.csv")
    prepared = prepare.prepare(corpus, features, plan.data, seed=plan.seed)
    results.log_data(run, prepared)
    for hint in (device.idle_gpu_hint(), batchnorm_hint(plan, len(prepared.clips["train"]))):
        if hint:
            print(f"warning: {hint}")
    fitted = fit(plan, prepared, run)
    results.log_results(run, fitted.system, prepared, plan, fitted.held_out, progress=progress)


def batchnorm_hint(plan: TrainingPlan, clips: int) -> str | None:
    """What to try where batch normalisation cannot follow within an epoch, so that validation sees no progress."""
    steps = -(-clips // plan.training.batch_size)
    if plan.training.adapt_batchnorm or "adapt_batchnorm" in plan.unused or steps >= STEPS:
        return None
    return (
        f"an epoch of {steps} steps is short for the published momentum of batch normalisation, which may keep the "
        "network from learning; -P recipe=small lowers it."
    )


def resumed(run_id: str, run: Run) -> TrainingPlan:
    """The plan of the run that is to go on, which `run` becomes.

    What its configuration file set is among its parameters, unless it died before it logged more than `mlflow run` had.
    """
    logged = run.resume(run_id)
    # `mlflow run` logs names as they were typed; those that train logged count.
    old = {name.replace("-", "_"): value for name, value in sorted(logged.items(), key=lambda each: "-" not in each[0])}
    whole = set(field_names(Training)) <= set(old)
    without = {"resume", "config"} if whole else {"resume"}
    return training_plan({name: value for name, value in old.items() if name not in without})


def fit(
    plan: TrainingPlan,
    prepared: Prepared,
    run: Run,
    on_epoch: OnEpoch | None = None,
    on_validation: OnValidation | None = None,
) -> Fitted:
    """Fits the system of the plan; its curves and what it took are logged.

    Args:
        on_epoch: Called with (epoch from 0, its named values) after they are logged; what it raises ends the training.
        on_validation: Called after each epoch with the probabilities of the validation clips (n_clips, k); what it
            returns is logged among the values of the epoch.

    Raises InputError as `check_checkpoint`.
    """
    check_checkpoint(plan, run)
    run.tags({"device": device.device()})
    logged, history = run.steps("epoch/loss"), []

    def after_epoch(epoch: int, logs: Mapping[str, float]) -> None:
        history.append(logs)
        if epoch not in logged:
            run.metrics({f"epoch/{name.replace('/', '_')}": value for name, value in logs.items()}, step=epoch)
        if on_epoch:
            on_epoch(epoch, logs)

    def validate(proba: np.ndarray) -> dict[str, float]:
        scores = evaluate.validation_scores(prepared.clips["val"], proba, plan.evaluation.pooling)
        return scores | dict(on_validation(proba) if on_validation else {})

    run.when_finished(lambda: remove_checkpoints(run))
    hooks, clips = Hooks(validate=validate, on_epoch=after_epoch, checkpoint=checkpoint(run)), prepared.clips
    held_out, training = None, plan.training
    system = plan.system(**plan.system_options)
    began, inner_seconds = time.perf_counter(), 0.0
    try:
        with device.PeakMemory() as memory:
            if plan.data.validation == "inner":
                held_out, training = _held_out(plan, prepared, hooks)
                inner_seconds = time.perf_counter() - began
            state = system.fit(clips["train"], clips["val"], len(prepared.classes), training, hooks)
    except KeyboardInterrupt:
        run.description(_so_far(history))
        raise
    # Of all epochs: a training that went on tells the whole.
    seconds, rates = ([epoch[name] for epoch in state.history] for name in ("seconds", "clips_per_second"))
    metrics = {"train_seconds": sum(seconds) + inner_seconds, "clips_per_second": sum(rates) / len(rates)}
    metrics |= {"parameters": system.count_params(), "best_epoch": state.best_epoch, "peak_private_mb": memory.mb}
    run.metrics(metrics)
    return Fitted(system, state, metrics, held_out)


def _held_out(plan: TrainingPlan, prepared: Prepared, hooks: Hooks) -> tuple[SubsetScores, Training]:
    """Scores of the training songs, each by a system that was fitted to the others, and how to fit to all of them.

    Where validation ends a training, the last one takes as many epochs as those took on average.
    """
    train = prepared.clips["train"]
    tracks, corpus = prepared.tracks["train"], prepared.corpus.only(prepared.tracks["train"])
    fold_of = inner_folds(corpus, folds=INNER_FOLDS, seed=plan.data.split_seed_or(plan.seed), groups=prepared.groups)
    folds = np.array([fold_of[track.track_id] for track in tracks])
    proba, epochs = np.zeros((len(train), len(prepared.classes)), np.float32), []
    for fold in np.unique(folds):
        print(f"inner fold {fold + 1} of {INNER_FOLDS}", flush=True)
        system, held = plan.system(**plan.system_options), train.of_songs(np.flatnonzero(folds == fold))
        others = train.of_songs(np.flatnonzero(folds != fold))
        state = system.fit(others, held, len(prepared.classes), plan.training, hooks.of_part(f"inner{fold}"))
        proba[folds[train.songs] == fold] = system.scores(held.batches_of(system.unit))[0]
        epochs.append(state.best_epoch)
        device.release()
    scores, training = SubsetScores.of_proba(train, proba, plan.evaluation.pooling), plan.training
    if "epochs" not in plan.unused:
        training = dataclasses.replace(training, epochs=round(float(np.mean(epochs))))
    return scores, training


def remove_checkpoints(run: Run) -> None:
    """That of a run, and those of the parts of its training."""
    for file in checkpoint(run).parent.glob(f"{run.run_id}.*"):
        file.unlink(missing_ok=True)


def _so_far(history: Sequence[Mapping[str, float]]) -> str:
    """What an interrupted training has reached."""
    if not history:
        return "Interrupted before the first epoch was done."
    best = min(range(len(history)), key=lambda epoch: history[epoch].get("val_loss", -epoch))
    values = ", ".join(f"{name} {value:.3f}" for name, value in history[best].items() if name.startswith("val"))
    return f"Interrupted after {len(history)} epoch(s). The best so far is epoch {best + 1}: {values}."
