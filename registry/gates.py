"""What a candidate must show: evidence and policy in, a verdict out. Numbers alone: no model, no audio, no store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from .history import CHALLENGER, CHAMPION

REFUSED = "refused"


class PolicyError(ValueError):
    """The policy says something that cannot be followed."""


@dataclasses.dataclass(frozen=True)
class Gate:
    """A number of the evidence and its bounds."""

    name: str
    min: float = -math.inf
    max: float = math.inf

    def holds(self, value: float | None) -> bool:
        """False too for what was not measured and for NaN."""
        return value is not None and self.min <= value <= self.max


@dataclasses.dataclass(frozen=True)
class Failure:
    """A gate and the number that did not pass it; None: not measured."""

    gate: Gate
    value: float | None

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        bounds = (("at least", self.gate.min), ("at most", self.gate.max))
        needed = " and ".join(f"{word} {bound:.4g}" for word, bound in bounds if math.isfinite(bound))
        return f"{self.gate.name}: {value}, {needed} is needed"


@dataclasses.dataclass(frozen=True)
class Policy:
    """thresholds: of every model; rivalry: gates against a champion; the rest is how the two are compared."""

    thresholds: tuple[Gate, ...]
    rivalry: tuple[Gate, ...]
    statistic: str
    min_songs: int
    min_artist_songs: int
    digest: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """role: what the candidate becomes; failures: gates it did not pass; not_comparable: why it was not compared."""

    role: str
    failures: tuple[Failure, ...] = ()
    not_comparable: str = ""

    @property
    def reason(self) -> str:
        reasons = [str(failure) for failure in self.failures]
        reasons += [f"not comparable with the champion: {self.not_comparable}"] if self.not_comparable else []
        return "; ".join(reasons) or "passed every gate"


def policy_of(values: Any) -> Policy:
    """The policy that the mapping of policy.yaml describes; raises PolicyError where it cannot be followed."""
    expected = {"thresholds", "against_champion", "comparison"}
    if isinstance(values, Mapping) and "thresholds" not in values:
        # What earlier versions called it.
        values = {"thresholds" if name == "floors" else name: part for name, part in values.items()}
    if not isinstance(values, Mapping) or set(values) != expected:
        raise PolicyError(f"the policy must have the parts {', '.join(sorted(expected))} and no others")
    comparison = dict(values["comparison"] or {})
    kinds = {"statistic": str, "min_songs": int, "min_artist_songs": int}
    wrong = set(comparison) ^ set(kinds) or {n for n, kind in kinds.items() if type(comparison[n]) is not kind}
    if wrong:
        raise PolicyError(f"comparison needs statistic (text), min_songs and min_artist_songs (whole numbers): {wrong}")
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    return Policy(_gates(values["thresholds"]), _gates(values["against_champion"]), **comparison, digest=digest)


def evaluate(policy: Policy, evidence: Mapping[str, float], *, rival: bool, not_comparable: str = "") -> Verdict:
    """What becomes of a candidate, by its numbers and, with a `rival` to compare it with, those of the comparison.

    The first that passes the thresholds becomes champion, and so does one that passes every gate; one that does not is
    challenger where there is a champion, else refused. not_comparable: why no comparison could be made.
    """
    gates = policy.thresholds + (policy.rivalry if rival and not not_comparable else ())
    values = [(gate, evidence.get(gate.name)) for gate in gates]
    failures = tuple(Failure(gate, value) for gate, value in values if not gate.holds(value))
    why = not_comparable if rival else ""
    passed = not failures and not why
    return Verdict(CHAMPION if passed else CHALLENGER if rival else REFUSED, failures, why)


def recall_drop(
    champion: Mapping[str, float], candidate: Mapping[str, float], songs: Mapping[str, int], least: int
) -> tuple[float, dict[str, float]]:
    """Largest fall of recall by artist among those with at least `least` test songs, and the falls of the others."""
    drops = {artist: champion[artist] - candidate[artist] for artist, count in songs.items() if count}
    gated = [drop for artist, drop in drops.items() if songs[artist] >= least]
    reported = {artist: drop for artist, drop in drops.items() if songs[artist] < least and drop > 0}
    return max(gated, default=0.0), reported


def _gates(lines: Mapping[str, Any] | None) -> tuple[Gate, ...]:
    gates = []
    for name, bounds in (lines or {}).items():
        if not isinstance(bounds, Mapping) or not bounds or set(bounds) - {"min", "max"}:
            raise PolicyError(f"gate {name} needs {{min: number}}, {{max: number}} or both, not {bounds}")
        for bound in bounds.values():
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
                raise PolicyError(f"gate {name}: {bound} is no number")
        gates.append(Gate(name, **{word: float(bound) for word, bound in bounds.items()}))
    return tuple(gates)
