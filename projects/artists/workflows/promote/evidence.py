"""What is known of a trained model: its own numbers, and how it does against the champion on songs new to both."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from registry import gates
from registry.gates import Policy

from ...data import corpora, recordings
from ...data.featurize import featurize
from ...data.recordings import Recordings
from ...data.tracks import Corpus
from ...errors import InputError
from ...evaluation import intervals, metrics
from ...package import card as saved
from ...package import golden
from ...package.card import Card
from ...tracking import model
from ..score import pool

SYSTEM = Path("artifacts", "system")
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trained run and its packaged model in a local folder."""

    run_id: str
    model_uri: str
    metrics: Mapping[str, float]
    folder: Path

    @property
    def card(self) -> Card:
        return saved.load_card(self.folder / SYSTEM)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Champion and candidate on the same songs. why_not: empty when they could be compared."""

    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    why_not: str = ""
    reported: Mapping[str, float] = dataclasses.field(default_factory=dict)


def own_evidence(candidate: Candidate, work: Path) -> dict[str, float]:
    """Metrics of the run, size, and what the packaged model does in a fresh process."""
    file = candidate.folder / "artifacts" / golden.FILE
    if not file.is_file():
        raise InputError(f"run {candidate.run_id} logged no golden clips: train it again with this version.")
    kept = golden.read(file)
    work.mkdir(parents=True, exist_ok=True)
    repeated = model.repeat_golden(candidate.folder, file, work)
    labels = repeated["labels"].tolist()
    columns = [labels.index(name) for name in candidate.card.classes if name in labels]
    _, size = model.facts(candidate.folder)
    return {
        **candidate.metrics,
        "golden_difference": kept.difference(repeated["proba"][:, columns], repeated["embedding"]),
        "audio_seconds_per_second": float(repeated["speed"]),
        "model_mb": size,
    }


def compare(candidate: Candidate, champion: Path, policy: Policy, data: str | None, processes: int) -> Comparison:
    """Both packaged models on the candidate's test songs that neither has learned from.

    champion: the folder of its packaged model; data: where the candidate's corpus is now, None for where it was.
    """
    folders = champion, candidate.folder
    card, other = candidate.card, saved.load_card(champion / SYSTEM)
    if set(card.classes) != set(other.classes) or card.label != other.label:
        return Comparison(why_not=f"the champion knows other {other.label}s than the candidate")
    learned = [
        recordings.learned(folder / SYSTEM, known.songs, known.groups, known.feature_config)
        for folder, known in ((candidate.folder, card), (champion, other))
    ]
    for warning in {each.warning for each in learned} - {""}:
        log.warning("%s", warning)
    songs = common_songs(card, learned, data or str(card.settings["data"]), processes)
    if len(songs) < policy.min_songs:
        why = f"{len(songs)} test songs are new to both, at least {policy.min_songs} are needed"
        return Comparison({"common_songs": len(songs)}, why)
    rows = [
        {song.track_id: row for song, row in pool.answers(songs, folder, {"top_k": 1}, processes)} for folder in folders
    ]
    both = [song for song in songs if all(by_song[song.track_id]["top_artists"] for by_song in rows)]
    if len(both) < policy.min_songs:
        why = f"{len(both)} test songs can be scored by both, at least {policy.min_songs} are needed"
        return Comparison({"common_songs": len(both)}, why)
    truth = [song.label for song in both]
    old, new = ([by_song[song.track_id]["top_artists"][0] for song in both] for by_song in rows)
    before, after = (model.facts(folder)[0] for folder in folders)
    numbers, reported = rivalry(truth, old, new, policy)
    return Comparison({**numbers, "signature_changed": float(before != after)}, "", reported)


def common_songs(card: Card, learned: Sequence[Recordings], data: str, workers: int) -> list[pool.Song]:
    """The candidate's test songs, by the bytes of their audio, that are no recording that a model has learned from.

    They are compared by the features of each model.
    """
    labelled, test = corpora.load(data).labelled(card.label).tracks, set(card.songs["test"])
    files = recordings.by_digest(track for track in labelled if track.label(card.label) in card.classes)
    tracks = {digest: track for digest, track in files.items() if digest in test}
    corpus, tested = Corpus("test songs", tuple(tracks.values())), [Recordings(frozenset(tracks))]
    for config in {each.config for each in learned}:
        entries = featurize(corpus, config, workers=workers).entries
        tested.append(recordings.of_entries(entries.values(), config))
    known = recordings.copies(tested, learned)
    songs = ((digest, pool.Song(t.track_id, t.path, t.label(card.label))) for digest, t in tracks.items())
    return [song for digest, song in songs if digest not in known]


def rivalry(
    truth: list[str], champion: list[str], candidate: list[str], policy: Policy
) -> tuple[dict[str, float], dict[str, float]]:
    """Numbers of two models' answers to the same songs, and the falls in recall that are reported alone."""
    names, codes = np.unique([*truth, *champion, *candidate], return_inverse=True)
    y, old, new = np.split(codes, 3)
    counts = {name: int((y == i).sum()) for i, name in enumerate(names.tolist())}
    before, after = (
        {name: float((pred == y)[y == i].mean()) for i, name in enumerate(counts) if counts[name]}
        for pred in (old, new)
    )
    worst, reported = gates.recall_drop(before, after, counts, policy.min_artist_songs)
    score = metrics.LABEL_METRICS[policy.statistic]
    return {
        "improvement": intervals.paired_improvement(y, old, new, policy.statistic),
        f"champion_{policy.statistic}": score(y, old),
        f"candidate_{policy.statistic}": score(y, new),
        "worst_recall_drop": worst,
        "common_songs": len(y),
    }, reported
