"""Ctrl-C, SIGTERM and kill -9: how a run ends, and how it goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
import soundfile
from mlflow.tracking import MlflowClient

from projects import cli, train
from projects.artists.errors import InputError
from projects.artists.tracking import runs
from projects.artists.tracking.outbox import Outbox
from projects.artists.workflows import evaluate, results

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("signals", "status"), [([signal.SIGINT, signal.SIGTERM], 130), ([signal.SIGTERM, signal.SIGINT], 143)]
)
def test_a_signal_ends_the_run_as_killed_and_those_that_mlflow_adds_change_nothing(signals, status, capsys):
    seen = []

    def work(flags, run):
        run.metrics({"x": 1})
        try:
            os.kill(os.getpid(), signals[0])
            seen.append("went on")
        finally:
            os.kill(os.getpid(), signals[1])
            seen.append(run.run_id)

    before = [signal.getsignal(number) for number in signals]
    assert cli.main(cli.Command("test", work), []) == status
    run = MlflowClient().get_run(seen[0])
    assert len(seen) == 1 and run.info.status == "KILLED" and run.data.metrics["x"] == 1
    assert "KILLED" in capsys.readouterr().err and [signal.getsignal(number) for number in signals] == before


def test_a_signal_before_there_is_a_run_waits_for_it(monkeypatch):
    ids, begin = [], runs.start

    def interrupted_start():
        os.kill(os.getpid(), signal.SIGTERM)
        return begin()

    monkeypatch.setattr(runs, "start", interrupted_start)
    assert cli.main(cli.Command("test", lambda plan, run: ids.append(run.run_id)), []) == 143
    assert not ids and [run.info.status for run in MlflowClient().search_runs(["0"])] == ["KILLED"]


def test_a_second_ctrl_c_leaves_what_is_not_sent_to_sync(monkeypatch, capsys):
    def never(self, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("projects.artists.tracking.delivery.Uploader._deliver", lambda self, batch: 1 / 0)
    monkeypatch.setattr("projects.artists.tracking.delivery.Uploader.flush", never)
    assert cli.main(cli.Command("test", lambda plan, run: run.metrics({"x": 1})), []) == 0
    assert "mlflow run . -e sync" in capsys.readouterr().err


def ended(status: str, **params: str) -> str:
    client = MlflowClient()
    run_id = client.create_run("0").info.run_id
    for name, value in params.items():
        client.log_param(run_id, name, value)
    client.set_terminated(run_id, status)
    return run_id


def test_only_a_training_that_has_not_finished_goes_on():
    client = MlflowClient()
    finished, deleted, evaluation, starter = (ended(s) for s in ("FINISHED", "KILLED", "FAILED", "FAILED"))
    client.delete_run(deleted)
    client.set_tag(evaluation, "mlflow.project.entryPoint", "evaluate")
    client.set_tag(starter, "resumes", finished)
    for run_id, sentence in {
        finished: "is finished",
        deleted: "is deleted",
        evaluation: "is a run of evaluate",
        starter: f"resume={finished}",
        "0" * 32: "no such run",
    }.items():
        with pytest.raises(InputError, match=sentence), runs.start() as run:
            train.run(train.COMMAND.read({"resume": run_id}), run)
        assert (
            client.get_run(run.run_id).info.status == "FAILED" and "resumes" not in client.get_run(run.run_id).data.tags
        )
        assert mlflow.active_run() is None


def test_a_run_that_is_still_written_does_not_go_on_elsewhere():
    with runs.start() as alive, pytest.raises(InputError, match=f"still being written by process {os.getpid()}"):
        runs.Run(ended("FAILED"), fresh=True).resume(alive.run_id)


def test_a_resumed_run_repeats_no_row_it_had_and_the_starting_run_ends():
    old = ended("KILLED", epochs="4")
    client = MlflowClient()
    for step in (0, 1):
        client.log_metric(old, "epoch/loss", 1 / (step + 1), step=step)
    client.log_metric(old, "songs", 12)
    with runs.start() as run:
        starter = run.run_id
        assert run.resume(old) == {"epochs": "4"} and run.run_id == old and mlflow.active_run().info.run_id == old
        assert client.get_run(old).info.status == "RUNNING" and run.steps("epoch/loss") == {0, 1}
        run.metrics({"epoch/loss": 0.25}, step=2)
        run.metrics({"songs": 12, "new": 1})
        assert run.steps("epoch/loss") == {0, 1, 2}
    assert [row.step for row in client.get_metric_history(old, "epoch/loss")] == [0, 1, 2]
    assert len(client.get_metric_history(old, "songs")) == 1 and client.get_run(old).data.metrics["new"] == 1
    assert client.get_run(old).info.status == "FINISHED"
    assert client.get_run(starter).info.status == "FINISHED" and client.get_run(starter).data.tags["resumes"] == old


def test_what_waits_in_the_outbox_of_a_dead_run_counts_when_it_goes_on():
    old = ended("FAILED")
    box = Outbox(old)
    box.put("params", values={"epochs": "7"})
    box.put("metrics", rows=[["epoch/loss", 0.5, 1000, 0]])
    box.put("end", status="KILLED", time=2000)
    box.close()
    with runs.start() as run:
        assert run.resume(old) == {"epochs": "7"} and run.steps("epoch/loss") == {0}
        assert MlflowClient().get_run(old).info.status == "RUNNING"
    assert MlflowClient().get_run(old).info.status == "FINISHED" and not box.folder.exists()


def test_resume_in_a_configuration_file_is_refused(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("resume: abc\n")
    with pytest.raises(InputError, match=r"resume=abc stands in .*c\.yaml"), runs.start() as run:
        train.run(train.COMMAND.read({"config": str(file)}), run)


class Interrupted:
    """Trainings of a tiny network in this process; those that `begin` are interrupted in the epoch after `epochs`."""

    def __init__(self, corpus: Path, patch: pytest.MonkeyPatch) -> None:
        self.corpus, self._patch = corpus, patch
        patch.setattr(results, "log_results", lambda *_, **__: {})

    def begin(self, epochs: int, **parameters: object) -> str:
        left, scores = iter(range(epochs)), evaluate.validation_scores

        def score(*given):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return scores(*given)

        with self._patch.context() as patch:
            patch.setattr(evaluate, "validation_scores", score)
            wanted = {"data": self.corpus, "clip": 1, "model": "rnn", "epochs": 3, **parameters}
            assert cli.main(train.COMMAND, [f"--{name}={value}" for name, value in wanted.items()]) == 130
        return mlflow.last_active_run().info.run_id

    def resume(self, run_id: str) -> int:
        return cli.main(train.COMMAND, [f"--resume={run_id}"])

    def checkpoint(self, run_id: str) -> Path:
        return Path(os.environ["ARTISTS_CACHE"]) / "checkpoints" / f"{run_id}.npz"


@pytest.fixture
def interrupted(small_corpus, in_process, monkeypatch) -> Interrupted:
    return Interrupted(small_corpus, monkeypatch)


def logged(run_id: str, metric: str) -> dict[int, float]:
    return {row.step: row.value for row in MlflowClient().get_metric_history(run_id, metric)}


def test_a_training_does_not_go_on_with_another_corpus(interrupted, write_audio, tone, capsys):
    old, client = interrupted.begin(1), MlflowClient()
    digests = {k: v for k, v in client.get_run(old).data.tags.items() if k.endswith("_digest")}
    added = write_audio(interrupted.corpus / "artist0" / "album3" / "song0.flac", tone(seconds=4.0, seed=99))
    for _ in range(2):
        assert interrupted.resume(old) == 1
        output = capsys.readouterr().err.split("error: ")[1].strip()
        assert "began with another corpus and another split" in output and "train anew" in output and "\n" not in output
        run = client.get_run(old)
        assert run.info.status == "FAILED" and len(digests) == 3 and digests.items() <= run.data.tags.items()
    assert logged(old, "epoch/loss").keys() == {0}
    added.unlink()
    assert interrupted.resume(old) == 0 and client.get_run(old).info.status == "FINISHED"
    assert logged(old, "epoch/loss").keys() == {0, 1, 2}


def test_a_training_that_logged_no_digests_goes_on(interrupted):
    old, client = interrupted.begin(1), MlflowClient()
    for name in ("corpus_digest", "split_digest", "features_digest"):
        client.delete_tag(old, name)
    assert interrupted.resume(old) == 0 and logged(old, "epoch/loss").keys() == {0, 1, 2}


def test_a_training_whose_checkpoint_is_gone_does_not_begin_again_behind_its_old_curve(interrupted, in_process, capsys):
    old = interrupted.begin(2)
    interrupted.checkpoint(old).unlink()
    before = len(in_process)
    soundfile.write(interrupted.corpus / "artist0" / "album0" / "new.flac", np.zeros(16000), 16000)
    assert interrupted.resume(old) == 1
    output = capsys.readouterr().err
    assert (
        "has logged 2 epoch(s)" in output and str(interrupted.checkpoint(old)) in output and "ARTISTS_CACHE" in output
    )
    assert len(in_process) == before and logged(old, "epoch/loss").keys() == {0, 1}


def test_a_training_that_logged_no_epoch_begins(interrupted):
    old = interrupted.begin(0)
    assert not interrupted.checkpoint(old).exists()
    assert interrupted.resume(old) == 0 and logged(old, "epoch/loss").keys() == {0, 1, 2}


FROZEN = {"model": "siamese_dcnn", "clip": "3", "freeze": "true", "pretrained": "tower.h5"}


@pytest.mark.parametrize("parameters", [{"model": "mfcc_svm", "clip": "1"}, FROZEN])
def test_what_is_fitted_at_once_has_no_checkpoint_and_is_fitted_again(interrupted, monkeypatch, parameters):
    old = ended("KILLED", data=str(interrupted.corpus), **parameters)
    MlflowClient().log_metric(old, "epoch/loss", 1.0, step=0)
    monkeypatch.setattr("projects.artists.systems.park.ParkSystem.started", lambda self, model: model)
    assert interrupted.resume(old) == 0 and logged(old, "epoch/loss") == {0: 1.0}
    assert "train_seconds" in MlflowClient().get_run(old).data.metrics


def test_parameters_that_were_typed_with_hyphens_are_found_again(interrupted):
    typed = {"batch-size": "4", "learning-rate": "0.01", "learning_rate": "0.02", "clip": "1", "epochs": "1"}
    old = ended("KILLED", data=str(interrupted.corpus), model="rnn", **typed)
    assert interrupted.resume(old) == 0
    params = MlflowClient().get_run(old).data.params
    assert params["batch_size"] == "4" and params["learning_rate"] == "0.02"


@pytest.mark.slow
def test_what_a_resumed_training_took_counts_the_epochs_before_it(interrupted):
    old = interrupted.begin(2)
    first = logged(old, "epoch/seconds")
    assert interrupted.resume(old) == 0
    seconds, metrics = logged(old, "epoch/seconds"), MlflowClient().get_run(old).data.metrics
    assert first.items() <= seconds.items() and seconds.keys() == {0, 1, 2}
    assert metrics["train_seconds"] == pytest.approx(sum(seconds.values()))


@pytest.fixture(scope="module")
def place(tmp_path_factory, write_corpus, tracking_template):
    """Folder, environment of the commands, and client of the module's own store."""
    folder = tmp_path_factory.mktemp("place")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    (folder / "mlflow.db").write_bytes(tracking_template.read_bytes())
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW"))}
    environment |= {"MLFLOW_TRACKING_URI": uri, "ARTISTS_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    MlflowClient(uri).create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    return folder, write_corpus(folder / "corpus"), environment, MlflowClient(uri)


def launch(place, entry_point: str, **parameters: object) -> subprocess.Popen:
    given = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
    return subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "run", str(PROJECT), "-e", entry_point, *given,
            "--env-manager=local", "--experiment-name=tests",
        ],
        cwd=place[0], env=place[2], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def newest(place):
    client = place[3]
    return next(iter(client.search_runs([client.get_experiment_by_name("tests").experiment_id])), None)


def wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 250
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, "it ended before it was interrupted"
        time.sleep(0.05)


def epochs(place, run_id: str) -> list[int]:
    return [row.step for row in place[3].get_metric_history(run_id, "epoch/loss")]


TRAINING = {"clip": 1, "epochs": 40, "patience": 40, "split": "album", "seed": 3}


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_ends_a_training_as_killed_with_what_was_learned(place, number):
    process = launch(place, "train", data=place[1], **TRAINING)
    known = newest(place) and newest(place).info.run_id
    wait_for(lambda: (run := newest(place)) and run.info.run_id != known and epochs(place, run.info.run_id), process)
    # The whole foreground group, as a terminal does: `mlflow run` gets it too.
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=120)
    run = newest(place)
    wait_for_end(place, run.info.run_id)
    run = place[3].get_run(run.info.run_id)
    assert run.info.status == "KILLED", output
    done = epochs(place, run.info.run_id)
    assert done == list(range(len(done))) and len(done) < 40
    assert f"Interrupted after {len(done)} epoch(s). The best so far is epoch" in run.data.tags["mlflow.note.content"]
    assert f"-P resume={run.info.run_id}" in output and run.data.tags["resume_with"] in output
    assert (place[0] / "cache" / "checkpoints" / f"{run.info.run_id}.npz").is_file()
    assert not list((place[0] / "cache" / "outbox").iterdir())


