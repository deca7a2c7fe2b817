"""Promotions against a real store: the log and the aliases, two processes at once, and whole ones with two models."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import models
import numpy as np
import pytest
import yaml
from mlflow.tracking import MlflowClient

from projects import promote
from projects.artists.audio.features import FeatureConfig
from projects.artists.data import corpora, prepare, recordings
from projects.artists.data.cache import audio_digest
from projects.artists.data.featurize import featurize
from projects.artists.data.options import DataOptions
from projects.artists.errors import InputError
from projects.artists.package import card as saved
from projects.artists.tracking import candidates
from projects.artists.tracking.registry import Registry
from projects.artists.tracking.runs import Run
from projects.artists.workflows.promote import decide, evidence
from projects.artists.workflows.promote.decide import PromoteOptions
from registry import gates, history
from tests.data.test_recordings import melody, mp3

PROJECT = Path(__file__).parents[2]
SCORES = {"test/song_f1": 0.9, "test/clip_f1": 0.8, "test/song_ece_calibrated": 0.1, "val/song_f1": 0.8}


def registered(registry: Registry, number: int) -> str:
    run_id = f"{number:032x}"
    return registry.register(f"runs:/{run_id}/model", run_id)


def decided(registry: Registry, version: str, role: str = "champion", **said) -> history.Step:
    return decide.decide(
        registry,
        lambda state: decide.signed(action="promote", version=version, against=state.champion, role=role, **said),
    )


@pytest.fixture
def registry() -> Registry:
    return Registry("tested")


def test_the_log_keeps_every_decision_in_order_and_aliases_follow_it(registry):
    assert registry.entries() == [] and decide.follow(registry) == history.State()
    one, two, three = (registered(registry, i) for i in (1, 2, 3))
    assert registered(registry, 2) == two, "a run is one version however often it is promoted"
    decided(registry, one, reason="first", numbers={"f1": 0.5})
    decided(registry, two, "challenger", reason="worse")
    decide.follow(registry)
    assert registry.aliases() == {"champion": one, "challenger": two}
    decided(registry, three)
    decide.follow(registry)
    assert registry.aliases() == {"champion": three, "challenger": two}
    assert [entry["reason"] for entry in registry.entries()] == ["first", "worse", ""]
    assert registry.entries()[0]["numbers"] == {"f1": 0.5} and registry.entries()[0]["by"]
    shown = MlflowClient().search_model_versions("name='tested-decisions'")
    assert len(shown) == 3 and all("promote of version" in version.description for version in shown)


def test_an_alias_that_somebody_has_moved_is_repaired(registry):
    one, two = registered(registry, 1), registered(registry, 2)
    decided(registry, one)
    decide.follow(registry)
    registry.set_alias("champion", two)
    registry.set_alias("mine", two)
    decide.follow(registry)
    assert registry.aliases() == {"champion": one, "mine": two}
    registry.set_alias("champion", "")
    decide.follow(registry)
    assert registry.aliases()["champion"] == one


def test_rollback_goes_back_one_champion_at_a_time(registry):
    options = PromoteOptions(action="rollback", name=registry.name)
    with pytest.raises(InputError, match="no champion before"):
        decide.rollback(options)
    versions = [registered(registry, i) for i in range(3)]
    for version in versions:
        decided(registry, version)
    assert decide.rollback(PromoteOptions(action="rollback", name=registry.name, dry_run=True)).version == versions[1]
    assert registry.aliases().get("champion") == versions[2]
    for version in reversed(versions[:2]):
        assert decide.rollback(options).version == version and registry.aliases()["champion"] == version
    with pytest.raises(InputError, match="no champion before"):
        decide.rollback(options)
    assert [entry["action"] for entry in registry.entries()] == ["promote"] * 3 + ["rollback"] * 2


def test_a_decision_against_a_champion_of_before_is_taken_again(registry):
    one, two = registered(registry, 1), registered(registry, 2)
    seen = []

    def consider(state: history.State) -> history.Decision:
        if not seen:
            decided(registry, two)  # another process is faster
        seen.append(state.champion)
        return decide.signed(action="promote", version=one, against=state.champion, role="champion")

    step = decide.decide(registry, consider)
    assert seen == ["", two] and step.valid and step.state.champion == one and step.state.former == (two,)
    assert [s.valid for s in decide.steps_of(registry)] == [True, False, True]


def race(tmp_path: Path, rounds: int, seed: int) -> dict:
    environment = os.environ | {"RACE_COUNT": str(tmp_path / "count"), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, str(PROJECT / "tests" / "race.py"), str(rounds), str(seed)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")
def test_of_two_promotions_at_once_one_wins_and_a_killed_one_harms_nothing(tmp_path):
    told = race(tmp_path, rounds=4, seed=0)
    assert told["killed"] >= 1 and told["decisions"] >= 4


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")
def test_thirty_rounds_of_two_promotions_at_once(tmp_path):
    told = race(tmp_path, rounds=30, seed=1)
    assert told["killed"] >= 10 and told["decisions"] >= 30 and told["void"] >= 1


def test_only_validation_chooses():
    for metric in ("test/song_f1", "epoch/loss", "song_f1"):
        with pytest.raises(InputError, match="is not of validation"):
            PromoteOptions(experiment_name="x", metric=metric)
    for given in ({}, {"run_id": "a", "experiment_name": "b"}):
        with pytest.raises(InputError, match="give run_id"):
            PromoteOptions(**given)


def test_the_best_run_is_that_of_the_finished_ones_with_a_model():
    client = MlflowClient()
    experiment = client.create_experiment("chosen")
    with pytest.raises(InputError, match="No finished run of chosen has a model and val/song_f1"):
        candidates.best_run("chosen", "val/song_f1")

    def run(f1: float, *, loss: float = 1.0, status: str = "FINISHED", tags: dict | None = None) -> str:
        made = client.create_run(experiment, tags={"model_uri": "models:/m-1"} if tags is None else tags)
        client.log_metric(made.info.run_id, "val/song_f1", f1)
        client.log_metric(made.info.run_id, "val/song_log_loss", loss)
        client.set_terminated(made.info.run_id, status)
        return made.info.run_id

    run(0.9, status="KILLED")
    run(0.8, tags={})
    first, low = run(0.5), run(0.4, loss=0.2)
    assert candidates.best_run("chosen", "val/song_f1") == first
    assert candidates.best_run("chosen", "val/song_log_loss") == low
    with pytest.raises(InputError, match=r"experiment_name=nothing is unknown; this store has .*chosen"):
        candidates.best_run("nothing", "val/song_f1")


def card_and_digests(songs: dict[str, list[Path]], root: Path, **changes):
    digests = {path: audio_digest(path) for paths in songs.values() for path in paths}
    settings = {"data": str(root), "clip": 1.0, "split": "album", "model": "crnn", "seed": 0, "recipe": "published"}
    given = {"classes": sorted(songs), "songs": {"train": ["t"], "val": ["v"], "test": sorted(digests.values())}}
    return models.card_of(**{**given, "settings": settings, **changes}), digests


@pytest.fixture
def songs(common_corpus) -> dict[str, list[Path]]:
    return {folder.name: sorted(folder.rglob("*.flac")) for folder in sorted(common_corpus.iterdir())}


def test_songs_in_common_are_those_that_neither_model_has_learned_from(common_corpus, songs, in_process):
    card, digests = card_and_digests(songs, common_corpus)
    mine, other, twin, free = (digests[path] for path in songs["artist0"][:4])
    own = {"train": [mine], "val": [], "test": sorted(digests.values())}
    card = models.card_of(classes=sorted(songs), songs=own, groups={twin: "g", "elsewhere": "g"})
    rival = models.card_of(classes=sorted(songs), songs={"train": ["elsewhere"], "val": [other], "test": []})
    learned = [recordings.learned(Path("nowhere"), c.songs, c.groups, c.feature_config) for c in (card, rival)]
    found = {audio_digest(song.path) for song in evidence.common_songs(card, learned, str(common_corpus), 1)}
    assert found == set(digests.values()) - {mine, other, twin} and free in found


def model_of(folder: Path, data: Path, classes: list[str] | None = None, **changes) -> evidence.Candidate:
    """A card as train leaves it, of a corpus whose features this computes, in a folder of a packaged model."""
    options = DataOptions(data=str(data), clip=1.0, split="song")
    prepared = prepare.prepare(*prepare.read_features(options, FeatureConfig()), options, seed=0)
    digests = {
        subset: [prepared.features.entries[track.track_id].audio_digest for track in prepared.used(subset)]
        for subset in prepared.tracks
    }
    card = models.card_of(**{"classes": prepared.classes, "songs": digests, "settings": {"data": str(data)}, **changes})
    system = folder / "artifacts" / "system"
    system.mkdir(parents=True)
    (system / saved.CARD).write_text(json.dumps(dataclasses.asdict(card)), encoding="utf-8")
    return evidence.Candidate("r", "m", {}, folder)


@pytest.fixture
def two_corpora(tmp_path, write_audio, in_process) -> tuple[Path, Path]:
    """Two artists of ten songs as mp3, and the same music as FLAC, where each artist has ten more."""
    for a, s in itertools.product(range(2), range(20)):
        y = melody(100 * a + s, 10)
        write_audio(tmp_path / "flac" / f"artist{a}" / "album" / f"song{s:02}.flac", y * 0.8)
        if s < 10:
            copy = tmp_path / "mp3" / f"artist{a}" / "album" / f"song{s:02}.mp3"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(mp3(y, 64).getvalue())
    return tmp_path / "mp3", tmp_path / "flac"


def digests_of(folder: Path) -> list[str]:
    return sorted(audio_digest(path) for path in folder.rglob("*.*") if path.is_file())


def compared(candidate: evidence.Candidate, champion: evidence.Candidate, data: Path) -> float:
    """Songs that promote would compare on: more are asked for than there are, so that nothing is scored."""
    policy = gates.Policy((), (), "f1", 10**6, 2, "")
    comparison = evidence.compare(candidate, champion.folder, policy, str(data), 1)
    assert "test songs are new to both" in comparison.why_not
    return comparison.numbers["common_songs"]


def test_copies_in_another_encoding_of_what_the_champion_has_learned_are_not_compared_on(tmp_path, two_corpora):
    older, newer = two_corpora
    tested = {"train": [], "val": [], "test": digests_of(newer)}
    learned = {"train": digests_of(older), "val": [], "test": []}
    champion = model_of(tmp_path / "champion", older, songs=learned)
    assert compared(model_of(tmp_path / "candidate", newer, songs=tested), champion, newer) == 20
    # And the other way round: the candidate is tested on what it has learned in another encoding itself.
    both = model_of(tmp_path / "both", newer, songs={**tested, "train": learned["train"]})
    stranger = model_of(tmp_path / "stranger", older, songs={"train": [], "val": [], "test": []})
    assert compared(both, stranger, newer) == 20


def test_the_fingerprints_of_a_model_travel_with_it_whatever_its_features(tmp_path, two_corpora, monkeypatch, caplog):
    """On a machine that has never heard what the champion has learned."""
    older, newer = two_corpora
    candidate = model_of(tmp_path / "candidate", newer, songs={"train": [], "val": [], "test": digests_of(newer)})
    champion = model_of(
        tmp_path / "champion", older, songs={"train": digests_of(older), "val": [], "test": []},
        features=dataclasses.asdict(FeatureConfig(sr=22050, hop_length=706)),
    )  # fmt: skip
    config = champion.card.feature_config
    entries = featurize(corpora.load(str(older)), config).entries.values()
    recordings.write(champion.folder / evidence.SYSTEM, recordings.of_entries(entries, config))
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "elsewhere"))
    shutil.rmtree(older)
    assert compared(candidate, champion, newer) == 20 and not caplog.messages
    # A model of an earlier version has no such file: its bytes alone are compared, which is said.
    (champion.folder / evidence.SYSTEM / recordings.FILE).unlink()
    assert compared(candidate, champion, newer) == 40
    assert "20 of the 20 songs that the model has learned from have no fingerprint" in caplog.text


def test_copies_that_two_models_know_through_different_songs_are_one_recording(tmp_path, two_corpora):
    older, newer = two_corpora
    first, *others = digests_of(newer)
    tested = {"train": [], "val": [], "test": [first, *others]}
    mine = model_of(tmp_path / "mine", newer, songs=tested, groups={first: "aa", "bridge": "aa"})
    rival = {"songs": {"train": ["cc"], "val": [], "test": []}, "groups": {"bridge": "cc", "cc": "cc"}}
    assert compared(mine, model_of(tmp_path / "rival", older, **rival), newer) == len(others)


def test_numbers_of_two_models_on_the_same_songs_worked_by_hand():
    policy = gates.Policy((), (), "accuracy", 2, 2, "")
    truth = ["a", "a", "a", "a", "b", "b", "c"]
    old = ["a", "a", "a", "b", "b", "b", "c"]
    new = ["a", "a", "b", "b", "b", "b", "a"]
    numbers, reported = evidence.rivalry(truth, old, new, policy)
    assert numbers["champion_accuracy"] == pytest.approx(6 / 7)
    assert numbers["candidate_accuracy"] == pytest.approx(4 / 7)
    assert numbers["worst_recall_drop"] == pytest.approx(0.25) and reported == {"c": 1.0}
    assert numbers["common_songs"] == 7 and numbers["improvement"] < 0.2
    assert evidence.rivalry(truth, old, old, policy)[0]["improvement"] == 0.5


def killed_before_the_alias(command: list[str], store: Path, registry: Registry) -> None:
    """Runs a promotion whose decision the store takes and whose alias it refuses, and kills it in between."""
    with contextlib.closing(sqlite3.connect(store)) as database:
        database.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON registered_model_aliases BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # Once its decision is written the process tries to write the alias, again and again.
        while process.poll() is None and not registry.entries():
            time.sleep(0.1)
        process.kill()
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said
        database.execute("DROP TRIGGER refused")


def test_a_promotion_killed_between_its_decision_and_the_alias_is_completed_by_the_same_command(
    tmp_path, common_corpus, songs
):
    run_id, _ = models.log(tmp_path / "model", card_and_digests(songs, common_corpus)[0], metrics=SCORES)
    registry = Registry("artist-classifier")
    command = [sys.executable, "-m", "projects.promote", "--run_id", run_id]
    killed_before_the_alias(command, tmp_path / "mlflow.db", registry)
    assert len(registry.entries()) == 1 and registry.aliases() == {}
    again = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert registry.aliases() == {"champion": "1"} and len(registry.entries()) == 1, again.stderr
    assert "The alias champion of artist-classifier is set to version 1" in again.stderr
    assert "version 1 of artist-classifier is the champion already" in again.stderr
    # An alias that is left on another version is no different; a dry run leaves it there.
    other = registered(registry, 2)
    registry.set_alias("champion", other)
    for flags, champion in ({"dry_run": "true"}, other), ({}, "1"):
        with mlflow.start_run() as active, pytest.raises(InputError, match="champion already"):
            promote.run(promote.COMMAND.read({"run_id": run_id, **flags}), Run(active.info.run_id))
        assert registry.aliases() == {"champion": champion}


@pytest.mark.slow
def test_a_model_becomes_champion_a_better_one_follows_and_a_rollback_brings_it_back(
    tmp_path, common_corpus, songs, capsys
):
    policy = tmp_path / "policy.yaml"
    values = yaml.safe_load((PROJECT / "registry" / "policy.yaml").read_text(encoding="utf-8"))
    policy.write_text(yaml.safe_dump(values | {"comparison": {**values["comparison"], "min_songs": 6}}))
    half = {name: paths[::2] for name, paths in songs.items()}
    card, _ = card_and_digests(half, common_corpus)
    said = {"policy": str(policy), "workers": "1"}

    def promoted(**flags: str) -> tuple[str, object]:
        with mlflow.start_run() as active:
            run = Run(active.info.run_id)
            promote.run(promote.COMMAND.read(flags if "action" in flags else said | flags), run)
            assert run.flush()
        return capsys.readouterr().out, MlflowClient().get_run(active.info.run_id)

    poor, _ = models.log(tmp_path / "poor", card, metrics=SCORES)
    good, _ = models.log(tmp_path / "good", card, metrics=SCORES, songs=half)
    text, _ = promoted(run_id=poor, dry_run="true")
    assert "CHAMPION" in text and "dry run" in text and Registry("artist-classifier").entries() == []
    below, _ = models.log(tmp_path / "below", card, metrics={**SCORES, "test/song_f1": 0.1})
    text, _ = promoted(run_id=below)
    assert "REFUSED" in text and "test/song_f1: 0.1, at least 0.4 is needed" in text
    text, run = promoted(run_id=poor)
    assert "CHAMPION" in text and "used for 2 decision(s)" in text
    assert run.data.tags["role"] == "champion" and run.data.metrics["golden_difference"] < 1e-3
    text, run = promoted(run_id=good)
    assert run.data.tags["role"] == "champion" and run.data.metrics["improvement"] > 0.8, text
    assert run.data.metrics["candidate_f1"] == 1 and "compared with version 2" in text
    text, run = promoted(run_id=below)
    assert run.data.tags["role"] == "challenger" and "improvement: 0, at least 0.8" in text
    loaded = mlflow.pyfunc.load_model("models:/artist-classifier@champion")
    assert loaded.metadata.run_id == good
    version = MlflowClient().get_model_version_by_alias("artist-classifier", "champion")
    assert version.tags["test_digest"] == card.subset_digest("test") and version.tags["decision_from"] == "2"
    assert good in version.description and "crnn" in version.description
    text, _ = promoted(action="history")
    assert text.count("promote of version") == 4 and "Champion of artist-classifier: 3" in text
    text, _ = promoted(action="rollback")
    assert "Version 2 of artist-classifier is the champion again" in text
    with pytest.raises(InputError, match="champion already"):
        promoted(run_id=poor)
    others = models.card_of(**{**card.__dict__, "classes": ["artist0", "artist1", "someone"]})
    strange, _ = models.log(tmp_path / "strange", others, metrics=SCORES)
    text, run = promoted(run_id=strange)
    assert run.data.tags["role"] == "challenger" and "not comparable: the champion knows other artists" in text


def test_a_spoiled_model_does_not_repeat_its_golden_clips():
    kept = evidence.golden.Golden([b""], np.array([[0.5, 0.5]]), np.array([[1.0, 2.0]]), np.array([1.0]))
    assert kept.difference(kept.proba, kept.embedding) == 0
    assert kept.difference(kept.proba + 0.01, kept.embedding) == pytest.approx(0.01)
    assert kept.difference(kept.proba, kept.embedding * 1.1) == pytest.approx(0.1)
    assert kept.difference(kept.proba[:, :1], kept.embedding) == np.inf
    assert kept.difference(kept.proba * np.nan, kept.embedding) == np.inf
