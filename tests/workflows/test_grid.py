"""Studies: which cells a file makes, and that each counts once whatever is killed, by real processes."""

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
from mlflow.tracking import MlflowClient

from projects.artists.errors import InputError
from projects.artists.workflows.grid import plan
from projects.artists.workflows.grid.claims import Claims
from projects.artists.workflows.grid.plan import cell_key, read_plan
from projects.artists.workflows.grid.published import read_published

PROJECT = Path(__file__).parents[2]


def write_study(folder: Path, **content) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def test_every_combination_is_a_cell_and_the_last_axis_changes_fastest(tmp_path):
    study = write_study(tmp_path, fixed={"epochs": 2}, grid={"seed": [0, 21], "clip": [1, 3, 5], "split": "song"})
    made = read_plan(study, {})
    assert [(c.values["seed"], c.values["clip"]) for c in made.cells] == [
        (0, 1.0), (0, 3.0), (0, 5.0), (21, 1.0), (21, 3.0), (21, 5.0)
    ]  # fmt: skip
    assert {(c.values["epochs"], c.values["split"]) for c in made.cells} == {(2, "song")}
    assert made.cells[0].name == "model=crnn seed=0 clip=1" and made.name == "mine"


def test_several_grids_are_joined_and_a_cell_in_two_of_them_is_one(tmp_path):
    study = write_study(tmp_path, grid=[{"clip": [1, 3]}, {"clip": [3, 5], "gru_units": 32}])
    assert [c.values["clip"] for c in read_plan(study, {}).cells] == [1.0, 3.0, 5.0]


def test_a_flag_replaces_an_axis_and_commas_make_one(tmp_path):
    study = write_study(tmp_path, fixed={"epochs": 2}, grid={"clip": [1, 3], "seed": [0, 21, 42]})
    made = read_plan(study, {"seed": "7", "epochs": "3,4", "data": "a,b.csv"})
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
        read_plan(write_study(tmp_path, **content), {})


def test_an_unknown_study_lists_those_that_are_shipped():
    with pytest.raises(InputError, match="nasrullah_zhao_tables_4_5"):
        read_plan("tables_4", {})


def test_tables_4_and_5_are_shipped_whole():
    for name in ("nasrullah_zhao_tables_4_5", "demo_tables_4_5"):
        cells = read_plan(name, {}).cells
        assert Counter((c.values["clip"], c.values["split"]) for c in cells) == {
            (clip, split): 3 for clip in (1, 3, 5, 10, 20, 30) for split in ("song", "album")
        }
        assert {c.values["seed"] for c in cells} == {0, 21, 42}


