"""Batch scoring: a library of audio to a table, a row a track, whatever its size and whatever interrupts it."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...data import corpora
from ...data.cache import atomic_write
from ...data.corpora import folder, s3
from ...data.machine import processes
from ...data.paths import given_path
from ...data.tracks import Progress, free_name, nfc, track_id
from ...errors import InputError
from ...evaluation import metrics
from ...package import card
from ...package import reference as reference_file
from ...package.reference import Reference
from ...reports import figures
from ...tracking import model, references
from ..options import ScoreOptions
from . import pool
from .journal import Journal
from .pool import Song

ROWS = 1000
# Writes rows of the table, some at a time.
Write = Callable[[list[dict[str, Any]]], None]
# Of `none_of_these`: likelier by nobody enrolled.
UNKNOWN = 0.5
SCHEMA = pa.schema(
    [
        ("track_id", pa.string()), ("path", pa.string()), ("artist", pa.string()), ("probability", pa.float64()),
        ("top_artists", pa.list_(pa.string())), ("top_probabilities", pa.list_(pa.float64())),
        ("top_similarities", pa.list_(pa.float64())), ("none_of_these", pa.float64()),
        ("clips", pa.int64()), ("seconds", pa.float64()), ("embedding", pa.list_(pa.float64())),
        ("status", pa.string()), ("reason", pa.string()), ("label", pa.string()),
        ("model", pa.string()), ("run_id", pa.string()),
    ]
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Source:
    """The model that scores: what it is called, the run that trained it, its folder, its artists or the reference's."""

    name: str
    run_id: str
    folder: Path
    classes: list[str]
    reference: Reference | None = None

    @classmethod
    def of(cls, uri: str, work: Path, reference: str | None = None) -> Source:
        """Args, Raises: as `track.model.download_model`, and `track.references.fetch` for a reference."""
        name, run_id = model.named(uri)
        folder = model.download_model(name, work)
        system = folder / "artifacts" / "system"
        if not reference:
            return cls(name, run_id, folder, card.load_card(system).classes)
        enrolled = reference_file.read(references.fetch(reference, reference_file.FILE, work))
        enrolled.check_model(reference_file.identity_of(system))
        return cls(name, run_id, folder, enrolled.artists, enrolled)


def songs_of(audio: str, label: str | None, progress: Progress | None = None) -> Iterator[Song]:
    """The files of a folder or an S3 prefix of any layout, or the tracks of a corpus with their labels.

    label: asks for a corpus; without it a folder and a prefix are files, a manifest has artists.
    """
    remote, names = s3.matches(audio), set[str]()
    if label is None and remote and not s3.is_table(audio):
        songs = (Song(free_name(nfc(key), names), path) for key, path in s3.files(audio, progress).items())
    elif label is None and not remote and (root := given_path("audio", audio)).is_dir():
        root = root.resolve()
        paths = folder.audio_files(root)
        songs = (Song(free_name(track_id(path.relative_to(root)), names), path) for path in paths)
    else:
        corpus, label = corpora.load(audio, progress), label or "artist"
        corpus.check_label(label)
        return (Song(track.track_id, track.path, track.label(label)) for track in corpus.tracks)
    first = next(songs, None)
    if first is None:
        raise InputError(f"audio={audio} holds no audio files ({folder.KNOWN}).")
    return itertools.chain([first], songs)


def score(options: ScoreOptions, source: Source, progress: Progress | None = None) -> dict[str, float]:
    """Scores what has no answer yet, then writes the table; returns what was done, as metrics.

    The table is that of the files as they are when the command that writes it lists them: `Journal.expect`. Another
    model, reference, audio, label or parameter than an interrupted scoring had is refused.
    """
    purpose = {"model": source.name, "audio": options.audio, "label": options.label or ""}
    purpose |= {name: str(value) for name, value in options.params.items()}
    purpose |= {"reference": source.reference.digest} if source.reference else {}
    file = options.file.with_name(f"{options.file.name}.partial")
    with contextlib.closing(Journal(file, purpose)) as journal:
        journal.expect(songs_of(options.audio, options.label, progress))
        before, total = journal.counts()
        began = time.perf_counter()
        for done, (song, answer) in enumerate(_answers(journal.waiting(), options, source), before + 1):
            journal.put(song, _referred(answer, source.reference, options) if source.reference else answer)
            if progress:
                progress(done, total)
        seconds = time.perf_counter() - began
        counts = write(journal, options.file, source)
        journal.delete()
    speed = {"songs_per_minute": 60 * (total - before) / seconds} if total > before else {}
    return {"tracks": total, "tracks_resumed": before, "score_seconds": seconds, **speed, **counts}


