"""Temperature scaling (Guo et al., ICML 2017): one number that calibrates probabilities, shrunk towards 1.

The optimum of a few validation songs is far from 1 by chance, and makes good probabilities worse. The temperature is
therefore a posterior mode, under a normal prior of its logarithm around 0: a dozen songs move it little, hundreds as
far as they say.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize

from .metrics import LOG_LOSS_FLOOR, check_probabilities, check_scored, log_losses

RANGE = (0.05, 20.0)
# Simulated for 2 to 20 classes (test_calibration.py): the largest at which 12 songs of a calibrated system cost it less
# than .01 of log loss in every case; 135 songs still take away 85 % or more of what a true temperature of 2 costs.
PRIOR_DEVIATION = 0.25


def fit_temperature(y_true: np.ndarray, proba: np.ndarray, songs: np.ndarray | None = None) -> float:
    """The likeliest temperature within `RANGE` of true classes (n,) under probabilities (n, k).

    It minimises the sum of the songs' log losses + log(temperature)^2 / (2 PRIOR_DEVIATION^2).

    Args:
        songs: Song of each row, (n,), where rows are clips. These are not independent within a song, whose loss is the
            mean of theirs. None: a row is a song.

    Raises:
        InputError: There are no rows, or probabilities are NaN, infinite or no distribution over classes.
        ValueError: Shapes or types do not fit.

    Examples:
        >>> overconfident = np.full((4, 2), [0.99, 0.01])  # but right for three rows of four only
        >>> y_true = np.array([0, 0, 0, 1])
        >>> round(fit_temperature(y_true, overconfident), 2)
        1.23
        >>> round(fit_temperature(np.tile(y_true, 100), np.tile(overconfident, (100, 1))), 2)
        3.5
    """
    y_true, proba = check_scored(y_true, proba)
    weights = _song_shares(np.arange(len(y_true)) if songs is None else np.asarray(songs), len(y_true))

    def loss(log_temperature: float) -> float:
        losses = log_losses(y_true, tempered(proba, float(np.exp(log_temperature))))
        return float(weights @ losses + log_temperature**2 / (2 * PRIOR_DEVIATION**2))

    minimum = scipy.optimize.minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(minimum.x))


def _song_shares(songs: np.ndarray, n_rows: int) -> np.ndarray:
    """Weight of each row, 1 / rows of its song."""
    if songs.shape != (n_rows,):
        raise ValueError(f"Got songs of shape {songs.shape} for {n_rows} rows; expected a song a row.")
    _, position, counts = np.unique(songs, return_inverse=True, return_counts=True)
    return 1 / counts[position]


def tempered(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, k) raised to 1 / temperature and normalised: above 1 less confident, the order of classes kept.

    Examples:
        >>> tempered(np.array([[0.9, 0.1]]), temperature=2.0)
        array([[0.75, 0.25]])
    """
    logits = np.log(np.maximum(check_probabilities(proba).astype(float), LOG_LOSS_FLOOR)) / temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
