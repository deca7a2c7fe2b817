"""The pure part of the registry: gates worked by hand, the replay of a log, what aliases have to become."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import yaml

from registry import gates, history
from registry.history import Decision, State

POLICY = {
    "thresholds": {"test/song_f1": {"min": 0.4}, "ece": {"max": 0.2}},
    "against_champion": {"improvement": {"min": 0.8}, "worst_recall_drop": {"max": 0.25}},
    "comparison": {"statistic": "f1", "min_songs": 10, "min_artist_songs": 5},
}
GOOD = {"test/song_f1": 0.5, "ece": 0.1, "improvement": 0.9, "worst_recall_drop": 0.0}


def evaluated(evidence: dict, **said) -> gates.Verdict:
    return gates.evaluate(gates.policy_of(POLICY), {**GOOD, **evidence}, **{"rival": True, **said})


def test_the_policy_of_the_project_can_be_followed():
    file = Path(__file__).parents[2] / "registry" / "policy.yaml"
    policy = gates.policy_of(yaml.safe_load(file.read_text(encoding="utf-8")))
    names = {gate.name for gate in policy.thresholds}
    assert {"test/song_f1", "test/clip_f1", "golden_difference", "model_mb"} <= names
    assert {gate.name for gate in policy.rivalry} == {"improvement", "worst_recall_drop", "signature_changed"}


def test_the_first_model_that_meets_the_thresholds_is_champion_without_a_comparison():
    first = {name: GOOD[name] for name in ("test/song_f1", "ece")}
    assert gates.evaluate(gates.policy_of(POLICY), first, rival=False).role == "champion"
    below = gates.evaluate(gates.policy_of(POLICY), {**first, "test/song_f1": 0.39}, rival=False)
    assert below.role == "refused" and list(map(str, below.failures)) == ["test/song_f1: 0.39, at least 0.4 is needed"]


def test_a_later_model_is_champion_when_it_passes_every_gate_and_challenger_else():
    assert evaluated({}).role == "champion"
    assert evaluated({"improvement": 0.8, "worst_recall_drop": 0.25}).role == "champion"
    refused = evaluated({"improvement": 0.79, "worst_recall_drop": 0.3, "ece": 0.21})
    assert refused.role == "challenger"
    assert [failure.gate.name for failure in refused.failures] == ["ece", "improvement", "worst_recall_drop"]
    assert "ece: 0.21, at most 0.2 is needed" in refused.reason and "0.79" in refused.reason


def test_what_was_not_measured_or_is_no_number_passes_no_gate():
    assert evaluated({"ece": math.nan}).role == "challenger"
    policy = gates.policy_of(POLICY)
    missing = gates.evaluate(policy, {"ece": 0.1}, rival=False)
    assert [str(f) for f in missing.failures] == ["test/song_f1: not measured, at least 0.4 is needed"]


def test_models_that_cannot_be_compared_leave_the_champion_in_place():
    verdict = evaluated({}, not_comparable="3 songs")
    assert verdict.role == "challenger" and not verdict.failures and "3 songs" in verdict.reason


def test_recall_of_artists_with_few_songs_is_reported_and_not_gated():
    champion, candidate = {"a": 1.0, "b": 1.0, "c": 0.5}, {"a": 0.75, "b": 0.0, "c": 1.0}
    songs = {"a": 8, "b": 4, "c": 6}
    assert gates.recall_drop(champion, candidate, songs, 5) == (0.25, {"b": 1.0})
    assert gates.recall_drop(champion, candidate, songs, 4) == (1.0, {})
    assert gates.recall_drop(champion, candidate, songs, 9) == (0.0, {"a": 0.25, "b": 1.0})


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("thresholds", {"f1": 0.4}), ("thresholds", {"f1": {}}), ("thresholds", {"f1": {"least": 1}}),
        *(("thresholds", {"f1": {"min": bound}}) for bound in ("much", math.nan, True)),
        ("comparison", {"statistic": "f1"}), ("comparison", None), ("more", {}),
        ("comparison", {"statistic": "f1", "min_songs": 1.5, "min_artist_songs": 5}),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_followed_is_refused(part, value):
    with pytest.raises(gates.PolicyError):
        gates.policy_of({**POLICY, part: value})


def test_a_policy_with_the_former_name_of_a_part_is_read_and_one_with_both_is_refused():
    former = {"floors" if name == "thresholds" else name: part for name, part in POLICY.items()}
    assert gates.policy_of(former) == gates.policy_of(POLICY)
    with pytest.raises(gates.PolicyError, match="no others"):
        gates.policy_of({**POLICY, "floors": {}})


def test_the_digest_of_a_policy_changes_with_any_bound():
    other = {**POLICY, "thresholds": {**POLICY["thresholds"], "ece": {"max": 0.21}}}
    assert gates.policy_of(POLICY).digest == gates.policy_of(dict(reversed(POLICY.items()))).digest
    assert gates.policy_of(POLICY).digest != gates.policy_of(other).digest


def log(*entries: tuple) -> list[history.Step]:
    """Entries of action, version, against, role."""
    return history.replay(Decision(str(key), *entry) for key, entry in enumerate(entries))


def test_a_replay_worked_by_hand():
    steps = log(
        ("promote", "1", "", "champion"),
        ("promote", "2", "1", "challenger"),
        ("promote", "3", "1", "champion"),
        ("promote", "2", "1", "champion"),  # evaluated against 1, but 3 has become champion
        ("promote", "2", "3", "champion"),
        ("rollback", "3", "2", "champion"),
        ("rollback", "1", "3", "champion"),
        ("rollback", "1", "1", "champion"),  # there is nothing before the first
    )
    assert [step.valid for step in steps] == [True, True, True, False, True, True, True, False]
    assert [step.state.champion for step in steps] == ["1", "1", "3", "3", "2", "3", "1", "1"]
    assert steps[2].state.challenger == "2" and steps[4].state.challenger == ""
    assert history.state_of(steps) == State("1", "", ()) and history.state_of([]) == State()


def test_a_refusal_changes_nothing_and_an_entry_written_twice_counts_once():
    refusal = Decision("x", "promote", "1", "", "refused", test_digest="t")
    steps = history.replay([refusal, refusal, Decision("y", "promote", "2", "", "champion", test_digest="t")])
    assert [step.state.champion for step in steps] == ["", "2"]
    assert history.uses(steps, "t") == 2 and history.uses(steps, "u") == 0 and history.uses(steps, "") == 0


def test_of_two_decisions_against_one_champion_the_first_counts_in_every_order():
    entries = [("promote", version, "", "champion") for version in "123"]
    for order in itertools.permutations(entries):
        steps = log(*order)
        assert [step.valid for step in steps] == [True, False, False]
        assert history.state_of(steps).champion == order[0][1]


def test_entries_of_a_later_version_of_the_log_can_be_read():
    known = Decision("k", "promote", "1", "", "champion")
    assert Decision.of({**known.__dict__, "colour": "red"}) == known


def test_aliases_are_set_from_the_log_and_others_left_alone():
    state = State("3", "", ("1",))
    assert history.repairs(state, {}) == {"champion": "3"}
    others = {"champion": "2", "challenger": "3", "mine": "1"}
    assert history.repairs(state, others) == {"champion": "3", "challenger": ""}
    assert history.repairs(state, {"champion": "3"}) == {}
    assert history.repairs(State(), {"champion": "3"}) == {"champion": ""}
