"""The decision log: an ordered list of decisions, of which some took effect. Replaying it gives the champion.

MLflow's aliases have no compare-and-set, so they decide nothing. A decision names the champion that it was taken
against. It takes effect only if, where it stands in the log, that still is the champion: of two taken at once the first
in the log counts, and the other is void and has to be taken again, against the new champion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

PROMOTE, ROLLBACK = "promote", "rollback"
CHAMPION, CHALLENGER = "champion", "challenger"


@dataclasses.dataclass(frozen=True)
class Decision:
    """One entry.

    key: unique, so that an entry written twice counts once; action: promote or rollback; version: the candidate, or
    the version to go back to; against: the champion it was evaluated against, empty for none; role: what the version
    becomes; reason, numbers, policy_digest, test_digest: what it rests on; by, at (UTC, ISO): who and when.
    """

    key: str
    action: str
    version: str
    against: str
    role: str
    reason: str = ""
    by: str = ""
    at: str = ""
    policy_digest: str = ""
    test_digest: str = ""
    run_id: str = ""
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Decision:
        """From a mapping that may hold fields of later versions of this log."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


@dataclasses.dataclass(frozen=True)
class State:
    """Versions: champion and challenger, empty for none; former: champions before, the latest last."""

    champion: str = ""
    challenger: str = ""
    former: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Step:
    """A decision, whether it took effect, and the state behind it."""

    decision: Decision
    valid: bool
    state: State


def replay(decisions: Iterable[Decision]) -> list[Step]:
    """The log, in order, with what each decision did."""
    state, steps, seen = State(), [], set()
    for decision in decisions:
        if decision.key in seen:
            continue
        seen.add(decision.key)
        valid = decision.against == state.champion and _possible(decision, state)
        state = _after(decision, state) if valid else state
        steps.append(Step(decision, valid, state))
    return steps


def state_of(steps: list[Step]) -> State:
    return steps[-1].state if steps else State()


def repairs(state: State, aliases: Mapping[str, str]) -> dict[str, str]:
    """Alias -> version to set, or empty to remove it, where `aliases` do not say what the state says."""
    due = {CHAMPION: state.champion, CHALLENGER: state.challenger}
    return {alias: version for alias, version in due.items() if aliases.get(alias, "") != version}


def uses(steps: list[Step], test_digest: str) -> int:
    """How many decisions, void ones too, have looked at a set of test songs."""
    return sum(step.decision.test_digest == test_digest for step in steps) if test_digest else 0


def _possible(decision: Decision, state: State) -> bool:
    """A rollback goes to the champion before, and to no other."""
    return decision.action != ROLLBACK or state.former[-1:] == (decision.version,)


def _after(decision: Decision, state: State) -> State:
    if decision.action == ROLLBACK:
        return dataclasses.replace(state, champion=decision.version, former=state.former[:-1])
    if decision.role == CHAMPION:
        former = (*state.former, state.champion) if state.champion else state.former
        challenger = "" if state.challenger == decision.version else state.challenger
        return State(decision.version, challenger, former)
    if decision.role == CHALLENGER:
        return dataclasses.replace(state, challenger=decision.version)
    return state
