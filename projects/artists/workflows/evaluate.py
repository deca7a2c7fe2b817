"""Evaluating a fitted system in the subsets of a split: metrics, tables, figures."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from ..audio.decode import DecodeError, read_audio
from ..audio.features import mel_frequencies, to_db
from ..data.clipset import ClipSet
from ..data.prepare import Prepared
from ..data.splits import SUBSETS
from ..data.tracks import Track
from ..evaluation import baselines, calibration, intervals, metrics, pooling, tags, tsne
from ..evaluation.names import BASELINES
from ..evaluation.options import EvaluationOptions
from ..reports import figures, tsne_page, worst_songs
from ..systems.base import System

MAP_POINTS = 1000
# A menu entry with more names than this tells nobody anything.
MAP_COLOURS = 100
MAP_COLUMNS = (*tsne_page.COLUMNS, "label", "subset")
WORST = 20
WORST_SECONDS = 6.0
BASELINE_METRICS = ("f1", "f1_macro", "accuracy")
BASELINE_VECTORS = {
    "bandwidth": baselines.bandwidth_vector, "loudness": baselines.loudness_vector, "mfcc": baselines.mfcc_vector,
}  # fmt: skip
TRACK_COLUMNS = {"song": "title", "album": "album", "artist": "artist"}


@dataclasses.dataclass(frozen=True)
class SubsetScores:
    """A subset's clips and songs with their probabilities.

    proba (n_clips, k), embedding (n_clips, d);
    song_ids (n_songs,) positions that have clips, song_proba (n_songs, k) by the pooling, song_y (n_songs,).
    """

    clips: ClipSet
    proba: np.ndarray
    embedding: np.ndarray
    song_ids: np.ndarray
    song_proba: np.ndarray
    song_y: np.ndarray

    @classmethod
    def of(cls, system: System, clips: ClipSet, method: str = "mean") -> SubsetScores:
        """`method`: one of `pooling.POOLINGS`."""
        proba, embedding = system.scores(clips.batches_of(system.unit))
        return dataclasses.replace(cls.of_proba(clips, proba, method), embedding=embedding)

    @classmethod
    def of_proba(cls, clips: ClipSet, proba: np.ndarray, method: str = "mean") -> SubsetScores:
        """Of probabilities alone; embedding is (n_clips, 0)."""
        song_ids, song_proba = pooling.song_probabilities(proba, clips.songs, method)
        return cls(clips, proba, np.empty((len(proba), 0)), song_ids, song_proba, clips.song_y)

    def metrics(self, subset: str, *, seed: int) -> dict[str, float]:
        """All metrics of a subset by the names of the README."""
        named = _prefixed(f"{subset}/clip_", metrics.scores(self.clips.y, self.proba))
        named |= _prefixed(f"{subset}/song_", metrics.scores(self.song_y, self.song_proba))
        for method in ("vote", "vote50"):
            _, predicted = pooling.POOLINGS[method](self.proba, self.clips.songs)
            named |= _prefixed(f"{subset}/song_", metrics.label_scores(self.song_y, predicted), f"_{method}")
        if self.clips.tag_sets:
            named |= _prefixed(f"{subset}/clip_", tags.scores(self.clips.y, self.proba, self.clips.tag_sets))
            named |= _prefixed(f"{subset}/song_", tags.scores(self.song_y, self.song_proba, self.clips.tag_sets))
        named |= _chance(f"{subset}/song_ece", self.song_y, self.song_proba)
        bounds = intervals.song_intervals(self.song_y, self.song_proba, seed=seed)
        for name, (low, high) in bounds.items():
            named |= {f"{subset}/song_{name}_low": low, f"{subset}/song_{name}_high": high}
        return named


def metrics_of(subsets: Mapping[str, SubsetScores], *, seed: int) -> dict[str, float]:
    """All metrics of validation and test."""
    chosen = [name for name in ("val", "test") if name in subsets]
    return {name: value for subset in chosen for name, value in subsets[subset].metrics(subset, seed=seed).items()}


def _by_level(scores: SubsetScores) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(truth, probabilities) of clips, and of songs as the packaged model has them, whatever this run pools by."""
    song = pooling.mean_probability(scores.proba, scores.clips.songs)[1]
    return {"clip": (scores.clips.y, scores.proba), "song": (scores.song_y, song)}


def temperatures(validation: SubsetScores | None) -> dict[str, float]:
    """Temperatures of clips and of songs, fitted on validation, by `clip` and `song`; 1 where there is none.

    The evidence is that of songs.
    """
    if validation is None:
        return {"clip": 1.0, "song": 1.0}
    songs = {"clip": validation.clips.songs, "song": None}
    return {
        level: calibration.fit_temperature(y, proba, songs[level])
        for level, (y, proba) in _by_level(validation).items()
    }


