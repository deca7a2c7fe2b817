"""Deformations: sines whose frequency, level and length are known, the size of an mp3, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from projects.artists.audio.decode import excerpt_at, read_audio, read_channels
from projects.artists.audio.deform import (
    BIT_RATES,
    KINDS,
    Deformation,
    deformations,
    deformed,
    encoded_mp3,
    level,
    lowpass,
    noise,
    pitch,
    tempo,
)
from projects.artists.errors import InputError

SR = 44100


def sine(frequency: float, *, seconds: float = 3.0, sr: int = SR, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * sr)) / sr)).astype(np.float32)


def middle(y: np.ndarray) -> np.ndarray:
    return y[len(y) // 4 : 3 * len(y) // 4]


def db(y: np.ndarray) -> float:
    """Root mean square of the middle half in dB re full scale."""
    return 10 * np.log10(np.mean(np.square(middle(y), dtype=float)))


def peak(y: np.ndarray, sr: int = SR) -> float:
    """The strongest frequency of the middle half in Hz."""
    part = middle(y)
    return np.argmax(np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * len(part)))) * sr / (8 * len(part))


def music(channels: int = 2, *, seconds: float = 4.0, sr: int = SR) -> np.ndarray:
    rng = np.random.default_rng(0)
    voices = [sine(220 * (1 + c), seconds=seconds, sr=sr, amplitude=0.3) for c in range(channels)]
    return np.stack(voices, 1) + rng.normal(0, 0.05, (round(seconds * sr), channels)).astype(np.float32)


@pytest.mark.parametrize("gain", [-12.0, 6.0])
def test_a_level_is_a_gain_in_decibels_that_clips_nothing(gain):
    y = sine(440, amplitude=0.9)
    changed = level(y, gain)
    assert db(changed) - db(y) == pytest.approx(gain, abs=1e-4) and changed.dtype == np.float32
    assert np.abs(changed).max() == pytest.approx(0.9 * 10 ** (gain / 20), rel=1e-3)


def test_a_lowpass_keeps_what_is_below_halves_the_amplitude_at_its_cutoff_and_removes_what_is_above():
    losses = [db(sine(f)) - db(lowpass(sine(f), SR, 4000)) for f in (1000, 3000, 4000, 6000)]
    assert losses[:2] == pytest.approx([0, 0], abs=0.1)
    assert losses[2] == pytest.approx(6.02, abs=0.05) and losses[3] > 50
    y = sine(1000)
    assert np.abs(middle(lowpass(y, SR, 4000) - y)).max() < 1e-3, "it delays nothing"


def test_a_lowpass_above_all_that_a_rate_holds_changes_nothing():
    y = sine(440, sr=8000)
    np.testing.assert_array_equal(lowpass(y, 8000, 4000), y)


@pytest.mark.parametrize("semitones", [1.0, -2.0])
def test_a_pitch_moves_frequencies_by_semitones_and_keeps_length_and_level(semitones):
    y = sine(440)
    changed = pitch(y, SR, semitones)
    assert peak(changed) == pytest.approx(440 * 2 ** (semitones / 12), rel=2e-3)
    assert len(changed) == len(y) and db(changed) == pytest.approx(db(y), abs=1.5)


@pytest.mark.parametrize("factor", [1.1, 0.8])
def test_a_tempo_shortens_by_its_factor_and_keeps_the_pitch(factor):
    y = sine(440)
    changed = tempo(y, factor)
    assert len(changed) == round(len(y) / factor) and peak(changed) == pytest.approx(440, rel=2e-3)
    assert db(changed) == pytest.approx(db(y), abs=1.5)


def test_noise_has_the_ratio_that_is_asked_for_and_the_seed_decides_it():
    y = sine(440)
    added = noise(y, 20, seed=1) - y
    assert db(y) - db(added) == pytest.approx(20, abs=0.2)
    np.testing.assert_array_equal(noise(y, 20, seed=1), noise(y, 20, seed=1))
    assert not np.array_equal(noise(y, 20, seed=2), noise(y, 20, seed=1))
    assert not noise(np.zeros(100, np.float32), 20, seed=1).any(), "silence stays silent"


@pytest.mark.parametrize("bit_rate", [BIT_RATES[0], 64, 112, BIT_RATES[-1]])
def test_an_mp3_has_its_bit_rate(bit_rate):
    size = len(encoded_mp3(music(), SR, bit_rate))
    assert size * 8 / 4 / 1000 == pytest.approx(bit_rate, rel=0.1)


@pytest.mark.parametrize(
    ("sr", "bit_rate", "expected"),
    [(48000, 64, 64), (32000, 64, 64), (22050, 64, 64), (16000, 320, 160), (8000, 96, 64)],
)
def test_at_a_low_rate_an_mp3_has_the_highest_bit_rate_there_is(sr, bit_rate, expected):
    size = len(encoded_mp3(music(1, sr=sr), sr, bit_rate))
    assert size * 8 / 4 / 1000 == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("sr", "channels"), [(44100, 2), (16000, 1), (22050, 2), (96000, 1), (11025, 6), (5000, 1)])
def test_mp3_keeps_length_place_and_most_of_the_sound_at_any_rate(sr, channels):
    y = sine(440, sr=sr)
    changed = deformed(np.stack([y] * channels, 1), sr, Deformation("mp3", 64))
    assert changed.shape == y.shape
    error = middle(changed - y)
    assert 10 * np.log10(np.mean(error**2)) < db(y) - 20, "a delay of one frame would leave nothing alike"


@pytest.mark.parametrize("deformation", deformations(",".join(KINDS)), ids=lambda each: each.key)
def test_every_deformation_gives_mono_float32_the_same_each_time_and_leaves_its_input_alone(deformation):
    y = music(seconds=2.0)
    before = y.copy()
    first, second = (deformed(y, SR, deformation, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(y, before)
    assert first.dtype == np.float32 and first.ndim == 1 and np.isfinite(first).all()
    assert not np.array_equal(first, y.mean(1))


def test_without_strengths_the_usual_ones_are_taken_in_the_order_that_is_given():
    keys = [each.key for each in deformations("noise, level,mp3,lowpass,pitch,tempo:0.9,level:-3")]
    assert keys == [
        "noise_20", "level_-12", "level_6", "mp3_64", "lowpass_4000", "pitch_1", "tempo_0.9", "level_-3"
    ]  # fmt: skip
    assert deformations(None) == ()
    assert [each.title for each in deformations("level:6,tempo,pitch:-1")] == [
        "level +6 dB", "tempo x 1.1", "pitch -1 (semitones)"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loudness", "deform=loudness is unknown; choose from level, mp3, lowpass, pitch, tempo, noise"),
        ("level,,mp3", "deform= is unknown"),
        ("level:0", "must be a number from -60 to 60, and not 0, which changes nothing"),
        ("level:loud", "deform=level:loud: the strength of level must be a number"),
        ("level:", "deform=level:: the strength of level must be a number"),
        ("level:nan", "must be a number from -60 to 60"),
        ("mp3:65", "the strength of mp3 must be one of 32, 40"),
        ("lowpass:-4000", "must be a number from 100 to 100000"),
        ("pitch:40", "must be a number from -12 to 12"),
        ("tempo:1", "must be a number from 0.5 to 2, and not 1"),
        ("noise:inf", "must be a number from -20 to 100"),
        ("level:-12,mp3,level:-12.0", "holds level:-12 twice; give each deformation once"),
        ("level,level:6", "holds level:6 twice"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(text, words):
    with pytest.raises(InputError) as refusal:
        deformations(text)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("crop", [None, 3.0, 60.0])
def test_a_file_read_with_its_channels_is_cropped_and_resampled_as_read_audio_does(tmp_path, write_audio, crop):
    file = write_audio(tmp_path / "song.wav", music(seconds=8.01), SR, subtype="FLOAT")
    y, sr = read_channels(file, None if crop is None else crop + 4)
    assert sr == SR and y.shape[1] == 2 and len(y) == len(read_channels(file)[0]) - (44541 if crop == 3 else 0)
    expected = read_audio(file, 16000, crop=crop)
    np.testing.assert_allclose(excerpt_at(y.mean(1), sr, 16000, crop), expected, atol=1e-6)
    np.testing.assert_array_equal(soundfile.read(file, dtype="float32")[0], read_channels(file)[0])
