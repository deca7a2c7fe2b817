"""A system that scikit-learn fits to MFCC at once, without epochs, and that skops saves."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from . import fitted
from .lazy import np

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks
    from ..training.training import Training

# Natural logarithms of the temperatures that are tried.
LEAST, MOST = -7.0, 9.0


class ArraySystem(fitted.FittedSystem):
    """Subclasses define Config with n_mfcc, `learn`, `values` and `fitted`, the attributes that are saved.

    Their values, decision values or log likelihoods, become probabilities by a softmax at the temperature that gives
    the validation clips the lowest log loss.
    """

    in_epochs = False
    min_frames = 2

    fitted: ClassVar[tuple[str, ...]]
    num_classes: int
    temperature: float = 1.0

    @abc.abstractmethod
    def learn(self, train: ClipSet, seed: int) -> None:
        """Fits the estimators."""

    @abc.abstractmethod
    def values(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A batch of clips -> values (n, num_classes), higher for likelier, -inf for the unseen; embeddings (n, d)."""

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..training import once

        self.num_classes = num_classes

        def learn() -> None:
            self.learn(train, training.seed)
            self.temperature = 1.0
            if len(val):
                values = np.concatenate([self.values(clips)[0] for clips in val.batches_of(self.unit)])
                self.temperature = temperature(values, val.y)

        return once.fit(learn, self.scores, train, val, self.unit, hooks)

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches of clips (b, frames, n_mels) -> probabilities (n, num_classes), embeddings (n, d)."""
        from scipy.special import softmax

        values, embeddings = map(np.concatenate, zip(*(self.values(clips) for clips in batches), strict=True))
        return softmax(values / self.temperature, axis=1).astype(np.float32), embeddings

    def coefficients(self, clips: np.ndarray) -> np.ndarray:
        """Clips in dB (n, frames, n_mels) -> MFCC (n, frames, n_mfcc), float64."""
        from ..audio.features import mfcc

        return mfcc(clips.astype(float), self.config.n_mfcc)

    def placed(self, values: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Values (n, classes seen) in the columns of all classes."""
        placed = np.full((len(values), self.num_classes), -np.inf)
        placed[:, classes] = values
        return placed


def temperature(values: np.ndarray, y: np.ndarray) -> float:
    """Divisor of values (n, k) whose softmax has the lowest log loss for classes (n,)."""
    import scipy.optimize
    import scipy.special

    def loss(logarithm: float) -> float:
        logs = scipy.special.log_softmax(values / np.exp(logarithm), axis=1)[np.arange(len(y)), y]
        return float(-np.maximum(logs, np.log(1e-7)).mean())

    return float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=(LEAST, MOST), method="bounded").x))


def decision_values(svc: BaseEstimator, x: np.ndarray) -> np.ndarray:
    """(n, classes seen) of a support vector classifier, also of one that has two."""
    values = svc.decision_function(x)
    return np.column_stack([-values, values]) if values.ndim == 1 else values


def frames_by_class(clips: ClipSet, most: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """(class, frames (n, columns)) of each class that has clips; clips drawn at random, of about `most` frames."""
    rng = np.random.default_rng(seed)
    for label in np.unique(clips.y):
        chosen = np.sort(rng.permutation(np.flatnonzero(clips.y == label))[: max(1, most // clips.length)])
        yield int(label), clips.read(chosen).reshape(-1, clips.n_mels)
