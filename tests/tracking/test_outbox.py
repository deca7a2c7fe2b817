"""What runs log, against a real tracking server behind a proxy that refuses, stalls and loses answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from proxy import Proxy

from projects.artists.errors import InputError
from projects.artists.tracking import delivery, outbox, runs, server

PROJECT = Path(__file__).parents[2]
ROWS = [(f"m{i % 7}", [i / 3, float("nan"), float("inf"), -float("inf")][i % 4], i) for i in range(60)]


def say_everything(run: runs.Run, between=lambda i: None) -> list[float]:
    """Logs one of each kind and ROWS; returns the seconds of each call of `metrics`."""
    seconds = []
    run.params({"a": 1, "b": "ü"})
    run.dataset(pd.DataFrame({"id": ["x"]}), name="songs", digest="d1", context="training")
    for i, (name, value, step) in enumerate(ROWS):
        between(i)
        began = time.perf_counter()
        run.metrics({name: value}, step=step)
        seconds.append(time.perf_counter() - began)
        run.tags({"last": str(i)})
    run.text("words", "notes/a.txt")
    run.params({"a": 2, "c": 3})
    return seconds


def held(client: MlflowClient, run_id: str) -> dict:
    """All that the server has of a run, without times."""
    run = client.get_run(run_id)
    rows = [
        (row.key, repr(row.value), row.step)
        for name in run.data.metrics
        for row in client.get_metric_history(run_id, name)
    ]
    return {
        "status": run.info.status, "params": run.data.params, "last": run.data.tags["last"],
        "rows": sorted(row for row in rows if row[0] != "logging_seconds"),
        "inputs": [(i.dataset.name, i.dataset.digest, [t.value for t in i.tags]) for i in run.inputs.dataset_inputs],
        "artifacts": [file.path for file in client.list_artifacts(run_id, "notes")],
    }  # fmt: skip


@pytest.fixture(scope="module")
def calm(tracking_server, tmp_path_factory):
    """What the server has of a run that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{tracking_server}")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "outbox")
        patch.setenv("ARTISTS_CACHE", str(tmp_path_factory.mktemp("calm")))
        with runs.start() as run:
            say_everything(run)
        return held(MlflowClient(), run.run_id)


def test_a_calm_run_is_held_whole(calm):
    assert calm["status"] == "FINISHED" and calm["params"] == {"a": "1", "b": "ü", "c": "3"} and calm["last"] == "59"
    assert len(calm["rows"]) == len(ROWS) and calm["artifacts"] == ["notes/a.txt"]
    assert calm["inputs"] == [("songs", "d1", ["training"])]


@pytest.mark.parametrize("trouble", ["refuse", "stall", "drop"])
def test_a_run_in_trouble_ends_up_as_a_calm_one_and_never_waits(proxy, client, calm, trouble):
    def between(i):
        if i == 20:
            proxy.set(trouble)
        if i == 40:
            # Only once trouble has happened does the rest say anything.
            wait_until(lambda: proxy.trouble[trouble] >= 1)
            proxy.set("pass")

    with runs.start() as run:
        seconds = say_everything(run, between)
    assert held(client, run.run_id) == calm
    assert np.median(seconds) < 0.002 and max(seconds) < 0.25
    assert proxy.trouble[trouble] >= 1 and not outbox.left()


def test_a_run_that_ends_while_the_server_is_away_waits_for_sync(proxy, client, calm, monkeypatch, capsys):
    monkeypatch.setenv("ARTISTS_FLUSH_SECONDS", "0.5")
    with runs.start() as run:
        run.params({"a": 1})
        assert run.flush(20)
        proxy.set("refuse")
        say_everything(run)
    assert "mlflow run . -e sync" in capsys.readouterr().err and outbox.left() == [run.run_id]
    assert client.get_run(run.run_id).info.status == "RUNNING"
    ended = outbox.Outbox(run.run_id)
    end = ended.records()[-1].content
    ended.close()
    assert [(i, done) for i, done, _ in delivery.deliver_left(0.2)] == [(run.run_id, False)]
    proxy.set("pass")
    done = sync(proxy)
    assert done.returncode == 0 and f"{run.run_id}: delivered {len(ROWS) + 1} metric rows, 1 artifacts" in done.stdout
    assert held(client, run.run_id) == calm and not outbox.left()
    assert client.get_run(run.run_id).info.end_time == end["time"]
    assert "none left" in done.stdout and not list(delivery.deliver_left(0.2))


