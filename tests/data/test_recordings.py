"""A recording is found however it was copied, other music is not; duplicates stand in one subset of every split."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from projects.artists.audio.decode import read_audio
from projects.artists.audio.features import FeatureConfig, log_mel
from projects.artists.data import corpora, prepare, recordings
from projects.artists.data.featurize import featurize
from projects.artists.data.fingerprints import FingerprintStore, agreement, fingerprint, matching_pairs, same_recording
from projects.artists.data.options import DataOptions
from projects.artists.data.recordings import Recordings, copies, duplicate_groups, identities, of_digests
from projects.artists.data.splits import make_split
from projects.artists.data.tracks import Corpus, Track

SR = 16000
CONFIG = FeatureConfig()
CUT = 5 * SR
HALF = 10 ** (-3 / 20)


def melody(seed: int, seconds: float = 24.0) -> np.ndarray:
    """Decaying notes of one scale at one tempo over a little noise, mono float32: unlike songs of one maker."""
    rng, y = np.random.default_rng(seed), np.zeros(round(seconds * SR), np.float32)
    t = np.arange(SR // 2) / SR
    for start in range(0, len(y) - len(t), SR // 4):
        for _ in range(2):
            pitch = 110 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11]) / 12 + rng.integers(0, 4))
            note = sum(np.sin(2 * np.pi * k * pitch * t) / k for k in (1, 2, 3)) * np.exp(-6 * t)
            y[start : start + len(t)] += rng.uniform(0.03, 0.1) * note
    return y + 0.001 * rng.standard_normal(len(y)).astype(np.float32)


def encoded(y: np.ndarray, sr: int, kind: str, **options) -> io.BytesIO:
    """A file in memory, written in blocks: libsndfile can crash on one long Vorbis write."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", sr, 1, format=kind, **options) as sound:
        for start in range(0, len(y), 4096):
            sound.write(y[start : start + 4096])
    file.seek(0)
    return file


def mp3(y: np.ndarray, kbps: int) -> io.BytesIO:
    """Constant bit rate; libsndfile maps 0 to 1 onto 160 to 8 kbps at 16 kHz."""
    return encoded(y, SR, "MP3", bitrate_mode="CONSTANT", compression_level=(160 - kbps) / 152)


