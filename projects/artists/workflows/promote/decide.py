"""Promotion: the evidence for a trained model, the verdict of registry/policy.yaml on it, and the log of decisions.

MLflow's aliases can be overwritten by anyone at any time. So the log decides (registry/history.py), and the aliases are
set from it, until the log has not changed meanwhile. Each command that decides does so first, which repairs what a
killed process left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import getpass
import json
import logging
import math
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from registry import gates, history
from registry.gates import Policy, Verdict
from registry.history import Decision, State, Step

from ...data.machine import processes
from ...data.paths import given_path
from ...errors import InputError
from ...evaluation.metrics import LABEL_METRICS
from ...evaluation.names import metric_name
from ...tracking import model
from ...tracking.registry import Registry
from ..options import PromoteOptions
from . import evidence
from .evidence import Candidate, Comparison

POLICY = Path(__file__).resolve().parents[4] / "registry" / "policy.yaml"
ATTEMPTS = 20
ARCHITECTURE = ("model", "clip", "split", "recipe", "seed")
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a decision came to: its verdict, the numbers it rests on, and the version, empty for a dry run."""

    verdict: Verdict
    numbers: Mapping[str, float]
    version: str
    champion: str
    comparison: Comparison
    test_uses: int


def read_policy(path: str | None) -> Policy:
    """Raises InputError where it cannot be read or followed."""
    file = given_path("policy", path) if path else POLICY
    try:
        policy = gates.policy_of(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, RuntimeError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"policy={file} cannot be used: {error}") from error
    if policy.statistic not in LABEL_METRICS:
        raise InputError(f"policy={file}: statistic {policy.statistic} is none of {', '.join(LABEL_METRICS)}.")
    # A policy may name metrics as earlier versions did.
    thresholds = tuple(dataclasses.replace(gate, name=metric_name(gate.name)) for gate in policy.thresholds)
    return dataclasses.replace(policy, thresholds=thresholds)


# The log


def steps_of(registry: Registry) -> list[Step]:
    return history.replay(Decision.of(entry) for entry in registry.entries())


def follow(registry: Registry) -> State:
    """Makes the aliases say what the log says; repeated until the log stands still meanwhile."""
    while True:
        entries = registry.entries()
        state = history.state_of(history.replay(map(Decision.of, entries)))
        for alias, version in history.repairs(state, registry.aliases()).items():
            registry.set_alias(alias, version)
            place = f"set to version {version}" if version else "removed"
            log.info("The alias %s of %s is %s, as the decision log has it.", alias, registry.name, place)
        # A slower process may have set what an older log says just before: whoever wrote last looks again.
        if len(registry.entries()) == len(entries):
            return state


def decide(registry: Registry, consider: Callable[[State], Decision]) -> Step:
    """Takes `consider`'s decision against the champion of the moment, again when another process was faster."""
    for _ in range(ATTEMPTS):
        step = record(registry, consider(follow(registry)))
        if step.valid:
            return step
    raise InputError(f"{ATTEMPTS} other decisions on {registry.name} came first each time; try again.")


def record(registry: Registry, decision: Decision) -> Step:
    """Adds a decision to the log; returns what it did there."""
    registry.append(dataclasses.asdict(decision), summary(decision))
    return next(step for step in steps_of(registry) if step.decision.key == decision.key)


def summary(decision: Decision) -> str:
    return (
        f"{decision.at} {decision.by}: {decision.action} of version {decision.version} "
        f"(champion then: {decision.against or 'none'}) -> {decision.role}: {decision.reason}"
    )


