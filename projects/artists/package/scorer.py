"""Rows of a request to rows of an answer: what a registered model does, in code that knows no MLflow."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import card, inference
from .request import Gate

log = logging.getLogger(__name__)
PARAMS: Mapping[str, Any] = {"pooling": "mean", "top_k": 3, "threshold": 0.0, "embedding": False}


class Scorer:
    """A fitted system with its card and what this process allows, which is read once: no request can change it."""

    def __init__(self, folder: Path) -> None:
        """Opens what `card.save` wrote."""
        self._gate = Gate.of_environment()
        self._system, self._card = card.load(folder)

    def answers(self, rows: Iterable[Mapping[str, Any]], params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """An answer for each row with a `path`, the bytes of a file in `audio` or its `base64`.

        Raises InputError where a value of `params` makes no sense.
        """
        checked = _checked({**PARAMS, **params})
        left, answers = self._gate.max_seconds, []
        for row in rows:
            answer, used = self._answer(row, checked, left)
            left -= used
            answers.append(answer)
        return answers

    def _answer(self, row: Mapping[str, Any], params: Mapping[str, Any], left: float) -> tuple[dict[str, Any], float]:
        """The answer, and the seconds of audio that count for the request: those of bytes that were sent."""
        try:
            source = self._gate.source(row)
            sent = not isinstance(source, Path)
            excerpt = self._gate.excerpt(row, self._card.feature_config.crop, *([left] if sent else []))
            scored = inference.score(source, self._system, self._card, excerpt)
        except (InputError, MemoryError) as error:
            return failed(str(error) or "not enough memory to decode it"), getattr(error, "decoded", 0.0)
        except Exception as error:
            log.exception("unexpected error in one file")
            return unexpected(error), 0.0
        proba, order = inference.pooled(scored.proba, params["pooling"], self._card)
        best = order[: params["top_k"]]
        known = proba[best[0]] >= params["threshold"]
        return {
            "artist": self._card.classes[best[0]] if known else None,
            "probability": float(proba[best[0]]),
            "top_artists": [self._card.classes[i] for i in best],
            "top_probabilities": [float(proba[i]) for i in best],
            "clips": len(scored.proba),
            "seconds": scored.seconds,
            "embedding": scored.embedding.mean(0, dtype=float).tolist() if params["embedding"] else [],
            "status": "padded" if scored.padded else "ok",
            "reason": "shorter than one clip, padded with silence" if scored.padded else "",
        }, scored.seconds if sent else 0.0


def failed(reason: str) -> dict[str, Any]:
    """The answer for a file that cannot be scored; its keys are the columns of every answer."""
    return {
        "artist": None, "probability": None, "top_artists": [], "top_probabilities": [], "clips": 0, "seconds": 0.0,
        "embedding": [], "status": "error", "reason": reason,
    }  # fmt: skip


def unexpected(error: Exception) -> dict[str, Any]:
    """The answer for a file that shows a defect of the program: the others get theirs."""
    return failed(f"unexpected {type(error).__name__}: {error}")


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    if params["pooling"] not in ("mean", "vote", "vote50"):
        raise InputError(f"pooling={params['pooling']}: give mean, vote or vote50.")
    if params["top_k"] < 1:
        raise InputError(f"top_k={params['top_k']} must be at least 1.")
    if not 0 <= params["threshold"] <= 1:
        raise InputError(f"threshold={params['threshold']} must be from 0 to 1.")
    return params
