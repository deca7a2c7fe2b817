"""Log-mel spectrograms against librosa, on real music and on every format, and against a definition in float64."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest

from projects.artists.audio import features, options
from projects.artists.audio.decode import read_audio
from projects.artists.audio.features import FeatureConfig, at_level, log_mel, mel_filters, mel_frequencies, mel_power
from projects.artists.errors import InputError

PROJECT = Path(__file__).parents[2]
DEFAULT = FeatureConfig()
# dB; what REFERENCE asks for. Another float32 FFT alone differs by up to 5e-4.
TOLERANCE = 1e-3


def librosa_log_mel(path, config: FeatureConfig = DEFAULT) -> np.ndarray:
    y, _ = librosa.load(path, sr=config.sr)
    return librosa.power_to_db(librosa_mel(y, config)).T


def librosa_mel(y: np.ndarray, config: FeatureConfig) -> np.ndarray:
    return librosa.feature.melspectrogram(
        y=y, sr=config.sr, n_fft=config.n_fft, hop_length=config.hop_length, n_mels=config.n_mels,
        htk=config.mel_scale == "htk",
    )  # fmt: skip


def double_log_mel(y: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The definition, frame by frame, in float64, without librosa's or scipy's transforms."""
    n, hop = config.n_fft, config.hop_length
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    padded = np.concatenate([np.zeros(n // 2), y, np.zeros(n // 2)])
    frames = np.stack([padded[i * hop : i * hop + n] * window for i in range(1 + len(y) // hop)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    db = 10 * np.log10(np.maximum(1e-10, power @ mel_filters(config).T.astype(float)))
    return np.maximum(db, db.max() - 80)


def test_ten_files_of_real_music_equal_librosa(shared_corpus):
    files = sorted((shared_corpus / "artists").rglob("*.ogg"), key=lambda path: path.stat().st_size)
    assert len(files) >= 100
    for path in files[3:120:12]:
        expected = librosa_log_mel(path)
        result = log_mel(read_audio(path, DEFAULT.sr), DEFAULT)
        assert result.shape == expected.shape and result.dtype == np.float32
        assert np.abs(result - expected).max() < TOLERANCE, path


@pytest.mark.parametrize(
    ("kind", "rate", "channels", "options"),
    [
        ("wav", 8000, 1, {"subtype": "PCM_16"}),
        ("wav", 48000, 6, {"subtype": "PCM_24"}),
        ("wav", 44100, 2, {"subtype": "FLOAT"}),
        ("flac", 44100, 2, {}),
        ("flac", 16000, 6, {}),
        ("mp3", 44100, 2, {"format": "MP3"}),
        ("mp3", 8000, 1, {"format": "MP3"}),
        ("ogg", 22050, 2, {"subtype": "VORBIS"}),
        ("ogg", 48000, 6, {"subtype": "VORBIS"}),
        ("opus", 48000, 2, {"format": "OGG", "subtype": "OPUS"}),
        ("opus", 8000, 1, {"format": "OGG", "subtype": "OPUS"}),
    ],
)
@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_every_format_equals_librosa(tmp_path, tone, write_audio, kind, rate, channels, options, mel_scale):
    path = write_audio(tmp_path / f"a.{kind}", tone(seconds=3, sr=rate, channels=channels), rate, **options)
    config = FeatureConfig(mel_scale=mel_scale)
    expected = librosa_log_mel(path, config)
    result = log_mel(read_audio(path, config.sr), config)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() < TOLERANCE


@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(sr=22050),
        FeatureConfig(n_fft=1024, hop_length=160),
        FeatureConfig(n_fft=1023, hop_length=511),
        FeatureConfig(n_mels=20, mel_scale="htk"),
        FeatureConfig(n_fft=512, hop_length=2000),
        FeatureConfig(sr=44100, n_fft=4096, hop_length=1024, n_mels=229),
    ],
)
def test_every_configuration_equals_librosa(tone, config):
    y = tone(seconds=2, sr=config.sr)[:, 0]
    expected = librosa.power_to_db(librosa_mel(y, config)).T
    result = log_mel(y, config)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() < TOLERANCE


@pytest.mark.parametrize("n_fft", [400, 401, 1024, 1023])
@pytest.mark.parametrize("length", [3199, 3200, 3201])
def test_frames_at_the_end_are_those_of_librosa_for_even_and_odd_n_fft(tone, n_fft, length):
    """A length that is a multiple of the hop has one frame less where n_fft is odd."""
    config = FeatureConfig(n_fft=n_fft, hop_length=160, n_mels=20)
    y = tone(seconds=1)[:length, 0]
    expected = librosa.power_to_db(librosa_mel(y, config)).T
    result = log_mel(y, config)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() < TOLERANCE


def test_features_of_odd_n_fft_have_a_version_of_their_own_and_the_others_keep_their_digest():
    assert FeatureConfig().digest == "124efa3ea43b78e5"
    assert FeatureConfig(n_fft=1023).version == FeatureConfig(n_fft=1024).version + 1 == options.VERSION + 1


def test_equals_the_definition_in_double_precision(tone):
    y = tone(seconds=2)[:, 0]
    for mel_scale in ("slaney", "htk"):
        config = FeatureConfig(mel_scale=mel_scale)
        assert np.abs(log_mel(y, config) - double_log_mel(y, config)).max() < TOLERANCE


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
@pytest.mark.parametrize(
    "sizes", [(16000, 2048, 128), (22050, 1023, 40), (44100, 512, 229), (1500, 256, 20), (8000, 64, 1)]
)
def test_filters_and_bands_are_those_of_librosa(sizes, mel_scale):
    sr, n_fft, n_mels = sizes
    config = FeatureConfig(sr=sr, n_fft=n_fft, n_mels=n_mels, mel_scale=mel_scale)
    expected = librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n_mels, htk=mel_scale == "htk")
    np.testing.assert_allclose(mel_filters(config), expected, rtol=1e-5, atol=1e-9)
    centres = librosa.mel_frequencies(n_mels + 2, fmax=sr / 2, htk=mel_scale == "htk")[1:-1]
    np.testing.assert_allclose(mel_frequencies(config), centres, rtol=1e-12)


def test_a_worker_starts_without_librosa_and_what_else_takes_long_to_import():
    code = "import sys, projects.artists.data.featurize, projects.artists.audio.features as f, numpy as np\n"
    code += "f.log_mel(np.ones(9999, 'f4'), f.FeatureConfig()); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    loaded = set(done.stdout.split())
    slow = {"librosa", "numba", "scipy.signal", "pandas", "keras", "mlflow", "boto3"}
    assert "scipy.fft" in loaded and not loaded & slow


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("n", [1, 2, 511, 512, 513, 2047, 2048, 16000, 16384])
def test_there_is_a_frame_a_hop_and_one(n, tone):
    y = tone(seconds=2)[:n, 0]
    result = log_mel(y, DEFAULT)
    assert result.shape == (1 + n // 512, 128) and result.flags.c_contiguous
    assert np.abs(result - librosa.power_to_db(librosa_mel(y, DEFAULT)).T).max() < TOLERANCE


@pytest.mark.parametrize("block", [1, 7, 62, 63, 64, 10_000])
def test_the_size_of_a_block_does_not_matter(tone, monkeypatch, block):
    y = tone(seconds=2)[:, 0]
    assert 1 + len(y) // 512 == 63
    expected = log_mel(y, DEFAULT)
    monkeypatch.setattr(features, "BLOCK_FRAMES", block)
    assert np.abs(log_mel(y, DEFAULT) - expected).max() < 1e-4


def test_silence_is_the_smallest_power_everywhere():
    # The last bit of a logarithm depends on the instructions of the processor.
    np.testing.assert_allclose(log_mel(np.zeros(5000, np.float32), DEFAULT), np.float32(-100), rtol=2e-7)


def test_no_samples_are_one_frame_of_silence():
    assert log_mel(np.zeros(0, np.float32), DEFAULT).shape == (1, 128)


def test_the_floor_is_80_db_below_the_peak_of_the_song(tone):
    y = np.concatenate([np.zeros(16000, np.float32), tone(seconds=1)[:, 0], np.zeros(16000, np.float32)])
    result = log_mel(y, DEFAULT)
    assert result.min() == pytest.approx(result.max() - 80, abs=1e-4)
    np.testing.assert_array_equal(result[:20], result.min())
    loud = np.concatenate([y, 30 * tone(seconds=1, pitch=440)[:, 0]])
    assert log_mel(loud, DEFAULT).min() > result.min() + 20


def test_twice_the_amplitude_is_6_db_more_in_every_band(tone):
    y = tone(seconds=1)[:, 0]
    assert np.abs(log_mel(2 * y, DEFAULT) - log_mel(y, DEFAULT) - 20 * np.log10(2)).max() < TOLERANCE


def test_a_shift_by_a_hop_shifts_the_frames(tone):
    y = tone(seconds=2)[:, 0]
    np.testing.assert_allclose(mel_power(y[512:], DEFAULT)[4:-4], mel_power(y, DEFAULT)[5:-4], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_a_sine_is_loudest_in_the_band_of_its_frequency(mel_scale):
    config = FeatureConfig(mel_scale=mel_scale)
    for band in (20, 60, 100, 125):
        hz = mel_frequencies(config)[band]
        y = np.sin(2 * np.pi * hz * np.arange(16000) / 16000).astype(np.float32)
        assert log_mel(y, config)[10].argmax() == band


def test_the_two_mel_scales_differ():
    htk = dataclasses.replace(DEFAULT, mel_scale="htk")
    assert np.abs(mel_frequencies(DEFAULT) - mel_frequencies(htk)).max() > 100
    assert mel_frequencies(DEFAULT).shape == (128,) and (np.diff(mel_frequencies(htk)) > 0).all()


def test_the_samples_are_left_as_they_are(tone):
    y = tone(seconds=1)[:, 0]
    before = y.copy()
    log_mel(y, DEFAULT)
    np.testing.assert_array_equal(y, before)


def test_samples_in_double_precision_and_strided_ones_give_the_same(tone):
    y = tone(seconds=1, channels=2)
    expected = log_mel(np.ascontiguousarray(y[:, 1]), DEFAULT)
    np.testing.assert_array_equal(log_mel(y[:, 1], DEFAULT), expected)
    np.testing.assert_array_equal(log_mel(y[:, 1].astype(float), DEFAULT), expected)


def test_the_digest_changes_with_every_field_and_is_the_same_in_every_version():
    assert DEFAULT.digest == "124efa3ea43b78e5"
    changed = [
        FeatureConfig(**{field.name: value})
        for field, value in zip(
            dataclasses.fields(FeatureConfig), (8000, 1024, 256, 64, "htk", 60.0, "log10", True, -18.0), strict=True
        )
    ]
    assert len({config.digest for config in [DEFAULT, *changed]}) == 10


def test_equal_configurations_have_equal_digests():
    assert FeatureConfig(crop=60) == FeatureConfig(crop=60.0)
    assert FeatureConfig(crop=60).digest == FeatureConfig(crop=60.0).digest


@pytest.mark.parametrize(
    ("name", "value"),
    [("sr", 0), ("sr", -1), ("n_fft", 0), ("hop_length", 0), ("n_mels", -5)]
    + [("crop", value) for value in (0, -1.0, float("nan"), float("inf"))],
)
def test_values_that_make_no_sense_are_named(name, value):
    with pytest.raises(InputError, match=f"{name}={value} must be a positive"):
        FeatureConfig(**{name: value})


def test_one_gain_brings_a_track_to_its_level_and_no_level_is_left_in_the_features():
    config = FeatureConfig(level=-18.0)
    y = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    assert np.sqrt(np.mean(at_level(y, -18.0) ** 2)) == pytest.approx(10 ** (-18 / 20), rel=1e-5)
    np.testing.assert_allclose(log_mel(y / 4, config), log_mel(y, config), atol=1e-4)
    np.testing.assert_array_equal(at_level(np.zeros(9, np.float32), -18.0), np.zeros(9))
    assert at_level(y, None) is y and config.digest != DEFAULT.digest


@pytest.mark.parametrize("level", [-81.0, 1.0])
def test_a_level_that_cannot_be_is_refused(level):
    with pytest.raises(InputError, match="must be from -80 to 0 dB"):
        FeatureConfig(level=level)


PARK = FeatureConfig(sr=22050, n_fft=1024, compression="log10")


def test_park_features_are_the_logarithm_of_the_mel_magnitude(tone):
    y = tone(seconds=2, sr=22050)[:, 0]
    magnitude = librosa.feature.melspectrogram(y=y, sr=22050, n_fft=1024, hop_length=512, n_mels=128, power=1.0)
    result = log_mel(y, PARK)
    assert result.shape == (1 + len(y) // 512, 128) and result.dtype == np.float32
    np.testing.assert_allclose(result, np.log10(1 + 10 * magnitude).T, atol=1e-4)
    assert (log_mel(np.zeros(5000, np.float32), PARK) == 0).all()


def test_three_seconds_of_park_are_129_frames():
    from projects.artists.audio.lengths import clip_frames

    assert clip_frames(3, PARK) == 129


@pytest.mark.parametrize("compression", ["db", "log10"])
def test_chroma_stands_beside_the_bands_and_equals_librosa(tone, compression):
    y = tone(seconds=2)[:, 0]
    y[:4096] = 0
    config = FeatureConfig(chroma=True, compression=compression)
    result = log_mel(y, config)
    expected = librosa.feature.chroma_stft(y=y, sr=16000, n_fft=2048, hop_length=512, tuning=0.0).T
    assert result.shape == (63, 140)
    np.testing.assert_allclose(result[:, 128:], expected, atol=1e-4)
    np.testing.assert_allclose(result[:, :128], log_mel(y, dataclasses.replace(config, chroma=False)), atol=1e-4)
    assert (result[0, 128:] == 0).all() and result[20, 128:].max() == 1


def test_decibels_come_back_from_any_compression(tone):
    y = tone(seconds=1)[:, 0]
    with_chroma = FeatureConfig(chroma=True)
    np.testing.assert_array_equal(features.to_db(log_mel(y, with_chroma), with_chroma), log_mel(y, DEFAULT))
    config = FeatureConfig(compression="log10")
    expected = librosa.amplitude_to_db(mel_power(y, config), amin=1e-5, top_db=80)
    np.testing.assert_allclose(features.to_db(log_mel(y, config), config), expected, atol=0.05)


def test_mfcc_equal_librosa(tone):
    db = log_mel(tone(seconds=1)[:, 0], DEFAULT)
    np.testing.assert_allclose(features.mfcc(db, 20), librosa.feature.mfcc(S=db.T, n_mfcc=20).T, atol=1e-3)
