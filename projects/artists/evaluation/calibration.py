"""Temperature scaling (Guo et al., ICML 2017): one number that calibrates probabilities."""

from __future__ import annotations

import numpy as np
import scipy.optimize

from .metrics import LOG_LOSS_FLOOR, check_probabilities, check_scored, log_losses

# Few validation songs can have an optimum beyond these, which says nothing about other songs.
RANGE = (0.05, 20.0)


def fit_temperature(y_true: np.ndarray, proba: np.ndarray) -> float:
    """The temperature within `RANGE` that gives true classes (n,) the least log loss under probabilities (n, k).

    Raises:
        InputError: There are no rows, or probabilities are NaN, infinite or no distribution over classes.

    Examples:
        >>> overconfident = np.full((4, 2), [0.99, 0.01])  # but right for three rows of four only
        >>> round(fit_temperature(np.array([0, 0, 0, 1]), overconfident), 2)
        4.18
    """
    y_true, proba = check_scored(y_true, proba)

    def loss(log_temperature: float) -> float:
        return float(log_losses(y_true, tempered(proba, float(np.exp(log_temperature)))).mean())

    minimum = scipy.optimize.minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(minimum.x))


def tempered(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, k) raised to 1 / temperature and normalised: above 1 less confident, the order of classes kept.

    Examples:
        >>> tempered(np.array([[0.9, 0.1]]), temperature=2.0)
        array([[0.75, 0.25]])
    """
    logits = np.log(np.maximum(check_probabilities(proba).astype(float), LOG_LOSS_FLOOR)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
