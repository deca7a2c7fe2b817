"""Grids: which cells a file makes, and that each counts once whatever is killed, by real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from projects.artists.errors import InputError
from projects.artists.workflows.grid import grid as grids
from projects.artists.workflows.grid.grid import Grid, cell_key, read_grid
from projects.artists.workflows.grid.published import read_published
from projects.artists.workflows.options import GridOptions

PROJECT = Path(__file__).parents[2]


def write_grid(folder: Path, **content) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def test_every_combination_is_a_cell_and_the_last_axis_changes_fastest(tmp_path):
    file = write_grid(tmp_path, fixed={"epochs": 2}, grid={"seed": [0, 21], "clip": [1, 3, 5], "split": "song"})
    made = read_grid(file, {})
    assert [(c.values["seed"], c.values["clip"]) for c in made.cells] == [
        (0, 1.0), (0, 3.0), (0, 5.0), (21, 1.0), (21, 3.0), (21, 5.0)
    ]  # fmt: skip
    assert {(c.values["epochs"], c.values["split"]) for c in made.cells} == {(2, "song")}
    assert made.cells[0].name == "model=crnn seed=0 clip=1" and made.name == "mine"


def test_several_grids_are_joined_and_a_cell_in_two_of_them_is_one(tmp_path):
    file = write_grid(tmp_path, grid=[{"clip": [1, 3]}, {"clip": [3, 5], "gru_units": 32}])
    assert [c.values["clip"] for c in read_grid(file, {}).cells] == [1.0, 3.0, 5.0]


def test_a_flag_replaces_an_axis_and_commas_make_one(tmp_path):
    file = write_grid(tmp_path, fixed={"epochs": 2}, grid={"clip": [1, 3], "seed": [0, 21, 42]})
    made = read_grid(file, {"seed": "7", "epochs": "3,4", "data": "a,b.csv"})
    assert [(c.values["clip"], c.values["seed"], c.values["epochs"]) for c in made.cells] == [
        (1.0, 7, 3), (3.0, 7, 3), (1.0, 7, 4), (3.0, 7, 4)
    ]  # fmt: skip
    assert {c.values["data"] for c in made.cells} == {"a,b.csv"}


def test_a_key_holds_all_that_a_result_depends_on_and_nothing_else():
    values = {"clip": 3.0, "seed": 0, "workers": None}
    assert cell_key(values) == cell_key({**values, "workers": 8}) == cell_key(dict(reversed(values.items())))
    assert len({cell_key(values), cell_key({**values, "seed": 1}), cell_key({**values, "clip": 5.0})}) == 3


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"grid": {"clip": [1, "x"]}}, "cell clip=x: clip=x is not a number"),
        ({"grid": {"clips": [1]}}, "Unknown parameter clips. Did you mean clip?"),
        ({"grid": {"clip": [0.01, 3]}}, "cell clip=0.01: clip=0.01 is 1 frames"),
        ({"fixed": {"clip": 3}}, "has no grid"),
        ({"grid": {"clip": 1}, "metric": "f1"}, "unknown key metric"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_runs(tmp_path, content, word):
    with pytest.raises(InputError, match=word):
        read_grid(write_grid(tmp_path, **content), {})


def test_an_unknown_grid_lists_those_that_are_shipped():
    with pytest.raises(InputError, match="nasrullah_zhao_tables_4_5"):
        read_grid("tables_4", {})


def test_tables_4_and_5_are_shipped_whole():
    for name in ("nasrullah_zhao_tables_4_5", "demo_tables_4_5"):
        cells = read_grid(name, {}).cells
        assert Counter((c.values["clip"], c.values["split"]) for c in cells) == {
            (clip, split): 3 for clip in (1, 3, 5, 10, 20, 30) for split in ("song", "album")
        }
        assert {c.values["seed"] for c in cells} == {0, 21, 42}


@pytest.mark.parametrize("path", sorted(grids.SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_grid_names_known_models_and_figures(path):
    made = read_grid(path.stem, {})
    assert made.cells and made.title != path.stem
    if made.paper:
        published = read_published(made.paper)
        assert set(made.metrics) & set(published["metric"])


# A worker whose cells cost nothing: it notes each start, stops at a cell until its input ends, and kills itself in one.
WORKER = """
import json, logging, os, signal, sys
from pathlib import Path
from projects.artists.workflows.grid import worker
from projects.artists.workflows.grid.grid import Cell, Grid
from projects.artists.workflows.options import GridOptions
from projects.artists.tracking import runs
starts, killed_in, stops_in, storage = Path(sys.argv[1]), *sys.argv[2:]
cells = (*(Cell(f"c{i}", {"i": i}, f"key{i}") for i in range(5)),
         Cell("c5", {"i": 5}, "key5", "evaluate", "key4"))
