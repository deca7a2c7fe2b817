"""A whole search on a small corpus, in this process: trials, their runs, the trainings at its end, the report."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from projects import cli, search, train
from projects.artists.workflows import train as experiment
from projects.artists.workflows.plan import train_settings
from projects.artists.workflows.search.storage import storage_url
from projects.artists.workflows.search.trial import is_failure

PROJECT = Path(__file__).parents[2]
FIT = experiment.fit
# Adam's step and this decay multiply each kernel by nine, until it is infinite.
DIVERGES = {"learning_rate": 9.9, "weight_decay": 0.99, "batch_size": 1}


def environment(folder, cache):
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "mlruns"),
        "ARTISTS_CACHE": str(cache),
    }


def command(corpus, **parameters):
    given = {
        "model": "mfcc_svm", "data": corpus, "clip": 1, "study_name": "s", "seeds": "3", "log_audio": "false",
        **parameters,
    }  # fmt: skip
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


class Place:
    """A tracking store, a cache and what a search has left in both."""

    def __init__(self, folder, cache, template):
        self.folder, self.cache = folder, shutil.copytree(cache, folder / "cache")
        self.environment = environment(folder, self.cache)
        shutil.copy(template, folder / "mlflow.db")

    @property
    def client(self):
        return MlflowClient(self.environment["MLFLOW_TRACKING_URI"])

    def study(self, name="s"):
        return optuna.load_study(study_name=name, storage=f"sqlite:///{self.cache / 'searches.db'}")

    def parent(self):
        return self.client.get_run(self.study().user_attrs["run_id"])

    def children(self):
        runs = self.client.search_runs(["0"], f"tags.mlflow.parentRunId = '{self.parent().info.run_id}'")
        return {run.data.tags["mlflow.runName"]: run for run in runs}

    def artifacts(self, run):
        uri = self.environment["MLFLOW_TRACKING_URI"]
        return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, tracking_uri=uri))

    def run(self, verb, *words):
        """What a process of its own does, in this one."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return cli.main(verb.run, verb.USAGE, list(words))

    def command(self, corpus, points, space, **parameters):
        files = {"points": self.folder / "points.yaml", "space": self.folder / "space.yaml"}
        files["points"].write_text(yaml.safe_dump(points), encoding="utf-8")
        files["space"].write_text(yaml.safe_dump(space), encoding="utf-8")
        return command(corpus, **files, **parameters)

    def search(self, *words):
        return self.run(search, *words)


def short_of_memory(settings, *others):
    """One point finds no memory; all others are trained."""
    if settings["svm_c"] == 5000.0:
        raise MemoryError("Unable to allocate 2.00 TiB")
    return FIT(settings, *others)


@pytest.fixture(scope="module")
def place(tmp_path_factory, common_corpus, common_cache, tracking_template):
    found = Place(tmp_path_factory.mktemp("search"), common_cache, tracking_template)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "fit", short_of_memory)
        assert found.search(*found.command(common_corpus, [{"svm_c": 5000.0}], {"pooling": "mean"}, n_trials=3)) == 0
    return found


@pytest.fixture(scope="module")
def network_place(tmp_path_factory, common_corpus, common_cache, tracking_template):
    """A search with a network: one trial diverges, one is pruned after its first epoch."""
    found = Place(tmp_path_factory.mktemp("network"), common_cache, tracking_template)
    space = {"batch_size": [8, 16], "overlap": 0.0}
    words = found.command(common_corpus, [DIVERGES], space, model="crnn", gru_units=4, epochs=3, n_trials=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 3)
        assert found.search(*words) == 0
    return found


def check_agreement(place, states):
    """Trials of the study and child runs are the same, one to one."""
    trials, children = place.study().trials, place.children()
    assert [t.state for t in trials] == states
    # Where the published configuration is the best it is trained once.
    names = {f"trial {t.number}" for t in trials} | {"best, seed 3", "published, seed 3"}
    assert {"best, seed 3", *children} == names
    for trial in trials:
        run = children[f"trial {trial.number}"]
        assert run.info.run_id == trial.user_attrs["run_id"]
        assert run.info.status == ("FAILED" if trial.state == TrialState.FAIL else "FINISHED")
        values = trial.user_attrs["values"]
        assert {name: run.data.params[name] for name in values} == {name: str(v) for name, v in values.items()}
    assert place.parent().info.status == "FINISHED"


