"""Every fold of a split: a training of each in a child run, their answers pooled in the run above.

What a fold has answered is kept until all are done, so that a killed run trains no fold twice.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.cache import atomic_write
from ..data.clipset import ClipSet
from ..data.prepare import Prepared
from ..data.splits import SUBSETS, Split
from ..evaluation import calibration
from ..evaluation.names import BASELINES
from ..reports.summary import Summary
from ..tracking import reading, runs
from ..tracking.runs import Run
from . import evaluate, results, train
from .evaluate import SubsetScores
from .plan import TrainingPlan
from .results import Results

FOLD = "fold"
COLUMNS = ("song_f1", "song_f1_macro", "song_accuracy", "clip_f1")
SUMMED = ("train_seconds", "songs_seen_in_training", "_changed", "/songs", "/clips")

# A plan of one fold, and its run.
TrainFold = Callable[[TrainingPlan, Run], Results]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What one fold has answered: probabilities of its test clips, its temperatures, and all metrics of its run."""

    prepared: Prepared
    proba: np.ndarray
    temperatures: Mapping[str, float]
    metrics: Mapping[str, float]
    run_id: str


def run_folds(
    plan: TrainingPlan,
    run: Run,
    prepare: Callable[[TrainingPlan], Prepared],
    train_fold: TrainFold,
    *,
    drawn: bool = True,
) -> tuple[dict[str, float], Summary]:
    """Trains each fold that is not done yet; logs pooled metrics and tables to `run`; these metrics, and a summary."""
    run.when_finished(lambda: train.remove_checkpoints(run))
    folds = [_answers(plan, fold, run, prepare, train_fold) for fold in range(plan.data.folds)]
    prepared, scores = pooled(folds, plan.evaluation.pooling)
    pooled_metrics = _metrics(folds, scores, plan)
    run.metrics(pooled_metrics)
    run.tags({"corpus": prepared.corpus.name})
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        evaluate.write_report(work, prepared, {"test": scores}, plan.evaluation, seed=plan.seed, drawn=drawn)
        _table(folds).to_csv(work / "folds.csv", index=False)
        run.folder(work)
    return pooled_metrics, _summary(plan, run, prepared, folds, pooled_metrics)


def _answers(
    plan: TrainingPlan,
    fold: int,
    run: Run,
    prepare: Callable[[TrainingPlan], Prepared],
    train_fold: TrainFold,
) -> Answers:
    own = dataclasses.replace(plan, data=dataclasses.replace(plan.data, fold=str(fold)))
    file = train.checkpoint(run).with_suffix(f".{FOLD}{fold}.npz")
    done = _read(file)
    if done is None:
        tags = {FOLD: str(fold)}
        with runs.child(run, f"fold {fold}", tags, run_id=_unfinished(run, fold)) as child:
            proba, temperatures, values = train_fold(own, child)
        done = {"temperatures": dict(temperatures), "metrics": dict(values), "run_id": child.run_id, "proba": proba}
        _write(file, done)
    return Answers(prepare(own), **done)


def _unfinished(run: Run, fold: int) -> str | None:
    """The child run of a fold that was interrupted and can go on here."""
    children = [child for child in reading.children(run.run_id) if child.tags.get(FOLD) == str(fold)]
    open_ = [child for child in children if child.status != "FINISHED"]
    able = [c for c in open_ if "epoch/loss" not in c.metrics or train.checkpoint(Run(c.run_id)).is_file()]
    return able[-1].run_id if able else None


def _write(file: Path, done: Mapping[str, Any]) -> None:
    text = json.dumps({name: value for name, value in done.items() if name != "proba"})
    with atomic_write(file) as out:
        np.savez(out, proba=done["proba"], text=np.frombuffer(text.encode(), np.uint8))