logging.basicConfig(format="%(message)s")

def execute(cell, run, trained):
    with starts.open("a") as file:
        file.write(f"{cell.name} {run.run_id}\\n")
    if cell.name == stops_in:
        print("stopped", flush=True)
        sys.stdin.read()
    if cell.name == "c4" and not (starts.parent / "mended").exists():
        raise RuntimeError("no such luck")
    run.params({"i": cell.values["i"], "trained": trained})
    run.metrics({"epoch/loss": 1.0})
    if cell.name == killed_in:
        os.kill(os.getpid(), signal.SIGKILL)
    run.metrics({"test/song_f1": cell.values["i"] / 10})
    if trained:
        run.end("FINISHED")  # as the process does that follows
    return {"test/song_f1": cell.values["i"] / 10}

with runs.start() as run:
    options = GridOptions(heartbeat=1, storage=storage or None)
    parent = worker.join(run, Grid("p", "t", "", (), "clip", cells), options)
    outcome = worker.work(cells, run, parent, execute, options)
    print(json.dumps([outcome.finished, outcome.failed]), flush=True)
"""


class Place:
    """Where workers share a grid: what they note down, their storage, and the tracking store."""

    def __init__(self, folder: Path, storage: str = "") -> None:
        self.starts, self.storage, self.client = folder / "starts.txt", storage, MlflowClient()

    def worker(self, killed_in: str = "-", stops_in: str = "-", **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(self.starts), killed_in, stops_in, self.storage], cwd=PROJECT,
            env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        while stops_in != "-" and process.stdout.readline() != "stopped\n":
            assert process.poll() is None, process.stderr.read()
        return process

    def dies(self, **options: str) -> None:
        process = self.worker(**options)
        out, err = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, out + err

    def began(self) -> Counter:
        return Counter(line.split()[0] for line in self.starts.read_text().splitlines())

    def runs(self) -> tuple[Run, list[Run], list[Run]]:
        """The parent, the cells, the other workers."""
        tracked = self.client.search_runs(["0"], order_by=["attributes.start_time"])
        (parent,) = [run for run in tracked if run.data.tags.get("grid") == "p"]
        cells = [run for run in tracked if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        return parent, cells, [run for run in tracked if run.data.tags.get("grid_parent") == parent.info.run_id]


def outcome_of(process: subprocess.Popen) -> tuple[list, str]:
    """What a worker says when it leaves, and its log."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return json.loads(out.splitlines()[-1]), err


