"""Which trial is next, whose it is, what becomes of the lost: on SQLite, and on PostgreSQL with three processes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from projects.artists.errors import InputError
from projects.artists.workflows import engine
from projects.artists.workflows.engine import TrialFailed
from projects.artists.workflows.search import report
from projects.artists.workflows.search.space import SearchSpace
from projects.artists.workflows.search.study import SeededSampler, enqueue, make_pruner, open_study, work

PROJECT = Path(__file__).parents[2]
SPACE = SearchSpace({"x": {"low": 0.0, "high": 1.0}, "kind": ["a", "b"]}, {})
PUBLISHED = {"x": 0.5, "kind": "a"}


def opened(url, name="s", *, identity=None, seed=0, pruner="none", max_retry=1):
    made = engine.open_storage(url, max_retry=max_retry, heartbeat=1)
    attributes = {"identity": identity or {"data": "demo"}}
    with engine.exclusive(url, name):
        got = open_study(
            made, name, ["val/song_f1"],
            sampler=SeededSampler(seed), pruner=make_pruner(pruner, 9), attributes=attributes,
        )  # fmt: skip
        enqueue(got, SPACE, [PUBLISHED], "published")
    return got


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'studies' / 'searches.db'}"


def values(trial):
    pinned = trial.user_attrs.get("pinned", {})
    x = pinned.get("x") or trial.suggest_float("x", 0.0, 1.0)
    return x, trial.suggest_categorical("kind", ["a", "b"])


def peak(trial):
    x, kind = values(trial)
    return 1 - (x - 0.3) ** 2 - (kind == "b")


def points(made):
    return [(trial.params["x"], trial.params["kind"]) for trial in made.trials]


def test_the_page_of_plots_offers_no_upload_and_forbids_the_network(url):
    made = opened(url)
    work(made, url, peak, limit=3)
    page = report.study_page(made, ["val/song_f1"])
    drawn, listed = page.count('"showSendToCloud": false'), re.findall(r'"modeBarButtons": (\[\[.*?\]\])', page)
    assert drawn == len(listed) >= 4 and "sendChartToCloud" not in str(listed)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)[1]
    assert "form-action 'none'" in policy and "base-uri 'none'" in policy


def test_the_published_configuration_is_the_first_trial_and_there_are_as_many_as_asked_for(url):
    made = opened(url)
    work(made, url, peak, limit=12)
    assert len(made.trials) == 12 and points(made)[0] == (0.5, "a")
    assert made.trials[0].user_attrs["source"] == "published"


def test_a_study_with_a_seed_repeats_itself_and_another_seed_is_another_study(tmp_path):
    found = []
    for i, seed in enumerate((7, 7, 8)):
        url = f"sqlite:///{tmp_path / str(i) / 'searches.db'}"
        made = opened(url, seed=seed)
        work(made, url, peak, limit=10)
        found.append(points(made))
    assert found[0] == found[1] != found[2] and len(set(found[0])) == 10


def test_a_study_that_goes_on_in_a_new_process_neither_repeats_nor_changes_its_trials(url, tmp_path):
    whole = f"sqlite:///{tmp_path / 'whole' / 'searches.db'}"
    work(opened(whole), whole, peak, limit=9)
    work(opened(url), url, peak, limit=4)
    again = opened(url)
    work(again, url, peak, limit=9)
    assert points(again) == points(opened(whole))


def test_a_trial_that_fails_says_why_and_the_study_goes_on(url):
    made = opened(url)

    def train(trial):
        if trial.number == 2:
            raise TrialFailed("the loss became nan")
        return peak(trial)

    work(made, url, train, limit=5)
    assert [t.state == TrialState.FAIL for t in made.trials] == [False, False, True, False, False]


def test_an_error_that_is_no_failure_of_a_trial_ends_the_search(url):
    def train(trial):
        raise ValueError("a fault of the program")

    with pytest.raises(ValueError, match="a fault"):
        work(opened(url), url, train, limit=2)
    with engine.exclusive(url, "s"):
        pass


def test_a_trial_that_others_took_for_lost_ends_nothing_but_itself(url):
    made = opened(url)

    def train(trial):
        if trial.number == 1:
            made.tell(trial.number, state=TrialState.FAIL)
        return peak(trial)

    work(made, url, train, limit=3)
    assert [t.state.name for t in made.trials] == ["COMPLETE", "FAIL", "COMPLETE"]


def test_an_interrupted_trial_is_on_the_list_again_with_its_values(url):
    made = opened(url)

    def train(trial):
        if len(made.trials) == 3:
            trial.suggest_float("x", 0.0, 1.0)
            raise KeyboardInterrupt
        return peak(trial)

    with pytest.raises(KeyboardInterrupt):
        work(made, url, train, limit=4)
    work(opened(url), url, peak, limit=4)
    ended = [t for t in made.trials if t.state == TrialState.COMPLETE]
    assert len(ended) == 4 and made.trials[3].params["x"] == made.trials[2].params["x"]


def test_no_trial_starts_after_the_deadline(url):
    made, now = opened(url), time.monotonic()
    work(made, url, peak, limit=None, deadline=now - 1)
    assert [t.state for t in made.trials] == [TrialState.WAITING]


def test_a_point_outside_of_the_space_is_tried_as_it_is_and_once(url):
    made = opened(url)
    for _ in range(2):
        enqueue(made, SPACE, [{"x": 3.0, "kind": "b"}, PUBLISHED], "point")
    seen = []
    work(made, url, lambda trial: seen.append(values(trial)) or 0.0, limit=3)
    assert seen[:2] == [(0.5, "a"), (3.0, "b")] and len(made.trials) == 3
    assert "x" not in made.trials[1].params


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_hopeless_trial_is_pruned_by_its_first_epochs(url, pruner):
    made = opened(url, pruner=pruner)

    def train(trial):
        level = 0.0 if trial.number >= 9 else 1.0 + trial.number / 100
        for epoch in range(9):
            trial.report(level, epoch + 1)
            if trial.should_prune():
                raise optuna.TrialPruned
        return level

    work(made, url, train, limit=14)
    late = made.trials[9:]
    assert TrialState.PRUNED in {t.state for t in late} and made.trials[0].state == TrialState.COMPLETE
    assert min(max(t.intermediate_values) for t in late if t.state == TrialState.PRUNED) < 4


def test_a_study_of_something_else_is_not_joined(url):
    opened(url)
    with pytest.raises(InputError, match=r"data \(\"demo\" there, \"mine\" here\)"):
        opened(url, identity={"data": "mine"})


@pytest.mark.parametrize("url", ["mysql://host/db", "journal.log", "redis://host"])
def test_a_storage_that_workers_cannot_share_is_refused(url):
    with pytest.raises(InputError, match="sqlite:///FILE"):
        engine.storage_url(url)


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path):
    url = engine.storage_url(f"postgresql://nobody@/nothing?host={tmp_path}")
    with pytest.raises(InputError, match="does not answer"):
        engine.open_storage(url, max_retry=0, heartbeat=1)


DIES_TAKING_A_TRIAL = """
import os, signal, sys
from projects.artists.workflows import engine
from projects.artists.workflows.search.study import SeededSampler, make_pruner, open_study, work

