"""A system that is one Keras network from clips to probabilities."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np

from ..audio.clips import clip_frames
from ..audio.features import FeatureConfig
from ..data.clipset import ClipSet
from ..errors import InputError

if TYPE_CHECKING:
    from ..learn.checkpoints import State
    from ..learn.loop import Hooks
    from ..learn.training import Training

NETWORK = "network.keras"


class KerasSystem(abc.ABC):
    """Subclasses define Config and build(frames, n_mels, num_classes); the last layer is the softmax."""

    Config: ClassVar[type]
    features: ClassVar[dict[str, object]] = {}
    training: ClassVar[dict[str, object]] = {}
    min_frames: ClassVar[int] = 1
    min_mels: ClassVar[int] = 1
    custom_objects: ClassVar[dict[str, type]] = {}

    def __init__(self, **options: object) -> None:
        """Raises TypeError for an option that Config does not have."""
        self.config = self.Config(**options)
        self.model: keras.Model | None = None
        self._both: tuple[keras.Model, keras.Model] | None = None

    @classmethod
    def option_names(cls) -> list[str]:
        """Fields of Config."""
        return [field.name for field in dataclasses.fields(cls.Config)]

    @classmethod
    def check_input(cls, clip: float, config: FeatureConfig) -> None:
        """Raises InputError where the network cannot take clips of `clip` seconds, or that few bands."""
        name = cls.__module__.rsplit(".", 1)[-1]
        frames = clip_frames(clip, config)
        if frames < cls.min_frames:
            least = cls.min_frames * config.hop_length / config.sr
            raise InputError(f"clip={clip:g} is {frames} frames; {name} needs {least:g} s or more.")
        if config.n_mels < cls.min_mels:
            raise InputError(f"n_mels={config.n_mels} is too few; {name} needs {cls.min_mels} or more.")

    @abc.abstractmethod
    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """A network from clips (frames, n_mels) in dB to probabilities (num_classes,)."""

    def optimizer(self, training: Training) -> keras.optimizers.Optimizer:
        return keras.optimizers.Adam(training.learning_rate)

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..learn import device, loop

        device.prepare(training.seed)
        self.model = self.build(train.length, train.n_mels, num_classes)
        _settle_within_an_epoch(self.model, steps=-(-len(train) // training.batch_size))
        self.model.compile(self.optimizer(training), "categorical_crossentropy")
        return loop.fit(self.model, train, val, training, hooks)

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches of clips (b, frames, n_mels) -> probabilities (n, num_classes), input of the softmax (n, d)."""
        if self._both is None or self._both[0] is not self.model:
            # Kept: a new one would be compiled again for every track.
            self._both = self.model, keras.Model(self.model.input, [self.model.output, self.model.layers[-1].input])
        outputs = [self._both[1].predict_on_batch(clips) for clips in batches]
        return tuple(np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*outputs, strict=True))

    def count_params(self) -> int:
        return self.model.count_params()

    def save(self, folder: Path) -> None:
        self.model.save(folder / NETWORK)

    def load(self, folder: Path) -> None:
        """Custom layers are named here, never registered globally: two versions may live in one process."""
        self.model = keras.saving.load_model(
            folder / NETWORK, custom_objects=self.custom_objects, compile=False, safe_mode=True
        )


def _settle_within_an_epoch(model: keras.Model, steps: int) -> None:
    """Lets moving statistics follow small corpora.

    Keras' momentum of 0.99 averages over a hundred steps, about one epoch of the corpora it was chosen on. A corpus of
    ten steps an epoch would be validated with statistics of its untrained network, and stopped early for it. From 80
    steps an epoch on nothing changes.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, 1 - 1 / max(2.0, 1.25 * steps))