def test_killed_failed_stopped_and_shared_each_cell_counts_once(tmp_path):
    place = Place(tmp_path)
    for _ in range(2):
        place.dies(killed_in="c2")
    _, cells, _ = place.runs()
    assert [(run.info.status, run.data.tags["cell"]) for run in cells if run.info.status != "FINISHED"] == [
        ("RUNNING", "key2"), ("FAILED", "key4")
    ]  # fmt: skip
    slow = place.worker(stops_in="c4")
    second = place.worker()
    # It has done all that is to be done, and waits for the one that stopped in c4: which is lost then.
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and place.began()["c2"] < 3:
        assert second.poll() is None
    slow.kill()
    slow.communicate()
    outcome, log = outcome_of(second)
    # c5 takes the model of c4, which failed.
    assert outcome == [4, {"c4": "RuntimeError: no such luck"}]
    assert log.count("Traceback") == 1 and ", in execute\nRuntimeError: no such luck" in log
    (tmp_path / "mended").touch()
    assert outcome_of(place.worker())[0] == [6, {}]
    assert outcome_of(place.worker())[0] == [6, {}], "nothing is left to do"
    assert place.began() == {"c0": 1, "c1": 1, "c2": 3, "c3": 1, "c4": 4, "c5": 1}
    assert len(set(place.starts.read_text().splitlines())) == 6, "a cell stays in its run"
    parent, cells, workers = place.runs()
    assert sorted((r.data.tags["cell"], r.info.status, r.data.metrics["test/song_f1"]) for r in cells) == [
        (f"key{i}", "FINISHED", i / 10) for i in range(6)
    ]
    run_of = {run.data.tags["cell"]: run for run in cells}
    assert run_of["key5"].data.params["trained"] == run_of["key4"].info.run_id
    assert parent.info.status == "FINISHED"
    ended = [run.info.status for run in workers]
    assert ended == ["KILLED", "KILLED", "FINISHED", "FINISHED", "FINISHED"], "the lost are not left RUNNING"


@pytest.mark.slow
def test_two_workers_at_once_share_the_cells_and_wait_for_each_other(tmp_path):
    (tmp_path / "mended").touch()
    place = Place(tmp_path)
    slow = place.worker(stops_in="c4")
    second = place.worker()
    time.sleep(8)
    assert second.poll() is None and "c5" not in place.began(), "it waits for the training that it needs"
    slow.stdin.close()
    assert outcome_of(second)[0] == [6, {}]
    slow.stdin = None
    assert outcome_of(slow)[0] == [6, {}]
    assert place.began() == {f"c{i}": 1 for i in range(6)}


@pytest.mark.slow
def test_a_cell_whose_worker_is_lost_on_another_host_is_trained_anew_in_another_run(tmp_path, postgresql):
    (tmp_path / "mended").touch()
    place = Place(tmp_path, postgresql)
    place.dies(killed_in="c1", ARTISTS_CACHE=str(tmp_path / "its own"))
    assert outcome_of(place.worker())[0] == [6, {}]
    _, cells, _ = place.runs()
    assert Counter((run.data.tags["cell"], run.info.status) for run in cells) == {
        **{(f"key{i}", "FINISHED"): 1 for i in range(6)}, ("key1", "FAILED"): 1
    }  # fmt: skip
    (lost,) = [run for run in cells if run.info.status == "FAILED"]
    assert "its worker was lost" in lost.data.tags["failure"]


@pytest.mark.slow
def test_what_has_finished_is_not_trained_again_where_the_storage_is_lost_and_a_deleted_run_is(tmp_path):
    (tmp_path / "mended").touch()
    place = Place(tmp_path)
    assert outcome_of(place.worker())[0] == [6, {}]
    for file in Path(os.environ["ARTISTS_CACHE"]).glob("searches.db*"):
        file.unlink()
    assert outcome_of(place.worker())[0] == [6, {}] and place.began() == {f"c{i}": 1 for i in range(6)}
    _, cells, _ = place.runs()
    place.client.delete_run(next(run.info.run_id for run in cells if run.data.tags["cell"] == "key3"))
    assert outcome_of(place.worker())[0] == [6, {}] and place.began()["c3"] == 2