def test_trials_and_child_runs_agree(place):
    check_agreement(place, [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE])
    for trial in place.study().trials:
        if trial.state == TrialState.COMPLETE:
            run = place.children()[f"trial {trial.number}"]
            assert run.data.metrics["val/song_f1"] == pytest.approx(trial.value)


def test_the_first_trial_is_the_published_configuration(place):
    run, settings = place.children()["trial 0"], train_settings({"model": "mfcc_svm"})
    for name in place.study().trials[0].user_attrs["values"]:
        assert run.data.params[name] == str(settings[name]), name
    assert run.data.tags["source"] == "published"


def test_a_trial_without_memory_fails_with_the_reason_and_the_study_goes_on(place):
    run = place.children()["trial 1"]
    assert "Unable to allocate" in run.data.tags["failure"] and run.data.params["svm_c"] == "5000.0"
    assert run.data.tags["mlflow.note.content"] == f"Failed: {run.data.tags['failure']}"
    assert place.study().trials[1].user_attrs["failure"] == run.data.tags["failure"]


def test_a_trial_holds_metrics_and_figures_of_validation_and_nothing_of_test(place):
    run = place.children()["trial 2"]
    names = set(run.data.metrics)
    assert {"epoch/val_loss", "val/song_f1", "val/clip_log_loss", "val/song_f1_low", "evaluation_seconds"} <= names
    assert not [name for name in names if name.startswith("test")]
    files = {path.name: path for path in place.artifacts(run).iterdir()}
    assert {"confusion_song.csv", "confusion_song.png", "tsne.html", "tsne.png"} <= set(files)
    assert pd.read_csv(files["confusion_song.csv"], index_col="true").to_numpy().sum() == 6
    assert "test_songs.csv" not in files


def test_only_the_trainings_at_the_end_are_tested_and_hold_models(place):
    for name, run in place.children().items():
        tested = "test/song_f1" in run.data.metrics
        assert tested == ("seed" in name) == ("model_uri" in run.data.tags), name
        assert not tested or (place.artifacts(run) / "quarantined.csv").is_file(), name
    split = {run.data.tags["split_digest"] for name, run in place.children().items() if "seed" in name}
    assert split == {place.parent().data.tags["split_digest"]}


def test_the_report_names_best_and_published_with_the_same_seeds(place):
    folder, parent = place.artifacts(place.parent()), place.parent()
    table = pd.read_csv(folder / "comparison.csv")
    assert table["configuration"].tolist() == ["published", "best"] and set(table["seed"]) == {3}
    assert table["test/song_f1"].notna().all()
    assert parent.data.metrics["best_test/song_f1_mean"] == pytest.approx(table["test/song_f1"][1])
    assert parent.data.metrics["trials_fail"] == 1 and parent.data.metrics["overhead_share"] > 0
    assert "| published |" in parent.data.tags["mlflow.note.content"]
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["state"].tolist() == ["COMPLETE", "FAIL", "COMPLETE"] and trials["failure"].notna().sum() == 1


def test_the_plots_are_in_one_file_with_plotly_once(place):
    html = (place.artifacts(place.parent()) / "search.html").read_text(encoding="utf-8")
    for title in ("History of", "Importance for", "Slices", "Contours", "Parallel coordinates", "after each epoch"):
        assert title in html
    assert html.count("plotly.js v") == 1 and len(re.findall(r"Plotly\.newPlot\(", html)) >= 5
    assert not re.search(r"<(script|link)[^>]+(src|href)=", html)


def test_train_takes_the_best_configuration_and_gets_what_the_trial_got(place):
    path = place.artifacts(place.parent()) / "best.yaml"
    best = place.study().best_trial
    assert {name: train_settings({"config": str(path)})[name] for name in best.user_attrs["values"]} == (
        best.user_attrs["values"]
    )
    assert place.run(train, "--config", str(path)) == 0
    again = place.client.search_runs(["0"], max_results=1)[0]
    assert again.data.metrics["val/song_f1"] == pytest.approx(best.value)


def test_the_same_command_again_trains_nothing_and_says_the_same(place, common_corpus, capsys):
    before = place.children()
    assert place.search(*place.command(common_corpus, [{"svm_c": 5000.0}], {"pooling": "mean"}, n_trials=3)) == 0
    assert place.children().keys() == before.keys()
    joined = place.client.search_runs(["0"], max_results=1)[0]
    assert joined.data.tags["search_run_id"] == place.parent().info.run_id != joined.info.run_id
    assert "| best |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor"), True),
        (RuntimeError("CUDA: out of memory"), True),
        (np.linalg.LinAlgError("singular"), True),
        (FloatingPointError("overflow"), True),
        (ValueError("Input X contains NaN."), True),
        (ValueError("operands could not be broadcast"), False),
        (KeyError("a fault"), False),
    ],
)
def test_what_fails_a_trial_and_what_ends_the_search(error, expected):
    assert is_failure(error) is expected


