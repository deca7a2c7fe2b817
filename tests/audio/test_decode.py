"""Decoding against librosa.load, whole and cropped, and what is said of files that are no audio."""

from __future__ import annotations

import io
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from projects.artists.audio import decode
from projects.artists.audio.decode import DecodeError, Excerpt, centre_span, read_audio

SR = 16000
FORMATS = {
    "wav": {"format": "WAV", "subtype": "PCM_16"},
    "flac": {"format": "FLAC", "subtype": "PCM_24"},
    "mp3": {"format": "MP3"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}
RATES = (8000, 11025, 16000, 22050, 44100, 48000)
CASES = [
    (kind, rate, channels)
    for kind in FORMATS
    for rate in RATES
    for channels in (1, 2, 6)
    if not (kind == "opus" and rate in (11025, 22050, 44100)) and not (kind == "mp3" and channels > 2)
]


@pytest.fixture(scope="session")
def written(tmp_path_factory, tone, write_audio):
    """kind, rate, channels -> a file of 1.3 s."""
    folder = tmp_path_factory.mktemp("audio")

    def write(kind: str, rate: int, channels: int) -> Path:
        path = folder / f"{rate}_{channels}.{kind}"
        if not path.exists():
            write_audio(path, tone(seconds=1.3, sr=rate, channels=channels), rate, **FORMATS[kind])
        return path

    return write


@pytest.mark.parametrize(("kind", "rate", "channels"), CASES)
def test_samples_are_those_of_librosa(written, kind, rate, channels):
    path = written(kind, rate, channels)
    expected, _ = librosa.load(path, sr=SR)
    y = read_audio(path, SR)
    assert y.shape == expected.shape and y.dtype == np.float32
    np.testing.assert_allclose(y, expected, atol=2e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_other_rates_of_the_result(written, rate):
    path = written("flac", 48000, 2)
    expected, _ = librosa.load(path, sr=rate)
    np.testing.assert_allclose(read_audio(path, rate), expected, atol=2e-6)


@pytest.mark.parametrize(("kind", "rate"), [("wav", 44100), ("flac", 48000), ("mp3", 44100), ("ogg", 22050)])
@pytest.mark.parametrize("seconds", [0.013, 0.31, 100.0])
def test_blocks_of_another_length_change_nothing(written, monkeypatch, kind, rate, seconds):
    path = written(kind, rate, 2)
    expected = read_audio(path, SR)
    monkeypatch.setattr(decode, "BLOCK_SECONDS", seconds)
    np.testing.assert_allclose(read_audio(path, SR), expected, atol=1e-6)


def test_a_mean_of_channels_is_mono(tmp_path, write_audio):
    left = np.linspace(-0.5, 0.5, 1000, dtype=np.float32)
    path = write_audio(tmp_path / "a.wav", np.stack([left, -left, left], axis=1), SR, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, SR), left / 3, atol=1e-7)


@pytest.mark.parametrize(("kind", "atol"), [("wav", 0), ("flac", 0), ("ogg", 1e-6), ("mp3", 1e-4), ("opus", 1e-2)])
@pytest.mark.parametrize("crop", [0.1, 0.55, 1.0])
def test_crop_is_the_centre_of_the_file(written, kind, atol, crop):
    """mp3 and opus carry state from one frame to the next, so a seek is near, not exact."""
    path = written(kind, SR, 1)
    whole = read_audio(path, SR)
    n = round(crop * SR)
    first = (len(whole) - n) // 2
    y = read_audio(path, SR, crop=crop)
    assert len(y) == n
    np.testing.assert_allclose(y, whole[first : first + n], atol=atol)


def test_crop_then_resampling_gives_the_length_of_the_crop(written):
    for rate in RATES:
        assert len(read_audio(written("flac", rate, 1), SR, crop=0.5)) == pytest.approx(SR / 2, abs=1)


@pytest.mark.parametrize("crop", [1.3, 1.31, 60.0, 1e300])
def test_a_crop_that_the_file_does_not_have_is_the_file(written, crop):
    path = written("flac", 44100, 1)
    np.testing.assert_array_equal(read_audio(path, SR, crop=crop), read_audio(path, SR))


def test_the_centre_leaves_as_much_before_as_behind():
    for frames in (1, 2, 99, 100):
        for crop in (1e-9, 0.1, 0.33, 0.5, 1, 7, math.inf):
            start, keep = centre_span(frames, 100, crop)
            behind = frames - start - keep
            assert keep >= 1 and 0 <= behind - start <= 1
            assert keep == min(frames, max(1, round(min(crop, 9) * 100)))


@pytest.mark.parametrize("n", [1, 2, 159, 160])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_file_of_a_few_samples_has_the_length_that_librosa_gives(tmp_path, write_audio, n, rate):
    path = write_audio(tmp_path / "short.wav", np.full(n, 0.25, np.float32), rate)
    expected, _ = librosa.load(path, sr=SR)
    y = read_audio(path, SR)
    assert len(y) == len(expected) == math.ceil(n * SR / rate)
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_silence_is_silence(tmp_path, write_audio):
    y = read_audio(write_audio(tmp_path / "silence.flac", np.zeros(44100, np.float32), 44100), SR)
    assert len(y) == SR and not y.any()


def test_a_binary_file_reads_as_its_path_does(written):
    path = written("ogg", 44100, 2)
    np.testing.assert_array_equal(read_audio(io.BytesIO(path.read_bytes()), SR), read_audio(path, SR))


def test_the_name_of_a_file_need_not_be_utf_8(tmp_path, written):
    name = os.fsencode(tmp_path) + b"/caf\xe9.ogg"
    try:
        with open(name, "wb") as file:
            file.write(written("ogg", 16000, 1).read_bytes())
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    assert len(read_audio(Path(os.fsdecode(name)), SR)) == round(1.3 * SR)


def test_the_suffix_is_not_what_tells_a_format(tmp_path, written):
    path = tmp_path / "in_truth_a_flac.wav"
    path.write_bytes(written("flac", 16000, 1).read_bytes())
    assert len(read_audio(path, SR)) == round(1.3 * SR)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 22050])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_no_numbers_are_refused(tmp_path, tone, write_audio, bad, rate, channels):
    y = tone(seconds=0.5, sr=rate, channels=channels)
    y[1234, -1] = bad
    path = write_audio(tmp_path / "a.wav", y, rate, subtype="FLOAT")
    with pytest.raises(DecodeError, match="NaN or infinite"):
        read_audio(path, SR)


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.wav", b""), ("empty.mp3", b""), ("text.mp3", b"not found " * 2000), ("text.ogg", b"hello"),
     ("page.flac", b"<html><body>404</body></html>"), ("zeros.mp3", bytes(20000)), ("random.wav", b"RIFF\1\2\3\4")],
)  # fmt: skip
def test_what_is_no_audio_is_said_to_be_none(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="not readable as audio: Format not recognised"):
        read_audio(path, SR)


