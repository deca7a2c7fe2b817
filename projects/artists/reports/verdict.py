"""Decisions over models as text: what a promotion ends with, and the history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

NUMBERS = (
    "test/song_f1", "test/clip_f1", "test/song_ece", "test/song_ece_calibrated", "golden_difference",
    "audio_seconds_per_second", "model_mb", "common_songs", "champion_f1", "candidate_f1", "improvement",
    "worst_recall_drop", "signature_changed",
)  # fmt: skip


def outcome_text(outcome: Any, name: str, run_id: str) -> str:
    """Role, numbers, failed gates with both numbers, and how often these test songs have been looked at."""
    verdict = outcome.verdict
    version = f"version {outcome.version} of {name}" if outcome.version else f"a dry run: nothing of {name} is changed"
    lines = [f"{verdict.role.upper()}  run {run_id}, {version}"]
    lines += [f"  {key:<26}{outcome.numbers[key]:.4g}" for key in NUMBERS if key in outcome.numbers]
    if outcome.champion:
        lines += [f"compared with version {outcome.champion}, the champion"]
    lines += [f"failed  {failure}" for failure in verdict.failures]
    if verdict.not_comparable:
        lines += [f"not comparable: {verdict.not_comparable}"]
    lines += [
        f"not gated, too few songs: recall of {artist} falls by {drop:.2f}"
        for artist, drop in sorted(outcome.comparison.reported.items())
    ]
    return "\n".join([*lines, f"This set of test songs has been used for {outcome.test_uses} decision(s) on {name}."])


def history_table(steps: Sequence[Any]) -> pd.DataFrame:
    """A row a decision, in order."""
    rows = []
    for number, step in enumerate(steps, 1):
        d = step.decision
        row = {"number": number} | {name: getattr(d, name) for name in ("at", "by", "action", "version", "against")}
        row |= {"role": d.role if step.valid else "void", "champion": step.state.champion}
        row |= {"challenger": step.state.challenger, "policy_digest": d.policy_digest, "run_id": d.run_id}
        rows.append(row | {"reason": d.reason, "numbers": json.dumps(dict(d.numbers), sort_keys=True)})
    return pd.DataFrame(rows)


def history_text(steps: Sequence[Any], name: str) -> str:
    if not steps:
        return f"No decision on {name} has been taken yet."
    lines = [
        f"{row.number:>3}  {row.at}  {row.by}: {row.action} of version {row.version} against {row.against or 'none'} "
        f"-> {row.role}; champion {row.champion or 'none'}, policy {row.policy_digest}\n     {row.reason}"
        for row in history_table(steps).itertuples()
    ]
    return "\n".join([*lines, f"Champion of {name}: {steps[-1].state.champion or 'none'}."])
