"""Features of a whole corpus: once, in parallel, and whatever single files do."""

from __future__ import annotations

import concurrent.futures as futures
import os
import re
import shutil
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from projects.artists.audio.decode import read_audio
from projects.artists.audio.features import FeatureConfig, log_mel
from projects.artists.data import corpora, prepare
from projects.artists.data import featurize as module
from projects.artists.data import workers as workers_module
from projects.artists.data.cache import FeatureStore, audio_digest
from projects.artists.data.featurize import Features, featurize, surviving
from projects.artists.data.tracks import Corpus, Track
from projects.artists.errors import InputError

CONFIG = FeatureConfig()


def tracks_of(*paths: Path) -> Corpus:
    return Corpus("some", tuple(Track(path.name, path, artist=path.name[0]) for path in paths))


def stored(store: FeatureStore) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.folder.rglob("*") if path.is_file()}


def test_every_track_has_the_features_of_its_audio(cached):
    features = featurize(cached, CONFIG)
    assert list(features.entries) == [track.track_id for track in cached.tracks] and not features.quarantined
    for track in cached.tracks[::5]:
        entry = features.entries[track.track_id]
        expected = log_mel(read_audio(track.path, CONFIG.sr), CONFIG)
        assert entry.audio_digest == audio_digest(track.path) and entry.n_frames == len(expected) == 126
        np.testing.assert_allclose(np.load(entry.path), expected, atol=1e-4)


def test_what_the_cache_holds_starts_no_worker(cached, monkeypatch):
    monkeypatch.setattr(workers_module.futures, "ProcessPoolExecutor", None)
    before = stored(FeatureStore(CONFIG))
    assert len(before) == 18
    for corpus in (cached, Corpus("turned", tuple(reversed(cached.tracks)))):
        features = featurize(corpus, CONFIG)
        assert features.computed == 0 and len(features.entries) == 18
    assert stored(FeatureStore(CONFIG)) == before


def test_the_order_of_tracks_changes_nothing(small_corpus, in_process, monkeypatch, tmp_path):
    corpus = corpora.load(str(small_corpus))
    first = featurize(corpus, CONFIG)
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "other"))
    turned = Corpus("turned", corpus.tracks)
    object.__setattr__(turned, "tracks", tuple(reversed(corpus.tracks)))
    second = featurize(turned, CONFIG)
    assert in_process[:18] == in_process[:17:-1]
    for name, entry in first.entries.items():
        np.testing.assert_array_equal(np.load(entry.path), np.load(second.entries[name].path))


def test_only_what_is_new_or_changed_is_computed(small_corpus, in_process, write_audio, tone):
    corpus = corpora.load(str(small_corpus))
    assert featurize(corpus, CONFIG).computed == 18
    changed, touched = corpus.tracks[3].path, corpus.tracks[4].path
    write_audio(changed, tone(seconds=4, seed=99))
    touched.touch()
    new = write_audio(small_corpus / "artist0" / "album0" / "new.flac", tone(seconds=4, seed=98))
    in_process.clear()
    features = featurize(corpora.load(str(small_corpus)), CONFIG)
    assert set(in_process) == {changed, touched, new}
    assert features.computed == 2
    assert features.entries[corpus.tracks[3].track_id].audio_digest == audio_digest(changed)


def test_a_corpus_that_has_moved_is_not_computed_again(cached, in_process, tmp_path, common_corpus):
    moved = corpora.load(str(shutil.copytree(common_corpus, tmp_path / "moved")))
    features = featurize(moved, CONFIG)
    assert features.computed == 0 and len(in_process) == len(features.entries) == 18


def test_the_same_bytes_under_two_names_are_computed_and_stored_once(tmp_path, in_process, write_audio, tone):
    a = write_audio(tmp_path / "a.wav", tone(seconds=1))
    b = Path(shutil.copy(a, tmp_path / "b.wav"))
    features = featurize(tracks_of(a, b), CONFIG)
    assert features.computed == 1 and features.entries["a.wav"] == features.entries["b.wav"]
    assert len(stored(FeatureStore(CONFIG))) == 1