COPIES = {
    "mp3, 64 kbps": lambda y: mp3(y, 64),
    "mp3, 32 kbps": lambda y: mp3(y, 32),
    "ogg, lowest qualities": lambda y: encoded(y, SR, "OGG", compression_level=0.8),
    "3 dB louder": lambda y: encoded(y / HALF, SR, "FLAC"),
    "3 dB softer": lambda y: encoded(y * HALF, SR, "FLAC"),
    "5 s off both ends": lambda y: encoded(y[CUT:-CUT], SR, "FLAC"),
    "22,050 Hz": lambda y: encoded(soxr.resample(y, SR, 22050), 22050, "FLAC"),
    "11,025 Hz": lambda y: encoded(soxr.resample(y, SR, 11025), 11025, "FLAC"),
    "mp3 64 kbps, 3 dB softer, 5 s off both ends": lambda y: mp3(y[CUT:-CUT] * HALF, 64),
    "20 s of the middle, mp3 64 kbps": lambda y: mp3(y[len(y) // 2 - 10 * SR : len(y) // 2 + 10 * SR], 64),
}


def marks_of(y: np.ndarray | io.BytesIO) -> np.ndarray:
    return fingerprint(log_mel(y if isinstance(y, np.ndarray) else read_audio(y, SR), CONFIG))


@pytest.fixture(scope="module")
def songs() -> list[np.ndarray]:
    return [melody(seed) for seed in range(8)]


@pytest.fixture(scope="module")
def marks(songs) -> list[np.ndarray]:
    return [marks_of(y) for y in songs]


# Fingerprints


def test_a_change_of_level_changes_no_landmark(songs):
    spectrogram = log_mel(songs[0], CONFIG).astype(np.float64)
    for level in (-20.0, 3.0):
        np.testing.assert_array_equal(fingerprint(spectrogram + level), fingerprint(spectrogram))


def test_landmarks_move_with_the_music_and_keep_their_hashes(songs):
    spectrogram = log_mel(songs[0], CONFIG)
    late = fingerprint(spectrogram[100:]).astype(int) + np.array([0, 100])
    whole = {tuple(row) for row in fingerprint(spectrogram).tolist()}
    # Peaks within 8 frames of the new beginning may differ.
    inner = [tuple(row) for row in late.tolist() if row[1] > 110]
    assert len(inner) > 50 and set(inner) <= whole


def test_landmarks_are_sorted_and_few(marks):
    for found in marks:
        assert found.dtype == np.uint32 and (np.diff(found[:, 0].astype(int)) >= 0).all()
        assert 3 < len(found) / 24 < 30


def test_silence_nothing_and_very_short_music_have_few_landmarks_and_match_nothing(songs, marks):
    for y in (np.zeros(SR * 5, np.float32), np.zeros(1, np.float32), songs[0][: SR // 2]):
        found = marks_of(y)
        assert found.shape[1] == 2 and not same_recording(found, found) and not same_recording(found, marks[0])
    assert fingerprint(np.empty((0, 128), np.float32)).shape == (0, 2)


def test_agreement_by_hand():
    a = np.array([[1, 10], [2, 20], [3, 30], [4, 40], [5, 500]], np.uint32)
    b = np.array([[1, 3], [2, 13], [3, 24], [9, 35]], np.uint32)
    # At a shift of 6 or 7 frames three meet, of four in each where they overlap; in b, of 33 frames, they are the
    # frames 0, 10 and 21: the first, third and sixth eighth.
    assert agreement(a, b) == agreement(b, a) == (3, 3 / 4, 3 / 8)
    assert agreement(a, b + np.array([100, 0], np.uint32)) == (0, 0.0, 0.0)


@pytest.mark.parametrize("kind", COPIES)
def test_every_kind_of_copy_is_the_same_recording_and_other_songs_are_not(songs, marks, kind):
    for i in (0, 5):
        copy = marks_of(COPIES[kind](songs[i]))
        assert [same_recording(copy, mark) for mark in marks] == [i == j for j in range(8)], kind


def test_a_cut_between_two_frames_is_found_wherever_it_falls(songs, marks):
    for offset in range(0, 512, 64):
        assert same_recording(marks_of(songs[1][CUT + offset :]), marks[1]), offset


def test_a_shared_introduction_makes_no_duplicate(songs):
    first = marks_of(np.concatenate([songs[0][: 8 * SR], songs[1][:-CUT]]))
    second = marks_of(np.concatenate([songs[0][: 8 * SR], songs[2][:-CUT]]))
    assert agreement(first, second)[0] >= 8 and not same_recording(first, second)


def test_songs_that_differ_in_their_noise_alone_are_told_apart(cached):
    features = featurize(cached, CONFIG)
    found = [fingerprint(np.load(entry.path)) for entry in features.entries.values()]
    assert not [(i, j) for i, j in itertools.combinations(range(len(found)), 2) if same_recording(found[i], found[j])]


def test_the_index_finds_what_comparing_all_pairs_finds(songs, marks):
    everything = marks + [marks_of(songs[i][k * SR :]) for i in range(8) for k in (1, 3, 6)]
    brute = {(i, j) for i, j in itertools.combinations(range(32), 2) if same_recording(everything[i], everything[j])}
    found = matching_pairs(everything)
    assert set(found) <= brute
    names = {f"{i:02}": f"{i:02}" for i in range(32)}
    groups = groups_by(names, dict(zip(names, everything, strict=True)))
    assert groups == {name: f"{i if i < 8 else (i - 8) // 3:02}" for i, name in enumerate(names)}


# Groups


def groups_by(digests: dict[str, str], marks: dict[str, np.ndarray]) -> dict[str, str]:
    return duplicate_groups(digests, Recordings(frozenset(digests.values()), marks))


def test_groups_join_bytes_and_copies_and_are_named_by_the_smallest_digest(songs, marks):
    copy = marks_of(COPIES["mp3, 64 kbps"](songs[0]))
    digests = {"x/1": "dd", "x/2": "bb", "y/3": "cc", "y/4": "cc", "z/5": "ee", "z/6": "aa"}
    prints = {"dd": marks[0], "bb": copy, "ee": marks[2]}
    expected = {"x/1": "bb", "x/2": "bb", "y/3": "cc", "y/4": "cc"}
    assert groups_by(digests, prints) == expected
    assert groups_by(dict(reversed(digests.items())), dict(reversed(prints.items()))) == expected
    assert groups_by({}, {}) == {} == groups_by({"a": "1", "b": "2"}, {})


def test_songs_of_another_corpus_are_recognised_by_bytes_or_by_fingerprint(tmp_path, monkeypatch, songs, marks):
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path))
    store = FingerprintStore(CONFIG)
    store.write("11", marks[0])
    store.write("22", marks_of(COPIES["5 s off both ends"](songs[0])))
    store.write("33", marks[1])

    def heard(these: list[str], those: list[str]) -> set[str]:
        return copies([of_digests(these, CONFIG)], [of_digests(those, CONFIG)])

    assert heard(["22", "33", "44", "55"], ["11", "44"]) == {"22", "44"}
    assert heard(["11"], ["11", "22"]) == {"11"}
    assert heard(["33"], []) == set()


def test_a_model_carries_the_fingerprints_of_its_songs_and_an_old_one_finds_them_in_the_cache(
    tmp_path, monkeypatch, songs, marks
):
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "cache"))
    digests = [f"{i:064x}" for i in range(4)]
    known = Recordings(frozenset(digests[:3]), {digests[0]: marks[0], digests[1]: marks[1], digests[2]: marks[0][:0]})
    copy = Recordings(frozenset("f"), {"f": marks_of(COPIES["mp3, 64 kbps"](songs[1]))})
    subsets = {"train": digests[:2], "val": [digests[2]], "test": [digests[3]]}

    def read() -> Recordings:
        return recordings.learned(tmp_path, subsets, {}, CONFIG)

    old = read()
    assert old.digests == known.digests and not old.marks and copies([copy], [old]) == set()
    assert old.warning.startswith("3 of the 3 songs that the model has learned from have no fingerprint")
    recordings.write(tmp_path, known)
    model = read()
    assert not model.warning and copies([copy], [model]) == {"f"}
    for digest, mark in known.marks.items():
        np.testing.assert_array_equal(model.marks[digest], mark)
    whole = (tmp_path / recordings.FILE).read_bytes()
    assert len(whole) < 2000 + 6 * sum(map(len, known.marks.values()))
    FingerprintStore(CONFIG).write(digests[1], marks[1])
    for bad in (b"", b"text", whole[: len(whole) // 2]):
        (tmp_path / recordings.FILE).write_bytes(bad)
        assert read().marks.keys() == {digests[1]} and copies([copy], [read()]) == {"f"}
        assert read().warning.startswith("2 of the 3 songs")
    (tmp_path / recordings.FILE).write_bytes(whole)
    monkeypatch.setattr(recordings, "VERSION", recordings.VERSION + 1)
    assert read().marks.keys() == {digests[1]}, "fingerprints of another version say nothing"


def test_recordings_are_the_same_over_any_chain_of_bytes_fingerprints_and_groups(songs, marks):
    copy = marks_of(COPIES["mp3, 64 kbps"](songs[0]))
    mine = Recordings(frozenset({"b", "d"}), {"b": marks[0]}, {"d": "c", "c": "c"})
    other = Recordings(frozenset({"e", "f"}), {"e": copy}, {"e": "c", "f": "f"})
    assert identities([mine, other]) == {"b": "b", "d": "b", "c": "b", "e": "b", "f": "f"}
    assert copies([mine], [other]) == {"b", "d"} and copies([other], [mine]) == {"e"}
    cropped = dataclasses.replace(other, groups={}, config=FeatureConfig(crop=30.0, chroma=True))
    assert copies([cropped], [mine]) == {"e"}
    unlike = dataclasses.replace(cropped, config=FeatureConfig(hop_length=256))
    assert copies([unlike], [mine]) == set(), "frames of another length are not compared"


def test_a_stored_fingerprint_that_is_not_whole_is_made_again(tmp_path, songs, marks):
    store, features = FingerprintStore(CONFIG, tmp_path), tmp_path / "features.npy"
    np.save(features, log_mel(songs[0], CONFIG))
    np.testing.assert_array_equal(store.of_features("ab", features), marks[0])
    whole = store.path("ab").read_bytes()
    for bad in (b"", whole[:50], whole[:-3]):
        store.path("ab").write_bytes(bad)
        np.testing.assert_array_equal(store.of_features("ab", features), marks[0])
        assert store.path("ab").read_bytes() == whole


def test_featurize_leaves_a_fingerprint_beside_every_feature(small_corpus, in_process):
    features = featurize(corpora.load(str(small_corpus)), CONFIG)
    store = FingerprintStore(CONFIG)
    for entry in features.entries.values():
        np.testing.assert_array_equal(store.get(entry.audio_digest), fingerprint(np.load(entry.path)))


# Splits


def made_up(albums: int = 6, songs: int = 5) -> Corpus:
    return Corpus("made up", tuple(
        Track(f"{a}/{b}/{s}", Path("x"), artist=a, album=f"{b}", title=f"{s}")
        for a in "ABC" for b in range(albums) for s in range(songs)
    ))  # fmt: skip


def subsets(split: str, groups: dict[str, str], seed: int, corpus: Corpus | None = None) -> dict[str, str]:
    return dict(make_split(corpus or made_up(), split, seed=seed, folds=3, groups=groups).subsets)


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
@pytest.mark.parametrize("seed", range(12))
def test_a_recording_stands_on_one_side_and_every_artist_still_on_all(split, seed):
    groups = {"A/0/0": "g", "A/3/1": "g", "B/0/0": "h", "B/1/0": "h", "B/2/2": "h", "C/0/0": "i", "C/0/1": "i"}
    found = subsets(split, groups, seed)
    for group in "ghi":
        assert len({found[name] for name, g in groups.items() if g == group}) == 1
    for artist in "ABC":
        assert {subset for name, subset in found.items() if name[0] == artist} == {"train", "val", "test"}
    if split != "song":
        for artist, album in itertools.product("ABC", range(6)):
            assert len({found[f"{artist}/{album}/{s}"] for s in range(5)}) == 1, "albums stay whole"


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_a_duplicate_moves_no_other_artist(split):
    for seed in range(8):
        before, after = subsets(split, {}, seed), subsets(split, {"A/0/0": "g", "A/3/1": "g"}, seed)
        assert {n: s for n, s in before.items() if n[0] != "A"} == {n: s for n, s in after.items() if n[0] != "A"}


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_a_copy_within_a_song_or_album_changes_no_album_split_and_namesakes_stay_two_songs(split):
    for seed in range(8):
        if split != "song":
            assert subsets(split, {"A/0/0": "g", "A/0/1": "g"}, seed) == subsets(split, {}, seed)
    # Every album here has the titles 0 to 4: over the seeds, namesakes stand in different subsets.
    assert any(len({subsets(split, {}, seed)[f"A/{b}/0"] for b in range(6)}) > 1 for seed in range(8))


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_a_recording_of_two_artists_stands_on_one_side(split):
    for seed in range(12):
        found = subsets(split, {"A/0/0": "g", "B/0/0": "g", "C/5/4": "g"}, seed)
        assert found["A/0/0"] == found["B/0/0"] == found["C/5/4"]


def test_chains_of_duplicates_join_through_albums():
    groups = {"A/0/0": "g", "A/1/0": "g", "A/1/1": "h", "A/2/0": "h"}
    for seed in range(12):
        found = subsets("album", groups, seed)
        assert len({found[f"A/{b}/{s}"] for b in range(3) for s in range(5)}) == 1


def test_a_compilation_joins_all_it_took_from():
    corpus = made_up(albums=4)
    groups = {f"A/{b}/0": f"{b}" for b in range(1, 4)} | {f"A/0/{b}": f"{b}" for b in range(1, 4)}
    found = subsets("album", groups, 0, corpus)
    assert len({subset for name, subset in found.items() if name[0] == "A"}) == 1


# From files to warnings


@pytest.fixture
def dirty(tmp_path, songs, write_audio) -> Path:
    """Two artists of three albums of two songs; one song also as mp3 on another album, one with another artist."""
    root = tmp_path / "dirty"
    for a, b, s in itertools.product(range(2), range(3), range(2)):
        y = songs[(a * 6 + b * 2 + s) % 8][: 12 * SR] if a * 6 + b * 2 + s < 8 else melody(20 + b * 2 + s, 12)
        write_audio(root / f"artist{a}" / f"album{b}" / f"song{s}.flac", y)
    (root / "artist0/album1/copy.mp3").write_bytes(mp3(songs[0][SR : 12 * SR], 64).getvalue())
    (root / "artist1/album2/stolen.flac").write_bytes((root / "artist0/album2/song1.flac").read_bytes())
    return root


def prepared(corpus: Corpus, **options) -> prepare.Prepared:
    options = DataOptions(**{"clip": 1.0, "split": "song", **options})
    return prepare.prepare(corpus, featurize(corpus, CONFIG), options, seed=0)


def test_duplicates_of_files_are_grouped_kept_together_and_told(dirty, in_process):
    p = prepared(corpora.load(str(dirty)))
    members = defaultdict(set)
    for name, group in p.groups.items():
        members[group].add(name)
    pairs = [
        {"artist0/album0/song0.flac", "artist0/album1/copy.mp3"},
        {"artist0/album2/song1.flac", "artist1/album2/stolen.flac"},
    ]
    assert sorted(map(sorted, members.values())) == sorted(map(sorted, pairs))
    for group, names in members.items():
        assert group == min(p.features.entries[name].audio_digest for name in names)
        assert len({p.split.subsets[name] for name in names}) == 1
    said = " ".join(p.warnings)
    assert "4 tracks are 2 recordings" in said and "two values of artist (1 found)" in said and "stolen.flac" in said
    assert "TWO SUBSETS" not in said
    table = prepare.split_table(p).set_index("track_id")["duplicate_group"]
    assert dict(table[table != ""]) == dict(p.groups)


def test_a_duplicate_on_two_sides_of_a_fold_column_is_told_loudly_and_left_there(dirty, in_process, tmp_path):
    rows = ["path,artist,fold"]
    for path in sorted(p for p in dirty.rglob("*") if p.is_file()):
        fold = {"album0": "train", "album1": "test", "album2": "val"}[path.parts[-2]]
        rows.append(f"{path},{path.parts[-3]},{fold}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    p = prepared(corpora.load(str(tmp_path / "m.csv")), split="manifest")
    assert all(p.split.subsets[t.track_id] == t.fold for t in p.corpus.tracks)
    loud = [said for said in p.warnings if "THE SAME RECORDING IS IN TWO SUBSETS" in said]
    assert len(loud) == 1 and "(1 found)" in loud[0] and "copy.mp3" in loud[0]


# Real music: the figures of the README


@pytest.fixture(scope="module")
def real(shared_corpus) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The centre 60 s of 135 tracks of real music, and their fingerprints."""
    corpus = corpora.load(str(shared_corpus / "tracks.csv"))
    music = [read_audio(track.path, SR, crop=60.0) for track in corpus.tracks]
    return music, [marks_of(y) for y in music]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COPIES)
def test_recall_on_copies_of_real_music_and_precision_against_all_other_tracks(real, kind, capsys):
    """135 copies, each compared with its own track and with the 134 others."""
    music, originals = real
    own, unlike = [], []
    for i, y in enumerate(music):
        mark = marks_of(COPIES[kind](y))
        results = [met(mark, original) for original in originals]
        own.append(results.pop(i))
        unlike += results
    tell(capsys, kind, own, unlike)
    assert sum(same for same, _ in own) >= 0.99 * len(own) and not any(same for same, _ in unlike)


@pytest.mark.slow
def test_no_two_tracks_of_real_music_are_one_recording(real, capsys):
    unlike = [met(a, b) for a, b in itertools.combinations(real[1], 2)]
    tell(capsys, "the originals among themselves", [], unlike)
    assert not any(same for same, _ in unlike)


def tell(capsys, kind: str, own: list[tuple[bool, int]], unlike: list[tuple[bool, int]]) -> None:
    """A line of the README's table: what was found, and how many landmarks meet."""
    found, wrong = (sum(same for same, _ in results) for results in (own, unlike))
    fewest, most = min((n for _, n in own), default=0), max(n for _, n in unlike)
    with capsys.disabled():
        print(f"\n{kind}: {found} of {len(own)} found ({fewest} landmarks or more meet), ", end="")
        print(f"{wrong} of {len(unlike)} pairs of unlike music match ({most} or fewer meet)")


def met(a: np.ndarray, b: np.ndarray) -> tuple[bool, int]:
    return same_recording(a, b), agreement(a, b)[0]


@pytest.mark.slow
def test_songs_of_the_demo_corpus_are_told_apart(capsys):
    """Songs of one synthesiser, whose styles, tempi and instruments are shared."""
    features = featurize(corpora.load("demo"), CONFIG)
    marks = [fingerprint(np.load(entry.path)) for entry in features.entries.values()]
    unlike = [met(a, b) for a, b in itertools.combinations(marks, 2)]
    tell(capsys, "demo corpus", [], unlike)
    assert not any(same for same, _ in unlike)


def test_fingerprints_do_not_depend_on_chroma_or_on_the_compression_being_decibels(tone, tmp_path):
    """The bands in dB are what is compared, whatever is stored beside them or instead of them."""
    from projects.artists.audio.features import FeatureConfig, log_mel
    from projects.artists.data.fingerprints import FingerprintStore, fingerprint

    y = np.concatenate([tone(seconds=4, pitch=pitch, seed=int(pitch))[:, 0] for pitch in (150.0, 330.0, 210.0)])
    expected = fingerprint(log_mel(y, FeatureConfig()))
    assert len(expected) > 20
    config = FeatureConfig(chroma=True)
    np.save(tmp_path / "x.npy", log_mel(y, config))
    marks = FingerprintStore(config, tmp_path).of_features("ab" * 32, tmp_path / "x.npy")
    np.testing.assert_array_equal(marks, expected)
    park = FeatureConfig(compression="log10")
    np.save(tmp_path / "y.npy", log_mel(y, park))
    assert len(FingerprintStore(park, tmp_path).of_features("ab" * 32, tmp_path / "y.npy")) > 0.5 * len(expected)
