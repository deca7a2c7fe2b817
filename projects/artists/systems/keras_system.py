"""A system that is one Keras network from clips to probabilities."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from . import base
from .layers import CUSTOM_OBJECTS
from .lazy import keras, np
from .space import TRAINING_SPACE

if TYPE_CHECKING:
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks, Own
    from ..training.training import Training

NETWORK = "network.keras"


class KerasSystem(base.System):
    """Subclasses define Config and build(frames, n_mels, num_classes).

    The layer named `embedding` gives what the softmax is computed from.
    """

    custom_objects: ClassVar[Mapping[str, object]] = CUSTOM_OBJECTS
    space: ClassVar[dict[str, object]] = TRAINING_SPACE

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.model: keras.Model = None
        self._both: keras.Model = None

    @abc.abstractmethod
    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """A network from clips (frames, n_mels) in dB to probabilities (num_classes,)."""

    def optimizer(self, training: Training) -> keras.optimizers.Optimizer:
        return keras.optimizers.Adam(training.learning_rate)

    def own(self, train: ClipSet, training: Training) -> Own:
        """What this system does in its own way while it is fitted."""
        from ..training.loop import Own

        if not training.crops:
            return Own()
        from ..training.crops import CHANGES, Crops

        steps, classes = -(-len(train) // training.batch_size), self.model.output_shape[-1]
        sizes = {"steps": steps, "batch_size": training.batch_size, "num_classes": classes, "seed": training.seed}
        return Own(batches=lambda epoch: Crops(train, CHANGES, epoch=epoch, **sizes))

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..training import loop

        keras.utils.set_random_seed(training.seed)
        self.model = self.started(self.build(train.length, train.n_mels, num_classes))
        self.settle(train, training)
        self.model.compile(self.optimizer(training), "categorical_crossentropy")
        return loop.fit(self.model, train, val, training, hooks, self.own(train, training))

    def started(self, model: keras.Model) -> keras.Model:
        """The untrained model as this system starts from it."""
        return model

    def settle(self, train: ClipSet, training: Training) -> None:
        if training.adapt_batchnorm:
            settle_within_an_epoch(self.model, steps=-(-len(train) // training.batch_size))

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches of clips (b, frames, n_mels) -> probabilities (n, num_classes), embeddings (n, d)."""
        if self._both is None or self._both.input is not self.model.input:
            # Kept, since each new model is traced anew.
            embedding = self.model.get_layer("embedding").output
            self._both = keras.Model(self.model.input, [self.model.output, embedding])
        outputs = [self._both.predict_on_batch(clips) for clips in batches]
        proba, embeddings = (
            np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*outputs, strict=True)
        )
        return proba, embeddings

    def count_params(self) -> int:
        return self.model.count_params()

    def save(self, folder: Path) -> None:
        self.model.save(folder / NETWORK)

    def load(self, folder: Path) -> None:
        """Custom layers are named here, never registered globally: two versions may live in one process."""
        self.model = keras.saving.load_model(
            folder / NETWORK, custom_objects=self.custom_objects, compile=False, safe_mode=True
        )


def settle_within_an_epoch(model: keras.Model, steps: int) -> None:
    """Lets moving statistics follow small corpora.

    Keras' momentum of 0.99 averages over a hundred steps, about one epoch of the corpora it was chosen on. A corpus of
    ten steps an epoch would be validated with statistics of its untrained network, and stopped early for it. From 80
    steps an epoch on nothing changes.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, 1 - 1 / max(2.0, 1.25 * steps))
