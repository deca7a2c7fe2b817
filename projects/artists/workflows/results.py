"""What a run of train or evaluate logs, and the few lines it ends with."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..audio.deform import deformations
from ..data import prepare, recordings
from ..data.prepare import Prepared
from ..data.recordings import Recordings
from ..data.splits import SUBSETS
from ..data.tracks import Progress
from ..errors import InputError, command
from ..evaluation.names import BASELINES
from ..evaluation.options import EvaluationOptions
from ..package import card as saved
from ..package import golden
from ..package.card import Card
from ..reports import summary
from ..reports.deformations import deformation_figure
from ..reports.figures import figure_bytes
from ..reports.names import decimal, printable
from ..systems.base import System
from ..tracking.model import log_model
from ..tracking.runs import Run
from ..training.device import device
from . import deform, evaluate
from .evaluate import SubsetScores
from .plan import EvaluationPlan, TrainingPlan

Plan = TrainingPlan | EvaluationPlan
FIGURES = ("confusion_song.png", "confusion_clip.png", "tsne.html", "spectrograms.png", "worst_songs.html")
CONFOUNDS, DEFORMATIONS = "confounds.csv", "deformations"
HEADLINES = (("song F1", "song_f1"), ("song accuracy", "song_accuracy"), ("song F1, macro", "song_f1_macro"))


def log_data(run: Run, prepared: Prepared, *, context: str = "training") -> None:
    """Split, digests and what is wrong with the corpus; warnings also go to the terminal.

    Raises:
        InputError: The run goes on, and not with the data that it began with.
    """
    table = prepare.split_table(prepared)
    corpus = prepare.corpus_digest(table)
    digests = {"corpus": corpus, "split": prepared.split.digest, "features": prepared.features.config.digest}
    _check_same(run, digests)
    run.table(table, "split.csv")
    run.tags({"corpus": prepared.corpus.name} | {f"{what}_digest": digest for what, digest in digests.items()})
    run.dataset(table, name=prepared.corpus.name, digest=corpus, context=context)
    notes = {name: getattr(prepared, name) for name in ("short", "absent", "warnings")}
    notes["unlabelled"] = prepared.corpus.unlabelled
    run.text(json.dumps(notes, indent=1, ensure_ascii=False), "corpus_notes.json")
    sizes = {f"{subset}/songs": len(prepared.used(subset)) for subset in prepared.tracks}
    run.metrics(sizes | {f"{subset}/clips": len(clips) for subset, clips in prepared.clips.items()})
    for warning in prepared.warnings:
        print(f"warning: {printable(warning)}")


def _check_same(run: Run, digests: Mapping[str, str]) -> None:
    """Raises InputError where a run began with other data: it would be tested on songs that it has learned from."""
    before = {what: run.tag_before(f"{what}_digest") for what in digests}
    changed = [what for what, digest in digests.items() if before[what] not in (None, digest)]
    if changed:
        differences = ", ".join(f"{what}_digest was {before[what]} and is {digests[what]}" for what in changed)
        raise InputError(
            f"Run {run.run_id} began with another {' and another '.join(changed)}: {differences}. "
            "Put the corpus and the commit back as they were, or delete that run and train anew."
        )


class Results(NamedTuple):
    """Of a training: probabilities of its test clips (n_clips, k), its temperatures, its metrics."""

    proba: np.ndarray
    temperatures: Mapping[str, float]
    metrics: dict[str, float]


def log_results(
    run: Run,
    system: System,
    prepared: Prepared,
    plan: TrainingPlan,
    held_out: SubsetScores | None = None,
    *,
    say: bool = True,
    progress: Progress | None = None,
) -> Results:
    """Evaluates the best weights, once; logs metrics, model and report; prints the summary if `say`."""
    subsets = score_subsets(system, prepared, plan.evaluation, held_out)
    metrics = evaluate.metrics_of(subsets, seed=plan.seed) | evaluate.baseline_metrics(prepared, seed=plan.seed)
    run.metrics(metrics)
    temperatures = evaluate.temperatures(subsets.get("val"))
    run.metrics(evaluate.calibration_errors(subsets, temperatures))
    card = card_of(plan, prepared, temperatures)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        saved.save(work / "system", system, card)
        recordings.write(work / "system", _recordings(prepared, "train", "val"))
        # The model takes over the parameters that the server knows by then.
        run.flush()
        uri = log_model(work / "system", golden.write(work / "golden", system, card), work)
        run.tags({"model_uri": uri})
        # From here on nothing that goes wrong costs a model.
        evaluate.write_report(work / "report", prepared, subsets, plan.evaluation, seed=plan.seed)
        evaluate.confound_table(metrics).to_csv(work / "report" / CONFOUNDS, index=False)
        changes = write_deformations(work / "report", system, card, prepared, plan, progress)
        run.folder(work / "report")
        run.metrics(changes)
    commands = [command("evaluate", model=run.run_id, split=plan.data.split), command("promote", run_id=run.run_id)]
    _summarise(run, plan.model, uri, prepared, plan, metrics | changes, commands, say=say)
    return Results(subsets["test"].proba, temperatures, metrics | changes)


def card_of(plan: TrainingPlan, prepared: Prepared, temperatures: Mapping[str, float]) -> Card:
    """The card of the system that a plan has fitted."""
    return Card(
        model=plan.model,
        options=plan.system_options,
        features=dataclasses.asdict(prepared.features.config),
        clip_frames=prepared.clips["train"].length,
        label=prepared.label,
        classes=prepared.classes,
        settings=plan.values,
        songs={subset: sorted(_digests(prepared, subset)) for subset in prepared.tracks},
        groups=duplicate_groups(prepared),
        temperatures=temperatures,
    )


def write_deformations(
    folder: Path,
    system: System,
    card: Card,
    prepared: Prepared,
    plan: Plan,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Table and figure of the deformations that the plan asks for; their metrics, none where it asks for none."""
    chosen = deformations(plan.evaluation.deform)
    if not chosen:
        return {}
    answers = deform.answers(
        system, card, prepared, chosen, method=plan.evaluation.pooling, workers=plan.data.workers, progress=progress
    )
    if answers.warning:
        print(f"warning: {printable(answers.warning)}")
    if not len(answers.y):
        return {}
    table = answers.table(seed=plan.seed)
    table.drop(columns=["key", "title"]).to_csv(folder / f"{DEFORMATIONS}.csv", index=False)
    figure = deformation_figure(table, f"{card.model}: {len(answers.y)} test songs, deformed")
    (folder / f"{DEFORMATIONS}.png").write_bytes(figure_bytes(figure))
    return deform.metrics_of(table)


