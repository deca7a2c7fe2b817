"""From clips to songs: mean probability, plain vote, vote of the confident clips.

Probabilities are (n_clips, k), the songs of clips (n_clips,): integers in any order, with gaps; a song's clips need not
be neighbours. Results are in ascending song order, each song once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .metrics import check_probabilities

# Sums equal to this many decimals are tied, so that rounding, and with it the order of clips, decides nothing.
TIE_DECIMALS = 10
CONFIDENT = 0.5
TIE_BREAK = 1e-6

Pooled = tuple[np.ndarray, np.ndarray]


def mean_probability(proba: np.ndarray, songs: np.ndarray) -> Pooled:
    """Mean over each song's clips: song numbers (n_songs,) and their probabilities (n_songs, k), float64.

    Raises:
        InputError: Probabilities are NaN, infinite or no distribution over classes.
        ValueError: Shapes or types do not fit.

    Examples:
        >>> mean_probability(np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]), np.array([7, 7, 3]))
        (array([3, 7]), array([[0.2, 0.8],
               [0.7, 0.3]]))
    """
    proba, song_ids, position = _grouped(proba, songs)
    sums = _sums(proba, position, len(song_ids))
    return song_ids, sums / np.bincount(position, minlength=len(song_ids))[:, None]


def vote(proba: np.ndarray, songs: np.ndarray, threshold: float | None = None) -> Pooled:
    """The class that most of a song's clips are predicted as: song numbers and class indices, each (n_songs,).

    With a threshold only clips whose top probability exceeds it (strictly) vote, and all clips of a song that
    has no such clip: 0.5 in the published code of Nasrullah and Zhao, whose paper describes the plain vote.
    Among tied classes the one with the higher probability summed over the voting clips wins, then the lower
    index (the published code takes the lower index at once). Raises as `mean_probability`.

    Examples:
        >>> proba = np.array([[0.9, 0.1, 0.0], [0.0, 0.6, 0.4], [0.3, 0.4, 0.3]])
        >>> vote(proba, np.zeros(3, int))[1], vote(proba, np.zeros(3, int), threshold=0.5)[1]
        (array([1]), array([0]))
    """
    proba, song_ids, position = _grouped(proba, songs)
    voting = _voting(proba, position, threshold)
    proba, position = proba[voting], position[voting]
    votes = _votes(proba, position, len(song_ids))
    sums = np.round(_sums(proba, position, len(song_ids)), TIE_DECIMALS)
    leading = votes == votes.max(1, keepdims=True)
    return song_ids, np.where(leading, sums, -1.0).argmax(1)


def vote_shares(proba: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """Share of one song's voting clips for each class, (k,), of probabilities (n_clips, k).

    Tied classes have equal shares: `vote` decides which of them wins.

    Raises:
        InputError: Probabilities are NaN, infinite or no distribution over classes.
        ValueError: There is no clip.

    Examples:
        >>> vote_shares(np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]]))
        array([0.25, 0.75])
    """
    if not len(proba):
        raise ValueError("Got no clips of the song; expected one at least.")
    proba, _, position = _grouped(proba, np.zeros(len(proba), np.int64))
    voting = _voting(proba, position, threshold)
    return _votes(proba[voting], position[voting], 1)[0] / voting.sum()


def song_probabilities(proba: np.ndarray, songs: np.ndarray, method: str = "mean") -> Pooled:
    """Probabilities of songs whose most probable class is the one that a method of `POOLINGS` predicts.

    `mean` as `mean_probability`; `vote` and `vote50`: shares of the votes, with a millionth of one more for the winner,
    so that it leads where classes are tied. Raises as `mean_probability`.

    Examples:
        >>> song_probabilities(np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]), np.zeros(3, int), "vote")[1].round(3)
        array([[0.333, 0.667]])
    """
    if method == "mean":
        return mean_probability(proba, songs)
    song_ids, winners = POOLINGS[method](proba, songs)
    proba, _, position = _grouped(proba, songs)
    voting = _voting(proba, position, CONFIDENT if method == "vote50" else None)
    votes = _votes(proba[voting], position[voting], len(song_ids)).astype(float)
    votes[np.arange(len(song_ids)), winners] += TIE_BREAK
    return song_ids, votes / votes.sum(1, keepdims=True)


def _mean(proba: np.ndarray, songs: np.ndarray) -> Pooled:
    song_ids, pooled = mean_probability(proba, songs)
    return song_ids, pooled.argmax(1)


# (proba, songs) -> song numbers (n_songs,) and predicted class indices (n_songs,)
POOLINGS: dict[str, Callable[[np.ndarray, np.ndarray], Pooled]] = {
    "mean": _mean, "vote": vote, "vote50": functools.partial(vote, threshold=CONFIDENT),
}  # fmt: skip


def _grouped(proba: np.ndarray, songs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checked probabilities, the song numbers, and each clip's position among them."""
    proba, songs = check_probabilities(proba), np.asarray(songs)
    if songs.shape != (len(proba),):
        raise ValueError(f"Got songs of shape {songs.shape} for {len(proba)} clips; expected a song a clip.")
    if not np.issubdtype(songs.dtype, np.integer):
        raise ValueError(f"Got songs of type {songs.dtype}; expected integers.")
    song_ids, position = np.unique(songs, return_inverse=True)
    return proba, song_ids, position


def _voting(proba: np.ndarray, position: np.ndarray, threshold: float | None) -> np.ndarray:
    """True for the clips that vote, (n_clips,)."""
    if threshold is None:
        return np.ones(len(proba), bool)
    confident = proba.max(1) > threshold
    return confident | (np.bincount(position, weights=confident) == 0)[position]


def _votes(proba: np.ndarray, position: np.ndarray, n_songs: int) -> np.ndarray:
    """Clips predicted as each class, (n_songs, k)."""
    n_classes = proba.shape[1]
    flat = np.bincount(position * n_classes + proba.argmax(1), minlength=n_songs * n_classes)
    return flat.reshape(n_songs, n_classes)


def _sums(proba: np.ndarray, position: np.ndarray, n_songs: int) -> np.ndarray:
    """Probabilities summed over each song's clips, (n_songs, k), float64."""
    return np.stack([np.bincount(position, weights=column, minlength=n_songs) for column in proba.T], axis=1)
