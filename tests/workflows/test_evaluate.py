"""Scores, tables and figures of the subsets of a split, from probabilities that are given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from projects.artists.audio.features import FeatureConfig
from projects.artists.data import corpora, prepare
from projects.artists.data.featurize import featurize
from projects.artists.data.options import DataOptions
from projects.artists.data.tracks import Corpus
from projects.artists.errors import InputError
from projects.artists.evaluation import calibration, metrics
from projects.artists.evaluation.options import EvaluationOptions
from projects.artists.workflows import evaluate, results
from projects.artists.workflows.evaluate import SubsetScores


def prepared(corpus: Corpus, **options) -> prepare.Prepared:
    options = DataOptions(**{"clip": 1.0, "split": "album", **options})
    return prepare.prepare(corpus, featurize(corpus, FeatureConfig()), options, seed=0)


def scores(p: prepare.Prepared, subset: str = "test") -> SubsetScores:
    """Random probabilities and embeddings."""
    rng, clips = np.random.default_rng(0), p.clips[subset]
    found = SubsetScores.of_proba(clips, rng.dirichlet(np.ones(len(p.classes)), len(clips)))
    return dataclasses.replace(found, embedding=rng.normal(size=(len(clips), 4)))


def relabelled(corpus: Corpus, **columns) -> Corpus:
    """The corpus with label columns whose value for the nth track is given."""
    tracks = [
        dataclasses.replace(track, labels={name: value(i) for name, value in columns.items()})
        for i, track in enumerate(corpus.tracks)
    ]
    return Corpus(corpus.name, tuple(tracks))


def write(p: prepare.Prepared, folder, **options):
    options = EvaluationOptions(**{"log_audio": False, **options})
    evaluate.write_report(folder, p, {"test": scores(p)}, options, seed=0)
    return pd.read_csv(folder / "tsne.csv")


def test_a_map_that_no_column_can_colour_is_coloured_by_the_label(cached, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "MAP_COLOURS", 2)
    table = write(prepared(cached), tmp_path / "report")
    assert table["label"].nunique() == 3
    assert "colour by label" in (tmp_path / "report" / "tsne.html").read_text(encoding="utf-8")


def test_label_columns_named_like_those_of_the_map_stand_beside_them(cached, tmp_path):
    columns = {name: (lambda i, name=name: f"{name} {i % 2}") for name in ("label", "subset", "song", "x", "predicted")}
    table = write(prepared(relabelled(cached, **columns)), tmp_path / "report")
    assert set(table["label"]) == {"artist0", "artist1", "artist2"} and set(table["subset"]) == {"test"}
    assert np.issubdtype(table["x"].dtype, np.floating)
    for name in columns:
        assert set(table[f"{name} (corpus)"]) <= {f"{name} 0", f"{name} 1"}


def test_a_song_whose_file_has_gone_is_listed_without_a_player(small_corpus, in_process, tmp_path):
    p = prepared(corpora.load(str(small_corpus)))
    gone = p.tracks["test"][0]
    gone.path.unlink()
    write(p, tmp_path / "report", log_audio=True)
    assert gone.track_id in set(pd.read_csv(tmp_path / "report" / "worst_songs.csv")["track_id"])
    played = list((tmp_path / "report" / "worst_songs").glob("*.wav"))
    assert len(played) == len(p.tracks["test"]) - 1


def test_the_trivial_classifiers_see_the_songs_that_the_network_sees(small_corpus, in_process, write_audio, tone):
    p = prepared(corpora.load(str(small_corpus)))
    for i, subset in enumerate(("train", "test")):
        write_audio(p.used(subset)[0].path, tone(seconds=0.4, seed=i, pitch=3000.0))
    short = prepared(corpora.load(str(small_corpus)))
    assert sorted(short.short) == sorted(p.used(subset)[0].track_id for subset in ("train", "test"))
    without = dataclasses.replace(
        short,
        tracks={subset: short.used(subset) for subset in short.tracks},
        clips={
            subset: dataclasses.replace(clips, songs=np.unique(clips.songs, return_inverse=True)[1])
            for subset, clips in short.clips.items()
        },
    )
    assert len(without.tracks["test"]) == len(short.tracks["test"]) - 1
    assert evaluate.baseline_metrics(short, seed=0) == evaluate.baseline_metrics(without, seed=0)


def test_songs_have_the_calibration_error_of_chance_beside_theirs_before_and_after_calibration(cached):
    found = scores(prepared(cached))
    logged = found.metrics("test", seed=0) | evaluate.calibration_errors({"test": found}, {"clip": 1.0, "song": 2.0})
    for suffix, proba in (("", found.song_proba), ("_calibrated", calibration.tempered(found.song_proba, 2.0))):
        assert logged[f"test/song_ece_expected{suffix}"] == metrics.ece_expected(proba)
        assert logged[f"test/song_ece_debiased{suffix}"] == metrics.ece_debiased(found.song_y, proba)
    assert not [name for name in logged if name.startswith("test/clip_ece_") and name != "test/clip_ece_calibrated"]


def test_the_temperature_of_clips_rests_on_the_evidence_of_their_songs(cached):
    found = scores(prepared(cached), "val")
    fitted = evaluate.temperatures(found)
    clips = found.clips
    assert fitted["clip"] == calibration.fit_temperature(clips.y, found.proba, clips.songs)
    assert fitted["song"] == calibration.fit_temperature(found.song_y, found.song_proba)
    assert fitted["clip"] != pytest.approx(calibration.fit_temperature(clips.y, found.proba), rel=1e-3)


def test_a_map_of_a_side_without_clips_is_refused(cached):
    options = DataOptions(clip=1.0, split="all")
    p = prepare.prepare(cached, featurize(cached, FeatureConfig()), options, seed=0, required=("test",))
    with pytest.raises(InputError, match="tsne_split=train: no clip stands in that subset here; choose test or all"):
        results.score_subsets(None, p, EvaluationOptions(tsne_split="train"))
