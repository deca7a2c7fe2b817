"""A small convolutional network over time, trained from scratch on filtered, masked and mixed crops.

Card: 215,572 parameters with 20 artists. Means of neighbouring bands, a tenth of the decibels, without the level: minus
the crop's mean, or that of each band with centre=bands. Convolution of width 5 and stride 2, three residual ones of
width 3 and dilations 1, 2, 3, each with batch normalisation; mean and deviation over time of all four outputs;
dropout; softmax. Random crops of songs, drawn by the root of their length over the root of the songs of their artist.
Each goes through a random equaliser, perhaps a low-pass, masks of time and frequency (SpecAugment, Park et al. 2019),
and is mixed with another (mixup, Zhang et al. 2018). Adam with decoupled decay over a fixed number of steps, the rate
rising for a fifth of them and falling to 0 by a cosine; no early stopping. A song's probabilities are the normalised
geometric mean of its clips'.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from ..errors import InputError
from ..evaluation.spread import geometric_mean
from .keras_system import KerasSystem
from .lazy import keras, layers, np, ops
from .options import check_fractions, check_positive

if TYPE_CHECKING:
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks, Own
    from ..training.training import Training

# Decibels to a unit that suits a network.
DECIBELS = 10.0
# The moving averages of so short a training.
MOMENTUM = 0.9
# Each new size of a batch would be compiled anew.
BATCH = 8
WARM_UP = 0.2


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes, and what crops go through while it learns."""

    centre: Annotated[Literal["crop", "bands"], "the mean that is taken off: of the crop, or of each of its bands"] = (
        "crop"
    )
    width: Annotated[int, "channels of each convolution"] = 128
    dropout: Annotated[float, "share dropped before the softmax"] = 0.5
    steps: Annotated[int, "steps an epoch"] = 30
    equaliser: Annotated[float, "deviation in dB of the random equaliser"] = 4.0
    low_pass: Annotated[float, "share of crops that go through a random low-pass"] = 0.4
    masks: Annotated[float, "masks of time and frequency, up to this times a fifth of the axis"] = 1.0
    mixup: Annotated[float, "both parameters of the beta distribution of the mixture; 0: none"] = 0.3

    def __post_init__(self) -> None:
        check_positive(self, "width", "steps")
        check_fractions(self, "dropout")
        for name, end in (("equaliser", 40), ("low_pass", 1), ("masks", 1), ("mixup", 10)):
            if not 0 <= getattr(self, name) <= end:
                raise InputError(f"{name}={getattr(self, name)} must be from 0 to {end}.")