def duplicate_groups(prepared: Prepared) -> dict[str, str]:
    """Audio digest -> duplicate group of the tracks that stand in one."""
    entries, groups = prepared.features.entries, prepared.groups
    return {entries[track].audio_digest: group for track, group in groups.items() if track in entries}


def _digests(prepared: Prepared, subset: str) -> list[str]:
    return [prepared.features.entries[track.track_id].audio_digest for track in prepared.used(subset)]


def _recordings(prepared: Prepared, *subsets: str) -> Recordings:
    """The songs of subsets that have a clip."""
    features = prepared.features
    entries = [features.entries[track.track_id] for subset in subsets for track in prepared.used(subset)]
    return recordings.of_entries(entries, features.config)


def log_again(
    run: Run,
    system: System,
    card: Card,
    learned: Recordings,
    prepared: Prepared,
    plan: EvaluationPlan,
    work: Path,
    progress: Progress | None = None,
) -> None:
    """Evaluates a loaded model; says how many test songs it has learned from."""
    run.tags({"device": device()})
    subsets = score_subsets(system, prepared, plan.evaluation)
    metrics = evaluate.metrics_of(subsets, seed=plan.seed) | evaluate.baseline_metrics(prepared, seed=plan.seed)
    run.metrics(metrics)
    run.metrics(evaluate.calibration_errors(subsets, card.temperatures))
    tested = _digests(prepared, "test")
    heard = recordings.copies([_recordings(prepared, "test")], [learned])
    seen = sum(digest in heard for digest in tested)
    run.metrics({"test/songs_seen_in_training": seen})
    if seen:
        print(f"warning: the model trained or validated on {seen} of {len(tested)} test songs.")
    if learned.warning:
        print(f"warning: {learned.warning}")
    evaluate.write_report(work / "report", prepared, subsets, plan.evaluation, seed=plan.seed)
    evaluate.confound_table(metrics).to_csv(work / "report" / CONFOUNDS, index=False)
    changes = write_deformations(work / "report", system, card, prepared, plan, progress)
    run.folder(work / "report")
    run.metrics(changes)
    _summarise(run, card.model, plan.model, prepared, plan, metrics | changes)