def test_another_configuration_is_computed_anew_and_the_first_one_kept(tmp_path, in_process, write_audio, tone):
    corpus = tracks_of(write_audio(tmp_path / "a.wav", tone(seconds=2)))
    for config in (CONFIG, FeatureConfig(crop=1.0), FeatureConfig(n_mels=40, mel_scale="htk")):
        entry = featurize(corpus, config).entries["a.wav"]
        assert np.load(entry.path).shape == (entry.n_frames, config.n_mels)
        assert entry.n_frames == 1 + int((config.crop or 2) * 16000) // 512
    assert len(in_process) == 3
    assert featurize(corpus, CONFIG).computed == 0


def test_a_damaged_or_deleted_file_of_the_cache_is_made_again(tmp_path, in_process, write_audio, tone):
    corpus = tracks_of(write_audio(tmp_path / "a.wav", tone(seconds=1)))
    entry = featurize(corpus, CONFIG).entries["a.wav"]
    whole = entry.path.read_bytes()
    for content in (whole[:-1], whole[:100], b"", None):
        entry.path.unlink()
        if content is not None:
            entry.path.write_bytes(content)
        assert featurize(corpus, CONFIG).computed == 1
        assert entry.path.read_bytes() == whole


def test_bad_files_are_quarantined_each_with_its_reason(tmp_path, in_process, write_audio, tone):
    good = write_audio(tmp_path / "good.flac", tone(seconds=1))
    named = {
        "cut.flac": (good.read_bytes()[:999], "lost sync"),
        "empty.mp3": (b"", "Format not recognised"),
        "page.mp3": (b"<html>" * 999, "Format not recognised"),
        "song.m4a": (b"x", "PyAV|Invalid data"),
    }
    for name, (content, _) in named.items():
        (tmp_path / name).write_bytes(content)
    write_audio(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), subtype="FLOAT")
    write_audio(tmp_path / "none.wav", np.zeros(0, np.float32))
    write_audio(tmp_path / "loud.wav", np.full(9000, 1e25, np.float32), subtype="FLOAT")
    (tmp_path / "folder.wav").mkdir()
    reasons = {name: reason for name, (_, reason) in named.items()} | {
        "nan.wav": "NaN", "none.wav": "no samples", "loud.wav": "too large", "folder.wav": "a folder, no file",
        "missing.wav": "No such file", "nul\0.wav": "null",
    }  # fmt: skip
    with np.errstate(all="ignore"):
        features = featurize(tracks_of(good, *(tmp_path / name for name in reasons)), CONFIG)
    assert list(features.entries) == ["good.flac"] and features.computed == 1
    assert features.quarantined.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert re.search(reason, features.quarantined[name], re.IGNORECASE), name
    table = prepare.quarantine_table(features)
    assert list(table.columns) == ["track_id", "reason"] and list(table["track_id"]) == sorted(reasons)


def test_a_fifo_and_a_device_are_no_files_and_nobody_waits_for_them(tmp_path, in_process):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    features = featurize(tracks_of(tmp_path / "pipe.wav", tmp_path / "zero.wav"), CONFIG)
    assert len(features.quarantined) == 2 and all("FIFO, no file" in r for r in features.quarantined.values())


def test_reasons_can_be_written_whatever_the_name_of_the_file(tmp_path, in_process):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3"))
    try:
        path.symlink_to(tmp_path / "nowhere")
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    table = prepare.quarantine_table(featurize(Corpus("c", (Track("a", path, artist="A"),)), CONFIG))
    assert rb"caf\xe9.mp3" in table.to_csv().encode()


def test_a_file_that_would_fill_the_memory_is_quarantined_while_it_is_decoded(
    tmp_path, in_process, write_audio, tone, monkeypatch
):
    path = write_audio(tmp_path / "long.flac", tone(seconds=3))
    monkeypatch.setattr(module, "LONGEST_SECONDS", 2.0)
    assert featurize(tracks_of(path), CONFIG).quarantined == {"long.flac": "longer than the limit of 2 s"}
    assert featurize(tracks_of(path), FeatureConfig(crop=1.0)).computed == 1
    # As of a stream: the header does not tell.
    monkeypatch.setattr(soundfile.SoundFile, "frames", property(lambda self: 2**63 - 1))
    assert featurize(tracks_of(path), CONFIG).quarantined == {"long.flac": "longer than the limit of 2 s"}


