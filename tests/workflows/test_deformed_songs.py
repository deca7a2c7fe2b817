"""Deformed test songs: a model that hears level alone and one that does not, songs that have gone, and entry points."""

from __future__ import annotations

import dataclasses
import re
import shutil

import mlflow
import models
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from projects import cli, evaluate, train
from projects.artists.audio.deform import deformations
from projects.artists.audio.options import FeatureConfig, JointConfig
from projects.artists.data import corpora, prepare
from projects.artists.data.featurize import featurize
from projects.artists.data.options import DataOptions
from projects.artists.package import inference
from projects.artists.tracking import runs
from projects.artists.workflows import deform
from projects.artists.workflows.deform import Answers
from projects.artists.workflows.grid import cells
from projects.artists.workflows.grid.grid import Cell
from projects.artists.workflows.plan import training_plan
from projects.artists.workflows.promote import decide
from registry import gates

CLIP_FRAMES, PLAIN = 32, FeatureConfig()


@pytest.fixture
def here(monkeypatch):
    """Decodes and deforms in this process."""
    monkeypatch.setattr(deform, "spread", lambda songs, compute, *_: ((song, compute(song)) for song in songs))


class Hearing:
    """A system that hears the mean of a clip in dB alone: a class for each decibel."""

    unit = "clip"

    def scores(self, batches):
        means = np.concatenate([clips.mean((1, 2)) for clips in batches])
        return np.eye(3)[np.round(means / 3).astype(int) % 3], means[:, None]


def prepared(folder, config: FeatureConfig = PLAIN) -> prepare.Prepared:
    corpus, options = corpora.load(str(folder)), DataOptions(clip=1.0, split="album")
    return prepare.prepare(corpus, featurize(corpus, config), options, seed=0)


def card(p: prepare.Prepared):
    features = dataclasses.asdict(p.features.config)
    return models.card_of(features=features, classes=p.classes, clip_frames=p.clips["test"].length)


def answers(p: prepare.Prepared, text: str, **options) -> Answers:
    return deform.answers(Hearing(), card(p), p, deformations(text), **options)


def test_a_model_that_hears_level_alone_changes_its_answers_under_level(small_corpus, in_process, here):
    # 12 dB are four of its classes further, 6 dB two.
    table = answers(prepared(small_corpus), "level").table(seed=0)
    assert table["changed"].tolist() == [0, 6, 6] and table["changed_share"].tolist() == [0, 1, 1]


def test_a_model_whose_features_know_no_level_changes_none(small_corpus, in_process, here):
    table = answers(prepared(small_corpus, FeatureConfig(level=-18.0)), "level,noise:0").table(seed=0)
    assert table["key"].tolist() == ["none", "level_-12", "level_6", "noise_0"]
    assert table["changed"].tolist()[:3] == [0, 0, 0] and table["changed"].iloc[3] > 0, "it does hear noise"


@pytest.mark.parametrize("config", [FeatureConfig(), FeatureConfig(crop=2.0), FeatureConfig(sr=22050, level=-18.0)])
def test_undisturbed_answers_are_those_of_the_packaged_model_for_the_file(small_corpus, in_process, here, config):
    p = prepared(small_corpus, config)
    got = answers(p, "tempo:1.2")
    alone = [inference.score(track.path, Hearing(), card(p)).proba.mean(0) for track in p.used("test")]
    np.testing.assert_allclose(got.proba[0], alone, atol=1e-12)
    assert got.proba.shape == (2, 6, 3) and [p.classes[y] for y in got.y] == [t.artist for t in p.used("test")]


class Ensemble:
    """A system of two members with features of their own, which hear what `Hearing` hears."""

    unit = "song"

    def scores(self, songs):
        pairs = [[Hearing().scores([clips])[0].mean(0) for clips in song] for song in songs]
        return np.stack([np.mean(pair, axis=0) for pair in pairs]), np.zeros((len(pairs), 1))


def test_members_of_an_ensemble_get_features_of_their_own_of_the_same_deformed_song(small_corpus, in_process, here):
    levelled = FeatureConfig(sr=22050, hop_length=706, level=-18.0)
    p = prepared(small_corpus, JointConfig.join([(PLAIN, CLIP_FRAMES), (levelled, CLIP_FRAMES)]))
    got = deform.answers(Ensemble(), card(p), p, deformations("level:-12"))
    alone = [inference.score(track.path, Ensemble(), card(p)).proba[0] for track in p.used("test")]
    np.testing.assert_allclose(got.proba[0], alone, atol=1e-12)
    # Half of its vote hears no level; single clips lie at the edge of a decibel.
    change = np.abs(got.proba[1] - got.proba[0]).max(1)
    assert (change > 0.3).all() and (change < 0.5 + 1e-9).all()