def score_subsets(
    system: System, prepared: Prepared, options: EvaluationOptions, held_out: SubsetScores | None = None
) -> dict[str, SubsetScores]:
    """Validation and test, and training where its map is asked for; `held_out` stands for validation.

    Raises:
        InputError: The map is asked for of a subset without clips.
    """
    names = ["val", "test"] + (["train"] if options.tsne_split in ("train", "all") else [])
    clips = {subset: prepared.clips[subset] for subset in names if len(prepared.clips[subset])}
    if options.tsne_split not in (*clips, "all"):
        raise InputError(
            f"tsne_split={options.tsne_split}: no clip stands in that subset here; choose {', '.join(clips)} or all."
        )
    scores = {subset: SubsetScores.of(system, chosen, options.pooling) for subset, chosen in clips.items()}
    return scores | ({"val": held_out} if held_out else {})


def headlines(metrics: Mapping[str, float]) -> list[summary.Score]:
    """Test scores by song with their intervals, and by clip."""
    scores: list[summary.Score] = [
        (f"test {name}", metrics[f"test/{key}"], metrics[f"test/{key}_low"], metrics[f"test/{key}_high"])
        for name, key in HEADLINES
    ]
    return [*scores, ("test clip F1", metrics["test/clip_f1"], None, None)]


def _summarise(
    run: Run,
    name: str,
    uri: str,
    prepared: Prepared,
    plan: Plan,
    metrics: Mapping[str, float],
    commands: Sequence[str] = (),
    *,
    say: bool = True,
) -> None:
    by_baseline = {title: metrics.get(f"test/song_f1_{baseline}") for baseline, title in BASELINES.items()}
    songs = ", ".join(f"{len(prepared.used(subset))} {subset}" for subset in SUBSETS)
    figures = [*FIGURES, *([f"{DEFORMATIONS}.png"] if "deform/songs" in metrics else [])]
    facts = {"run": run.run_id, "model": uri, "songs": songs} | _changes(plan, metrics)
    result = summary.Summary(
        f"{name} on {prepared.corpus.name}: {plan.data.split} split, {plan.data.clip:g} s clips",
        headlines(metrics),
        {title: score for title, score in by_baseline.items() if score is not None},
        figures=[run.artifact(name) for name in figures],
        next_commands=["mlflow ui", *commands],
        facts=facts,
    )
    run.description(result.markdown())
    if say:
        print("\n" + result.text())


def _changes(plan: Plan, metrics: Mapping[str, float]) -> dict[str, str]:
    """A line a deformation."""
    if "deform/songs" not in metrics:
        return {}
    songs, before = metrics["deform/songs"], metrics["deform/none_song_f1"]
    return {
        each.title: f"{metrics[f'deform/{each.key}_changed']:g} of {songs:g} answers change, song F1 "
        f"{decimal(metrics[f'deform/{each.key}_song_f1'])} (undisturbed {decimal(before)})"
        for each in deformations(plan.evaluation.deform)
    }
