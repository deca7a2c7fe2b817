"""Timbre of clips by statistics or by k-means filters, and shrinkage LDA: fetches nothing, fitted in seconds.

Card: means of neighbouring bands, less the mean of each clip, so that no level counts. features=patches: patches of
4 frames, principal components whitened, spherical k-means, the mean of each filter's rectified answer over the clip
(Coates and Ng 2012, "Learning Feature Representations with K-means"). features=statistics: of each band mean,
deviation, deviation of its slope, and modulation of 16 groups of bands by octaves. Each clip is learned from again as
if an equaliser or a low-pass had gone over it, so that neither decides. LDA with the shrinkage of Ledoit and Wolf,
equal priors; a song's probabilities are the normalised geometric mean of its clips'.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from ..audio.augment import centred, equalised, low_passed
from ..errors import InputError
from ..evaluation.spread import geometric_mean, spread
from . import fitted
from .lazy import np
from .options import check_positive

if TYPE_CHECKING:
    from ..data.clipset import ClipSet
    from ..training.checkpoints import State
    from ..training.loop import Hooks
    from ..training.training import Training

SECONDS = {"patches": 4.096, "statistics": 5.12}
# Of patches: frames from one to the next, patches that filters are learned from, rounds of k-means.
STEP, MOST_CLIPS, MOST_PATCHES, ROUNDS = 2, 1000, 40_000, 20
# Of the modulation: longest period in frames (2.6 s by default), octaves below it, groups of bands, dB squared that are
# added to its power.
LONGEST, OCTAVES, GROUPS, QUIET = 80, 5, 16, 1e-2
# Of the filters that a training clip is learned through again: deviation of the equaliser, share with a low-pass.
EQUALISER_DB, LOW_PASSED = 4.0, 0.7


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured of a clip, and how LDA learns it."""

    features: Annotated[Literal["patches", "statistics"], "answers of k-means filters, or moments of bands"] = "patches"
    filters: Annotated[int, "k-means filters, of features=patches"] = 512
    patch: Annotated[int, "frames of a patch, of features=patches"] = 4
    components: Annotated[int, "principal components of a patch, of features=patches"] = 100
    copies: Annotated[int, "filtered copies of each training clip that are learned from too"] = 4

    def __post_init__(self) -> None:
        check_positive(self, "filters", "patch", "components")
        if self.copies < 0:
            raise InputError(f"copies={self.copies} must be 0 or more.")