def _referred(answer: dict[str, Any], reference: Reference, options: ScoreOptions) -> dict[str, Any]:
    """The answer of the artists enrolled; it is null where the track is likelier by none of them."""
    if answer["status"] == pool.ERROR:
        return answer
    new = reference.answer(np.array([answer["embedding"]]), top_k=options.top_k)
    unknown = new.none_of_these is not None and new.none_of_these > UNKNOWN
    names = ("top_artists", "top_similarities", "none_of_these")
    row = answer | {name: getattr(new, name) for name in names} | {"artist": None if unknown else new.artist}
    row |= {"probability": None, "top_probabilities": []}
    return row if options.embedding else row | {"embedding": []}


def _answers(songs: Iterator[Song], options: ScoreOptions, source: Source) -> Iterator[tuple[Song, dict[str, Any]]]:
    if options.engine == "spark":
        from .spark import answers
    else:
        answers = pool.answers
    return answers(songs, source.folder, options.params, processes(options.workers))


# The table


def write(journal: Journal, file: Path, source: Source) -> dict[str, float]:
    """The rows of a journal in the order of ids, whole or not at all; returns how many are what."""
    counts: dict[str, float] = {"tracks_failed": 0, "tracks_unknown": 0}
    table = _parquet if file.suffix.lower() == ".parquet" else _csv
    with atomic_write(file) as out, table(out, source) as add:
        rows = journal.rows()
        while batch := list(itertools.islice(rows, ROWS)):
            counts["tracks_failed"] += sum(answer["status"] == pool.ERROR for _, answer in batch)
            counts["tracks_unknown"] += sum(a["artist"] is None and a["status"] != pool.ERROR for _, a in batch)
            add([_row(song, answer, source) for song, answer in batch])
    return counts


def _row(song: Song, answer: Mapping[str, Any], source: Source) -> dict[str, Any]:
    row = {name: answer[name] for name in SCHEMA.names if name in answer}
    row |= {"track_id": song.track_id, "path": nfc(str(song.path)), "label": song.label or None}
    return row | {"model": source.name, "run_id": source.run_id}


@contextlib.contextmanager
def _parquet(out: BinaryIO, source: Source) -> Iterator[Write]:
    with pq.ParquetWriter(out, SCHEMA.with_metadata({"model": source.name, "run_id": source.run_id})) as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(rows, SCHEMA))


@contextlib.contextmanager
def _csv(out: BinaryIO, source: Source) -> Iterator[Write]:
    """Lists are JSON in a cell."""

    def cell(value: object) -> object:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value

    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, SCHEMA.names)
    writer.writeheader()
    try:
        yield lambda rows: writer.writerows({k: cell(v) for k, v in row.items()} for row in rows)
    finally:
        text.detach()


# Against labels


@dataclasses.dataclass(frozen=True)
class Judged:
    """y_true, y_pred (n,) of the songs whose label the model knows; strangers, failed: songs left out."""

    y_true: np.ndarray
    y_pred: np.ndarray
    strangers: int
    failed: int

    def metrics(self) -> dict[str, float]:
        scores = {f"score_song_{name}": value for name, value in metrics.label_scores(self.y_true, self.y_pred).items()}
        sizes = {"score_songs": len(self.y_true), "score_songs_of_others": self.strangers}
        return {**scores, **sizes, "score_songs_failed": self.failed}

    def confusion(self, classes: list[str]) -> pd.DataFrame:
        """Counts of predicted (column) by true artist (row)."""
        counts = metrics.confusion(self.y_true, self.y_pred, len(classes))
        return pd.DataFrame(counts, index=pd.Index(classes, name="true"), columns=classes)


def report(options: ScoreOptions, source: Source, folder: Path) -> dict[str, float]:
    """Metrics of a scored table, and its confusion matrix into a folder; nothing where it has no labels."""
    judged = evaluated(options.file, source.classes)
    if judged is None:
        return {}
    matrix = judged.confusion(source.classes)
    matrix.to_csv(folder / "confusion_song.csv")
    title = f"{Path(options.audio).name}, song level"
    figure = figures.confusion_figure(matrix.to_numpy(), source.classes, title)
    (folder / "confusion_song.png").write_bytes(figures.figure_bytes(figure))
    return judged.metrics()


def evaluated(file: Path, classes: list[str]) -> Judged | None:
    """The labelled rows of a table that `score` wrote, None without any; first guesses count at any threshold."""
    number = {name: i for i, name in enumerate(classes)}
    y_true, y_pred, strangers, failed = [], [], 0, 0
    for row in _labelled(file):
        if row["label"] not in number:
            strangers += 1
        elif row["status"] == pool.ERROR:
            failed += 1
        else:
            y_true.append(number[row["label"]])
            y_pred.append(number[row["top_artists"][0]])
    if not y_true:
        return None
    return Judged(np.array(y_true), np.array(y_pred), strangers, failed)


def _labelled(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix.lower() == ".parquet":
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(ROWS, columns=["label", "status", "top_artists"]):
                yield from (row for row in batch.to_pylist() if row["label"])
        return
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            if row["label"]:
                yield {**row, "top_artists": json.loads(row["top_artists"])}