class System(KerasSystem):
    Config = Config
    unit = "song"
    data: ClassVar = {"clip": 8.0}
    training: ClassVar = {"epochs": 20, "batch_size": 32, "learning_rate": 0.002, "weight_decay": 0.02}
    space: ClassVar = {
        "centre": ["crop", "bands"],
        "width": [64, 128, 256],
        "learning_rate": {"low": 5e-4, "high": 1e-2, "log": True},
        "weight_decay": [0.0, 0.002, 0.02, 0.1],
        "epochs": [10, 20, 40],
        "mixup": {"low": 0.0, "high": 1.0},
        "low_pass": {"low": 0.0, "high": 1.0},
    }
    min_frames = 16
    min_mels = 2

    @classmethod
    def unused(cls, config: Any) -> dict[str, str]:
        """It has masks and a schedule of its own, learns to the end, and normalises by short averages."""
        return dict.fromkeys(("patience", "schedule", "augment", "label_smoothing", "crops", "adapt_batchnorm"), "")

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in dB -> (num_classes,) probabilities."""
        inputs = keras.Input((frames, n_mels))
        bands = n_mels // 2
        x = ops.mean(ops.reshape(inputs[:, :, : 2 * bands], (-1, frames, bands, 2)), axis=-1) / DECIBELS
        x -= ops.mean(x, axis=(1, 2) if self.config.centre == "crop" else 1, keepdims=True)
        stages = [self.convolved(x, 5, strides=2)]
        for dilation in (1, 2, 3):
            stages.append(stages[-1] + self.convolved(stages[-1], 3, dilation_rate=dilation))
        x = layers.Concatenate()([moment for stage in stages for moment in moments(stage)])
        x = layers.BatchNormalization(momentum=MOMENTUM, name="embedding")(x)
        x = layers.Dropout(self.config.dropout)(x)
        return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x), name="convnet")

    def convolved(self, x: keras.KerasTensor, size: int, **options: int) -> keras.KerasTensor:
        x = layers.Conv1D(self.config.width, size, padding="same", **options)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=MOMENTUM)(x))

    def optimizer(self, training: Training) -> keras.optimizers.Optimizer:
        """Adam whose rate rises to `learning_rate` for a fifth of all steps and falls to 0 by half a cosine."""
        steps = self.config.steps * training.epochs
        warm = int(WARM_UP * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            training.learning_rate / 25, steps - warm, warmup_target=training.learning_rate, warmup_steps=warm
        )
        return keras.optimizers.Adam(rate)

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..training import loop

        keras.utils.set_random_seed(training.seed)
        self.model = self.started(self.build(train.length, train.n_mels, num_classes))
        self.model.compile(self.optimizer(training), "categorical_crossentropy", jit_compile=jit_compile())
        return loop.fit(self.model, train, val, training, hooks, self.by_crops(train, val, training, hooks))

    def by_crops(self, train: ClipSet, val: ClipSet, training: Training, hooks: Hooks) -> Own:
        """Crops of its own each epoch, songs to validate on, and no early stopping."""
        from ..evaluation.metrics import log_losses
        from ..training.crops import Changes, Crops
        from ..training.loop import Own

        config = self.config
        names = [field.name for field in dataclasses.fields(Changes)]
        changes = Changes(**{name: value for name, value in dataclasses.asdict(config).items() if name in names})
        sizes = {"steps": config.steps, "batch_size": training.batch_size, "num_classes": self.model.output_shape[-1]}

        def batches(epoch: int) -> Crops:
            return Crops(train, changes, seed=training.seed, epoch=epoch, **sizes)

        def validate() -> dict[str, float]:
            proba = self.scores(val.song_batches())[0]
            return {"val_loss": float(log_losses(val.y, proba).mean()), **hooks.validate(proba)}

        return Own(batches, validate if len(val) else None, clips=config.steps * training.batch_size, to_the_end=True)

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches, each all clips of a song -> its probabilities for each of them, embeddings of the clips."""
        songs = [self.heard(clips) for clips in batches]
        proba = [np.tile(geometric_mean(each), (len(each), 1)) for each, _ in songs]
        return np.concatenate(proba).astype(np.float32), np.concatenate([embeddings for _, embeddings in songs])

    def heard(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Clips -> their own probabilities (n, num_classes) and embeddings (n, d)."""
        padded = np.concatenate([clips, np.zeros((-len(clips) % BATCH, *clips.shape[1:]), clips.dtype)])
        proba, embeddings = super().scores(padded[start : start + BATCH] for start in range(0, len(padded), BATCH))
        return proba[: len(clips)], embeddings[: len(clips)]


def jit_compile() -> bool | str:
    """XLA is slower here than the convolutions that TensorFlow has for a CPU."""
    from ..training import device

    return False if device.backend() == "tensorflow" and device.device().startswith("cpu") else "auto"


def moments(x: keras.KerasTensor) -> list[keras.KerasTensor]:
    """(time, channels) -> mean and deviation over time, (channels,) each; by squares, in half of ops.std's time."""
    mean = ops.mean(x, axis=1)
    variance = ops.mean(ops.square(x), axis=1) - ops.square(mean)
    return [mean, ops.sqrt(ops.maximum(variance, 0.0) + 1e-5)]
