"""Support vector machine on one second of MFCC (Whitman, Flake and Lawrence 2001, "Artist detection in music").

Card: a clip is the mean and deviation of its MFCC, standardised; Gaussian kernel, one machine a pair of classes
(scikit-learn's SVC). The kernel and its C are ours. 1 s clips by default, any length from two frames on. Published on
21 artists, song split: .50 accuracy by clip.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar

from ..errors import InputError
from .array_system import ArraySystem, decision_values
from .lazy import np
from .options import check_positive
from .space import CLIPS_SPACE

if TYPE_CHECKING:
    from ..data.clipset import ClipSet


@dataclasses.dataclass(frozen=True)
class Config:
    """A support vector machine on clips."""

    n_mfcc: Annotated[int, "MFCC coefficients"] = 20
    svm_c: Annotated[float, "penalty of the machine"] = 10.0
    max_clips: Annotated[int, "clips to learn from, drawn at random from more"] = 20_000

    def __post_init__(self) -> None:
        check_positive(self, "n_mfcc", "max_clips")
        if not 0 < self.svm_c < float("inf"):
            raise InputError(f"svm_c={self.svm_c} must be above 0.")


class System(ArraySystem):
    Config = Config
    space: ClassVar = {
        **CLIPS_SPACE,
        "n_mfcc": {"low": 8, "high": 40},
        "svm_c": {"low": 0.1, "high": 1000.0, "log": True},
    }
    fitted = ("num_classes", "temperature", "machine")
    data: ClassVar = {"clip": 1.0}

    def learn(self, train: ClipSet, seed: int) -> None:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        order = np.random.default_rng(seed).permutation(len(train))[: self.config.max_clips]
        chosen = np.sort(order)
        batches = [chosen[start : start + 1000] for start in range(0, len(chosen), 1000)]
        vectors = np.concatenate([self.vectors(train.read(batch)) for batch in batches])
        self.machine = make_pipeline(StandardScaler(), SVC(C=self.config.svm_c)).fit(vectors, train.y[chosen])

    def vectors(self, clips: np.ndarray) -> np.ndarray:
        """Clips -> mean and deviation of their MFCC, (n, 2 * n_mfcc)."""
        coefficients = self.coefficients(clips)
        return np.concatenate([coefficients.mean(1), coefficients.std(1)], axis=1)

    def values(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        vectors = self.vectors(clips)
        values = decision_values(self.machine, vectors)
        return self.placed(values, self.machine.classes_), self.machine[0].transform(vectors)