def test_a_grid_of_before_goes_on_under_its_old_tag(tmp_path):
    """Its parent has the tag `study`, and what has finished below it is not trained again."""
    (tmp_path / "mended").touch()
    place = Place(tmp_path)
    old = place.client.create_run("0", tags={"study": "p"})
    above = {"mlflow.parentRunId": old.info.run_id}
    for i in range(6):
        done = place.client.create_run("0", tags={**above, "cell": f"key{i}"})
        place.client.set_terminated(done.info.run_id, "FINISHED" if i != 3 else "KILLED")
    assert outcome_of(place.worker())[0] == [6, {}]
    assert place.began() == {"c3": 1}
    worker = place.client.search_runs(["0"], "tags.grid_parent != ''")
    assert [run.data.tags["grid_parent"] for run in worker] == [old.info.run_id]


@pytest.mark.parametrize(
    "words", [["-e", "study"], ["-e", "study", "-P", "study=demo_tables_4_5"], ["-e", "grid", "-P", "study=NAME"]]
)
def test_the_old_name_answers_with_the_new_one(tmp_path, words):
    command = [sys.executable, "-m", "mlflow", "run", str(PROJECT), *words, "--env-manager=local"]
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": bin_first}, capture_output=True, text=True)
    name = "demo_tables_4_5" if "demo" in words[-1] else "NAME"
    assert (
        done.returncode and f"error: A study is called a grid now: mlflow run . -e grid -P grid={name}" in done.stderr
    )


@pytest.mark.slow
def test_a_grid_through_mlflow_run_goes_on_after_a_kill_and_ends_with_its_report(tmp_path, common_corpus, common_cache):
    folder = tmp_path / "place"
    shutil.copytree(common_cache, folder / "cache")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW"))}
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment |= {"MLFLOW_TRACKING_URI": uri, "ARTISTS_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    shutil.copy(tmp_path / "mlflow.db", folder / "mlflow.db")
    client = MlflowClient(uri)
    experiment = client.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    file = write_grid(folder, title="Mine", paper="nasrullah_zhao", fixed={"clip": 1, "gru_units": 4, "epochs": 4},
                        grid={"split": ["song"]})  # fmt: skip
    command = [
        sys.executable, "-m", "mlflow", "run", str(PROJECT), "-e", "grid", "-P", f"grid={file}",
        "-P", f"data={common_corpus}", "--env-manager=local", "--experiment-name=tests",
    ]  # fmt: skip
    first = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)

    def cells() -> list:
        return [run for run in client.search_runs([experiment]) if "cell" in run.data.tags]

    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not any("epoch/loss" in run.data.metrics for run in cells()):
        assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    (killed,) = cells()
    assert killed.info.status == "RUNNING"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 finished, 0 failed" in done.stdout and "[1/1]" in done.stdout
    finished = cells()
    assert [(run.info.run_id, run.info.status) for run in finished] == [(killed.info.run_id, "FINISHED")]
    for run in finished:
        assert [row.step for row in client.get_metric_history(run.info.run_id, "epoch/loss")] == list(range(4))
        assert {"test/song_f1_vote50", "test/clip_f1_macro", "test/song_f1_mfcc", "classes"} <= run.data.metrics.keys()
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"confusion_song.csv", "tsne.csv", "split.csv"} <= files and "tsne.html" not in files
    parent = finished[0].data.tags["mlflow.parentRunId"]
    assert client.get_run(parent).info.status == "FINISHED"
    table = pd.read_csv(mlflow.artifacts.download_artifacts(run_id=parent, artifact_path="runs.csv", tracking_uri=uri))
    assert set(table["run_id"]) == {run.info.run_id for run in finished} and set(table["split"]) == {"song"}
    assert {file.path for file in client.list_artifacts(parent)} >= {"report.html", "summary.csv", "cells.json"}


def test_every_cell_lists_the_files_that_could_not_be_read_before_it_fails_of_them(tmp_path, in_process, write_corpus):
    from projects.artists.tracking import runs
    from projects.artists.workflows.grid.cells import Trainer

    root = write_corpus(tmp_path / "music", seconds=1.5)
    (root / "artist0" / "album0" / "song0.flac").write_bytes(b"bad")
    file = write_grid(tmp_path, fixed={"data": str(root), "clip": 1}, grid={"seed": [0, 1]})
    trainer = Trainer()
    for cell in read_grid(file, {}).cells:
        with pytest.raises(InputError, match=r"quarantined\.csv of this run"), runs.start() as run:
            trainer(cell, run)
        table = mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="quarantined.csv")
        assert list(pd.read_csv(table)["track_id"]) == ["artist0/album0/song0.flac"]
    assert len(in_process) == 18, "features are read once for both"


