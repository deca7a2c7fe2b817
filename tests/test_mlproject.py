"""The real entry points through `mlflow run`, on a small corpus: what a user types, and what MLflow then holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow.tracking import MlflowClient

from projects import cli, evaluate
from projects.artists import errors
from projects.artists.data import recordings
from projects.artists.package.card import load_card
from projects.artists.tracking.model import download_system

PROJECT = Path(__file__).parents[1]
SR = 16000
METRICS = ("f1", "f1_macro", "accuracy", "precision", "recall", "top3", "log_loss", "ece")
ARTIFACTS = [
    "confusion_clip.csv", "confusion_clip.png", "confusion_song.csv", "confusion_song.png", "corpus_notes.json",
    "environment.json", "per_artist.csv", "quarantined.csv", "spectrograms.png", "split.csv", "test_songs.csv",
    "tsne.csv", "tsne.html", "tsne.png", "worst_songs.csv", "worst_songs.html",
]  # fmt: skip


def write_corpus(root: Path) -> Path:
    """Three artists of three albums of two songs of 4 s: chords of an artist's own interval with an album's noise."""
    for a, ratio in enumerate((1.2, 1.5, 1.9)):
        for b in range(3):
            for c in range(2):
                rng = np.random.default_rng([a, b, c])
                t = np.arange(4 * SR) / SR
                # No two alike: they would be duplicates, which stand in one subset.
                base, beat = 220 * 2 ** ((2 * b + c) / 6), 0.4 + 0.03 * (2 * b + c)
                y = sum(np.sin(2 * np.pi * base * ratio**k * t) for k in range(3)) * np.exp(-3 * (t % beat))
                path = root / f"Artist {a}" / f"Album {b}" / f"Song {c}.flac"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, 0.2 * y + 0.01 * (b + 1) * rng.normal(size=len(t)), SR)
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder, environment of the commands and client of the module's own tracking store."""
    folder = tmp_path_factory.mktemp("place")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {"MLFLOW_TRACKING_URI": uri, "ARTISTS_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    client = MlflowClient(uri)
    client.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    return folder, write_corpus(folder / "corpus"), environment, client


def command(entry_point: str, **parameters: object) -> list[str]:
    given = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
    return [
        sys.executable, "-m", "mlflow", "run", str(PROJECT), "-e", entry_point, *given,
        "--env-manager=local", "--experiment-name=tests",
    ]  # fmt: skip


def mlflow_run(place, entry_point: str, **parameters: object) -> subprocess.CompletedProcess:
    folder, _, environment, _ = place
    done = subprocess.run(
        command(entry_point, **parameters), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    done.run = runs(place)[0]
    return done


def runs(place) -> list:
    """Newest first."""
    client = place[3]
    return client.search_runs([client.get_experiment_by_name("tests").experiment_id])


@pytest.fixture(scope="module")
def trained(place):
    done = mlflow_run(place, "train", data=place[1], clip=1, epochs=4, split="album", seed=3)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def artifacts(place, run) -> Path:
    uri = place[2]["MLFLOW_TRACKING_URI"]
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, tracking_uri=uri))


def test_train_logs_every_metric_once_and_curves_apart(place, trained):
    run, client = trained.run, place[3]
    assert run.info.status == "FINISHED"
    for subset in ("val", "test"):
        for level in ("clip", "song"):
            for name in METRICS:
                assert f"{subset}/{level}_{name}" in run.data.metrics
        for name in ("f1", "accuracy"):
            for suffix in ("vote", "vote50", "low", "high"):
                assert f"{subset}/song_{name}_{suffix}" in run.data.metrics
    assert len(client.get_metric_history(run.info.run_id, "test/song_f1")) == 1
    for curve in ("epoch/loss", "epoch/val_loss", "epoch/val_clip_f1", "epoch/val_song_f1"):
        assert [row.step for row in client.get_metric_history(run.info.run_id, curve)] == [0, 1, 2, 3]
    for name in (
        "temperature_clip", "temperature_song", "val/song_ece_calibrated", "test/clip_ece_calibrated",
        "test/song_ece_debiased", "test/song_ece_expected", "val/song_ece_debiased_calibrated",
    ):  # fmt: skip
        assert trained.run.data.metrics[name] >= 0
    assert {"clips_per_second", "train_seconds", "peak_private_mb"} <= run.data.metrics.keys()
    low, value, high = (run.data.metrics[f"test/song_f1{end}"] for end in ("_low", "", "_high"))
    assert 0 <= low <= value <= high <= 1


