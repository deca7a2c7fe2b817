"""Folds in child runs and pooled, inner folds, and ensembles, through the entry points."""

from __future__ import annotations

import dataclasses
import io
import json

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow.tracking import MlflowClient
from sklearn.metrics import f1_score

from projects import evaluate, search, train
from projects.artists.data import corpora, prepare
from projects.artists.data.featurize import featurize
from projects.artists.evaluation import metrics
from projects.artists.package import card as saved
from projects.artists.package import inference
from projects.artists.systems import mfcc_gaussian
from projects.artists.tracking.model import download_system
from projects.artists.workflows.evaluate import SubsetScores
from projects.artists.workflows.plan import training_plan
from projects.cli import main

SMALL = ("--model", "mfcc_gaussian", "--clip", "1", "--tsne_split", "test")
FOLDS = ("--split", "kfold", "--folds", "3", "--fold", "all", "--album_order", "name")
MEMBERS = "mfcc_gaussian:clip=1+0.5*mfcc_svm:clip=0.5:n_mels=64:sr=8000"


def run_of(status: int = 0, *, tag: str = "mlflow.source.name"):
    """The newest run without a parent."""
    runs = MlflowClient().search_runs(["0"], order_by=["attributes.start_time DESC"])
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


def children_of(run):
    return MlflowClient().search_runs(["0"], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")


def table(run, name: str) -> pd.DataFrame:
    return pd.read_csv(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name))


def test_every_song_is_tested_once_and_the_pooled_scores_are_those_of_its_answer(small_corpus, in_process):
    assert main(train.COMMAND, [*SMALL, *FOLDS, "--data", str(small_corpus), "--validation", "none"]) == 0
    run = run_of()
    songs = table(run, "test_songs.csv")
    assert sorted(songs["track_id"]) == sorted(t.track_id for t in corpora.load(str(small_corpus)).tracks)
    f1 = f1_score(songs["label"], songs["predicted"], average="weighted")
    assert run.data.metrics["test/song_f1"] == pytest.approx(f1)
    assert run.data.metrics["test/song_f1_low"] <= f1 <= run.data.metrics["test/song_f1_high"]
    children = {child.data.tags["fold"]: child for child in children_of(run)}
    assert set(children) == {"0", "1", "2"}
    for fold, child in children.items():
        own = table(child, "test_songs.csv")
        assert child.data.params["fold"] == fold and set(own["album"]) == {f"album{fold}"}
        pooled = songs.set_index("track_id").loc[own["track_id"], "probability_true"]
        np.testing.assert_allclose(pooled, own["probability_true"])
    assert list(table(run, "folds.csv")["test_songs"]) == [6, 6, 6]
    assert run.data.metrics["train_seconds"] == pytest.approx(
        sum(child.data.metrics["train_seconds"] for child in children.values()), rel=1e-6
    )