def test_a_missing_file_and_a_folder_are_called_so(tmp_path):
    with pytest.raises(DecodeError, match="no such file"):
        read_audio(tmp_path / "none.mp3", SR)
    (tmp_path / "folder.flac").mkdir()
    with pytest.raises(DecodeError, match="a folder"):
        read_audio(tmp_path / "folder.flac", SR)


@pytest.mark.parametrize("crop", [None, 1.0])
def test_a_file_without_samples_is_refused(tmp_path, write_audio, crop):
    path = write_audio(tmp_path / "none.wav", np.zeros((0, 1), np.float32))
    with pytest.raises(DecodeError, match="holds no samples"):
        read_audio(path, SR, crop=crop)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fraction", [0.002, 0.01, 0.3, 0.7])
@pytest.mark.parametrize("crop", [None, 0.4])
def test_a_truncated_file_is_shorter_or_refused_with_a_reason(tmp_path, written, kind, fraction, crop):
    content = written(kind, SR, 1).read_bytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(content[: int(fraction * len(content))])
    try:
        y = read_audio(path, SR, crop=crop)
    except DecodeError as error:
        assert len(str(error)) > 15 and str(path) not in str(error)
    else:
        assert kind != "flac" and 0 < len(y) < 1.3 * SR and np.isfinite(y).all()


def test_flipped_bytes_never_raise_anything_else(tmp_path, written):
    """A library of a hundred thousand files has every kind of damage; each must come out as DecodeError."""
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(300):
        kind = list(FORMATS)[i % len(FORMATS)]
        content = bytearray(written(kind, 16000, 1 + i % 2).read_bytes())
        for _ in range(rng.integers(1, 8)):
            content[rng.integers(len(content) if i % 3 else 64)] = rng.integers(256)
        path = tmp_path / f"damaged.{kind}"
        path.write_bytes(content)
        # A damaged header may claim a rate whose resampling fills the memory; 16 kHz up to 655 kHz is enough here.
        try:
            if soundfile.info(path).samplerate < 4000:
                continue
        except soundfile.LibsndfileError:
            pass
        try:
            y = read_audio(path, SR, crop=[None, 0.5][i % 2])
        except DecodeError:
            refused += 1
        else:
            assert np.isfinite(y).all()
    assert refused > 30


@pytest.mark.parametrize("suffix", sorted(decode.AV_SUFFIXES))
def test_formats_of_pyav_say_what_they_need(tmp_path, monkeypatch, suffix):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / f"song{suffix.upper()}"
    path.write_bytes(b"anything")
    with pytest.raises(DecodeError, match=r"needs PyAV: `pip install av`.*=uv.*requirements.txt.*or convert"):
        read_audio(path, SR)


