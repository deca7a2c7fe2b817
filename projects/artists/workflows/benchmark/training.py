"""Speed of an epoch against Keras on arrays in memory, and the share of a training that MLflow takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import numpy as np

from ...data import prepare
from ...data.prepare import Prepared
from ...data.tracks import Progress
from ...systems.crnn import System
from ...tracking.runs import Run
from ...training.loop import Hooks
from ...training.training import Training
from .. import results, train
from ..plan import TrainingPlan, training_plan
from .figure import Figure

OF_KERAS = 0.95
MLFLOW_SHARE = 0.01


def prepared(plan: TrainingPlan, progress: Progress | None = None) -> Prepared:
    """The corpus of the plan, ready to learn from."""
    corpus, features = prepare.read_features(plan.data, plan.features, progress=progress)
    return prepare.prepare(corpus, features, plan.data, seed=plan.seed)


def epoch(data: str, repeats: int, progress: Progress | None = None) -> list[Figure]:
    """Clips a second of our epochs and of Keras' `fit` on the same clips in memory, in turn, after a first of each."""
    plan = training_plan({"data": data, "split": "song", "epochs": str(repeats + 1), "patience": str(repeats + 1)})
    ready, training = prepared(plan, progress), plan.training
    clips, classes = ready.clips["train"], len(ready.classes)
    x, y = clips.read(slice(None)), np.eye(classes, dtype=np.float32)[clips.y]
    reference = System()
    reference.fit(clips, ready.clips["val"], classes, Training(epochs=1, seed=training.seed), Hooks())
    rates: dict[str, list[float]] = {"ours": [], "keras": []}

    def after_epoch(_: int, logs: Mapping[str, float]) -> None:
        began = time.perf_counter()
        reference.model.fit(x, y, batch_size=training.batch_size, verbose=0)
        rates["keras"].append(len(clips) / (time.perf_counter() - began))
        rates["ours"].append(logs["clips_per_second"])

    System().fit(clips, ready.clips["val"], classes, training, Hooks(on_epoch=after_epoch))
    ours, keras = (np.array(rates[name][1:]) for name in ("ours", "keras"))
    return [
        Figure("epoch_of_keras", float(np.median(ours / keras)), "an epoch: clips a second over Keras' fit", OF_KERAS),
        Figure("epoch_clips_per_second", float(np.median(ours)), "an epoch: clips a second"),
    ]


def mlflow(data: str, epochs: int, run: Run, progress: Progress | None = None) -> list[Figure]:
    """Seconds inside calls to the run, of a whole training with its evaluation and model."""
    plan = training_plan({"data": data, "split": "song", "epochs": str(epochs)})
    ready, clock = prepared(plan, progress), Clock()
    began = time.perf_counter()
    timed = clock.around(run)
    with clock.inside(results, "log_model"):
        results.log_data(timed, ready)
        fitted = train.fit(plan, ready, timed)
        results.log_results(timed, fitted.system, ready, plan)
    total = time.perf_counter() - began
    share = f"MLflow's share of a training of {epochs} epochs"
    return [
        Figure("mlflow_share", clock.seconds / total, share, most=MLFLOW_SHARE),
        Figure("mlflow_seconds", clock.seconds, "MLflow: seconds"),
        Figure("mlflow_training_seconds", total, "the training: seconds"),
    ]


class Clock:
    """Adds up the time of calls; of one inside another only the outer one's."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Times a block, or, as a decorator, each call of a function."""
        began = time.perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self.seconds += time.perf_counter() - began

    def around(self, target: Any) -> Any:
        """An object whose methods are those of `target`, timed."""

        class Timed:
            def __getattr__(_, name: str) -> Any:
                value = getattr(target, name)
                return self()(value) if callable(value) else value

        return Timed()

    def inside(self, module: Any, name: str) -> contextlib.AbstractContextManager:
        """While it lasts, a function of a module is timed."""
        return mock.patch.object(module, name, self()(getattr(module, name)))
