"""Reading a corpus inside of a run: what cannot be read stands in its tables before anything fails of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..audio.features import FeatureConfig
from ..data import prepare
from ..data.featurize import Features, surviving
from ..data.options import CorpusOptions
from ..data.tracks import Corpus, Progress
from ..tracking.runs import Run

if TYPE_CHECKING:
    from .embed import Embedder, SongVectors


def log(run: Run, features: Features, name: str = "quarantined.csv") -> None:
    """Every unreadable file and why."""
    run.table(prepare.quarantine_table(features), name)


def read_features(
    run: Run,
    options: CorpusOptions,
    config: FeatureConfig,
    *,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Corpus, Features]:
    """`pipeline.read_features`, with what was unreadable logged."""
    corpus, features = prepare.read_features(options, config, classes=classes, progress=progress)
    log(run, features)
    return corpus, features


def embed(
    run: Run,
    embedder: Embedder,
    corpus: Corpus,
    label: str,
    *,
    workers: int | None,
    progress: Progress | None = None,
) -> SongVectors:
    """The vectors of a corpus, with what was unreadable logged.

    Raises:
        InputError: Too much of it was: `surviving`.
    """
    songs = embedder.embed(corpus, workers=workers, progress=progress)
    log(run, songs.features)
    surviving(corpus, songs.features, label)
    return songs