def sync(proxy: Proxy) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "projects.sync"], cwd=PROJECT, env=os.environ | {"ARTISTS_FLUSH_SECONDS": "30"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_an_outbox_of_another_store_is_left_with_words_and_others_are_sent(tmp_path, tracking_template, monkeypatch):
    ours, theirs = (f"sqlite:///{shutil.copy(tracking_template, tmp_path / name)}" for name in ("ours.db", "theirs.db"))
    code = (
        "import os\n"
        "from projects.artists.tracking import runs\n"
        "with runs.start() as run:\n"
        "    run.metrics({'x': 1})\n"
        "    assert run.flush(20)\n"
        "    print(run.run_id, flush=True)\n"
        "    os._exit(9)\n"
    )
    ids = {}
    for uri in (theirs, ours):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        died = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60)
        ids[uri] = died.stdout.strip()
    outcomes = {run_id: (done, words) for run_id, done, words in delivery.deliver_left(5)}
    assert outcomes[ids[ours]][0] and not outcomes[ids[theirs]][0]
    words = outcomes[ids[theirs]][1]
    assert f"It was logged to {theirs}: set MLFLOW_TRACKING_URI to that, or delete" in words and ids[theirs] in words
    assert outbox.left() == [ids[theirs]]


def test_nothing_said_is_lost_by_kill_9_and_the_run_ends_as_killed(proxy, client):
    code = (
        "from projects.artists.tracking import runs\n"
        "with runs.start() as run:\n"
        "    run.flush(20)\n"
        "    print(run.run_id, flush=True)\n"
        "    input()\n"
        "    for i in range(10**6):\n"
        "        run.metrics({'x': i}, step=i)\n"
        "        print(i, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    run_id = process.stdout.readline().strip()
    assert next(delivery.deliver_left(1))[2].startswith(f"skipped: Run {run_id} is still being written by process")
    proxy.set("stall")
    process.stdin.write("\n")
    process.stdin.flush()
    while int(process.stdout.readline()) < 300:
        pass
    process.kill()
    printed = [int(line) for line in process.stdout.read().splitlines() if line.isdigit()]
    process.wait()
    proxy.set("pass")
    assert [(i, done) for i, done, _ in delivery.deliver_left(30)] == [(run_id, True)]
    steps = [row.step for row in client.get_metric_history(run_id, "x")]
    assert steps == list(range(len(steps))) and len(steps) >= 1 + max(printed, default=300)
    info = client.get_run(run_id).info
    assert info.status == "KILLED" and info.start_time <= info.end_time <= time.time() * 1000
    assert not outbox.left()


def test_a_server_that_is_away_at_the_start_is_an_error_at_once_without_its_password(proxy, monkeypatch):
    proxy.set("refuse")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{proxy.port}")
    monkeypatch.setattr(server.retry, "__defaults__", (1.0,))
    began = time.monotonic()
    with pytest.raises(InputError, match=f"http://127.0.0.1:{proxy.port} did not answer") as caught, runs.start():
        pass
    assert time.monotonic() - began < 20 and "secret" not in str(caught.value) and mlflow.active_run() is None


class Forgetful:
    """A store that keeps every row it is sent, as the SQL ones do not, and whose answers get lost now and then."""

    def __init__(self) -> None:
        self.rows, self.requests, self.lost = [], 0, (1, 2, 4, 7)

    def log_batch(self, run_id, metrics, params, tags):
        self.requests += 1
        self.rows += metrics
        if self.requests in self.lost:
            raise MlflowException("no answer")

    def get_metric_history(self, run_id, name):
        return [row for row in self.rows if row.key == name]


def test_a_row_is_sent_once_where_answers_get_lost_whatever_the_store_does_with_doubles(monkeypatch):
    store = Forgetful()
    monkeypatch.setattr(delivery, "MlflowClient", lambda: store)
    monkeypatch.setattr(delivery.Uploader, "_pause", lambda self, wait: 0)
    run = runs.Run("a" * 32, fresh=True)
    for start in range(0, len(ROWS), 6):
        for name, value, step in ROWS[start : start + 6]:
            run.metrics({name: value}, step=step)
        run.flush(10)
    run._uploader.close()
    assert sorted((r.key, repr(r.value), r.step) for r in store.rows) == sorted((n, repr(v), s) for n, v, s in ROWS)
    assert store.requests > 8


def test_what_an_earlier_process_may_have_sent_is_looked_for_first(monkeypatch):
    box = outbox.Outbox("b" * 32)
    box.put("metrics", rows=[["x", float(i), 1000 + i, i] for i in range(5)])
    box.close()
    store = Forgetful()
    store.rows = [mlflow.entities.Metric("x", float(i), 1000 + i, i) for i in range(3)]
    store.lost = ()
    monkeypatch.setattr(delivery, "MlflowClient", lambda: store)
    uploader = delivery.Uploader(outbox.Outbox("b" * 32))
    assert uploader.flush(10)
    uploader.close()
    assert [row.step for row in store.rows] == [0, 1, 2, 3, 4]


def test_a_torn_line_is_cut_off_and_order_is_kept(tmp_path):
    box = outbox.Outbox("c" * 32)
    for i in range(3):
        box.put("tags", values={"t": str(i)})
    box.mark_sent(box.records()[:1])
    box.close()
    with (box.folder / "log.jsonl").open("ab") as file:
        file.write(b'{"kind": "tags", "values": {"t": "to')
    again = outbox.Outbox("c" * 32)
    again.put("tags", values={"t": "3"})
    assert [record.content["values"]["t"] for record in again.records(again.sent)] == ["1", "2", "3"]
    assert [r.content["values"]["t"] for r in again.records(0, limit=10)] == ["0"]
    with pytest.raises(outbox.Busy, match=f"process {os.getpid()}"):
        outbox.Outbox("c" * 32)
    again.close(remove=True)
    assert not outbox.left()


def test_the_log_is_json_a_line_with_numbers_that_json_has_not():
    run = runs.Run("d" * 32)
    run._uploader = type("Still", (), {"outbox": outbox.Outbox("d" * 32), "wake": lambda self: None})()
    run.metrics({"x": float("nan"), "y": -float("inf"), "z": 0.1}, step=4)
    line = (outbox.root() / ("d" * 32) / "log.jsonl").read_text()
    rows = json.loads(line, parse_constant=pytest.fail)["rows"]
    assert [row[1] for row in rows] == ["nan", "-inf", 0.1] and {row[3] for row in rows} == {4}
    assert run.seconds > 0
    run._uploader.outbox.close(remove=True)


def test_no_text_can_hold_up_the_rest_for_ever():
    """Neither half a surrogate pair, as in file names that are no UTF-8, nor a zero, which PostgreSQL refuses."""
    box = outbox.Outbox("e" * 32)
    box.put("tags", values={"caf\udce9": "caf\udce9\0", "rows": [["\ud800", 0.1, 3]], "né": "Début 🎵"})
    (record,) = box.records()
    assert record.content["values"] == {
        "caf\\udce9": "caf\\udce9\\x00", "rows": [["\\ud800", 0.1, 3]], "né": "Début 🎵"
    }  # fmt: skip
    box.close(remove=True)


def test_what_the_server_refuses_is_said_and_does_not_hold_up_the_rest(proxy, client, caplog):
    with runs.start() as run:
        run.metrics({"good": 1, "bad\nname": 1})
        run.metrics({"after": 2})
    data = client.get_run(run.run_id)
    assert data.info.status == "FINISHED" and data.data.metrics["after"] == 2
    assert "refuses metrics" in caplog.text and not outbox.left()


def test_tags_end_as_the_last_said_and_children_under_their_parent(proxy, client):
    with runs.start() as run, pytest.raises(KeyboardInterrupt), runs.child(run, "one", {"kind": "fold"}) as one:
        one.metrics({"x": 1})
        raise KeyboardInterrupt
    child = client.get_run(one.run_id)
    assert child.info.status == "KILLED" and child.data.tags["mlflow.parentRunId"] == run.run_id
    assert child.data.tags["kind"] == "fold" and child.data.metrics["x"] == 1


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