def _read(file: Path) -> dict[str, Any] | None:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {"proba": stored["proba"], **json.loads(stored["text"].tobytes())}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def pooled(folds: Sequence[Answers], method: str) -> tuple[Prepared, SubsetScores]:
    """The test songs of all folds as one subset, with their probabilities."""
    first = folds[0].prepared
    sets, tracks = [each.prepared.clips["test"] for each in folds], [each.prepared.tracks["test"] for each in folds]
    offsets = np.cumsum([0, *(len(each.entries) for each in sets[:-1])])
    clips = ClipSet(
        [entry for each in sets for entry in each.entries],
        np.concatenate([each.songs + offset for each, offset in zip(sets, offsets, strict=True)]),
        np.concatenate([each.starts for each in sets]),
        np.concatenate([each.y for each in sets]),
        first.clips["test"].length,
        first.clips["test"].tag_sets,
    )
    nothing = clips.of_songs(np.empty(0, int))
    prepared = dataclasses.replace(
        first,
        split=Split({track.track_id: "test" for part in tracks for track in part}, first.split.name),
        tracks={"train": [], "val": [], "test": [track for part in tracks for track in part]},
        clips={"train": nothing, "val": nothing, "test": clips},
        short=sorted({track for each in folds for track in each.prepared.short}),
    )
    return prepared, SubsetScores.of_proba(clips, np.concatenate([each.proba for each in folds]), method)


def _metrics(folds: Sequence[Answers], scores: SubsetScores, plan: TrainingPlan) -> dict[str, float]:
    """Of the pooled test songs; all else is the mean over folds by their test songs, or the sum of what is counted."""
    songs = np.array([len(each.prepared.used("test")) for each in folds], float)
    values = pd.DataFrame([each.metrics for each in folds]).dropna(axis=1)
    named = {
        name: float(column.sum() if name.endswith(SUMMED) else np.average(column, weights=songs))
        for name, column in values.items()
    }
    return named | scores.metrics("test", seed=plan.seed) | _calibrated(folds, scores)


def _calibrated(folds: Sequence[Answers], scores: SubsetScores) -> dict[str, float]:
    """Calibration errors of the pooled answers, those of each fold by its own temperatures."""
    named: dict[str, float] = {}
    for level, y in (("clip", scores.clips.y), ("song", scores.song_y)):
        parts = []
        for each in folds:
            own = SubsetScores.of_proba(each.prepared.clips["test"], each.proba)
            proba = own.proba if level == "clip" else own.song_proba
            parts.append(calibration.tempered(proba, each.temperatures[level]))
        named |= evaluate.calibrated_errors(f"test/{level}_ece", y, np.concatenate(parts), level)
    return named


def _table(folds: Sequence[Answers]) -> pd.DataFrame:
    rows = []
    for i, each in enumerate(folds):
        counts = {f"{subset}_songs": len(each.prepared.used(subset)) for subset in SUBSETS}
        scores = {name: each.metrics[f"test/{name}"] for name in COLUMNS}
        rows.append({"fold": i, "run_id": each.run_id, **counts, **scores})
    return pd.DataFrame(rows)


def _summary(
    plan: TrainingPlan, run: Run, prepared: Prepared, folds: Sequence[Answers], values: Mapping[str, float]
) -> Summary:
    each = ", ".join(f"{fold.metrics['test/song_f1']:.3f}" for fold in folds)
    baselines = {title: values.get(f"test/song_f1_{name}") for name, title in BASELINES.items()}
    figures = [name for name in results.FIGURES if name not in ("tsne.html", "spectrograms.png")]
    return Summary(
        f"{plan.model} on {prepared.corpus.name}: {len(folds)} folds pooled, {plan.data.clip:g} s clips",
        results.headlines(values),
        {title: score for title, score in baselines.items() if score is not None},
        figures=[run.artifact(name) for name in figures],
        next_commands=["mlflow ui"],
        facts={"run": run.run_id, "songs": f"{len(prepared.used('test'))} tested", "song F1 of each fold": each},
    )
