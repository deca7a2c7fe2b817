"""What is asked of a real tracking server whose answers get lost, and what is said when there is none."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import models
import pytest
from mlflow.tracking import MlflowClient

from projects.artists.errors import InputError
from projects.artists.tracking import candidates, model, others, reading, references, runs, server
from projects.artists.tracking.registry import Registry

NAMES = itertools.count()


@dataclasses.dataclass(frozen=True)
class Place:
    """A run with a reference and a model, a registered model of it, and a folder."""

    run_id: str
    model_uri: str
    registry: Registry
    folder: Path


@pytest.fixture(scope="session")
def model_of_server(tracking_server, tmp_path_factory) -> str:
    """URI of a model of three artists."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{tracking_server}")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "outbox")
        return models.log(tmp_path_factory.mktemp("model"))[1]


@pytest.fixture
def place(proxy, model_of_server, tmp_path) -> Place:
    # A run of its own, and through the proxy: MLflow remembers through what address it wrote the artifacts of a run.
    client, uri = MlflowClient(), model_of_server
    run_id = client.create_run(client.get_experiment_by_name("outbox").experiment_id).info.run_id
    client.set_tag(run_id, "model_uri", uri)
    client.log_metric(run_id, "val/song_f1", 0.5)
    client.set_terminated(run_id)
    client.log_text(run_id, "numbers", "reference.npz")
    client.log_text(run_id, "words", "notes/a.txt")
    registry = Registry(f"model{next(NAMES)}")
    registry.set_alias("mine", registry.register(uri, run_id))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "b.txt").write_text("b")
    return Place(run_id, uri, registry, tmp_path)


def log(place: Place) -> None:
    others.log(place.run_id, metrics={"x": 1, "y": 2}, tags={"t": "u"}, folder=place.folder / "files")


def append(place: Place) -> None:
    place.registry.append({"version": "1", "run_id": "", "role": "champion", "action": "promote"}, "a decision")


ASKED: dict[str, Callable[[Place], Any]] = {
    "existing": lambda p: server.existing(p.run_id).info.run_id,
    "best_run": lambda p: candidates.best_run("outbox", "val/song_f1"),
    "candidate": lambda p: candidates.fetch(p.run_id, p.folder / "work")[:2],
    "reference": lambda p: references.fetch(p.run_id, "reference.npz", p.folder).read_text(),
    "reference by URI": lambda p: references.fetch(f"runs:/{p.run_id}/notes/a.txt", "a.txt", p.folder).read_text(),
    "read": lambda p: reading.read(p.run_id).metrics,
    "children": lambda p: reading.children(p.run_id),
    "experiment": lambda p: p.run_id in [run.run_id for run in reading.experiment("outbox")],
    "artifact": lambda p: reading.artifact(p.run_id, "reference.npz", 100),
    "artifact names": lambda p: "reference.npz" in reading.artifact_names(p.run_id),
    "named run": lambda p: model.named(p.run_id),
    "named alias": lambda p: model.named(f"models:/{p.registry.name}@mine"),
    "model of run": lambda p: model.download_model(f"runs:/{p.run_id}/model", p.folder / "work").name,
    "model of version": lambda p: model.download_model(p.registry.uri("1"), p.folder / "work").name,
    "fail": lambda p: others.fail(p.run_id, "no reason"),
    "end": lambda p: others.end(p.run_id),
    "log": log,
    "tags": lambda p: others.tags(p.run_id, {"a": "b", "c": "d"}),
    "text": lambda p: others.text(p.run_id, "words", "words.txt"),
    "version": lambda p: p.registry.version_of(p.model_uri, p.run_id),
    "describe": lambda p: p.registry.describe("1", p.registry.description("1") + "words", {"a": "b"}),
    "run of version": lambda p: p.registry.run_of("1") == p.run_id,
    "alias": lambda p: p.registry.set_alias("mine", "1"),
    "no alias": lambda p: (p.registry.set_alias("mine", ""), p.registry.aliases())[1],
    "append": append,
}  # fmt: skip


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(server, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(server, "FIRST_WAIT", 0.01)


def lose_answers(proxy, ask: Callable[[], Any]) -> list[Any]:
    """Asks again and again, each time with a later piece of the answers lost, until none is; what was answered."""
    results = []
    for before in (0, 1, 2, 3, *(4**n for n in range(1, 7))):
        lost = proxy.trouble["drop one"]
        proxy.set("drop one", before)
        results.append(ask())
        proxy.set("pass")
        if proxy.trouble["drop one"] == lost:
            return results
    raise AssertionError("never ends")


# They download the whole model again and again.
LONG = ("candidate", "model of run", "model of version")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in ASKED])
def test_whatever_answer_is_lost_the_result_is_the_same(proxy, place, no_pause, name):
    calm = ASKED[name](place)
    results = lose_answers(proxy, lambda: ASKED[name](place))
    assert len(results) > 1 and all(each == calm for each in results)