def calibration_errors(subsets: Mapping[str, SubsetScores], fitted: Mapping[str, float]) -> dict[str, float]:
    """The temperatures, and the calibration errors that they leave, as metrics; those of songs also without chance.

    A temperature changes no order of classes: all scores of `SubsetScores.metrics` are those of the probabilities as
    the network gives them, `_ece` and `_log_loss` too; the errors after calibration are named `_ece_calibrated`.
    """
    named = {f"temperature_{level}": value for level, value in fitted.items()}
    for subset in {"val", "test"} & set(subsets):
        for level, (y, proba) in _by_level(subsets[subset]).items():
            after = calibration.tempered(proba, fitted[level])
            named |= calibrated_errors(f"{subset}/{level}_ece", y, after, level)
    return named


def calibrated_errors(name: str, y: np.ndarray, proba: np.ndarray, level: str) -> dict[str, float]:
    """The calibration error after calibration, of songs also without chance."""
    named = {f"{name}_calibrated": metrics.METRICS["ece"](y, proba)}
    return named | (_chance(name, y, proba, "_calibrated") if level == "song" else {})


def _chance(name: str, y: np.ndarray, proba: np.ndarray, suffix: str = "") -> dict[str, float]:
    """The calibration error of songs without what chance adds, and what chance alone shows. Clips of a song are not
    independent: theirs is not known."""
    return {
        f"{name}_debiased{suffix}": metrics.ece_debiased(y, proba),
        f"{name}_expected{suffix}": metrics.ece_expected(proba),
    }


def validation_scores(
    clips: ClipSet, proba: np.ndarray, method: str = "mean", names: Sequence[str] = ("val/clip_f1", "val/song_f1")
) -> dict[str, float]:
    """What a training shows after each epoch: metrics of clips, and of songs pooled by `method` or as the name says."""
    scores, truth = {}, {"clip": clips.y, "song": clips.song_y}
    for name in names:
        base, _, vote = name.partition("_vote")
        level, _, metric = base.removeprefix("val/").partition("_")
        chosen = method if base == name else f"vote{vote}"
        values = proba if level == "clip" else pooling.song_probabilities(proba, clips.songs, chosen)[1]
        scores[name] = metrics.METRICS[metric](truth[level], values)
    return scores


def baseline_metrics(prepared: Prepared, *, seed: int) -> dict[str, float]:
    """Test scores by song of all `BASELINES`; none without training clips."""
    if not len(prepared.clips["train"]):
        return {}
    vectors, y = {}, {}
    formats = sorted({_format(track) for track in prepared.used("train")})
    for subset in ("train", "test"):
        tracks = prepared.used(subset)
        vectors[subset] = _baseline_vectors(prepared, tracks)
        vectors[subset]["format"] = baselines.format_vectors([_format(track) for track in tracks], formats)
        y[subset] = np.array([prepared.classes.index(t.label(prepared.label)) for t in tracks])
    pairs = (vectors["train"], y["train"], vectors["test"], y["test"])
    scores = baselines.baseline_scores(*pairs, len(prepared.classes), seed=seed)
    return {f"test/song_{m}_{name}": values[m] for name, values in scores.items() for m in BASELINE_METRICS}


def _format(track: Track) -> str:
    return track.path.suffix.lower()


def _baseline_vectors(prepared: Prepared, tracks: Sequence[Track]) -> dict[str, np.ndarray]:
    """Name of a baseline -> vectors (n_songs, d); each song's features are read once."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in BASELINE_VECTORS}
    for track in tracks:
        path = prepared.features.entries[track.track_id].path
        log = to_db(np.load(path, mmap_mode="r"), prepared.features.config)
        for name, vector in BASELINE_VECTORS.items():
            rows[name].append(vector(log))
    return {name: np.stack(row) for name, row in rows.items()}


def confound_table(metrics: Mapping[str, float]) -> pd.DataFrame:
    """A row a baseline that a run logged, and the run's own model last: F1, macro F1 and accuracy of the test songs."""
    names = [name for name in BASELINES if f"test/song_f1_{name}" in metrics]
    rows = [
        {"classifier": title, **{m: metrics[f"test/song_{m}{suffix}"] for m in BASELINE_METRICS}}
        for title, suffix in [*((BASELINES[name], f"_{name}") for name in names), ("this model", "")]
    ]
    return pd.DataFrame(rows)