def test_a_killed_run_trains_only_the_folds_that_are_left(small_corpus, in_process, monkeypatch):
    learn, calls = mfcc_gaussian.System.learn, []

    def dies_in_the_second(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return learn(self, *arguments)

    monkeypatch.setattr(mfcc_gaussian.System, "learn", dies_in_the_second)
    assert main(train.COMMAND, [*SMALL, *FOLDS, "--data", str(small_corpus), "--validation", "none"]) == 130
    run = run_of()
    assert main(train.COMMAND, ["--resume", run.info.run_id]) == 0
    assert len(calls) == 4, "one fold, one that died, and then two"
    assert len(table(run, "test_songs.csv")) == 18


def test_held_out_scores_are_those_of_systems_that_have_not_learned_the_song(small_corpus, in_process, monkeypatch):
    learned = []
    learn = mfcc_gaussian.System.learn

    def watched(self, clips, seed):
        learned.append({clips.entries[i].audio_digest for i in np.unique(clips.songs)})
        return learn(self, clips, seed)

    monkeypatch.setattr(mfcc_gaussian.System, "learn", watched)
    assert main(train.COMMAND, [*SMALL, "--data", str(small_corpus), "--validation", "inner"]) == 0
    run = run_of()
    split = table(run, "split.csv")
    training = set(split.loc[split["subset"] == "train", "audio_sha256"])
    assert set(split["subset"]) == {"train", "test"} and learned[-1] == training
    held = [training - part for part in learned[:-1]]
    assert sum(map(len, held)) == len(training) and set.union(*held) == training
    assert run.data.metrics["val/song_accuracy"] <= 1 and run.data.metrics["temperature_song"] > 0


@pytest.mark.slow
def test_a_network_without_validation_trains_all_epochs_and_keeps_the_last(small_corpus, in_process):
    arguments = ["--model", "rnn", "--clip", "1", "--epochs", "3", "--patience", "1", "--data", str(small_corpus)]
    assert main(train.COMMAND, [*arguments, "--validation", "none"]) == 0
    run = run_of()
    assert run.data.metrics["best_epoch"] == 3 and "val/song_f1" not in run.data.metrics
    assert run.data.metrics["temperature_song"] == 1
    assert main(evaluate.COMMAND, ["--model", run.info.run_id]) == 0
    assert run_of().data.metrics["test/song_f1"] == pytest.approx(run.data.metrics["test/song_f1"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--fold", "all"), "fold=all means nothing with split=album"),
        (("--split", "kfold", "--fold", "each"), "fold=each is not a whole number"),
        (("--album_order", "name"), "album_order=name means nothing with split=album"),
    ],
)
def test_folds_that_cannot_be_are_refused(arguments, sentence, capsys):
    assert main(train.COMMAND, [*SMALL, *arguments]) == 1
    assert sentence in capsys.readouterr().err


def test_a_search_needs_something_to_choose_by(capsys):
    assert main(search.COMMAND, [*SMALL, "--validation", "none"]) == 1
    assert "Take inner" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_chooses_by_held_out_songs(small_corpus, in_process):
    arguments = [*SMALL, "--data", str(small_corpus), "--validation", "inner", "--n_trials", "2", "--seeds", "0"]
    assert main(search.COMMAND, arguments) == 0
    trials = [child for child in children_of(run_of()) if "trial" in child.data.tags]
    assert len(trials) == 2 and all("val/song_f1" in trial.data.metrics for trial in trials)


def test_an_ensemble_is_trained_registered_and_evaluated_as_one_model(small_corpus, in_process, tmp_path):
    arguments = ["--model", "ensemble", "--members", MEMBERS, "--data", str(small_corpus)]
    assert main(train.COMMAND, arguments) == 0
    run = run_of()
    assert run.data.params["clip"] == "1.0" and run.data.params["members"] == MEMBERS
    system, card = saved.load(download_system(run.info.run_id, tmp_path))
    plan = training_plan({"model": "ensemble", "members": MEMBERS, "data": str(small_corpus)})
    assert card.feature_config == plan.features and [part.sr for part in plan.features.parts] == [16000, 8000]
    # From a file as from stored features.
    corpus = corpora.load(str(small_corpus))
    prepared = prepare.prepare(corpus, featurize(corpus, plan.features), plan.data, seed=0)
    scores = SubsetScores.of(system, prepared.clips["test"])
    for song, track in enumerate(prepared.tracks["test"]):
        scored = inference.score(track.path, system, card)
        np.testing.assert_allclose(scored.proba.mean(0), scores.song_proba[song], atol=1e-4)
    # The weighted mean of calibrated log-probabilities, by hand.
    clips = next(prepared.clips["test"].song_batches())
    logs = np.stack([system.heard(i, each)[0] for i, each in enumerate(clips)])
    logs = logs / np.array(system.temperatures)[:, None]
    parts = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    product = parts[0] ** (2 / 3) * parts[1] ** (1 / 3)
    np.testing.assert_allclose(scores.song_proba[0], product / product.sum(), atol=1e-5)
    assert main(evaluate.COMMAND, ["--model", run.info.run_id]) == 0
    assert run_of().data.metrics["test/song_f1"] == pytest.approx(run.data.metrics["test/song_f1"])


@pytest.mark.slow
def test_a_song_shorter_than_the_longest_clip_of_an_ensemble_is_padded_for_each_member(
    small_corpus, in_process, tmp_path
):
    assert main(train.COMMAND, ["--model", "ensemble", "--members", MEMBERS, "--data", str(small_corpus)]) == 0
    system, card = saved.load(download_system(run_of().info.run_id, tmp_path))
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 4000), 16000, format="WAV")
    file.seek(0)
    scored = inference.score(file, system, card)
    assert scored.padded and scored.proba.shape == (1, 3) and np.isfinite(scored.embedding).all()


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ("mfcc_svm", "an ensemble has two members or more"),
        ("mfcc_svm+nothing", "model=nothing is unknown"),
        ("mfcc_svm+ensemble", "ensemble cannot be a member"),
        ("mfcc_svm+x*mfcc_gmm", "is not of the form weight"),
        ("mfcc_svm+0*mfcc_gmm", "must be above 0"),
        ("mfcc_svm+mfcc_gmm:crop=3", "mfcc_gmm cannot have crop"),
        ("mfcc_svm+mfcc_gmm:components=few", "components=few is not a whole number"),
        ("mfcc_svm+crnn:clip=0.01", "crnn needs"),
    ],
)
def test_members_that_cannot_be_are_refused_in_a_sentence(members, sentence, capsys):
    assert main(train.COMMAND, ["--model", "ensemble", "--members", members]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("option", ["clip=3", "n_mels=64", "epochs=3"])
def test_what_the_members_have_of_their_own_is_refused(option, capsys):
    name, value = option.split("=")
    assert main(train.COMMAND, ["--model", "ensemble", "--members", MEMBERS, f"--{name}", value]) == 1
    assert option in capsys.readouterr().err


def test_pooled_calibration_takes_the_temperatures_of_each_fold():
    from projects.artists.workflows.folds import Answers, _calibrated

    rng = np.random.default_rng(0)

    @dataclasses.dataclass
    class Part:
        clips: dict

    def fold(seed, temperature):
        from projects.artists.data.clipset import ClipSet

        clips = ClipSet([], np.arange(8), np.zeros(8, int), np.arange(8) % 2, 4)
        proba = rng.dirichlet(np.ones(2), 8)
        return Answers(Part({"test": clips}), proba, {"clip": temperature, "song": temperature}, {}, "")

    folds = [fold(0, 1.0), fold(1, 3.0)]
    y = np.tile(np.arange(8) % 2, 2)
    scores = SubsetScores(dataclasses.replace(folds[0].prepared.clips["test"], y=y), None, None, None, None, y)
    tempered = folds[1].proba ** (1 / 3) / (folds[1].proba ** (1 / 3)).sum(1, keepdims=True)
    expected = metrics.METRICS["ece"](y, np.concatenate([folds[0].proba, tempered]))
    assert _calibrated(folds, scores)["test/song_ece_calibrated"] == pytest.approx(expected)


def test_the_configuration_of_an_ensemble_survives_a_card():
    config = training_plan({"model": "ensemble", "members": MEMBERS}).features
    again = type(config).of(json.loads(json.dumps(dataclasses.asdict(config))))
    assert again == config and again.digest == config.digest
    assert config.cropped(9.0).parts[1].crop == 9.0
