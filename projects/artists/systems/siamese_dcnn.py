"""Siamese network of Park et al. 2018, "Representation Learning of Music Using Artist Labels" (figure 1b).

Card: 265,984 parameters whatever the number of artists. The tower of dcnn, shared by an anchor, another song of its
artist and 4 songs of others; relevance is the cosine, the loss a hinge of margin 0.4 summed over negatives and batch
(a softmax over the five cosines did not train). Features and recipe of dcnn, but learning rate 0.1, batches of 15
anchors. Their weights for 10,000 artists: pretrained=model_siamese_10000.h5, with freeze=true used as they are.
Classification, once the tower is trained, of a song's mean vector: a linear softmax, or nearest neighbours by cosine.
5,000 artists: retrieval MAP .5510 on GTZAN, .3203 on FMA small; k-NN .6966, .5732; linear softmax .6993, .5483 (tables
1 to 3); 10,000: .7203, .5673 by linear softmax (table 4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from ..errors import InputError
from ..evaluation.spread import spread
from . import fitted
from .base import options_of_epochs
from .lazy import keras, np, ops
from .options import check_positive
from .park import ParkSystem, TowerConfig, tower

if TYPE_CHECKING:
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks, Own
    from ..training.training import Training

# Anchors that the validation loss is taken over: as many as the clips, but not more.
MOST_ANCHORS = 1000


@dataclasses.dataclass(frozen=True)
class Config(TowerConfig):
    """The tower, what it is trained with, and what classifies song vectors."""

    margin: Annotated[float, "of the hinge loss"] = 0.4
    negatives: Annotated[int, "songs of other artists beside an anchor"] = 4
    head: Annotated[
        Literal["linear", "knn"], "classifier of song vectors: a softmax on standardised ones, or neighbours by cosine"
    ] = "linear"
    head_c: Annotated[float, "inverse regularisation of head=linear"] = 1.0
    neighbours: Annotated[int, "of head=knn"] = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "negatives", "neighbours")
        for name in ("margin", "head_c"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name}={getattr(self, name)} must be above 0.")


def hinge(margin: float) -> keras.losses.Loss:
    """Sum over batch and negatives of max(0, margin - cosine to the positive + cosine to the negative)."""

    class Hinge(keras.losses.Loss):
        def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
            """Cosines (batch, 1 + negatives), the positive first -> (batch,); y_true means nothing."""
            return ops.sum(ops.maximum(0.0, margin - y_pred[:, :1] + y_pred[:, 1:]), axis=1)

    return Hinge(reduction="sum")


def compared(network: keras.Model, negatives: int) -> keras.Model:
    """A network of clips -> a network from (2 + negatives, frames, n_mels) to cosines with the first, (1 + negatives,).

    All clips of a batch go through the tower at once, so that batch normalisation sees them together.
    """
    clips = keras.Input((2 + negatives, *network.input_shape[1:]))
    vectors = network(ops.reshape(clips, (-1, *network.input_shape[1:])))
    vectors = ops.reshape(ops.normalize(vectors, axis=-1), (-1, 2 + negatives, network.output_shape[-1]))
    return keras.Model(clips, ops.sum(vectors[:, :1] * vectors[:, 1:], axis=-1))


class System(ParkSystem):
    Config = Config
    space: ClassVar = {
        **ParkSystem.space,
        "learning_rate": {"low": 0.01, "high": 0.5, "log": True},
        "margin": {"low": 0.1, "high": 1.0},
        "negatives": [2, 4, 8],
        "head": ["linear", "knn"],
        "head_c": {"low": 0.01, "high": 100.0, "log": True},
    }
    unit = "song"
    fitted = ("num_classes", "head")
    training: ClassVar = {"learning_rate": 0.1, "batch_size": 15}

    @classmethod
    def unused(cls, config: Any) -> dict[str, str]:
        """A frozen tower is not trained, and each head has an option of its own."""
        frozen = [*options_of_epochs(), "margin", "negatives", "dropout"] if config.freeze else []
        return (
            super().unused(config)
            | dict.fromkeys(frozen, "freeze")
            | {"head_c" if config.head == "knn" else "neighbours": "head"}
        )

    def build(self, frames: int, n_mels: int, num_classes: int) -> keras.Model:
        """(frames, n_mels) in log10(1 + 10 * mel) -> (256,); the number of classes does not matter."""
        inputs = keras.Input((frames, n_mels))
        return keras.Model(inputs, tower(inputs, self.config.dropout), name="siamese_dcnn")

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..training import loop, once

        keras.utils.set_random_seed(training.seed)
        self.model = self.started(self.build(train.length, train.n_mels, num_classes))
        self.num_classes = num_classes
        if self.config.freeze:
            return once.fit(lambda: self.fit_head(train), self.scores, train, val, self.unit, hooks)
        self.settle(train, training)
        network = compared(self.model, self.config.negatives)
        network.compile(self.optimizer(training), hinge(self.config.margin))
        state = loop.fit(network, train, val, training, hooks, self.siamese(network, train, val, training, hooks))
        self.fit_head(train)
        return state

    def siamese(self, network: keras.Model, train: ClipSet, val: ClipSet, training: Training, hooks: Hooks) -> Own:
        """Tuples of its own each epoch, the same validation tuples after each."""
        from ..training.tuples import Tuples

        sizes = {"batch_size": training.batch_size, "negatives": self.config.negatives}

        def batches(epoch: int) -> Tuples:
            return Tuples(train, rng=np.random.default_rng([training.seed, epoch]), **sizes)

        def validate() -> dict[str, float]:
            fixed = Tuples(val, rng=np.random.default_rng(training.seed), anchors=MOST_ANCHORS, **sizes)
            cosines = [np.asarray(network.predict_on_batch(fixed[i][0])) for i in range(len(fixed))]
            losses = hinge(self.config.margin).call(None, np.concatenate(cosines))
            # An anchor's loss times the batch, to stand beside the training's sum over a batch.
            loss = float(ops.mean(losses)) * training.batch_size
            self.fit_head(one_clip_a_song(train))
            return {"val_loss": loss, **hooks.validate(self.scores(val.song_batches())[0])}

        return dataclasses.replace(self.own(train, training), batches=batches, validate=validate if len(val) else None)

    def fit_head(self, clips: ClipSet) -> None:
        """Fits the classifier of song vectors, which are the means of the songs' clips."""
        vectors = np.stack([self.vectors(batch).mean(0) for batch in clips.song_batches()])
        self.head = self.new_head(len(vectors)).fit(vectors, clips.song_y)

    def new_head(self, songs: int) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if self.config.head == "knn":
            return KNeighborsClassifier(min(self.config.neighbours, songs), metric="cosine", algorithm="brute")
        return make_pipeline(StandardScaler(), LogisticRegression(C=self.config.head_c, max_iter=2000))

    def vectors(self, clips: np.ndarray) -> np.ndarray:
        """Clips (n, frames, n_mels) -> (n, 256)."""
        return np.asarray(self.model.predict_on_batch(clips))

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches, each all clips of a song -> the song's probabilities for each of them, embeddings of the clips."""
        embeddings = [self.vectors(clips) for clips in batches]
        proba = [spread(self.head, each.mean(0, keepdims=True), self.num_classes) for each in embeddings]
        repeated = [p.repeat(len(each), axis=0) for p, each in zip(proba, embeddings, strict=True)]
        return np.concatenate(repeated).astype(np.float32), np.concatenate(embeddings)

    def save(self, folder: Path) -> None:
        super().save(folder)
        fitted.save(folder, self)

    def load(self, folder: Path) -> None:
        super().load(folder)
        fitted.load(folder, self)


def one_clip_a_song(clips: ClipSet) -> ClipSet:
    """The middle clip of each song: enough to see how a training goes."""
    songs, first, counts = np.unique(clips.songs, return_index=True, return_counts=True)
    middle = first + counts // 2
    return dataclasses.replace(clips, songs=songs, starts=clips.starts[middle], y=clips.y[middle])
