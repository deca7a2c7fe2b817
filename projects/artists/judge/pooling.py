"""From clips to songs: mean probability, plain vote, and the published vote of clips above one half."""

from __future__ import annotations

import numpy as np


def mean_probability(proba: np.ndarray, songs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the clips of each song.

    Args:
        proba: (n_clips, k).
        songs: (n_clips,) song numbers, in any order.

    Returns:
        Song numbers in rising order (n_songs,), and (n_songs, k).
    """
    ids, position = np.unique(songs, return_inverse=True)
    total = np.zeros((len(ids), proba.shape[1]))
    np.add.at(total, position, proba)
    return ids, total / np.bincount(position)[:, None]


def vote(proba: np.ndarray, songs: np.ndarray, threshold: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The class that most clips of each song name.

    Args:
        threshold: None lets all clips vote; a number only those whose top probability exceeds it, or all of a song
            where none does (the published code has 0.5).

    Returns:
        Song numbers in rising order (n_songs,), and classes (n_songs,). Among classes with as many votes the higher
        sum of probabilities over the voting clips wins, then the lower index.
    """
    ids, position = np.unique(songs, return_inverse=True)
    votes, mass = np.zeros((2, len(ids), proba.shape[1]))
    heard = _voters(proba, position, threshold)
    np.add.at(votes, (position[heard], proba[heard].argmax(1)), 1)
    np.add.at(mass, position[heard], proba[heard])
    tied = votes == votes.max(1, keepdims=True)
    return ids, np.where(tied, mass, -1).argmax(1)


def vote_shares(proba: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """Shares of the votes of one song's clips (n_clips, k) -> (k,)."""
    heard = proba[_voters(proba, np.zeros(len(proba), int), threshold)]
    return np.bincount(heard.argmax(1), minlength=proba.shape[1]) / len(heard)


def _voters(proba: np.ndarray, position: np.ndarray, threshold: float | None) -> np.ndarray:
    """Which clips vote, (n_clips,) bool."""
    if threshold is None:
        return np.ones(len(proba), bool)
    sure = proba.max(1) > threshold
    return sure | (np.bincount(position, sure) == 0)[position]
