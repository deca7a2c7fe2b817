"""How many answers of a model change when its test songs are deformed, and what its score is then.

A song is decoded once, at its own rate and with its channels; what the model is given of each deformed version is what
it would make of a file of it. Workers import this module: what is slow to load and not theirs is imported elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from ..audio.decode import DecodeError, centre_span, excerpt_at, read_channels
from ..audio.deform import Deformation, deformed
from ..audio.options import FeatureConfig
from ..data.machine import processes
from ..data.prepare import Prepared
from ..data.tracks import Progress, Track
from ..data.workers import single_threaded, spread
from ..evaluation import intervals, metrics, pooling
from ..package import inference
from ..package.card import Card
from ..systems.base import System

UNDISTURBED = "none"
# Features (n_frames, columns) of each part of a configuration.
Version = dict[FeatureConfig, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Song:
    """A test song by its position; the seed is of the noise."""

    position: int
    path: Path
    seed: int


@dataclasses.dataclass(frozen=True)
class Answers:
    """Answers for the test songs that could be read, undisturbed first, then by deformation.

    y (n_songs,) true classes; proba (1 + deformations, n_songs, k); left_out: track id -> why it could not be read.
    """

    deformations: Sequence[Deformation]
    y: np.ndarray
    proba: np.ndarray
    left_out: Mapping[str, str]

    @property
    def warning(self) -> str:
        """How many songs were left out, and the reason for the first; empty where none was."""
        if not self.left_out:
            return ""
        track, reason = min(self.left_out.items())
        total = len(self.y) + len(self.left_out)
        return (
            f"{len(self.left_out)} of {total} test songs could not be read to be deformed and are left out; "
            f"the first: {track}: {reason}."
        )

    def table(self, *, seed: int) -> pd.DataFrame:
        """A row a deformation, of which the first is none.

        changed: answers that are others than the undisturbed ones; difference: of song F1 to the undisturbed one;
        paired_improvement: share of the bootstrap resamples of the same songs in which it is the higher of the two.
        """
        undisturbed = self.proba[0].argmax(1)
        chosen = [(UNDISTURBED, math.nan, UNDISTURBED, "undisturbed")]
        chosen += [(each.name, each.strength, each.key, each.title) for each in self.deformations]
        rows = []
        for (name, strength, key, title), proba in zip(chosen, self.proba, strict=True):
            answers, changed = proba.argmax(1), int((proba.argmax(1) != undisturbed).sum())
            low, high = intervals.song_intervals(self.y, proba, seed=seed)["f1"]
            scores, before = (metrics.label_scores(self.y, each) for each in (answers, undisturbed))
            rows.append(
                {
                    "deformation": name, "strength": strength, "songs": len(self.y), "left_out": len(self.left_out),
                    "changed": changed, "changed_share": changed / len(self.y),
                    "song_f1": scores["f1"], "song_f1_low": low, "song_f1_high": high, "accuracy": scores["accuracy"],
                    "difference": scores["f1"] - before["f1"],
                    "paired_improvement": intervals.paired_improvement(self.y, undisturbed, answers),
                    "key": key, "title": title,
                }
            )  # fmt: skip
        return pd.DataFrame(rows)


def metrics_of(table: pd.DataFrame) -> dict[str, float]:
    """The metrics of a table of `Answers`: `deform/<deformation>_<strength>_changed` and `..._song_f1`."""
    named: dict[str, float] = {"deform/songs": float(table["songs"].iloc[0])}
    for row in table.itertuples():
        named[f"deform/{row.key}_song_f1"] = float(row.song_f1)
        if row.key != UNDISTURBED:
            named[f"deform/{row.key}_changed"] = float(row.changed)
    return named


def answers(
    system: System,
    card: Card,
    prepared: Prepared,
    deformations: Sequence[Deformation],
    *,
    method: str = "mean",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Answers:
    """Scores the test songs, undisturbed and deformed; one that cannot be read is left out of all.

    Args:
        method: One of `pooling.POOLINGS`.
        workers: Processes that decode and deform; None for one a core.
    """
    tracks = prepared.used("test")
    scored: dict[int, np.ndarray] = {}
    left_out: dict[str, str] = {}
    for song, versions in _versions(_songs(tracks, prepared), card.feature_config, deformations, processes(workers)):
        if isinstance(versions, str):
            left_out[tracks[song.position].track_id] = versions
        else:
            proba = [inference.score_features(features, system, card)[0] for features in versions]
            scored[song.position] = np.stack([_pooled(each, method) for each in proba])
        if progress:
            progress(len(scored) + len(left_out), len(tracks), "deformations")
    order = sorted(scored)
    y = np.array([prepared.classes.index(tracks[i].label(prepared.label)) for i in order], dtype=int)
    songs = np.empty((1 + len(deformations), len(order), len(prepared.classes)))
    for column, position in enumerate(order):
        songs[:, column] = scored[position]
    return Answers(deformations, y, songs, left_out)


def _songs(tracks: Sequence[Track], prepared: Prepared) -> Iterator[Song]:
    for position, track in enumerate(tracks):
        digest = prepared.features.entries[track.track_id].audio_digest
        yield Song(position, track.path, int(digest[:16], 16))


def _pooled(proba: np.ndarray, method: str) -> np.ndarray:
    """Probabilities of one song, (k,), of those of its clips (n_clips, k)."""
    return pooling.song_probabilities(proba, np.zeros(len(proba), int), method)[1][0]


def _versions(
    songs: Iterator[Song], config: FeatureConfig, deformations: Sequence[Deformation], workers: int
) -> Iterator[tuple[Song, list[Version] | str]]:
    """Each song with its `features_of_versions`, in the order in which they are done; few of them exist at a time."""
    compute = functools.partial(features_of_versions, config=config, deformations=deformations)
    for song, versions in spread(songs, compute, workers, single_threaded):
        yield song, "the decoder crashed on this file" if versions is None else versions


def features_of_versions(song: Song, config: FeatureConfig, deformations: Sequence[Deformation]) -> list[Version] | str:
    """Features of a song, undisturbed and by deformation; or why there are none."""
    try:
        y, sr = read_channels(song.path, _widest(config.crop, deformations))
        versions = [_features(y.mean(1), sr, config)]
        for deformation in deformations:
            part = _part(y, sr, config.crop, deformation)
            versions.append(_features(deformed(part, sr, deformation, song.seed), sr, config))
        return versions
    except (DecodeError, soundfile.LibsndfileError) as error:
        return str(error)
    except MemoryError:
        return "not enough memory to deform it"


def _features(y: np.ndarray, native: int, config: FeatureConfig) -> Version:
    samples = {sr: excerpt_at(y, native, sr, config.crop) for sr in inference.sample_rates(config)}
    return inference.features_of(samples, config)


def _widest(crop: float | None, deformations: Sequence[Deformation]) -> float | None:
    return None if crop is None else max(_seconds(crop, each) for each in deformations)


def _seconds(crop: float, deformation: Deformation) -> float:
    """What a deformation is given of a song of which `crop` seconds are scored, around its centre.

    A faster tempo needs more, and filters run in at the ends. Even whole seconds more: the centre is the same sample.
    """
    factor = deformation.strength if deformation.name == "tempo" else 1.0
    return crop + 2 * math.ceil(max(0.0, crop * (factor - 1)) / 2 + 1)


def _part(y: np.ndarray, sr: int, crop: float | None, deformation: Deformation) -> np.ndarray:
    """Whatever else is asked for, a deformation is given the same samples."""
    if crop is None:
        return y
    start, frames = centre_span(len(y), sr, _seconds(crop, deformation))
    return y[start : start + frames]