def test_the_same_command_gives_the_same_answers(small_corpus, in_process, here):
    p = prepared(small_corpus)
    first, second = (answers(p, "noise:10,mp3,pitch:2") for _ in range(2))
    np.testing.assert_array_equal(first.proba, second.proba)


def test_a_cropped_song_played_faster_is_still_as_long_as_the_crop(small_corpus, in_process):
    p = prepared(small_corpus, FeatureConfig(crop=2.0))
    song = deform.Song(0, p.used("test")[0].path, 0)
    versions = deform.features_of_versions(song, p.features.config, deformations("tempo:1.5,tempo:0.7,pitch"))
    assert {len(features) for (features,) in map(dict.values, versions)} == {1 + 2 * 16000 // 512}
    whole = deform.features_of_versions(song, FeatureConfig(), deformations("tempo:1.5"))
    assert [len(features) for (features,) in map(dict.values, whole)] == [
        1 + 4 * 16000 // 512,
        1 + round(4 * 16000 / 1.5) // 512,
    ]


def test_what_else_is_asked_for_changes_no_deformation(small_corpus, in_process):
    p = prepared(small_corpus, FeatureConfig(crop=1.0))
    song = deform.Song(0, p.used("test")[0].path, 5)
    alone, among = (
        deform.features_of_versions(song, p.features.config, deformations(text))[1][p.features.config]
        for text in ("noise:0", "noise:0,tempo:2")
    )
    np.testing.assert_array_equal(alone, among)


def test_a_song_that_has_gone_is_left_out_of_all_and_counted(small_corpus, in_process, here):
    p, told = prepared(small_corpus), []
    before = answers(p, "level:-12")
    gone = p.used("test")[2]
    gone.path.unlink()
    after = answers(p, "level:-12", progress=lambda *done: told.append(done))
    np.testing.assert_array_equal(after.proba, np.delete(before.proba, 2, axis=1))
    assert list(after.left_out) == [gone.track_id] and told[-1] == (6, 6, "deformations")
    assert "1 of 6 test songs could not be read" in after.warning and "there is no such file" in after.warning
    table = after.table(seed=0)
    assert set(table["songs"]) == {5} and set(table["left_out"]) == {1} and not before.warning


def test_with_no_song_left_there_are_no_answers(small_corpus, in_process, here):
    p = prepared(small_corpus)
    for track in p.used("test"):
        track.path.unlink()
    got = answers(p, "level:-12")
    assert len(got.y) == 0 and got.proba.shape == (2, 0, 3) and "6 of 6" in got.warning


def test_songs_are_pooled_as_the_evaluation_pools_them(small_corpus, in_process, here):
    p = prepared(small_corpus)
    mean, vote = (answers(p, "level:-12", method=method).proba for method in ("mean", "vote"))
    # Certain clips: the share of votes is the mean, but for what breaks ties.
    np.testing.assert_allclose(mean, vote, atol=1e-5)
    assert not np.array_equal(mean, vote)


def test_a_table_worked_by_hand():
    y = np.array([0, 0, 1, 1])
    proba = np.stack([np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 0, 1, 0]]]) * 0.8 + 0.1
    got = Answers(deformations("mp3:64"), y, proba, {"gone": "there is no such file"}).table(seed=0)
    assert got["accuracy"].tolist() == [1, 0.75] and got["changed"].tolist() == [0, 1]
    f1 = (4 / 5 + 2 / 3) / 2
    assert got["song_f1"].tolist() == pytest.approx([1, f1]) and got["difference"].tolist() == pytest.approx(
        [0, f1 - 1]
    )
    assert got["paired_improvement"].iloc[0] == 0.5 and got["paired_improvement"].iloc[1] < 0.2
    assert (got["song_f1_low"] <= got["song_f1"]).all() and (got["song_f1"] <= got["song_f1_high"]).all()
    expected = {"deform/songs": 4, "deform/none_song_f1": 1, "deform/mp3_64_song_f1": f1, "deform/mp3_64_changed": 1}
    assert deform.metrics_of(got) == pytest.approx(expected)