class System(fitted.FittedSystem):
    Config = Config
    unit = "song"
    in_epochs = False
    fitted = ("num_classes", "kernel", "offset", "head")
    space: ClassVar = {"features": ["patches", "statistics"], "filters": [256, 512, 1024], "copies": [0, 1, 2, 4]}

    @classmethod
    def defaults(cls, options: Any) -> dict[str, object]:
        return {"clip": SECONDS[options.features]}

    @classmethod
    def unused(cls, config: Any) -> dict[str, str]:
        """Statistics have no filters."""
        own = ("filters", "patch", "components") if config.features == "statistics" else ()
        return super().unused(config) | dict.fromkeys(own, "features")

    @classmethod
    def least(cls, options: Any = None) -> tuple[int, int]:
        """A patch, or the longest period of the modulation."""
        options = options or cls.Config()
        return (options.patch, 2) if options.features == "patches" else (LONGEST, 2 * GROUPS)

    def fit(self, train: ClipSet, val: ClipSet, num_classes: int, training: Training, hooks: Hooks) -> State:
        from ..training import once

        self.num_classes = num_classes
        return once.fit(lambda: self.learn(train, training.seed), self.scores, train, val, self.unit, hooks)

    def learn(self, train: ClipSet, seed: int) -> None:
        self.kernel = self.offset = np.zeros(0, np.float32)
        if self.config.features == "patches":
            self.learn_filters(train, np.random.default_rng([seed, 0]))
        rng = np.random.default_rng([seed, 1])
        copies = [(self.vectors(clips), y) for each, y in songs_and_classes(train) for clips in self.copies(each, rng)]
        x, y = np.concatenate([x for x, _ in copies]), np.repeat([y for _, y in copies], [len(x) for x, _ in copies])
        self.head = fitted.shrinkage_lda(len(np.unique(y))).fit(x, y)

    def copies(self, clips: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The clips, then `copies` times with a filter of its own over each."""
        yield clips
        for _ in range(self.config.copies):
            yield low_passed(equalised(clips.copy(), EQUALISER_DB, rng), LOW_PASSED, rng)

    def learn_filters(self, train: ClipSet, rng: np.random.Generator) -> None:
        """A patch times `kernel` plus `offset` is the whitened patch by each filter."""
        from sklearn.decomposition import PCA

        x = self.some_patches(train, rng)
        pca = PCA(min(self.config.components, *x.shape), whiten=True, svd_solver="covariance_eigh").fit(x)
        centres = spherical_k_means(pca.transform(x), self.config.filters, ROUNDS, rng)
        whitening = pca.components_.T / np.sqrt(pca.explained_variance_)
        self.kernel = (whitening @ centres.T).astype(np.float32)
        self.offset = (-pca.mean_ @ self.kernel).astype(np.float32)

    def some_patches(self, train: ClipSet, rng: np.random.Generator) -> np.ndarray:
        """Patches (n, patch * bands) of clips drawn at random, as many of each."""
        drawn = rng.permutation(len(train))[:MOST_CLIPS]
        each = -(-MOST_PATCHES // len(drawn))
        return np.concatenate(
            [rng.permutation(self.patches(level_free(train.read(slice(i, i + 1))))[0])[:each] for i in np.sort(drawn)]
        )

    def patches(self, clips: np.ndarray) -> np.ndarray:
        """Clips (n, frames, bands) -> (n, patches, patch * bands)."""
        windows = np.lib.stride_tricks.sliding_window_view(clips, self.config.patch, axis=1)[:, ::STEP]
        return windows.reshape(*windows.shape[:2], -1)

    def vectors(self, clips: np.ndarray) -> np.ndarray:
        """Clips (n, frames, n_mels) in dB -> vectors (n, d)."""
        clips = level_free(clips)
        if self.config.features == "statistics":
            return statistics(clips)
        # A clip at a time stays in the cache of a core.
        answers = [np.maximum(self.patches(clip[None])[0] @ self.kernel + self.offset, 0).mean(0) for clip in clips]
        return np.stack(answers)

    def scores(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Batches, each all clips of a song -> its probabilities for each of them, vectors of the clips."""
        vectors = [self.vectors(clips) for clips in batches]
        proba = [np.tile(geometric_mean(spread(self.head, x, self.num_classes)), (len(x), 1)) for x in vectors]
        return np.concatenate(proba).astype(np.float32), np.concatenate(vectors)


def songs_and_classes(clips: ClipSet) -> Iterator[tuple[np.ndarray, int]]:
    """All clips of each song, and its class."""
    yield from zip(clips.song_batches(), clips.song_y, strict=True)


def level_free(clips: np.ndarray) -> np.ndarray:
    """Clips (n, frames, bands) in dB -> (n, frames, bands // 2): means of neighbouring bands, each clip's mean 0."""
    even = clips.shape[2] // 2 * 2
    return centred((clips[:, :, :even:2] + clips[:, :, 1:even:2]) / 2)


def spherical_k_means(x: np.ndarray, k: int, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors (k, d) that vectors (n, d) lie nearest to by cosine; those that none is nearest to are drawn anew.

    Coates and Ng 2012, section 2.2: a centre moves to the sum of its vectors, each weighted by its cosine.
    """
    x = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-8)).astype(np.float32)
    centres = x[rng.integers(0, len(x), k)]
    for _ in range(rounds):
        sums = np.zeros_like(centres)
        for part in np.array_split(x, -(-len(x) // 5000)):
            cosines = part @ centres.T
            nearest = cosines.argmax(1)
            np.add.at(sums, nearest, part * cosines[np.arange(len(part)), nearest][:, None])
        lengths = np.linalg.norm(sums, axis=1)
        sums[lengths < 1e-6] = x[rng.integers(0, len(x), int((lengths < 1e-6).sum()))]
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-8)
    return centres


def statistics(clips: np.ndarray) -> np.ndarray:
    """Centred clips (n, frames, bands) -> mean, deviation, deviation of the slope, modulation, (n, 3 * bands + 80)."""
    slope = clips[:, 2:] - clips[:, :-2]
    return np.concatenate([clips.mean(1), clips.std(1), slope.std(1), modulation(clips)], axis=1)


def modulation(clips: np.ndarray) -> np.ndarray:
    """Logarithmic power of the movement of groups of bands in octaves of its period, (n, OCTAVES * GROUPS)."""
    edges = np.linspace(0, clips.shape[2], GROUPS + 1).astype(int)
    groups = np.stack([clips[:, :, a:b].mean(2) for a, b in itertools.pairwise(edges)], axis=2)
    groups -= groups.mean(1, keepdims=True)
    power = np.abs(np.fft.rfft(groups * np.hanning(groups.shape[1])[:, None], axis=1)) ** 2 / groups.shape[1]
    cycles = np.fft.rfftfreq(groups.shape[1])
    limits = 2.0 ** np.arange(OCTAVES + 1) / LONGEST
    octaves = [power[:, (cycles >= low) & (cycles < high)].mean(1) for low, high in itertools.pairwise(limits)]
    return np.log(np.concatenate(octaves, axis=1) + QUIET)