def test_train_logs_the_values_it_used(trained):
    params = trained.run.data.params
    expected = {"clip": "1", "epochs": "4", "seed": "3", "learning_rate": "0.001", "batch_size": "16", "model": "crnn"}
    assert {name: params[name] for name in expected} == expected
    expected = {"recipe": "modern", "patience": "40", "gru_units": "32", "mel_scale": "slaney", "label": "artist"}
    assert expected.items() <= params.items()
    assert len(trained.run.data.tags["split_digest"]) == 16 and trained.run.data.tags["git_dirty"]
    assert trained.run.inputs.dataset_inputs[0].dataset.digest == trained.run.data.tags["corpus_digest"]


def test_train_logs_tables_figures_and_no_corpus(place, trained):
    folder = artifacts(place, trained.run)
    assert [name for name in ARTIFACTS if not (folder / name).is_file()] == []
    assert not list(folder.rglob("*.flac"))
    split = pd.read_csv(folder / "split.csv")
    assert len(split) == 18 and split.groupby(["artist", "album"])["subset"].nunique().eq(1).all()
    assert split.groupby("artist")["subset"].nunique().eq(3).all()
    matrix = pd.read_csv(folder / "confusion_song.csv", index_col="true")
    assert matrix.to_numpy().sum() == 6 and (folder / "tsne.png").read_bytes()[:4] == b"\x89PNG"
    played = list((folder / "worst_songs").glob("*.wav"))
    assert len(played) == 6 and all(soundfile.info(str(p)).duration <= 6 for p in played)


def test_train_ends_with_scores_beside_the_trivial_ones_and_next_commands(trained):
    text = trained.stdout
    run_id = trained.run.info.run_id
    assert "majority class" in text and "95 %" in text
    pasted = " ".join(text.replace("\\\n", " ").split())
    assert errors.command("evaluate", model=run_id, split="album") in pasted
    figures = [line.strip() for line in text.splitlines() if line.endswith((".png", ".html"))]
    assert len(figures) == 5 and all((PROJECT / figure).is_file() for figure in figures)
    assert "majority class" in trained.run.data.tags["mlflow.note.content"]


def test_evaluate_repeats_the_scores_of_the_training(place, trained):
    done = mlflow_run(place, "evaluate", model=trained.run.info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, value in trained.run.data.metrics.items():
        if name.startswith(("test_", "val_")):
            assert done.run.data.metrics[name] == pytest.approx(value, abs=1e-5), name
    assert done.run.data.metrics["test/songs_seen_in_training"] == 0


def test_evaluate_on_all_songs_says_how_many_it_has_learned_from(place, trained, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place[2]["MLFLOW_TRACKING_URI"])
    monkeypatch.setenv("ARTISTS_CACHE", place[2]["ARTISTS_CACHE"])
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
    given = ["--model", trained.run.info.run_id, "--split", "all", "--log_audio", "false"]
    assert cli.main(evaluate.COMMAND, given) == 0
    run = runs(place)[0]
    assert run.data.metrics["test/songs_seen_in_training"] == 12
    assert "trained or validated on 12 of 18 test songs" in capsys.readouterr().out
    assert not (artifacts(place, run) / "worst_songs").exists()


def test_the_model_carries_the_fingerprints_of_what_it_has_learned_from(place, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place[2]["MLFLOW_TRACKING_URI"])
    folder = download_system(trained.run.info.run_id, tmp_path)
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "a machine that has none of them"))
    card = load_card(folder)
    known = recordings.learned(folder, card.songs, card.groups, card.feature_config)
    assert known.marks.keys() == {*card.songs["train"], *card.songs["val"]} == known.digests and not known.warning