def test_a_file_that_is_mended_leaves_the_quarantine(tmp_path, in_process, write_audio, tone):
    path = tmp_path / "a.wav"
    path.write_bytes(b"not yet")
    assert featurize(tracks_of(path), CONFIG).quarantined
    write_audio(path, tone(seconds=1))
    features = featurize(tracks_of(path), CONFIG)
    assert features.computed == 1 and not features.quarantined


def test_short_silent_and_odd_files_have_features(tmp_path, in_process, write_audio, tone):
    names = {
        "one.wav": write_audio(tmp_path / "one.wav", np.full(1, 0.5, np.float32)),
        "silent.flac": write_audio(tmp_path / "silent.flac", np.zeros(16000, np.float32)),
        "six.ogg": write_audio(tmp_path / "six.ogg", tone(seconds=1, sr=48000, channels=6), 48000),
    }
    features = featurize(tracks_of(*names.values()), CONFIG)
    assert {name: entry.n_frames for name, entry in features.entries.items()} == {
        "one.wav": 1, "silent.flac": 32, "six.ogg": 32,
    }  # fmt: skip
    assert all(np.isfinite(np.load(entry.path)).all() for entry in features.entries.values())


def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_music(
    tmp_path, in_process, monkeypatch, write_audio, tone
):
    def full(self, digest, features):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FeatureStore, "write", full)
    with pytest.raises(OSError, match="No space left"):
        featurize(tracks_of(write_audio(tmp_path / "a.wav", tone(seconds=1))), CONFIG)


def test_progress_counts_every_track_once_up_to_all(cached, small_corpus, in_process):
    (small_corpus / "artist0" / "album0" / "bad.flac").write_bytes(b"bad")
    corpus = corpora.load(str(small_corpus))
    seen = []
    featurize(corpus, CONFIG, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 19) for i in range(1, 20)]


# Real processes; each takes a second to start.


def test_two_runs_at_once_share_one_cache(small_corpus):
    corpus = Corpus("few", corpora.load(str(small_corpus)).tracks[:4])
    with futures.ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: featurize(corpus, CONFIG, workers=1), range(2))
    assert one.entries.keys() == two.entries.keys() and len(one.entries) == 4
    assert all(one.entries[name] == two.entries[name] for name in one.entries)
    assert len(stored(FeatureStore(CONFIG))) == 4
    assert 4 <= one.computed + two.computed <= 8


KILLER = """
import os, soundfile
opened = soundfile.SoundFile.__init__
def open_or_die(self, file, *args, **kwargs):
    if b"killer" in os.fsencode(file):
        os.abort()
    opened(self, file, *args, **kwargs)
soundfile.SoundFile.__init__ = open_or_die
"""