def test_metrics_of_any_strength_have_names_that_mlflow_takes():
    chosen = deformations("level,mp3,lowpass:123.456,pitch:0.00001,tempo:0.5,noise:-20")
    y = np.zeros(1, int)
    named = deform.metrics_of(Answers(chosen, y, np.ones((len(chosen) + 1, 1, 1)), {}).table(seed=0))
    assert len(named) == 2 + 2 * len(chosen) and all(re.fullmatch(r"[\w./-]+", name, re.ASCII) for name in named)
    with mlflow.start_run() as run:
        mlflow.log_metrics(named)
    assert MlflowClient().get_run(run.info.run_id).data.metrics == named


def entry_point(module, **parameters) -> mlflow.entities.Run:
    """The run of an entry point that ends well."""
    words = [word for name, value in parameters.items() for word in (f"--{name}", str(value))]
    assert cli.main(module.COMMAND, words) == 0
    return MlflowClient().search_runs(["0"], max_results=1)[0]


def tables(run: mlflow.entities.Run, place) -> dict[str, pd.DataFrame]:
    names = ("deformations.csv", "confounds.csv")
    return {
        name: pd.read_csv(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name))
        for name in names
    }


@pytest.mark.slow
def test_train_and_evaluate_log_deformations_that_a_policy_can_name(small_corpus, in_process, tmp_path, capsys):
    given = {"data": small_corpus, "workers": 1, "log_audio": "false"}
    trained = entry_point(train, model="mfcc_svm", deform="level:-40,lowpass:4000", **given)
    scores = trained.data.metrics
    assert scores["deform/songs"] == 6 and scores["deform/none_song_f1"] == pytest.approx(scores["test/song_f1"])
    assert scores["deform/level_-40_changed"] >= 2, "the first coefficient of its MFCC is the level"
    shown = capsys.readouterr().out
    assert f"{scores['deform/level_-40_changed']:g} of 6 answers change" in shown and "deformations.png" in shown
    evaluated = entry_point(evaluate, model=trained.info.run_id, **given)
    assert {name: value for name, value in evaluated.data.metrics.items() if name.startswith("deform/")} == {
        name: value for name, value in scores.items() if name.startswith("deform/")
    }, "what is not given is as in the training"
    table, confounds = tables(evaluated, tmp_path).values()
    assert table["deformation"].tolist() == ["none", "level", "lowpass"] and table["strength"].tolist()[1:] == [
        -40,
        4000,
    ]
    assert table["song_f1"].tolist() == [
        scores[f"deform/{key}_song_f1"] for key in ("none", "level_-40", "lowpass_4000")
    ]
    assert confounds["classifier"].tolist()[-1] == "this model" and confounds["f1"].iloc[-1] == scores["test/song_f1"]
    assert len(confounds) == 6 and scores["test/song_f1_format"] == scores["test/song_f1_majority"], "all are FLAC"

    def verdict(gate: str) -> gates.Verdict:
        policy = tmp_path / "policy.yaml"
        shutil.copy(decide.POLICY, policy)
        text = policy.read_text(encoding="utf-8")
        start, end = text.index("  test/song_f1:"), text.index("against_champion:")
        policy.write_text(f"{text[:start]}  {gate}\n\n{text[end:]}", encoding="utf-8")
        return gates.evaluate(decide.read_policy(str(policy)), scores, rival=False)

    assert verdict("deform/level_-40_changed: {max: 6}").role == "champion"
    refused = verdict("deform/level_-40_changed: {max: 1}")
    assert refused.role == "refused" and "deform/level_-40_changed" in refused.reason
    assert verdict("deform/mp3_64_changed: {max: 6}").role == "refused", "the training was not asked for it"


def test_a_cell_of_a_grid_holds_deformations_and_no_model(small_corpus, in_process, here):
    plan = training_plan({"model": "mfcc_svm", "data": str(small_corpus), "deform": "level:-40"})
    with runs.start() as run:
        metrics = cells.Trainer()(Cell("one", plan.values, "key", plan=plan), run)
    kept = MlflowClient().get_run(run.run_id)
    assert kept.data.metrics["deform/level_-40_changed"] == metrics["deform/level_-40_changed"] >= 2
    names = {file.path for file in MlflowClient().list_artifacts(run.run_id)}
    assert {"deformations.csv", "deformations.png"} <= names and "model_uri" not in kept.data.tags


@pytest.mark.parametrize("module", [train, evaluate])
@pytest.mark.parametrize("text", ["loud", "mp3:65", "level,level:6"])
def test_bad_deformations_are_refused_before_anything_is_read(module, text, capsys):
    assert cli.main(module.COMMAND, ["--deform", text]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert line.startswith("error: deform=")
