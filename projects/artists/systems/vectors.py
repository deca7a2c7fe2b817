"""A frozen network's vectors of clips and a linear classifier of them: seconds to train, and the best known here.

Card: front_end=musicnn (Pons and Serra 2019, trained on the tags of a million songs; its weights come from the package
index on first use, 28 MB), or siamese (Park et al. 2018, trained on 10,000 artists; the project has its weights). One
gain brings each track to a level; vectors of all clips of a training song, standardised; multinomial logistic
regression, where a clip weighs one over the clips of its song and the root of the songs of its artist. Of a song that
is scored `max_clips` clips are heard; its probabilities are the softmax of their mean log-probabilities. Other heads:
lda (shrinkage by Ledoit and Wolf, equal priors), knn (by cosine).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from ..audio.lengths import clip_frames
from ..errors import InputError
from ..evaluation.spread import geometric_mean, spread
from . import base, fitted
from .frontends import musicnn, siamese
from .lazy import keras, np
from .options import check_positive

if TYPE_CHECKING:
    from ..audio.options import FeatureConfig
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks
    from ..training.training import Training
    from .frontends.store import VectorStore

FRONT_ENDS = {"musicnn": musicnn, "siamese": siamese}
# Each new size of a batch would be compiled anew.
NETWORK, BATCH = "front_end.keras", 10


@dataclasses.dataclass(frozen=True)
class Config:
    """The frozen front end, and the classifier of its vectors."""

    front_end: Annotated[Literal["musicnn", "siamese"], "the frozen network"] = "musicnn"
    weights: Annotated[
        str | None,
        "file of its published weights; none: fetched once, or part of the project",
    ] = None
    head: Annotated[
        Literal["logistic", "lda", "knn"], "logistic regression, shrinkage LDA, or neighbours by cosine"
    ] = "logistic"
    head_c: Annotated[float, "inverse regularisation of head=logistic"] = 0.03
    neighbours: Annotated[int, "clips, of head=knn"] = 20
    max_clips: Annotated[int, "clips of a song that is scored, spread over it evenly; all are learned from"] = 20

    def __post_init__(self) -> None:
        check_positive(self, "neighbours", "max_clips")
        if not 0 < self.head_c < float("inf"):
            raise InputError(f"head_c={self.head_c} must be above 0.")


class System(base.System):
    Config = Config
    unit = "song"
    in_epochs = False
    fitted = ("num_classes", "head")
    space: ClassVar = {
        "head": ["logistic", "lda", "knn"],
        "head_c": {"low": 1e-3, "high": 10.0, "log": True},
        "max_clips": [10, 20, 40],
    }

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.front_end = FRONT_ENDS[self.config.front_end]
        self.network: keras.Model = None
        # What was computed before; a registered model keeps nothing.
        self.store: VectorStore | None = None

    @classmethod
    def defaults(cls, options: Any) -> dict[str, object]:
        front_end = FRONT_ENDS[options.front_end]
        return {**front_end.FEATURES, "level": -18.0, "clip": front_end.SECONDS}

    @classmethod
    def unused(cls, config: Any) -> dict[str, str]:
        """Each head has an option of its own."""
        own = {"head_c": "logistic", "neighbours": "knn"}
        return super().unused(config) | {name: "head" for name, head in own.items() if head != config.head}

    @classmethod
    def least(cls, options: Any = None) -> tuple[int, int]:
        """What the front end was trained on."""
        front_end = FRONT_ENDS[(options or cls.Config()).front_end]
        return front_end.FRAMES, front_end.BANDS

    @classmethod
    def check_input(cls, clip: float, config: FeatureConfig, options: Any = None) -> None:
        """Raises InputError where features or clips are not those that the front end was trained on."""
        super().check_input(clip, config, options)
        name = (options or cls.Config()).front_end
        front_end = FRONT_ENDS[name]
        for field, value in front_end.FEATURES.items():
            if getattr(config, field) != value:
                raise InputError(f"{field}={getattr(config, field)} is not what {name} was trained on. Leave it out.")
        if clip_frames(clip, config) != front_end.FRAMES:
            raise InputError(f"clip={clip:g} is not what {name} was trained on, {front_end.SECONDS:g} s. Leave it out.")

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..training import once
        from .frontends.store import VectorStore

        self.num_classes = num_classes
        self.network = self.front_end.pretrained(self.config.weights)
        self.store = VectorStore(self.config.front_end, self.network.get_weights())
        return once.fit(lambda: self.learn(train), self.scores, train, val, self.unit, hooks)

    def learn(self, train: ClipSet) -> None:
        songs = [self.vectors(clips) for clips in train.song_batches()]
        y = train.song_y
        counts = np.array([len(vectors) for vectors in songs])
        weights = np.repeat(1 / counts / np.sqrt(np.bincount(y)[y]), counts)
        weighted = {"logisticregression__sample_weight": weights / weights.mean()}
        self.head = self.new_head(len(weights), len(np.unique(y))).fit(
            np.concatenate(songs), np.repeat(y, counts), **(weighted if self.config.head == "logistic" else {})
        )

    def new_head(self, clips: int, classes: int) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if self.config.head == "lda":
            return fitted.shrinkage_lda(classes)
        if self.config.head == "logistic":
            classifier = LogisticRegression(C=self.config.head_c, max_iter=5000)
        else:
            classifier = KNeighborsClassifier(min(self.config.neighbours, clips), metric="cosine", algorithm="brute")
        return make_pipeline(StandardScaler(), classifier)

    def vectors(self, clips: np.ndarray) -> np.ndarray:
        """Clips (n, frames, n_mels) -> vectors (n, d)."""
        return self.store.get(clips, self.compute) if self.store else self.compute(clips)

    def compute(self, clips: np.ndarray) -> np.ndarray:
        padded = np.concatenate([clips, np.zeros((-len(clips) % BATCH, *clips.shape[1:]), clips.dtype)])
        batches = [self.front_end.prepared(padded[start : start + BATCH]) for start in range(0, len(padded), BATCH)]
        return np.concatenate([self.network.predict_on_batch(batch) for batch in batches])[: len(clips)]

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches, each all clips of a song -> its probabilities and its mean vector for each of them."""
        proba, embeddings = [], []
        for clips in batches:
            heard = np.unique(np.linspace(0, len(clips) - 1, self.config.max_clips).round().astype(int))
            vectors = self.vectors(clips[heard])
            song = geometric_mean(spread(self.head, vectors, self.num_classes))
            proba.append(np.tile(song, (len(clips), 1)).astype(np.float32))
            embeddings.append(np.tile(vectors.mean(0), (len(clips), 1)))
        return np.concatenate(proba), np.concatenate(embeddings)

    def count_params(self) -> int:
        return self.network.count_params() + fitted.size(self)

    def save(self, folder: Path) -> None:
        self.network.save(folder / NETWORK)
        fitted.save(folder, self)

    def load(self, folder: Path) -> None:
        self.network = keras.saving.load_model(folder / NETWORK, compile=False, safe_mode=True)
        fitted.load(folder, self)
