"""How long a clip is, and which clips a track has."""

from __future__ import annotations

import numpy as np
import pytest

from projects.artists.audio.clips import clip_starts
from projects.artists.audio.features import FeatureConfig
from projects.artists.audio.lengths import clip_frames
from projects.artists.errors import InputError

DEFAULT = FeatureConfig()


@pytest.mark.parametrize(
    ("seconds", "frames"), [(1, 32), (3, 94), (5, 157), (6, 188), (10, 313), (20, 628), (30, 911), (30.0, 911)]
)
def test_published_lengths(seconds, frames):
    assert clip_frames(seconds, DEFAULT) == frames


def test_the_129_frames_of_park_et_al():
    assert clip_frames(3, FeatureConfig(sr=22050)) == 129
    assert clip_frames(3.0, FeatureConfig(sr=22050)) == 129


@pytest.mark.parametrize(
    ("seconds", "config", "frames"),
    [
        (2, DEFAULT, 63),
        (0.001, DEFAULT, 1),
        (30, FeatureConfig(hop_length=160), 3000),
        (3, FeatureConfig(sr=44100), 259),
        (20, FeatureConfig(sr=22050), 862),
    ],
)
def test_other_lengths_are_rounded_up(seconds, config, frames):
    assert clip_frames(seconds, config) == frames


@pytest.mark.parametrize("hop_length", [160, 512])
def test_a_whole_number_of_frames_stays_that_number(hop_length):
    """64.224 * 16000 / 512 is 2007.0000000000002 in floating point."""
    config = FeatureConfig(hop_length=hop_length)
    for frames in (*range(1, 620), 2007, 2011, 2047):
        assert clip_frames(round(frames * hop_length / 16000, 3), config) == frames


@pytest.mark.parametrize("seconds", [0, -3, -0.0, float("nan"), float("inf"), float("-inf"), 1e308])
def test_lengths_that_make_no_sense_are_refused(seconds):
    with pytest.raises(InputError, match=r"clip=.* must be a positive number of seconds, for example clip=3"):
        clip_frames(seconds, DEFAULT)


@pytest.mark.parametrize(
    ("n_frames", "starts"),
    [(0, []), (93, []), (94, [0]), (95, [0]), (187, [0]), (188, [0, 94]), (281, [0, 94]), (282, [0, 94, 188])],
)
def test_clips_by_hand(n_frames, starts):
    assert clip_starts(n_frames, 94).tolist() == starts


def test_clips_are_disjoint_inside_the_track_and_leave_less_than_one_clip():
    for n_frames in range(300):
        for length in (1, 2, 7, 94, 300):
            starts = clip_starts(n_frames, length)
            used = np.concatenate([np.arange(start, start + length) for start in starts] or [np.empty(0, int)])
            np.testing.assert_array_equal(used, np.arange(len(used)))
            assert 0 <= n_frames - len(used) < length