def test_several_objectives_give_a_front_and_prune_nothing(place, common_corpus, capsys):
    """`seconds_per_clip` and `parameters` are measured, the best by the first objective is trained again."""
    words = place.command(
        common_corpus, [{"n_mfcc": 8}], {"overlap": None, "pooling": None},
        n_trials=2, study_name="front", objective="val/song_f1,parameters,seconds_per_clip",
    )  # fmt: skip
    assert place.search(*words) == 0
    study = place.study("front")
    assert [len(t.values) for t in study.trials] == [3, 3] and all(t.values[2] > 0 for t in study.trials)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    folder = place.artifacts(place.client.get_run(study.user_attrs["run_id"]))
    front = pd.read_csv(folder / "pareto.csv")
    assert set(front["trial"]) == {t.number for t in study.best_trials}
    assert "Pareto front" in (folder / "search.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_loss_that_is_no_number_fails_its_trial_with_the_reason(network_place):
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED]
    check_agreement(network_place, states)
    run = network_place.children()["trial 1"]
    assert "loss became" in run.data.tags["failure"] and run.data.params["learning_rate"] == "9.9"


@pytest.mark.slow
def test_a_pruned_trial_keeps_its_curves_and_its_last_confusion_matrix(network_place):
    run = network_place.children()["trial 3"]
    curve = network_place.client.get_metric_history(run.info.run_id, "epoch/val_song_f1")
    assert [row.step for row in curve] == [0] and run.data.tags["trial_state"] == "PRUNED"
    matrix = pd.read_csv(network_place.artifacts(run) / "confusion_song.csv", index_col="true").to_numpy()
    assert np.trace(matrix) <= matrix.sum() == 6
    assert "val/song_log_loss" not in run.data.metrics
    whole = network_place.client.get_metric_history(network_place.children()["trial 0"].info.run_id, "epoch/val_loss")
    assert [row.step for row in whole] == [0, 1, 2]


KILLED_ONCE = """
import os, signal, sys
from pathlib import Path
from projects import cli, search
from projects.artists.workflows import train as experiment

real = experiment.fit

def fit(settings, prepared, run, *hooks):
    flag = Path(sys.argv[1])
    if hooks and settings["svm_c"] == 4.0 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return real(settings, prepared, run, *hooks)

experiment.fit = fit
sys.exit(cli.main(search.run, "", sys.argv[2:]))
"""


@pytest.mark.slow
def test_three_searches_on_postgresql_share_a_study_and_one_is_killed(tmp_path, common_corpus, place, postgresql):
    """The verb itself: the killed one's trial is trained by another, and what MLflow and Optuna hold agrees."""
    words = place.command(
        common_corpus, [{"svm_c": 4.0}], {"overlap": 0.0},
        n_trials=6, storage=postgresql, heartbeat=5, study_name="shared",
    )  # fmt: skip
    started = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED_ONCE, str(tmp_path / "flag"), *words],
            cwd=PROJECT, env={**os.environ, **place.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    said = [process.communicate(timeout=900) for process in started]
    assert sorted(process.returncode for process in started) == [-9, 0, 0], said
    study = optuna.load_study(study_name="shared", storage=storage_url(postgresql))
    ended = [t for t in study.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(ended) == 6 and [t.state for t in study.trials].count(TrialState.FAIL) == 1
    children = place.client.search_runs(
        ["0"], f"tags.mlflow.parentRunId = '{study.user_attrs['run_id']}' and tags.trial LIKE '%'", max_results=100
    )
    finished = {run.info.run_id for run in children if run.info.status == "FINISHED"}
    assert finished == {t.user_attrs["run_id"] for t in ended}
    lost = [run for run in children if run.info.status == "FAILED"]
    assert len(lost) == 1 and "worker was lost" in lost[0].data.tags["failure"] and len(children) == 7
    final = optuna.load_study(study_name="shared: final", storage=storage_url(postgresql))
    assert {t.state for t in final.trials} == {TrialState.COMPLETE}
    assert json.loads(json.dumps(final.trials[0].user_attrs["metrics"]))["test/song_f1"] >= 0
