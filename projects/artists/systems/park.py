"""What the three systems of Park et al. 2018 share: the tower, its features, its optimizer, its weights from a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from ..errors import InputError
from .keras_system import KerasSystem
from .lazy import keras, layers, np
from .options import check_fractions
from .space import TRAINING_SPACE

if TYPE_CHECKING:
    from ..data.clipset import ClipSet
    from ..training.loop import Own
    from ..training.training import Training

# (filters, frames of the kernel, pooling of time) of each convolution: 128 frames become one.
LAYERS = ((128, 4, 4), (128, 4, 4), (128, 4, 4), (128, 2, 2), (256, 1, 1))
# Of their training set, in log10(1 + 10 * mel).
MEAN, DEVIATION = 0.22620339, 0.25794547
L2 = 1e-5
DECAY = 1e-6
# Their script's factor and least rate; after how many epochs the paper does not say.
PLATEAU_EPOCHS, PLATEAU_FACTOR, LEAST_RATE = 3, 0.2, 1.6e-5


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """The tower of all three networks."""

    dropout: Annotated[float, "share dropped after the last activation"] = 0.5
    pretrained: Annotated[str | None, "file of the authors' weights for the tower (.h5)"] = None
    freeze: Annotated[bool, "keep the pretrained weights as they are"] = False

    def __post_init__(self) -> None:
        check_fractions(self, "dropout")
        if self.freeze and not self.pretrained:
            raise InputError("freeze=true keeps weights as they were read; give pretrained=<file> with it.")


def tower(inputs: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """(frames, n_mels) in log10(1 + 10 * mel) -> (256,): five convolutions over time, averaged."""
    x = layers.Rescaling(1 / DEVIATION, -MEAN / DEVIATION)(inputs)
    for i, (filters, kernel, pool) in enumerate(LAYERS, 1):
        x = layers.Conv1D(
            filters,
            kernel,
            padding="same",
            kernel_initializer="he_uniform",
            kernel_regularizer=keras.regularizers.L2(L2),
            name=f"conv{i}",
        )(x)
        x = layers.BatchNormalization(name=f"norm{i}")(x)
        x = layers.ReLU()(x)
        if pool > 1:
            x = layers.MaxPooling1D(pool)(x)
    x = layers.Dropout(dropout)(x)
    return layers.GlobalAveragePooling1D(name="embedding")(x)


class ParkSystem(KerasSystem):
    features: ClassVar = {"sr": 22050, "n_fft": 1024, "hop_length": 512, "n_mels": 128, "compression": "log10"}
    data: ClassVar = {"clip": 3.0}
    training: ClassVar = {"learning_rate": 0.015, "batch_size": 15}
    # Its batches and its rate are its own: no schedule, smoothing or masks.
    space: ClassVar = {
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "weight_decay": TRAINING_SPACE["weight_decay"],
        "batch_size": [8, 15, 32],
        "dropout": {"low": 0.0, "high": 0.7},
    }
    min_frames = 128

    @classmethod
    def unused(cls, config: Any) -> dict[str, str]:
        """Its crops are its own; what they could go through is in dB."""
        return super().unused(config) | {"crops": ""}

    def optimizer(self, training: Training) -> keras.optimizers.Optimizer:
        return keras.optimizers.SGD(training.learning_rate, momentum=0.9, nesterov=True)

    def own(self, train: ClipSet, training: Training) -> Own:
        """Random crops, as many an epoch as the songs have disjoint clips, and a rate that follows the plateau."""
        from ..training import rates
        from ..training.batches import Batches
        from ..training.loop import Own

        def batches(epoch: int) -> Batches:
            starts = train.random_starts(train.songs, np.random.default_rng([training.seed, epoch, 1]))
            return Batches(
                dataclasses.replace(train, starts=starts),
                batch_size=training.batch_size,
                num_classes=self.model.output_shape[-1],
                seed=training.seed,
                epoch=epoch,
                targets=self.targets(train),
            )

        rate = rates.plateau(training.learning_rate, PLATEAU_EPOCHS, PLATEAU_FACTOR, LEAST_RATE, DECAY)
        return Own(batches, rate=rate)

    def targets(self, train: ClipSet) -> np.ndarray | None:
        """What each class is trained to give, (num_classes, n); None for the class itself."""
        return None

    def started(self, model: keras.Model) -> keras.Model:
        """The model with pretrained weights in its tower, where they are asked for."""
        from .pretrained import read_tower

        if self.config.pretrained:
            named = [model.get_layer(f"{kind}{i}") for i in range(1, len(LAYERS) + 1) for kind in ("conv", "norm")]
            shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in named]
            for layer, weights in zip(named, read_tower(Path(self.config.pretrained), shapes), strict=True):
                layer.set_weights(weights)
                layer.trainable = not self.config.freeze
        return model