def write_report(
    folder: Path,
    prepared: Prepared,
    subsets: Mapping[str, SubsetScores],
    options: EvaluationOptions,
    *,
    seed: int,
    drawn: bool = True,
) -> None:
    """Tables of the test subset and the map into a folder; where `drawn`, figures and pages of them too."""
    folder.mkdir(parents=True, exist_ok=True)
    test = subsets["test"]
    metrics.per_class(test.song_y, test.song_proba, prepared.classes).to_csv(folder / "per_artist.csv", index=False)
    for level, y, proba in (("clip", test.clips.y, test.proba), ("song", test.song_y, test.song_proba)):
        _write_confusion(folder, prepared.classes, y, proba, "Test", level, drawn=drawn)
    if test.clips.tag_sets:
        tags.per_tag(test.song_y, test.song_proba, test.clips.tag_sets).to_csv(folder / "per_tag.csv", index=False)
    songs = song_table(prepared, test)
    songs.to_csv(folder / "test_songs.csv", index=False)
    if drawn:
        _write_worst(folder, prepared, test, songs, options)
        _write_spectrograms(folder, prepared)
    _write_map(folder, prepared, subsets, options, seed, drawn=drawn)


def write_validation(folder: Path, prepared: Prepared, scores: SubsetScores, *, seed: int = 0) -> None:
    """The confusion matrix of the validation songs, and the map of its clips where `scores` has embeddings."""
    _write_confusion(folder, prepared.classes, scores.song_y, scores.song_proba, "Validation", "song")
    _write_map(folder, prepared, {"val": scores}, EvaluationOptions(tsne_split="val"), seed)


def _write_confusion(
    folder: Path, classes: list[str], y: np.ndarray, proba: np.ndarray, name: str, level: str, *, drawn: bool = True
) -> None:
    matrix = metrics.confusion(y, proba.argmax(1), len(classes))
    table = pd.DataFrame(matrix, index=pd.Index(classes, name="true"), columns=classes)
    table.to_csv(folder / f"confusion_{level}.csv")
    if drawn:
        figure = figures.confusion_figure(matrix, classes, f"{name}, {level} level")
        (folder / f"confusion_{level}.png").write_bytes(figures.figure_bytes(figure))


def song_table(prepared: Prepared, scores: SubsetScores, subset: str = "test") -> pd.DataFrame:
    """A row a song of a subset: truth, prediction, probabilities, clips."""
    tracks = [prepared.tracks[subset][i] for i in scores.song_ids]
    entries = [prepared.features.entries[track.track_id] for track in tracks]
    rows, predicted, config = np.arange(len(tracks)), scores.song_proba.argmax(1), prepared.features.config
    return pd.DataFrame(
        {
            "track_id": [t.track_id for t in tracks],
            **{column: [getattr(t, field) for t in tracks] for column, field in TRACK_COLUMNS.items()},
            "label": [prepared.classes[y] for y in scores.song_y],
            "predicted": [prepared.classes[p] for p in predicted],
            "probability": scores.song_proba[rows, predicted],
            "probability_true": scores.song_proba[rows, scores.song_y],
            "clips": np.bincount(scores.clips.songs)[scores.song_ids],
            "seconds": [round(entry.n_frames * config.hop_length / config.sr, 1) for entry in entries],
            "audio_sha256": [entry.audio_digest for entry in entries],
        }
    )


def _write_worst(
    folder: Path, prepared: Prepared, test: SubsetScores, songs: pd.DataFrame, options: EvaluationOptions
) -> None:
    worst = songs.sort_values("probability_true", kind="stable").head(WORST)
    worst.to_csv(folder / "worst_songs.csv", index=False)
    clips = None
    if options.log_audio:
        clips = {row.track_id: _worst_clip(prepared, test, row.Index) for row in worst.itertuples()}
        for rank, (track_id, wav) in enumerate(clips.items(), 1):
            if wav is not None:
                file = folder / "worst_songs" / f"{rank:02d}_{_plain(track_id)}.wav"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(wav)
    rows = worst.assign(artist=worst["label"], probability=worst["probability_true"])
    page = worst_songs.worst_songs_html(rows, clips, "The twenty worst songs of the test subset")
    (folder / "worst_songs.html").write_text(page, encoding="utf-8")


