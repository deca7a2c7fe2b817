"""Fitting a classifier with early stopping on the validation loss; the best weights are kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from ..data.clipset import ClipSet
from ..errors import InputError
from ..evaluation.metrics import log_losses
from .batches import Batches
from .checkpoints import State, restore, save
from .progress import EpochBar
from .training import Training, learning_rate


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What a caller wants to see of a training; learn itself knows neither metrics nor MLflow.

    validate: validation probabilities (n_clips, num_classes) -> named scores, shown and passed to on_epoch.
    on_epoch: (epoch from 0, named values of it); called again for those before a resumed training.
    checkpoint: file that holds the training after each epoch; a training that finds one goes on from there.
    """

    validate: Callable[[np.ndarray], dict[str, float]] = lambda proba: {}
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, logs: None
    checkpoint: Path | None = None

    def of_part(self, name: str) -> Hooks:
        """Of a training that is a part of this one: it has a checkpoint of its own, and its epochs are not reported."""
        return Hooks(checkpoint=self.checkpoint and self.checkpoint.with_suffix(f".{name}{self.checkpoint.suffix}"))


@dataclasses.dataclass(frozen=True)
class Own:
    """What a system does in its own way; None as usual.

    batches: epoch from 0 -> what the model is fed.
    validate: () -> `val_loss` and other values after an epoch.
    rate: (validation losses so far, steps so far) -> learning rate of the next epoch.
    clips: that the model is fed in an epoch; None for as many as there are.
    to_the_end: all epochs are run, and the weights of the last stay, whatever the validation loss.
    """

    batches: Callable[[int], keras.utils.PyDataset] | None = None
    validate: Callable[[], dict[str, float]] | None = None
    rate: Callable[[list[float], int], float] | None = None
    clips: int | None = None
    to_the_end: bool = False


USUAL = Own()


def fit(model: keras.Model, train: ClipSet, val: ClipSet, training: Training, hooks: Hooks, own: Own = USUAL) -> State:
    """Trains a compiled model whose output is (n_clips, num_classes) probabilities, in place; the state at its end.

    The model then holds the weights of the epoch with the lowest validation loss; those of the last without validation
    clips, where nothing stops early, and with `Own.to_the_end`.

    Raises:
        InputError: There is nothing to train on, or a loss stopped being a number.
    """
    check_clips(train)
    _check_own(own, training)
    decay_kernels(model.optimizer, training.weight_decay)
    state = restore(hooks.checkpoint, model) or State()
    for epoch, logs in enumerate(state.history):
        hooks.on_epoch(epoch, logs)
    while state.epoch < training.epochs and state.wait < training.patience:
        rate = _set_learning_rate(model, training, state, own)
        began = time.perf_counter()
        loss = _train_epoch(model, train, training, state, own)
        trained = time.perf_counter()
        logs = {"loss": loss, **(own.validate() if own.validate else _validate(model, val, hooks))}
        _check_finite("validation loss", logs.get("val_loss", 0.0), training, state)
        logs |= {
            "clips_per_second": (own.clips or len(train)) / (trained - began),
            "seconds": time.perf_counter() - began,
            **rate,
        }
        state = state.after(logs, model, keep=own.to_the_end)
        if hooks.checkpoint:
            save(hooks.checkpoint, model, state)
        hooks.on_epoch(state.epoch - 1, logs)
    model.set_weights(state.best_weights)
    return state


def check_clips(train: ClipSet) -> None:
    """Raises InputError where there is nothing to train on."""
    if not len(train):
        raise InputError("No song of the training subset is as long as one clip; take a shorter clip.")


def _check_own(own: Own, training: Training) -> None:
    """Raises InputError where a system that does something in its own way is told how to do it."""
    options = {"label_smoothing": own.batches and training.label_smoothing, "augment": own.batches and training.augment}
    options["schedule"] = own.rate and training.schedule != "constant"
    if name := next((name for name, value in options.items() if value), None):
        raise InputError(f"{name}={getattr(training, name)}: this model has its own way here. Leave it out.")


def decay_kernels(optimizer: keras.optimizers.Optimizer, weight_decay: float) -> None:
    """Decoupled weight decay (Loshchilov and Hutter 2019); biases and normalisations are left alone."""
    if weight_decay:
        optimizer.weight_decay = weight_decay
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])


def _set_learning_rate(model: keras.Model, training: Training, state: State, own: Own) -> dict[str, float]:
    """Sets the rate of the next epoch where it is not constant; what is to be logged of it."""
    losses = [logs.get("val_loss", logs["loss"]) for logs in state.history]
    if own.rate:
        rate = own.rate(losses, int(model.optimizer.iterations))
    elif training.schedule != "constant":
        rate = learning_rate(training, losses)
    else:
        return {}
    model.optimizer.learning_rate = rate
    return {"learning_rate": rate}


def _train_epoch(model: keras.Model, train: ClipSet, training: Training, state: State, own: Own = USUAL) -> float:
    if own.batches:
        batches = own.batches(state.epoch)
    else:
        batches = Batches(
            train,
            batch_size=training.batch_size,
            num_classes=model.output_shape[-1],
            seed=training.seed,
            epoch=state.epoch,
            label_smoothing=training.label_smoothing,
            augment=training.augment,
        )
    with EpochBar(state, training, own.clips or len(train), len(batches)) as bar:
        loss = model.fit(batches, shuffle=False, verbose=0, callbacks=[bar]).history["loss"][0]
    _check_finite("loss", loss, training, state)
    return loss


def _check_finite(name: str, loss: float, training: Training, state: State) -> None:
    if not np.isfinite(loss):
        advice = f"try a smaller learning_rate than {training.learning_rate:g}"
        raise InputError(f"The {name} became {loss} in epoch {state.epoch + 1}; {advice}.")


def _validate(model: keras.Model, val: ClipSet, hooks: Hooks) -> dict[str, float]:
    if not len(val):
        return {}
    proba = np.concatenate([np.asarray(model.predict_on_batch(x)) for x in val.batches()])
    return {"val_loss": float(log_losses(val.y, proba).mean()), **hooks.validate(proba)}