def test_the_logged_model_predicts_a_file_in_a_process_without_the_project(place, trained):
    folder, corpus, environment, _ = place
    code = (
        "import json, sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "song = sys.argv[2]\n"
        "rows = pd.DataFrame({'path': [song, 'nothing.flac'], 'audio': [None, None]})\n"
        "answer = model.predict(rows, params={'top_k': 2})\n"
        "data = model.predict(pd.DataFrame({'path': [None], 'audio': [open(song, 'rb').read()]}))\n"
        "assert not [m for m in sys.modules if m == 'projects' or m.startswith('projects.')]\n"
        "ours = [m.split('.')[1] for m in sys.modules if m.startswith('artists_') and '.' in m]\n"
        "assert 'package' in ours and not {'training', 'reports', 'tracking'} & set(ours), ours\n"
        "print(json.dumps([answer.to_dict('records'), data.to_dict('records')]))\n"
    )
    song = corpus / "Artist 0" / "Album 0" / "Song 0.flac"
    environment = environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "ARTISTS_AUDIO_ROOT": str(corpus)}
    done = subprocess.run(
        [sys.executable, "-c", code, trained.run.data.tags["model_uri"], str(song)],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (good, bad), (same,) = json.loads(done.stdout.splitlines()[-1])
    assert good["artist"] in {"Artist 0", "Artist 1", "Artist 2"} and good["status"] == "ok" and good["clips"] == 3
    assert len(good["top_artists"]) == 2 and good["probability"] == pytest.approx(good["top_probabilities"][0])
    assert bad["status"] == "error" and bad["reason"] and bad["artist"] is None
    assert same["probability"] == pytest.approx(good["probability"], abs=1e-6)


def test_a_killed_training_goes_on_in_its_own_run_without_logging_an_epoch_twice(place, trained):
    folder, corpus, environment, client = place
    wanted = dict(data=corpus, clip=1, epochs=4, split="album", seed=3)
    process = subprocess.Popen(
        command("train", **wanted), cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    known = {run.info.run_id for run in runs(place)}
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        started = [r for r in runs(place) if r.info.run_id not in known]
        if started and len(client.get_metric_history(started[0].info.run_id, "epoch/loss")) >= 2:
            break
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    old = started[0].info.run_id
    done = mlflow_run(place, "train", resume=old)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.run.data.tags["resumes"] == old and done.run.info.status == "FINISHED"
    finished = client.get_run(old)
    assert finished.info.status == "FINISHED" and "test/song_f1" in finished.data.metrics
    assert [row.step for row in client.get_metric_history(old, "epoch/loss")] == list(range(4))
    assert not (folder / "cache" / "checkpoints" / f"{old}.npz").exists() and not list(
        (folder / "cache" / "outbox").iterdir()
    )
    for name in ("epoch/loss", "test/clip_log_loss", "test/song_f1"):
        assert finished.data.metrics[name] == pytest.approx(trained.run.data.metrics[name], abs=1e-4), name


@pytest.mark.slow
def test_main_runs_everything_from_check_to_score_below_it(place):
    done = mlflow_run(place, "main", data=place[1], clip=1, epochs=1, split="song")
    assert done.returncode == 0, done.stdout + done.stderr
    parent = next(run for run in runs(place) if run.data.tags["mlflow.project.entryPoint"] == "main")
    below = [run for run in runs(place) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    points = sorted(run.data.tags["mlflow.project.entryPoint"] for run in below)
    assert points == ["check", "evaluate", "featurize", "promote", "score", "train"]
    assert all(run.info.status == "FINISHED" for run in [parent, *below])
    tagged = {run.data.tags["mlflow.project.entryPoint"]: run for run in below}
    assert tagged["promote"].data.tags["role"] in ("champion", "refused")
    (version,) = place[3].search_model_versions("name='artist-classifier'")
    assert version.run_id == tagged["train"].info.run_id and version.tags["decision_by"]
    assert tagged["score"].data.metrics["tracks"] == 18 and tagged["score"].data.metrics["tracks_failed"] == 0
    table = pd.read_parquet(artifacts(place, tagged["score"]) / f"{version.run_id}.parquet")
    assert len(table) == 18 and table["run_id"].eq(version.run_id).all() and table["status"].eq("ok").all()


def test_bad_input_is_one_sentence_and_a_failed_run(place):
    sentence = "model=crnm is unknown; choose one of"
    done = mlflow_run(place, "train", data=place[1], model="crnm")
    assert done.returncode != 0 and done.run.info.status == "FAILED"
    assert sentence in done.stderr and "Traceback" not in done.stderr + done.stdout
    assert sentence in done.run.data.tags["mlflow.note.content"]


@pytest.mark.slow
def test_search_ends_with_a_configuration_that_train_takes(place):
    wanted = dict(data=place[1], clip=1, split="album", seed=3, epochs=1)
    done = mlflow_run(place, "search", **wanted, gru_units=4, n_trials=2, seeds="0,1")
    assert done.returncode == 0, done.stdout + done.stderr
    parent = next(run for run in runs(place) if run.data.tags.get("mlflow.project.entryPoint") == "search")
    below = [run for run in runs(place) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    trials = [run for run in below if "trial" in run.data.tags]
    assert len(trials) == 2 and not any(name.startswith("test_") for run in trials for name in run.data.metrics)
    best = artifacts(place, parent) / "best.yaml"
    trained = mlflow_run(place, "train", **wanted, config=best)
    assert trained.returncode == 0 and trained.run.data.params["gru_units"] == "4"