@pytest.mark.parametrize("name", ASKED)
def test_a_server_that_stays_away_is_one_sentence_that_says_what_to_do(proxy, place, no_pause, monkeypatch, name):
    monkeypatch.setattr(server.retry, "__defaults__", (0.1,))
    proxy.set("refuse")
    with pytest.raises(InputError) as caught:
        ASKED[name](place)
    message = str(caught.value)
    assert f"The tracking server {proxy.uri} did not answer" in message and "MLFLOW_TRACKING_URI" in message
    assert "MLflow UI" not in message


def test_nothing_is_made_twice_though_answers_get_lost(proxy, place, client, no_pause):
    parent = runs.Run(place.run_id)
    created = lose_answers(proxy, lambda: runs.new_child(parent, f"child {next(NAMES)}", {"kind": "fold"}))
    assert sorted(created) == sorted(run.run_id for run in reading.children(place.run_id)) and len(created) > 2
    registries = []

    def register() -> str:
        registries.append(Registry(f"model{next(NAMES)}"))
        return registries[-1].register(place.model_uri, place.run_id)

    assert set(lose_answers(proxy, register)) == {"1"}
    for registry in registries:
        assert len(client.search_model_versions(f"name='{registry.name}'")) == 1
    times = len(client.get_metric_history(place.run_id, "y"))
    logged = lose_answers(proxy, lambda: log(place))
    assert len(client.get_metric_history(place.run_id, "y")) == times + len(logged)


def test_a_model_is_logged_though_an_answer_got_lost(proxy, no_pause, tmp_path):
    system, golden = models.write_system(tmp_path, models.card_of())
    with runs.start() as run:
        proxy.set("drop one")
        uri = model.log_model(system, golden, tmp_path)
        assert proxy.trouble["drop one"] == 1
        run.tags({"model_uri": uri})
    assert (model.download_model(run.run_id, tmp_path / "back") / "MLmodel").is_file()


def test_what_the_server_does_not_have_is_said_at_once(place):
    none = "0" * 32
    for ask, what in {
        lambda: reading.read(none): "no such run in http",
        lambda: references.fetch(none, "reference.npz", place.folder): "neither a reference file nor a run",
        lambda: references.fetch(place.run_id, "other.npz", place.folder): "that run has no such file",
        lambda: model.named(none): "Copy a run id",
        lambda: model.download_model(f"models:/{place.registry.name}@nobody", place.folder): "Copy a run id",
        lambda: candidates.fetch(none, place.folder): "Copy a run id",
    }.items():
        with pytest.raises(InputError, match=what):
            ask()
    assert reading.artifact(place.run_id, "nothing", 100) is None


def test_a_call_that_could_make_something_twice_is_not_repeated_blindly(place):
    with pytest.raises(AttributeError, match="lost="):
        server.client("making a run").create_run("0")


def test_a_run_is_active_for_a_while_though_answers_get_lost(proxy, place, no_pause):
    def active() -> str:
        with runs.active(runs.Run(place.run_id)):
            return mlflow.active_run().info.run_id

    assert set(lose_answers(proxy, active)) == {place.run_id} and mlflow.active_run() is None