def write_m4a(path: Path, y: np.ndarray, sr: int) -> Path:
    av = pytest.importorskip("av", reason="the m4a extra (PyAV) is not installed")
    layout = {1: "mono", 2: "stereo"}[y.shape[1]]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=sr)
        stream.layout = layout
        for start in range(0, len(y), 1024):
            block = np.ascontiguousarray(y[start : start + 1024].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = sr, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("sr", [16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_m4a_is_as_loud_and_as_long_as_what_was_written(tmp_path, sr, channels):
    t = np.arange(2 * sr) / sr
    y = np.repeat(0.2 * np.sin(2 * np.pi * 300 * t).astype(np.float32)[:, None], channels, axis=1)
    decoded = read_audio(write_m4a(tmp_path / "a.m4a", y, sr), SR)
    # The encoder's delay and padding are at most a few of its frames of 1,024 samples.
    assert decoded.dtype == np.float32 and abs(len(decoded) - 2 * SR) <= 4096 * SR / sr
    assert np.abs(decoded[SR // 2 : -SR // 2]).max() == pytest.approx(0.2, abs=0.01)


def test_m4a_crops_and_refuses(tmp_path):
    path = write_m4a(tmp_path / "a.m4a", np.full((32000, 1), 0.1, np.float32), SR)
    assert len(read_audio(path, SR, crop=0.5)) == SR / 2
    (tmp_path / "bad.m4a").write_bytes(b"no audio" * 100)
    (tmp_path / "folder.m4a").mkdir()
    for name, reason in (("bad.m4a", "Invalid data"), ("none.m4a", "no such file"), ("folder.m4a", "a folder")):
        with pytest.raises(DecodeError, match=reason):
            read_audio(tmp_path / name, SR)


def test_m4a_is_counted_while_it_is_decoded(monkeypatch):
    """An endless one is refused, whatever part of it is asked for; one at the limit is read."""
    monkeypatch.setattr(decode, "LONGEST_SECONDS", 3.0)

    def blocks(path: Path):
        block = np.full((SR, 2), 0.1, np.float32), SR
        return itertools.repeat(block) if path.stem == "endless" else itertools.repeat(block, 3)

    monkeypatch.setattr(decode, "_av_blocks", blocks)
    for excerpt in (Excerpt(), Excerpt(crop=1.0), Excerpt(start=0, seconds=1.0)):
        with pytest.raises(DecodeError, match="longer than the limit of 3 s"):
            read_audio(Path("endless.m4a"), SR, excerpt)
    assert len(read_audio(Path("a.m4a"), SR)) == 3 * SR
    with pytest.raises(DecodeError, match="longer than the limit of 1 s"):
        read_audio(Path("a.m4a"), SR, Excerpt(limit=1.0))


@pytest.mark.parametrize(
    ("rate", "readable"), [(1, False), (999, False), (1000, True), (192_000, True), (2_000_000, False)]
)
def test_a_rate_that_no_music_has_is_refused_before_anything_is_resampled(tmp_path, rate, readable):
    """At 1 Hz these five seconds' worth of samples would become 22 hours."""
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.full(80_000, 0.1, np.float32), rate, subtype="FLOAT")
    if readable:
        assert len(read_audio(path, SR)) == math.ceil(80_000 * SR / rate)
    else:
        with pytest.raises(DecodeError, match=f"says {rate} samples a second"):
            read_audio(path, SR)


def test_a_length_that_the_header_does_not_know_is_read_to_the_end(written, monkeypatch):
    """As of a stream: libsndfile then claims 2**63 - 1 frames."""
    path = written("flac", 44100, 2)
    expected = read_audio(path, SR)
    monkeypatch.setattr(soundfile.SoundFile, "frames", property(lambda self: 2**63 - 1))
    monkeypatch.setattr(decode, "LONGEST_CLAIM_SECONDS", 0.01)
    np.testing.assert_array_equal(read_audio(path, SR), expected)


PEAK = """
import sys
from pathlib import Path
import numpy as np
from projects.artists.audio.decode import read_audio
from projects.artists.audio.features import FeatureConfig, log_mel

def mb(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 1024

log_mel(np.ones(16000, np.float32), FeatureConfig())
before = mb("VmRSS")
log_mel(read_audio(Path(sys.argv[1]), 16000), FeatureConfig())
print(mb("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_file_is_held_once_mono_at_the_rate_wanted(tmp_path, tone):
    """Five minutes of 44.1 kHz stereo are 106 MB as float32, 53 as mono, 19 at 16 kHz, and their features 5."""
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 44100, 2) as file:
        second = tone(seconds=1, sr=44100, channels=2)
        for _ in range(300):
            file.write(second)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert 15 < float(done.stdout) < 45
