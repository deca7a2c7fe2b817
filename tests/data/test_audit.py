"""What is said of a file: clipping, silence and length by hand; cut files of every format; audited once."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest

from projects.artists.audio import decode
from projects.artists.audio.endings import cut_off
from projects.artists.audio.features import FeatureConfig
from projects.artists.data import corpora
from projects.artists.data.audit import FULL_SCALE, Audit, Auditor, AuditStore
from projects.artists.data.cache import audio_digest
from projects.artists.data.featurize import featurize

FORMATS = {
    "a.wav": {}, "a.flac": {}, "a.ogg": {}, "a.opus": {"format": "OGG", "subtype": "OPUS"}, "a.aiff": {}, "a.au": {},
    "a.mp3": {}, "b.wav": {"format": "RF64"}, "c.wav": {"format": "WAVEX"},
}  # fmt: skip


def audit(path) -> Audit:
    auditor = Auditor()
    decode.observe_audio(path, auditor)
    return auditor.audit(path)


def heard(y: np.ndarray, *cuts: int) -> float:
    """Clipped share of samples (n, channels) that arrive in the blocks between `cuts`."""
    auditor = Auditor()
    for start, stop in itertools.pairwise([0, *cuts, len(y)]):
        auditor(y[start:stop], 100)
    auditor._close(np.arange(y.shape[1]))
    return auditor._clipped / y.size


def by_hand(y: np.ndarray) -> float:
    """The same by a loop over samples."""
    total = 0
    for channel in np.abs(y).T:
        for full, run in itertools.groupby(channel >= FULL_SCALE):
            length = len(list(run))
            total += length if full and length >= 4 else 0
    return total / y.size


def test_four_samples_on_end_are_clipped_and_three_are_not():
    y = np.zeros((100, 1), np.float32)
    y[10:14] = 1.0
    y[20:23] = 1.0
    y[30:35] = -0.9991
    y[40:50] = 0.9989
    assert heard(y) == pytest.approx(9 / 100)


def test_runs_are_counted_whole_however_the_decoder_cuts_its_blocks():
    rng = np.random.default_rng(0)
    for trial in range(200):
        y = rng.choice([0.2, 1.0, -1.0], size=(60, 2), p=[0.3, 0.4, 0.3]).astype(np.float32)
        if trial % 3 == 0:
            y[5:55, 0] = 1.0
        cuts = sorted(rng.choice(np.arange(1, 60), size=trial % 9, replace=False))
        assert heard(y, *cuts) == pytest.approx(by_hand(y)), (trial, cuts)


def test_an_audit_of_known_samples(tmp_path, write_audio):
    y = np.zeros((44100, 2), np.float32)
    y[:, 0] = 0.5 * np.sign(np.sin(np.arange(44100)) + 1e-9)
    found = audit(write_audio(tmp_path / "a.wav", y, 44100))
    assert (found.seconds, found.sample_rate, found.channels) == (1.0, 44100, 2)
    assert found.peak_db == pytest.approx(-6.02, abs=0.01) and found.rms_db == pytest.approx(-9.03, abs=0.01)
    assert found.truncated == "" and found.clipped_share == 0 and not found.silent and not found.clipped


@pytest.mark.parametrize(("peak", "silent"), [(0.0, True), (0.0009, True), (0.0011, False)])
def test_silent_is_under_a_thousandth_of_full_scale(tmp_path, write_audio, peak, silent):
    y = np.zeros((16000, 2), np.float32)
    y[8000, 1] = peak
    found = audit(write_audio(tmp_path / "a.wav", y, subtype="FLOAT"))
    assert found.silent is silent and (found.peak_db is None) is (peak == 0)


@pytest.mark.parametrize(("gain", "clipped"), [(1.0, False), (4.0, True)])
def test_music_pushed_against_the_ceiling_is_clipped(tmp_path, write_audio, tone, gain, clipped):
    y = np.clip(gain * tone(seconds=2, channels=2), -1, 1)
    for name in ("a.wav", "a.flac", "a.mp3"):
        assert audit(write_audio(tmp_path / name, y)).clipped is clipped, name


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_lacks_its_last_bytes_is_truncated_and_a_whole_one_is_not(tmp_path, write_audio, tone, name):
    path = write_audio(tmp_path / name, tone(seconds=3, channels=2), **FORMATS[name])
    whole = path.read_bytes()
    found = audit(path)
    assert found.truncated == "" and found.seconds == pytest.approx(3.0, abs=0.01)
    for missing in (1, 1000, len(whole) // 2):
        path.write_bytes(whole[:-missing])
        if name == "a.flac":
            with pytest.raises(decode.DecodeError):
                audit(path)
            assert (
                cut_off(path) is None and cut_off(path, 1000) == "its header promises 48,000 samples, 1,000 are there"
            )
        else:
            cut = audit(path)
            assert cut.truncated and 0 < cut.seconds <= found.seconds
            if name != "a.mp3":
                assert cut_off(path) == cut.truncated


def test_an_mp3_without_a_xing_header_is_judged_by_its_last_frame(tmp_path, write_audio, tone):
    path = write_audio(tmp_path / "a.mp3", tone(seconds=2))
    data = path.read_bytes()
    header = data.index(b"Info" if b"Info" in data else b"Xing")
    second = data.index(data[:2], header)
    bare = data[second:]
    for tags_before in (b"", b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)):
        for tags_after in (b"", b"TAG" + bytes(125)):
            path.write_bytes(tags_before + bare + tags_after)
            assert cut_off(path) is None
            path.write_bytes(tags_before + bare[:-10])
            assert cut_off(path) == "its last frame is cut"


def test_an_ogg_stream_recorded_without_its_end_is_truncated(tmp_path, write_audio, tone):
    path = write_audio(tmp_path / "a.ogg", tone(seconds=3))
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])
    assert cut_off(path) == "it has no page that ends the stream"


def test_lengths_that_a_pipe_could_not_know_are_not_judged(tmp_path, write_audio, tone):
    path = write_audio(tmp_path / "a.wav", tone(seconds=1))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    for unknown in (0, 0xFFFFFFFF):
        data[at : at + 4] = unknown.to_bytes(4, "little")
        path.write_bytes(data)
        assert cut_off(path) is None


def test_bytes_of_strangers_raise_nothing(tmp_path, write_audio, tone):
    """Headers with single bytes changed and files cut anywhere: an answer or none, within the file."""
    rng, path = random.Random(0), tmp_path / "x"
    for name, options in FORMATS.items():
        data = write_audio(tmp_path / name, tone(seconds=0.3), **options).read_bytes()
        for _ in range(60):
            bad = bytearray(data[: rng.randrange(1, len(data))] if rng.random() < 0.5 else data)
            for _ in range(rng.randrange(4)):
                bad[rng.randrange(min(len(bad), 200))] = rng.randrange(256)
            path.write_bytes(bad)
            assert cut_off(path, 10) is None or isinstance(cut_off(path, 10), str)
    path.write_bytes(b"")
    assert cut_off(path) is None


def test_audits_are_made_in_the_same_decoding_and_change_no_feature(small_corpus, in_process, monkeypatch, tmp_path):
    corpus, config = corpora.load(str(small_corpus)), FeatureConfig()
    decoded = []
    original = decode._blocks
    monkeypatch.setattr(decode, "_blocks", lambda file, frames: decoded.append(file) or original(file, frames))
    features = featurize(corpus, config, audits=AuditStore())
    assert len(decoded) == len(corpus.tracks) == features.computed
    assert AuditStore().get(features.entries[corpus.tracks[0].track_id].audio_digest).seconds == 4.0
    in_process.clear()
    featurize(corpus, config, audits=AuditStore())
    assert not in_process, "the second check reads nothing"
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "other"))
    plain = featurize(corpus, config)
    for name, entry in plain.entries.items():
        np.testing.assert_array_equal(np.load(entry.path), np.load(features.entries[name].path))


def test_a_corpus_that_was_featurized_before_is_audited_without_new_features(cached, in_process, common_corpus):
    features = featurize(cached, FeatureConfig(), audits=AuditStore())
    assert features.computed == 0 and len(in_process) == len(cached.tracks)
    assert all(AuditStore().get(entry.audio_digest) for entry in features.entries.values())


def test_the_whole_of_a_file_is_audited_where_only_its_centre_is_learned_from(tmp_path, in_process, write_audio, tone):
    y = tone(seconds=4)
    y[:8000] = 1.0
    write_audio(tmp_path / "c" / "A" / "x" / "s.wav", y)
    features = featurize(corpora.load(str(tmp_path / "c")), FeatureConfig(crop=1.0), audits=AuditStore())
    (entry,) = features.entries.values()
    found = AuditStore().get(entry.audio_digest)
    assert found.seconds == 4.0 and found.clipped_share == pytest.approx(8000 / 64000) and entry.n_frames == 32


def test_a_stored_audit_that_is_not_whole_is_made_again(tmp_path):
    store, path = AuditStore(tmp_path), tmp_path / "file"
    path.write_bytes(b"x")
    digest = audio_digest(path)
    assert store.get(digest) is None
    found = Audit(1.0, 16000, 1, None, None, 0.0, None)
    store.write(digest, found)
    assert store.get(digest) == found
    for bad in (b"", b"{", b"[]", b'{"seconds": 1}'):
        store._path(digest).write_bytes(bad)
        assert store.get(digest) is None
    store.write(digest, dataclasses.replace(found, clipped_share=0.5))
    assert store.get(digest).clipped