def test_a_cell_may_be_followed_by_another_entry_point_on_its_model(tmp_path):
    file = write_grid(
        tmp_path,
        grid={"clip": [1, 3]},
        then={"entry": "evaluate", "fixed": {"seed": 7}, "grid": {"split": ["all", "song"]}},
    )
    made = read_grid(file, {"epochs": "2", "then_seed": "8"})
    trained, evaluated = ([c for c in made.cells if (c.entry == "train") is train] for train in (True, False))
    assert len(trained) == 2 and len(evaluated) == 4 and len({c.key for c in made.cells}) == 6
    assert [c.needs for c in evaluated] == [trained[0].key] * 2 + [trained[1].key] * 2
    assert [dict(c.values) for c in evaluated[:2]] == [
        {"seed": "8", "split": "all"}, {"seed": "8", "split": "song"}
    ]  # fmt: skip
    wrong = {"then": {"entry": "train", "grid": {"a": 1}}}
    for content, word in ((wrong, "then.entry=train"), ({}, "then_seed has no")):
        with pytest.raises(InputError, match=word):
            read_grid(write_grid(tmp_path, grid={"clip": 1}, **content), {"then_seed": "8"})


@pytest.mark.slow
def test_what_follows_a_training_is_reported_under_the_system_that_was_trained(
    tmp_path, common_corpus, common_cache, monkeypatch
):
    from projects import grid as verb
    from projects.artists.tracking import runs

    monkeypatch.setenv("ARTISTS_CACHE", str(shutil.copytree(common_cache, tmp_path / "cache")))
    file = write_grid(
        tmp_path, fixed={"clip": 1, "gru_units": 4, "epochs": 1, "split": "song"}, grid={"seed": [0, 1]},
        then={"entry": "evaluate", "fixed": {"log_audio": False}, "grid": {"split": "all"}},
    )  # fmt: skip
    with runs.start() as run:
        verb.run(verb.COMMAND.read({"grid": file, "data": str(common_corpus)}), run)
    children = [r for r in MlflowClient().search_runs(["0"]) if "cell" in r.data.tags]
    assert sorted((r.data.tags["entry"], r.info.status) for r in children) == [
        (entry, "FINISHED") for entry in ("evaluate", "evaluate", "train", "train")
    ]
    table = pd.read_csv(mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="summary.csv"))
    chosen = table[table["metric"] == "test/song_f1"]
    assert set(zip(chosen["entry"], chosen["runs"], strict=True)) == {("train", 2), ("evaluate", 2)}
    learned = [r.data.metrics["test/songs_seen_in_training"] for r in children if r.data.tags["entry"] == "evaluate"]
    assert len(learned) == 2 and min(learned) > 0


def test_workers_that_start_at_once_agree_on_one_parent():
    from concurrent.futures import ThreadPoolExecutor

    from projects.artists.tracking.runs import Run
    from projects.artists.workflows.grid import worker

    client = MlflowClient()
    mine = [Run(client.create_run("0").info.run_id) for _ in range(4)]
    grid = Grid("it's", "t", "", (), "clip", ())
    with ThreadPoolExecutor(4) as pool:
        parents = {parent.run_id for parent in pool.map(lambda run: worker.join(run, grid, GridOptions()), mine)}
    assert len(parents) == 1 and parents <= {run.run_id for run in mine}
    other = Run(client.create_run("0").info.run_id)
    assert worker.join(other, dataclasses.replace(grid, name="another"), GridOptions()).run_id == other.run_id
