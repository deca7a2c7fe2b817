"""What a user sees who gives the wrong thing: given, expected, what to do; a failed run; no traceback."""

from __future__ import annotations

import os
import zlib

import mlflow
import models
import numpy as np
import pytest
import soundfile

from projects import cli, evaluate, featurize, main, train
from projects.artists.reports.markdown import plain
from projects.artists.tracking import outbox


def song(path, seconds=2.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(os.fsencode(path))  # equal songs would be one
    y = np.random.default_rng(seed).normal(0, 0.1, int(seconds * 16000))
    soundfile.write(os.fsencode(path), y, 16000, format="WAV")


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "corpus"
    for artist in "ABC":
        for album in "xyz":
            song(root / artist / album / "song.wav")
    return root


def said(capsys, verb, *argv) -> str:
    """The error of an entry point; checks that the run of `mlflow run` failed and that no traceback was shown."""
    run_id = mlflow.MlflowClient().create_run("0").info.run_id
    os.environ["MLFLOW_RUN_ID"] = run_id
    assert cli.main(verb.COMMAND, [str(word) for word in argv]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    error = shown[shown.index("error: ") :].strip()
    assert "\n" not in error
    run = mlflow.get_run(run_id)
    assert run.info.status == "FAILED" and run.data.tags["mlflow.note.content"]
    assert "MLFLOW_RUN_ID" not in os.environ
    return error


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model", "nonet"], ["model=nonet", "crnn"]),
        (["--clip", "-3"], ["clip=-3", "positive"]),
        (["--clip", "abc"], ["clip=abc", "not a number"]),
        (["--clip", "nan"], ["clip=nan"]),
        (["--clip", "0.1"], ["clip=0.1", "crnn"]),
        (["--clips", "3"], ["Unknown parameter clips", "Did you mean clip?", "learning_rate"]),
        (["--epochs", "0"], ["epochs=0"]),
        (["--epochs", "2.5"], ["epochs=2.5", "whole number"]),
        (["--learning_rate", "0"], ["learning_rate=0"]),
        (["--dropout", "1"], ["dropout=1"]),
        (["--n_mels", "64"], ["n_mels=64", "128"]),
        (["--split", "artist"], ["split=artist", "album"]),
        (["--label", "genre"], ["label=genre", "artist, album"]),
        (["--recipe", "best"], ["recipe=best", "published"]),
        (["--config", "none.yaml"], ["config=none.yaml", "YAML"]),
        (["--crop", "-1"], ["crop=-1"]),
        (["--clip", "30"], ["30 s", "shorter clip"]),
        (["--resume", "0123"], ["leave out data"]),
        (["clip=3"], ["clip=3", "--name value"]),
    ],
)
def test_wrong_parameters(capsys, corpus, argv, words):
    error = said(capsys, train, "--data", corpus, *argv)
    assert all(word in error for word in words), error


def test_resuming_a_run_that_is_not_there(capsys):
    assert "no such run" in said(capsys, train, "--resume", "0123")


def test_main_does_not_go_on_with_a_training(capsys):
    error = said(capsys, main, "--resume", "0123")
    assert "resume is a flag of train alone" in error and "mlflow run . -e train -P resume=0123" in error


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--split", "all"], ["split=all", "evaluate", "song, album, artist, kfold or manifest"]),
        (["--split", "kfold", "--folds", "2"], ["folds=2, fold=0", "at least 3"]),
        (["--split", "kfold", "--fold", "5"], ["folds=5, fold=5"]),
    ],
)
def test_splits_that_cannot_be_are_refused_before_any_feature_is_computed(capsys, corpus, in_process, argv, words):
    error = said(capsys, train, "--data", corpus, *argv)
    assert all(word in error for word in words) and not in_process, error


def test_a_corpus_whose_artists_the_model_does_not_know(capsys, corpus, in_process, tmp_path):
    _, uri = models.log(tmp_path / "work")
    error = said(capsys, evaluate, "--model", uri, "--data", corpus, "--split", "all")
    assert "None of the artists of corpus (A, B, C) is known to the model; it knows Ada, Bob, Cyd" in error
    assert not in_process
    (corpus / "B").rename(corpus / "Bob")
    assert "Only Bob of the artists of corpus" in said(capsys, evaluate, "--model", uri, "--data", corpus)


def test_a_path_that_is_not_there(capsys, tmp_path):
    assert "does not exist" in said(capsys, featurize, "--data", tmp_path / "nowhere")


def test_files_directly_inside_the_folder(capsys, corpus):
    song(corpus / "loose.wav")
    error = said(capsys, train, "--data", corpus)
    assert "loose.wav" in error and "<artist>/<album>/" in error


def test_a_name_that_is_no_utf_8_or_steers_the_terminal_is_told_and_delivered(capsys, corpus):
    try:
        song(corpus / os.fsdecode(b"caf\xe9_\x1b[31m_.wav"))
    except (OSError, soundfile.LibsndfileError):
        pytest.skip("this file system only takes names in UTF-8")
    error = said(capsys, train, "--data", corpus)
    assert r"caf\xe9_ [31m_.wav" in error and "\x1b" not in error
    run = mlflow.get_run(mlflow.last_active_run().info.run_id)
    told = run.data.tags["mlflow.note.content"]
    assert told.startswith("Failed: ") and "&lt;artist&gt;" in told and r"caf\\xe9\_ \[31m\_.wav" in told
    assert r"outside <artist>/<album>/, the first caf\xe9_ [31m_.wav." in plain(told)
    assert not outbox.left()


def test_one_artist_only(capsys, tmp_path):
    song(tmp_path / "c" / "Only" / "x" / "s.wav")
    assert "at least two" in said(capsys, train, "--data", tmp_path / "c")


def test_an_album_split_with_one_album(capsys, tmp_path):
    for artist in "AB":
        for name in "stu":
            song(tmp_path / "c" / artist / "x" / f"{name}.wav")
    error = said(capsys, train, "--data", tmp_path / "c", "--split", "album")
    assert "split=album" in error and "three albums" in error and "song" in error


def test_an_unreadable_manifest(capsys, tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"PAR1 nothing")
    assert "cannot be read" in said(capsys, train, "--data", tmp_path / "m.parquet")
    (tmp_path / "m.csv").write_text("file,who\na.wav,b\n")
    assert "no column path" in said(capsys, train, "--data", tmp_path / "m.csv")


def test_a_corpus_with_too_many_bad_files(capsys, corpus):
    (corpus / "A" / "x" / "song.wav").write_bytes(b"this is not audio")
    error = said(capsys, featurize, "--data", corpus)
    assert "more than 5%" in error and "A/x/song.wav" in error


def test_evaluate_without_a_model_and_with_a_wrong_one(capsys, corpus):
    assert "model= is missing" in said(capsys, evaluate, "--data", corpus)
    assert "model=123 cannot be loaded" in said(capsys, evaluate, "--model", "123")


def test_a_traceback_is_shown_to_who_asks_for_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ARTISTS_TRACEBACK", "1")
    with pytest.raises(ValueError, match="does not exist"):
        cli.main(featurize.COMMAND, ["--data", str(tmp_path / "nowhere")])


def test_ctrl_c_ends_the_run_as_killed(capsys):
    def interrupted(flags, run):
        raise KeyboardInterrupt

    assert cli.main(cli.Command("test", interrupted), []) == 130
    assert mlflow.get_run(mlflow.last_active_run().info.run_id).info.status == "KILLED"
