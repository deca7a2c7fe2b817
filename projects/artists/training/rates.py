"""Learning rates that follow from what a training has seen: functions of its history, so that a resumed one agrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def plateau(
    first: float, patience: int, factor: float, least: float, decay: float
) -> Callable[[Sequence[float], int], float]:
    """The rate of the next epoch from (validation losses so far, steps so far).

    Each time that `patience` epochs have gone by without a lower validation loss it is multiplied by `factor`, down to
    `least` (but never raised to it); all of it divided by 1 + decay * steps, as Keras 2 does.
    """

    def rate(losses: Sequence[float], steps: int) -> float:
        reduced = first * factor ** reductions(losses, patience)
        return max(reduced, min(first, least)) / (1 + decay * steps)

    return rate


def reductions(losses: Sequence[float], patience: int) -> int:
    """How often `patience` losses in a row have not gone below the lowest before them."""
    lowest, wait, count = float("inf"), 0, 0
    for loss in losses:
        wait = 0 if loss < lowest else wait + 1
        lowest = min(loss, lowest)
        if wait == patience:
            count, wait = count + 1, 0
    return count