@pytest.mark.parametrize("path", sorted(plan.SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_study_names_known_models_and_figures(path):
    made = read_plan(path.stem, {})
    assert made.cells and made.title != path.stem
    if made.paper:
        published = read_published(made.paper)
        assert set(made.metrics) & set(published["metric"])


def test_a_claim_is_one_processes_and_ends_with_it(tmp_path):
    claims = Claims("store", "parent", root=tmp_path)
    code = (
        "import sys; from pathlib import Path; from projects.artists.workflows.grid.claims import Claims\n"
        "with Claims('store', 'parent', root=Path(sys.argv[1])).claim('cell') as mine:\n"
        "    print(mine, flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "True\n"
    with claims.claim("cell") as mine, claims.claim("another") as free:
        assert not mine and free
    other.kill()
    other.wait()
    with claims.claim("cell") as mine:
        assert mine


# A worker whose cells cost nothing: it notes each start, stops at a cell until its input ends, and kills itself in one.
WORKER = """
import json, os, signal, sys
from pathlib import Path
from projects.artists.workflows.grid import worker
from projects.artists.workflows.grid.plan import Cell, Plan
from projects.artists.tracking import runs
starts, killed_in, stops_in = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
cells = (*(Cell(f"c{i}", {"i": i}, f"key{i}") for i in range(5)),
         Cell("c5", {"i": 5}, "key5", "evaluate", "key4"))

def execute(cell, run, trained):
    with starts.open("a") as file:
        file.write(f"{cell.name} {run.run_id}\\n")
    if cell.name == "c4" and not (starts.parent / "mended").exists():
        raise RuntimeError("no such luck")
    run.params({"i": cell.values["i"], "trained": trained})
    run.metrics({"epoch/loss": 1.0})
    if cell.name == killed_in:
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.name == stops_in:
        print("stopped", flush=True)
        sys.stdin.read()
    run.metrics({"test/song_f1": cell.values["i"] / 10})
    if trained:
        run.end("FINISHED")  # as the process does that follows
    return {"test/song_f1": cell.values["i"] / 10}

with runs.start() as run:
    parent = worker.join(run, Plan("p", "t", "", (), "clip", cells))
    outcome = worker.work(cells, parent, execute)
    worker.close(run, parent, outcome)
    print(json.dumps([outcome.finished, outcome.failed, outcome.elsewhere]), flush=True)
"""


def start_worker(starts: Path, killed_in: str = "-", stops_in: str = "-") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(starts), killed_in, stops_in],
        cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def outcome_of(process: subprocess.Popen) -> list:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return json.loads(out.splitlines()[-1])


def test_killed_twice_failed_once_and_shared_by_two_workers_each_cell_counts_once(tmp_path):
    starts = tmp_path / "starts.txt"
    for _ in range(2):
        killed = start_worker(starts, killed_in="c2")
        assert killed.wait(timeout=120) == -signal.SIGKILL
    slow = start_worker(starts, stops_in="c3")
    while slow.stdout.readline() != "stopped\n":
        assert slow.poll() is None
    finished, failed, elsewhere = outcome_of(start_worker(starts))
    # c5 takes the model of c4, which failed.
    assert (finished, failed, elsewhere) == (3, {"c4": "RuntimeError: no such luck"}, 1)
    (tmp_path / "mended").touch()
    finished, failed, elsewhere = outcome_of(slow)
    assert (finished, failed, elsewhere) == (6, {}, 0)
    began = Counter(line.split()[0] for line in starts.read_text().splitlines())
    assert began == {"c0": 1, "c1": 1, "c2": 3, "c3": 1, "c4": 2, "c5": 1}
    assert len({line for line in starts.read_text().splitlines()}) == 6, "a cell stays in its run"
    client = MlflowClient()
    runs = client.search_runs(["0"])
    parent = next(run for run in runs if run.data.tags.get("study") == "p")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted((r.data.tags["cell"], r.info.status, r.data.metrics["test/song_f1"]) for r in children) == [
        (f"key{i}", "FINISHED", i / 10) for i in range(6)
    ]
    run_of = {run.data.tags["cell"]: run for run in children}
    assert run_of["key5"].data.params["trained"] == run_of["key4"].info.run_id
    assert parent.info.status == "FINISHED" and len(runs) == 6 + 4, "six cells and four workers, one of them the parent"


@pytest.mark.slow
def test_a_study_through_mlflow_run_goes_on_after_a_kill_and_ends_with_its_report(
    tmp_path, common_corpus, common_cache
):
    folder = tmp_path / "place"
    shutil.copytree(common_cache, folder / "cache")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW"))}
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment |= {"MLFLOW_TRACKING_URI": uri, "ARTISTS_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    shutil.copy(tmp_path / "mlflow.db", folder / "mlflow.db")
    client = MlflowClient(uri)
    experiment = client.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    study = write_study(folder, title="Mine", paper="nasrullah_zhao", fixed={"clip": 1, "gru_units": 4, "epochs": 4},
                        grid={"split": ["song"]})  # fmt: skip
    command = [
        sys.executable, "-m", "mlflow", "run", str(PROJECT), "-e", "grid", "-P", f"study={study}",
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
    assert "1 finished, 0 failed, 0 with other workers" in done.stdout and "[1/1]" in done.stdout
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
    study = write_study(tmp_path, fixed={"data": str(root), "clip": 1}, grid={"seed": [0, 1]})
    trainer = Trainer()
    for cell in read_plan(study, {}).cells:
        with pytest.raises(InputError, match=r"quarantined\.csv of this run"), runs.start() as run:
            trainer(cell, run)
        table = mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="quarantined.csv")
        assert list(pd.read_csv(table)["track_id"]) == ["artist0/album0/song0.flac"]
    assert len(in_process) == 18, "features are read once for both"


def test_a_cell_may_be_followed_by_another_entry_point_on_its_model(tmp_path):
    study = write_study(
        tmp_path,
        grid={"clip": [1, 3]},
        then={"entry": "evaluate", "fixed": {"seed": 7}, "grid": {"split": ["all", "song"]}},
    )
    made = read_plan(study, {"epochs": "2", "then_seed": "8"})
    trained, evaluated = ([c for c in made.cells if (c.entry == "train") is train] for train in (True, False))
    assert len(trained) == 2 and len(evaluated) == 4 and len({c.key for c in made.cells}) == 6
    assert [c.needs for c in evaluated] == [trained[0].key] * 2 + [trained[1].key] * 2
    assert [dict(c.values) for c in evaluated[:2]] == [
        {"seed": "8", "split": "all"}, {"seed": "8", "split": "song"}
    ]  # fmt: skip
    wrong = {"then": {"entry": "train", "grid": {"a": 1}}}
    for content, word in ((wrong, "then.entry=train"), ({}, "then_seed has no")):
        with pytest.raises(InputError, match=word):
            read_plan(write_study(tmp_path, grid={"clip": 1}, **content), {"then_seed": "8"})


@pytest.mark.slow
def test_what_follows_a_training_is_reported_under_the_system_that_was_trained(
    tmp_path, common_corpus, common_cache, monkeypatch
):
    from projects import grid as verb
    from projects.artists.tracking import runs

    monkeypatch.setenv("ARTISTS_CACHE", str(shutil.copytree(common_cache, tmp_path / "cache")))
    file = write_study(
        tmp_path, fixed={"clip": 1, "gru_units": 4, "epochs": 1, "split": "song"}, grid={"seed": [0, 1]},
        then={"entry": "evaluate", "fixed": {"log_audio": False}, "grid": {"split": "all"}},
    )  # fmt: skip
    with runs.start() as run:
        verb.run(verb.COMMAND.read({"study": file, "data": str(common_corpus)}), run)
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
    study = plan.Plan("it's", "t", "", (), "clip", ())
    with ThreadPoolExecutor(4) as pool:
        parents = {parent.run_id for parent in pool.map(lambda run: worker.join(run, study), mine)}
    assert len(parents) == 1 and parents <= {run.run_id for run in mine}
    other = Run(client.create_run("0").info.run_id)
    assert worker.join(other, dataclasses.replace(study, name="another")).run_id == other.run_id