def signed(**values: Any) -> Decision:
    """A decision of this user, now."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    user = "unknown"
    with contextlib.suppress(OSError, KeyError):
        user = os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    return Decision(key=uuid.uuid4().hex, by=user, at=now, **values)


# Actions


def promote(options: PromoteOptions, candidate: Candidate, work: Path) -> Outcome:
    """Judges a candidate and, unless this is a dry run, registers it and keeps the decision."""
    registry = Registry(options.name)
    # First of all: of a killed promotion the decision may be there and the alias not.
    state = history.state_of(steps_of(registry)) if options.dry_run else follow(registry)
    known = registry.version_of(candidate.model_uri, candidate.run_id)
    if known and known == state.champion:
        raise _champion_already(known, options.name)
    evaluation = Evaluation(registry, read_policy(options.policy), candidate, options, work)
    # What is wrong with the evidence is told before anything is registered.
    outcome = evaluation.outcome("", state.champion)
    if options.dry_run:
        return outcome
    version = registry.register(candidate.model_uri, candidate.run_id)
    registry.describe(version, description(candidate), version_tags(candidate))
    step = decide(registry, lambda state: evaluation.decision(version, state))
    follow(registry)
    registry.describe(version, description(candidate, step.decision), decision_tags(step.decision))
    return evaluation.outcome(version, step.decision.against)


class Evaluation:
    """The verdict on one candidate against any champion; what was measured once is not measured again."""

    def __init__(
        self, registry: Registry, policy: Policy, candidate: Candidate, options: PromoteOptions, work: Path
    ) -> None:
        self.registry, self.policy, self.candidate, self.options, self.work = registry, policy, candidate, options, work
        self.own = evidence.own_evidence(candidate, work)
        self.test_digest = candidate.card.subset_digest("test")
        self._compared: dict[str, Comparison] = {}

    def outcome(self, version: str, champion: str) -> Outcome:
        """The verdict on the candidate, `version` once it is registered, where `champion` is to be beaten."""
        comparison = self._comparison(champion) if champion else Comparison()
        numbers = self.own | dict(comparison.numbers)
        verdict = gates.evaluate(self.policy, numbers, rival=bool(champion), not_comparable=comparison.why_not)
        uses = history.uses(steps_of(self.registry), self.test_digest)
        return Outcome(verdict, numbers, version, champion, comparison, uses)

    def decision(self, version: str, state: State) -> Decision:
        """Raises InputError where the version is the champion already."""
        if state.champion == version:
            raise _champion_already(version, self.registry.name)
        outcome = self.outcome(version, state.champion)
        return signed(
            action=history.PROMOTE, version=version, against=state.champion, role=outcome.verdict.role,
            reason=outcome.verdict.reason, policy_digest=self.policy.digest, test_digest=self.test_digest,
            run_id=self.candidate.run_id,
            # JSON knows no NaN and no infinity.
            numbers={name: float(value) for name, value in outcome.numbers.items() if math.isfinite(value)},
        )  # fmt: skip

    def _comparison(self, champion: str) -> Comparison:
        if champion not in self._compared:
            folder = model.download_model(self.registry.uri(champion), self.work / f"version-{champion}")
            self._compared[champion] = evidence.compare(
                self.candidate, folder, self.policy, self.options.data, processes(self.options.workers)
            )
        return self._compared[champion]


def _champion_already(version: str, name: str) -> InputError:
    return InputError(f"version {version} of {name} is the champion already; nothing is to be decided.")


def rollback(options: PromoteOptions) -> Decision:
    """Makes the champion before the champion again."""
    registry = Registry(options.name)
    state = follow(registry)
    if not state.former:
        first = state.champion or "the first"
        raise InputError(f"{options.name} has no champion before {first}: nothing to go back to.")
    back = state.former[-1]
    decision = signed(
        action=history.ROLLBACK, version=back, against=state.champion, role=history.CHAMPION,
        reason=f"rollback from version {state.champion}", run_id=registry.run_of(back),
    )  # fmt: skip
    if options.dry_run:
        return decision
    step = record(registry, decision)
    follow(registry)
    if not step.valid:
        raise InputError(f"another decision on {options.name} came first; look at action=history and try again.")
    registry.describe(back, registry.description(back), decision_tags(decision))
    return decision


# What a version says of itself


def version_tags(candidate: Candidate) -> dict[str, str]:
    card = candidate.card
    tags = {f"{subset}_digest": card.subset_digest(subset) for subset in ("train", "val", "test")}
    tags |= {name: str(card.settings[name]) for name in (*ARCHITECTURE, "data") if name in card.settings}
    return {**tags, "label": card.label, "artists": str(len(card.classes)), "train_run_id": candidate.run_id}


def decision_tags(decision: Decision) -> dict[str, str]:
    names = ("action", "role", "reason", "by", "at", "policy_digest")
    tags = {f"decision_{name}": str(getattr(decision, name)) for name in names}
    tags |= {"decision_from": decision.against or "none", "decision_to": decision.role}
    return {**tags, "decision_numbers": json.dumps(dict(decision.numbers), sort_keys=True)}


def description(candidate: Candidate, decision: Decision | None = None) -> str:
    """Markdown: architecture, clip, split, corpus, scores, link to the run."""
    card, scores = candidate.card, candidate.metrics
    architecture = ", ".join(f"{name} {card.settings[name]}" for name in ARCHITECTURE if name in card.settings)
    lines = [f"{architecture}; {len(card.classes)} {card.label}s of {card.settings.get('data')}.", ""]
    names = ("test/song_f1", "test/clip_f1", "val/song_f1", "test/song_ece_calibrated")
    lines += [f"- {name}: {scores[name]:.3f}" for name in names if name in scores]
    lines += [f"- run: [{candidate.run_id}](#/runs/{candidate.run_id}), `runs:/{candidate.run_id}`"]
    return "\n".join(lines + (["", summary(decision)] if decision else []))
