"""Fitting what has no epochs: it is timed and evaluated on validation, and told as a training of one epoch."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable

import numpy as np

from ..data.clipset import ClipSet
from ..errors import InputError
from ..evaluation.metrics import log_losses
from .checkpoints import State
from .loop import Hooks, check_clips

Scores = Callable[[Iterable[np.ndarray]], tuple[np.ndarray, np.ndarray]]
# Of the training subset its loss is taken over about this many clips.
MOST_CLIPS = 5000


def fit(learn: Callable[[], None], scores: Scores, train: ClipSet, val: ClipSet, unit: str, hooks: Hooks) -> State:
    """Calls `learn`, then `scores` on some of the training subset and all of validation.

    Raises:
        InputError: There is nothing to learn from.
    """
    check_clips(train)
    if len(np.unique(train.y)) < 2:
        raise InputError("The training subset holds one class; a classifier needs at least two.")
    began = time.perf_counter()
    learn()
    learned = time.perf_counter()
    step = -(-len(train) // MOST_CLIPS)
    some = dataclasses.replace(train, songs=train.songs[::step], starts=train.starts[::step], y=train.y[::step])
    logs = {"loss": float(log_losses(some.y, scores(some.batches_of(unit))[0]).mean())}
    if len(val):
        proba, _ = scores(val.batches_of(unit))
        logs |= {"val_loss": float(log_losses(val.y, proba).mean()), **hooks.validate(proba)}
    logs |= {"clips_per_second": len(train) / (learned - began), "seconds": time.perf_counter() - began}
    hooks.on_epoch(0, logs)
    return State(epoch=1, best_loss=logs.get("val_loss", logs["loss"]), history=[logs])