class Dying(SeededSampler):
    def before_trial(self, study, trial):
        os.kill(os.getpid(), signal.SIGKILL)

made = engine.open_storage(sys.argv[1], max_retry=1, heartbeat=1)
study = open_study(made, "s", ["val/song_f1"], sampler=Dying(0), pruner=make_pruner("none", 1),
                   attributes={"identity": {"data": "demo"}})
work(study, sys.argv[1], lambda trial: 0.0, limit=2)
"""


def test_a_worker_that_dies_before_its_trials_first_sign_of_life_keeps_nobody_waiting(url):
    made = opened(url)
    died = subprocess.run([sys.executable, "-c", DIES_TAKING_A_TRIAL, url], cwd=PROJECT, timeout=120)
    assert died.returncode == -9 and [t.state for t in made.trials] == [TrialState.RUNNING]
    work(made, url, peak, limit=2)
    assert [t.state.name for t in made.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert made.trials[1].params == PUBLISHED, "the trial that it had taken"


WORKER = """
import os, signal, sys
from projects.artists.workflows import engine
from projects.artists.workflows.search.study import SeededSampler, make_pruner, open_study, work
from projects.artists.tracking import runs

url, parent, poisoned = sys.argv[1], runs.Run(sys.argv[2]), int(sys.argv[3])
made = engine.open_storage(url, max_retry=1, heartbeat=1)
with engine.exclusive(url, "s"):
    study = open_study(made, "s", ["val/song_f1"], sampler=SeededSampler(0), pruner=make_pruner("none", 1),
                       attributes={"identity": {}})

def train(trial):
    first = study.trials[trial.number].system_attrs.get("failed_trial", trial.number)
    with runs.child(parent, f"trial {trial.number}", {"trial": str(trial.number)}) as run:
        trial.set_user_attr("run_id", run.run_id)
        x = trial.suggest_float("x", 0, 1)
        if first == poisoned:
            os.kill(os.getpid(), signal.SIGKILL)
        run.metrics({"value": x})
    return x

work(study, url, train, limit=9, poll=0.2)
"""


@pytest.mark.slow
def test_three_workers_on_postgresql_share_a_study_that_kills_two_of_them(postgresql, tmp_path):
    client = MlflowClient()
    parent = client.create_run(client.create_experiment("workers", artifact_location=(tmp_path / "a").as_uri()))
    url = engine.storage_url(postgresql)
    command = [sys.executable, "-c", WORKER, url, parent.info.run_id, "2"]
    workers = [
        subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [worker.communicate(timeout=200)[1] for worker in workers]
    assert sorted(worker.returncode for worker in workers) == [-9, -9, 0], said

    trials = optuna.load_study(study_name="s", storage=url).trials
    lost = [t for t in trials if t.state == TrialState.FAIL]
    assert [t.system_attrs.get("failed_trial", t.number) for t in lost] == [2, 2]
    assert lost[0].params == lost[1].params and len(trials) == 10

    children = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", max_results=100
    )
    ended = {t.user_attrs["run_id"]: t.value for t in trials if t.state == TrialState.COMPLETE}
    finished = {r.info.run_id: r.data.metrics["value"] for r in children if r.info.status == "FINISHED"}
    assert finished == pytest.approx(ended) and len(ended) == 8
    failed = {r.info.run_id: r.data.tags["failure"] for r in children if r.info.status == "FAILED"}
    assert set(failed) == {t.user_attrs["run_id"] for t in lost} and len(children) == 10
    assert "retry 1 of 1" in failed[lost[0].user_attrs["run_id"]]
    assert "max_retry=1" in failed[lost[1].user_attrs["run_id"]]
    assert mlflow.active_run() is None
