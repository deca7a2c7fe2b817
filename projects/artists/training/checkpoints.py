"""A training on disk: everything that its next epoch depends on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..data.cache import atomic_write


@dataclasses.dataclass(frozen=True)
class State:
    """A training between two epochs. wait: epochs since the best one."""

    epoch: int = 0
    wait: int = 0
    best_loss: float = float("inf")
    best_weights: list[np.ndarray] = dataclasses.field(default_factory=list, repr=False)
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """Counted from 1."""
        return self.epoch - self.wait

    def after(self, logs: dict[str, float], model: keras.Model, keep: bool = False) -> State:
        """The state after an epoch with these values.

        keep: it counts as the best whatever they are, as it does without a validation loss.
        """
        loss = logs.get("val_loss", logs["loss"])
        better = keep or "val_loss" not in logs or loss < self.best_loss
        return State(
            epoch=self.epoch + 1,
            wait=0 if better else self.wait + 1,
            best_loss=loss if better else self.best_loss,
            best_weights=model.get_weights() if better else self.best_weights,
            history=[*self.history, logs],
        )


def save(path: Path, model: keras.Model, state: State) -> None:
    """Writes weights, random seeds, optimizer and early stopping, whole or not at all."""
    numbers = {name: getattr(state, name) for name in ("epoch", "wait", "best_loss", "history")}
    arrays: dict[str, Any] = {f"variable_{i}": np.asarray(v) for i, v in enumerate(_variables(model))}
    arrays |= {f"best_{i}": weight for i, weight in enumerate(state.best_weights)}
    with atomic_write(path) as file:
        np.savez(file, state=np.frombuffer(json.dumps(numbers).encode(), np.uint8), **arrays)


def restore(path: Path | None, model: keras.Model) -> State | None:
    """Sets the model to what `save` wrote; None where nothing is."""
    if path is None or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        model.optimizer.build(model.trainable_variables)
        for i, variable in enumerate(_variables(model)):
            variable.assign(stored[f"variable_{i}"])
        best = [stored[f"best_{i}"] for i in range(len(model.weights))]
        return State(best_weights=best, **json.loads(stored["state"].tobytes()))


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, states of the dropout generators, and the optimizer's own variables, in a fixed order."""
    return [*model.variables, *model.optimizer.variables]