def wait_for_end(place, run_id: str) -> None:
    """On SIGTERM `mlflow run` itself dies at once; on Ctrl-C it writes FAILED over KILLED, which is then put right."""
    deadline = time.monotonic() + 60
    while place[3].get_run(run_id).info.status != "KILLED" and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_featurize_computes_nothing_again(place):
    cache = place[0] / "cache" / "features"
    process = launch(place, "featurize", data=place[1], workers=1, n_mels=40)
    stored = set(cache.rglob("*.npy"))
    wait_for(lambda: len(set(cache.rglob("*.npy")) - stored) >= 3, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in set(cache.rglob("*.npy")) - stored}
    again = launch(place, "featurize", data=place[1], workers=1, n_mels=40)
    again.communicate(timeout=200)
    run = newest(place)
    assert 3 <= len(done) < 18 and again.returncode == 0
    assert run.data.metrics["tracks_computed"] == 18 - len(done)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def killed_after(place, seconds: float, **parameters: object) -> str:
    """Starts a training and kills it; returns the id of its run."""
    known = newest(place).info.run_id
    process = launch(place, "train", **parameters)
    wait_for(lambda: newest(place).info.run_id != known, process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return newest(place).info.run_id


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_kill_9_anywhere_and_resume_end_as_if_nothing_had_happened(place, seed):
    wanted = TRAINING | {"epochs": 3, "n_mels": 128 if seed % 2 else 160, "data": place[1]}
    whole = launch(place, "train", **wanted)
    began = time.monotonic()
    output, _ = whole.communicate(timeout=400)
    assert whole.returncode == 0, output
    lasted, expected = time.monotonic() - began, newest(place)
    rng, client, old = random.Random(seed), place[3], None
    for _ in range(3):
        old = old or killed_after(place, rng.uniform(0.1, 1.1) * lasted, **wanted)
        if client.get_run(old).info.status != "FINISHED":
            killed_after(place, rng.uniform(0.1, 1.1) * lasted, resume=old)
    if client.get_run(old).info.status != "FINISHED":
        process = launch(place, "train", resume=old)
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
    run = client.get_run(old)
    assert run.info.status == "FINISHED" and epochs(place, old) == [0, 1, 2]
    assert run.data.params == expected.data.params
    for name, value in expected.data.metrics.items():
        if name.startswith(("epoch/loss", "epoch/val", "test/", "val/")):
            assert run.data.metrics[name] == pytest.approx(value, abs=1e-4), name
            assert len(client.get_metric_history(old, name)) == (3 if name.startswith("epoch/") else 1), name


@pytest.mark.slow
def test_sync_as_an_entry_point_sends_what_a_dead_run_left(place, tmp_path, monkeypatch):
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path))
    place, client = (*place[:2], place[2] | {"ARTISTS_CACHE": str(tmp_path)}, place[3]), place[3]
    dead = client.create_run(client.get_experiment_by_name("tests").experiment_id).info.run_id
    box = Outbox(dead)
    box.put("metrics", rows=[["x", "nan", 1000, 0], ["x", 2.5, 1001, 1]])
    last = box.records()[-1].at
    box.close()
    process = launch(place, "sync")
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0 and f"{dead}: delivered 2 metric rows" in output
    run = client.get_run(dead)
    assert [row.step for row in client.get_metric_history(dead, "x")] == [0, 1]
    assert (run.info.status, run.info.end_time) == ("KILLED", last) and not box.folder.exists()
    assert newest(place).data.metrics["outboxes_done"] == 1 and newest(place).info.status == "FINISHED"


def test_a_checkpoint_holds_every_variable_of_the_optimizer(tmp_path):
    import keras

    from projects.artists.training import checkpoints

    def model():
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        schedule = keras.optimizers.schedules.CosineDecay(0.1, 50)
        network.compile(keras.optimizers.AdamW(schedule, ema_momentum=0.9, use_ema=True), "mse")
        return network

    first, x = model(), np.ones((4, 3))
    first.fit(x, np.zeros((4, 2)), epochs=5, verbose=0)
    checkpoints.save(tmp_path / "c.npz", first, checkpoints.State(epoch=5, best_weights=first.get_weights()))
    second = model()
    assert checkpoints.restore(tmp_path / "c.npz", second).epoch == 5
    assert int(second.optimizer.iterations) == 5
    assert float(second.optimizer.learning_rate) == float(first.optimizer.learning_rate)
    for network in (first, second):
        network.fit(x, np.zeros((4, 2)), epochs=3, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