def test_a_file_that_kills_the_decoder_is_quarantined_and_the_others_are_not(tmp_path, monkeypatch, cached):
    """libsndfile has crashed before; here it is made to, in the workers alone, by what Python imports at its start."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    (tmp_path / "killer.flac").write_bytes(b"bytes that no cache knows")
    # Their features are there already, under the digest of the same bytes: workers that start fast.
    others = [Path(shutil.copy(track.path, tmp_path / f"{i}.flac")) for i, track in enumerate(cached.tracks[:2])]
    features = featurize(tracks_of(tmp_path / "killer.flac", *others), CONFIG, workers=2)
    assert features.quarantined == {"killer.flac": "the decoder crashed on this file"}
    assert sorted(features.entries) == ["0.flac", "1.flac"]


class FakePool:
    """A pool without processes. The oldest call ends when results are waited for; a killer ends all that are in flight.

    `eager`: a killer strikes as soon as it is submitted, so that the next submit fails.
    """

    eager = False
    pools: list[FakePool] = []  # noqa: RUF012

    def __init__(self, workers, context, initializer, arguments):
        self.workers, self.flying, self.most, self.broken = workers, [], 0, False
        FakePool.pools.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        assert not self.flying

    def submit(self, function, track):
        path = track.path
        if self.broken:
            raise BrokenProcessPool
        future = futures.Future()
        self.flying.append((future, path))
        self.most = max(self.most, len(self.flying))
        if self.eager and "killer" in path.name:
            self.strike()
        return future

    def strike(self):
        self.broken = True
        for future, _ in self.flying:
            future.set_exception(BrokenProcessPool())
        self.flying.clear()

    @classmethod
    def wait(cls, running, return_when):
        pool = cls.pools[-1]
        if pool.flying and "killer" in pool.flying[0][1].name:
            pool.strike()
        elif pool.flying:
            future, path = pool.flying.pop(0)
            future.set_result(module._Done(path.name, 1, path.parent.stat()))
        return futures.wait([future for future in running if future.done()])


@pytest.mark.parametrize("killers", [[], [0], [19], [0, 1, 2, 3], [4, 11], [*range(20)]])
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("eager", [False, True])
def test_wherever_killers_stand_they_alone_are_lost_and_few_songs_are_in_flight(
    tmp_path, monkeypatch, killers, workers, eager
):
    fake = SimpleNamespace(ProcessPoolExecutor=FakePool, wait=FakePool.wait, FIRST_COMPLETED=futures.FIRST_COMPLETED)
    monkeypatch.setattr(workers_module, "futures", fake)
    monkeypatch.setattr(FakePool, "pools", [])
    monkeypatch.setattr(FakePool, "eager", eager)
    names = [f"{i:02}killer" if i in killers else f"{i:02}" for i in range(20)]
    features = featurize(tracks_of(*(tmp_path / name for name in names)), CONFIG, workers=workers)
    assert sorted(features.quarantined) == [name for name in names if "killer" in name]
    assert sorted(features.entries) == [name for name in names if "killer" not in name]
    assert len(FakePool.pools) <= 1 + 3 * len(killers)
    assert max(pool.most / pool.workers for pool in FakePool.pools) <= 2


# What may be lost


def lossy(lost: set[int], total: int, artists: int) -> tuple[Corpus, Features]:
    tracks = tuple(
        Track(f"{i:03}", Path("x"), artist=str(i % artists), labels={"genre": "ab"[i % 2]}) for i in range(total)
    )
    entries = {t.track_id: module.Entry("", 1, t.path) for i, t in enumerate(tracks) if i not in lost}
    quarantined = {t.track_id: f"bad {t.track_id}" for i, t in enumerate(tracks) if i in lost}
    return Corpus("music", tracks), Features(CONFIG, entries, quarantined, 0)


@pytest.mark.parametrize("lost", [set(), {3}, {0, 1, 2, 3, 4}])
def test_up_to_five_in_a_hundred_may_be_lost(lost):
    corpus, features = lossy(lost, 100, 4)
    kept = surviving(corpus, features, "artist")
    assert {int(track.track_id) for track in kept.tracks} == set(range(100)) - lost


@pytest.mark.parametrize(("lost", "total"), [({0, 1, 2, 3, 4, 5}, 100), ({0}, 19), ({7, 3}, 39)])
def test_more_than_five_in_a_hundred_may_not(lost, total):
    corpus, features = lossy(lost, total, 4)
    first = f"{min(lost):03}"
    said = rf"{len(lost)} of {total} tracks are unreadable, more than 5%.*{first}: bad {first}.*quarantined\.csv"
    with pytest.raises(InputError, match=said):
        surviving(corpus, features, "artist")


def test_no_artist_may_be_lost_however_few_the_songs():
    assert surviving(*lossy({6}, 100, 93), "artist")
    for label in ("artist", "genre"):
        with pytest.raises(InputError, match=r"No readable file is left of artist 7\b.*007: bad 007"):
            surviving(*lossy({7}, 93, 93), label)