def _worst_clip(prepared: Prepared, test: SubsetScores, position: int) -> bytes | None:
    """WAV bytes of the clip of a song with the least probability of the truth; None where its file has gone."""
    song = test.song_ids[position]
    members = np.flatnonzero(test.clips.songs == song)
    worst = members[test.proba[members, test.clips.y[members]].argmin()]
    track, config = prepared.tracks["test"][song], prepared.features.config
    try:
        y = read_audio(track.path, config.sr, crop=config.crop)
    except DecodeError:
        return None
    start = test.clips.starts[worst] * config.hop_length
    length = min(test.clips.length * config.hop_length, int(WORST_SECONDS * config.sr))
    wav = io.BytesIO()
    soundfile.write(wav, y[start : start + length], config.sr, format="WAV", subtype="PCM_16")
    return wav.getvalue()


def _write_map(
    folder: Path,
    prepared: Prepared,
    subsets: Mapping[str, SubsetScores],
    options: EvaluationOptions,
    seed: int,
    *,
    drawn: bool = True,
) -> None:
    chosen = subsets if options.tsne_split == "all" else {options.tsne_split: subsets[options.tsne_split]}
    chosen = {subset: scores for subset, scores in chosen.items() if scores.embedding.shape[1]}
    if not chosen:
        return
    table = pd.concat([_clip_table(prepared, scores, subset) for subset, scores in chosen.items()], ignore_index=True)
    keep = tsne.stratified_sample(table["label"].to_numpy(), MAP_POINTS, seed=seed)
    embedding = np.concatenate([scores.embedding for scores in chosen.values()])[keep]
    table = table.iloc[keep].reset_index(drop=True)
    xy = tsne.tsne(embedding, seed=seed)
    table = pd.concat([pd.DataFrame(xy, columns=["x", "y"]), table], axis=1)
    table.to_csv(folder / "tsne.csv", index=False)
    if not drawn:
        return
    title = f"t-SNE of the embedding before the softmax, {options.tsne_split} clips"
    (folder / "tsne.png").write_bytes(figures.figure_bytes(figures.tsne_figure(xy, table["label"].tolist(), title)))
    colours = ["label", "artist", "album", *sorted(_extra_labels(prepared)), "subset"]
    colours = [name for name in colours if 1 < table[name].nunique() <= MAP_COLOURS]
    page = tsne_page.tsne_html(table, title, colour_by=colours or ["label"], target="label")
    (folder / "tsne.html").write_text(page, encoding="utf-8")


def _clip_table(prepared: Prepared, scores: SubsetScores, subset: str) -> pd.DataFrame:
    tracks, config = [prepared.tracks[subset][i] for i in scores.clips.songs], prepared.features.config
    columns = {
        **{column: [getattr(t, field) for t in tracks] for column, field in TRACK_COLUMNS.items()},
        "label": [prepared.classes[y] for y in scores.clips.y],
        "predicted": [prepared.classes[p] for p in scores.proba.argmax(1)],
        "clip_start": scores.clips.starts * config.hop_length / config.sr,
        "subset": subset,
    }
    extra = {name: [t.label(column) for t in tracks] for name, column in _extra_labels(prepared).items()}
    return pd.DataFrame(columns | extra)


def _write_spectrograms(folder: Path, prepared: Prepared) -> None:
    """Three seconds of one song of each class, a training song where there is one: figure 1 of Nasrullah and Zhao."""
    config, excerpts = prepared.features.config, {}
    frames = round(3 * config.sr / config.hop_length)
    for track in (track for subset in SUBSETS for track in prepared.tracks[subset]):
        name = track.label(prepared.label)
        if name not in excerpts:
            features = np.load(prepared.features.entries[track.track_id].path, mmap_mode="r")
            middle = max(0, (len(features) - frames) // 2)
            excerpts[name] = to_db(np.array(features[middle : middle + frames]), config)
    figure = figures.spectrogram_grid(
        dict(sorted(excerpts.items())), sr=config.sr, hop_length=config.hop_length,
        mel_frequencies=mel_frequencies(config), title=f"Three seconds of one song of each {prepared.label}",
    )  # fmt: skip
    (folder / "spectrograms.png").write_bytes(figures.figure_bytes(figure))


def _extra_labels(prepared: Prepared) -> dict[str, str]:
    """Column of the map -> label column of the corpus, which may have a name that the map uses otherwise."""
    columns = [name for name in prepared.corpus.label_columns if name not in ("artist", "album")]
    return {f"{name} (corpus)" if name in MAP_COLUMNS else name: name for name in columns}


def _prefixed(prefix: str, values: Mapping[str, float], suffix: str = "") -> dict[str, float]:
    return {f"{prefix}{name}{suffix}": value for name, value in values.items()}


def _plain(name: str) -> str:
    """A file name of letters, digits and hyphens."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[-60:]
