"""A packaged model without a training: the network of a system as it is initialised, with labels and a card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mlflow
import numpy as np

ARTISTS = ("Ada", "Bob", "Cyd")


def card_of(**changes: object):
    from projects.artists.audio.features import FeatureConfig
    from projects.artists.package import card as saved

    given = {
        "model": "crnn",
        "options": {"gru_units": 8},
        "features": dataclasses.asdict(FeatureConfig()),
        "clip_frames": 32,
        "label": "artist",
        "classes": list(ARTISTS),
        "settings": {"data": "demo", "clip": 1.0, "split": "album", "model": "crnn", "seed": 0},
        "songs": {"train": ["a"], "val": ["b"], "test": ["c"]},
        "temperatures": {"clip": 2.0, "song": 0.5},
    }
    return saved.Card(**{**given, **changes})


def fitted(card, seed: int = 0, songs: dict[str, list[Path]] | None = None):
    """The network as initialised; with `songs` by artist its last layer has learned to tell them apart."""
    import keras

    from projects.artists import systems

    keras.utils.set_random_seed(seed)
    system = systems.find(card.model)(**card.options)
    system.model = system.build(card.clip_frames, card.feature_config.n_mels, len(card.classes))
    layer = system.model.layers[-1]
    # As initialised it says the same of everything.
    layer.set_weights([layer.get_weights()[0] * 4, layer.get_weights()[1]])
    if songs:
        layer.set_weights(_learned(system, card, songs))
    return system


def _learned(system, card, songs: dict[str, list[Path]]) -> list[np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    from projects.artists.package import inference

    scored = {name: [inference.score(path, system, card).embedding for path in paths] for name, paths in songs.items()}
    x = np.concatenate([clips for each in scored.values() for clips in each])
    y = np.repeat([card.classes.index(n) for n in scored], [sum(map(len, each)) for each in scored.values()])
    fit = LogisticRegression(C=1e4, max_iter=2000).fit(x, y)
    return [fit.coef_.T, fit.intercept_]


def write_system(work: Path, card, seed: int = 0, songs: dict[str, list[Path]] | None = None) -> tuple[Path, Path]:
    """The folder of `saved.save` and the golden file."""
    from projects.artists.package import card as saved
    from projects.artists.package import golden

    system = fitted(card, seed, songs)
    saved.save(work / "system", system, card)
    return work / "system", golden.write(work / "golden", system, card)


def log(
    work: Path,
    card=None,
    *,
    seed: int = 0,
    metrics: dict[str, float] | None = None,
    songs: dict[str, list[Path]] | None = None,
) -> tuple[str, str]:
    """A finished run with a model, as train leaves it; returns run id and model URI."""
    from projects.artists.tracking.model import log_model

    system, golden = write_system(work, card or card_of(), seed, songs)
    with mlflow.start_run() as run:
        uri = log_model(system, golden, work)
        mlflow.set_tag("model_uri", uri)
        mlflow.log_metrics(metrics or {})
    return run.info.run_id, uri
