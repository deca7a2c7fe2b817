"""The embedded corpus: the same on every run, whole or absent, and music that production hides but does not replace."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.fft
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from projects.artists.data.corpora import demo
from projects.artists.data.corpora.demo import composer, effects, synth
from projects.artists.errors import InputError

SR = demo.SR
SMALL = {"artists": 2, "albums": 1, "songs": 2, "seconds": 4.0}
CHANCE = 1.0 / 6.0
FROZEN = (-31.78, -39.77, -27.41, -24.88, -37.49, -44.56, -54.66)  # dB in the octaves from 62.5 Hz on


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def level_db(y: np.ndarray) -> float:
    return 10.0 * np.log10(np.mean(y**2))


def response_db(effect: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gain of a linear effect at whole hertz, dB."""
    return 20.0 * np.log10(np.abs(np.fft.rfft(effect(np.eye(1, SR)[0]))))


@pytest.fixture(scope="module")
def planned() -> list[demo.Song]:
    return demo.plan(demo.Parameters())


# Instruments, drums and effects


@pytest.mark.parametrize("name", [n for n in synth.INSTRUMENTS if n not in ("bell", "voice")])
def test_an_instrument_sounds_at_the_pitch_that_is_written(name: str) -> None:
    y = synth.play([synth.Note(0.0, 1.0, 57.0, 0.8)], synth.INSTRUMENTS[name], SR, sr=SR, rng=rng())
    spectrum = np.abs(np.fft.rfft(y * np.hanning(len(y)), n=4 * SR))
    hz = np.arange(len(spectrum)) / 4.0
    near = (hz > 210.0) & (hz < 230.0)
    assert hz[near][np.argmax(spectrum[near])] == pytest.approx(220.0, abs=1.5)
    between = (hz > 270.0) & (hz < 390.0)
    assert spectrum[near].max() > 10.0 * spectrum[between].max()


def test_the_highest_notes_do_not_fold_back_below_their_fundamental() -> None:
    for name in ("saw", "square", "steel", "epiano"):
        y = synth.play([synth.Note(0.0, 1.0, 96.0, 1.0)], synth.INSTRUMENTS[name], SR, sr=SR, rng=rng())
        spectrum = np.abs(np.fft.rfft(y * np.hanning(len(y))))
        assert spectrum[100:1900].max() < 0.01 * spectrum[1900:].max(), name


def test_a_part_is_the_sum_of_its_notes_and_drops_what_stands_outside() -> None:
    notes = [synth.Note(0.1, 0.2, 60.0, 0.5), synth.Note(0.3, 0.2, 64.0, 0.9), synth.Note(5.0, 0.2, 60.0, 0.9)]
    play = functools.partial(synth.play, instrument=synth.INSTRUMENTS["piano"], n=SR, sr=SR, rng=rng())
    np.testing.assert_allclose(play(notes), play(notes[:1]) + play(notes[1:2]), atol=1e-6)
    assert not play(notes[2:]).any()


def test_drums_ring_out_and_have_no_offset() -> None:
    for name, make in synth.DRUMS.items():
        y = make(synth.Kit(), SR, rng())
        assert np.isfinite(y).all(), name
        assert np.abs(y[-20:]).max() < 0.05 * np.abs(y).max(), name
        assert abs(y.mean()) < 0.05 * np.sqrt(np.mean(y**2)), name


@pytest.mark.parametrize(("high", "near_dc", "near_nyquist"), [(False, 6.0, 0.0), (True, 0.0, 6.0)])
def test_a_shelf_lifts_its_side_and_leaves_the_other(high: bool, near_dc: float, near_nyquist: float) -> None:
    response = response_db(lambda y: effects.shelf(y, 1000.0, 6.0, sr=SR, high=high))
    assert response[20] == pytest.approx(near_dc, abs=0.05)
    assert response[7900] == pytest.approx(near_nyquist, abs=0.05)
    assert response[1000] == pytest.approx(3.0, abs=0.05)


def test_a_bell_lifts_its_middle_alone() -> None:
    response = response_db(lambda y: effects.bell(y, 1000.0, -5.0, sr=SR))
    assert response[[5, 1000, 7990]] == pytest.approx([0.0, -5.0, 0.0], abs=0.05)


def test_a_room_falls_by_sixty_decibels_in_its_time() -> None:
    response = effects.room(1.0, sr=SR, rng=rng(), damping=1.0)
    early, late = response[1600:3200], response[11200:12800]
    assert level_db(early) - level_db(late) == pytest.approx(60.0 * 0.6, abs=1.5)


def test_the_compressor_leaves_quiet_sound_alone_and_follows_its_ratio() -> None:
    tone = np.sin(2 * np.pi * 1000.0 * np.arange(SR) / SR) * np.sqrt(2.0)
    quiet, loud = tone * effects.gain(-30.0), tone * effects.gain(-8.0)
    np.testing.assert_allclose(effects.compress(quiet, -20.0, 4.0, sr=SR), quiet, atol=1e-4)
    assert level_db(effects.compress(loud, -20.0, 4.0, sr=SR)[SR // 2 :]) == pytest.approx(-17.0, abs=0.2)


# Composition


def test_every_note_of_a_song_is_in_its_scale(planned: list[demo.Song]) -> None:
    for song in planned[::5]:
        parts = composer.compose(song.piece, song.n_bars, rng())
        scale = {(song.piece.tonic + step) % 12 for step in composer.SCALES[song.piece.scale]}
        notes = [*parts.chords, *parts.layer, *parts.bass, *parts.lead]
        assert {int(note.midi) % 12 for note in notes} <= scale
        assert max(note.start for note in notes) < song.piece.seconds(song.n_bars)


def test_swing_delays_the_second_eighth_and_no_beat(planned: list[demo.Song]) -> None:
    piece = next(song.piece for song in planned if song.piece.style.swing > 0.1)
    quarter = 60.0 / piece.bpm
    assert piece.at(0, 4) == pytest.approx(quarter)
    assert piece.at(0, 2) == pytest.approx(quarter * (0.5 + piece.style.swing))


def test_a_form_has_its_bars_and_begins_with_an_intro() -> None:
    forms = [composer._form(n_bars, rng(n_bars)) for n_bars in range(1, 80)]
    assert [len(form) for form in forms] == list(range(1, 80))
    assert all(form.startswith("i") for form in forms)


def test_patterns_fill_a_bar_and_styles_name_what_exists() -> None:
    assert all(len(pattern) == 16 and set(pattern) <= set("xo.") for pattern in composer.CHORD_RHYTHMS.values())
    for style in demo.ARTISTS.values():
        assert {*style.chords, *style.leads, *style.basses, *style.layers} <= set(synth.INSTRUMENTS)
        assert set(style.rhythms) <= set(composer.CHORD_RHYTHMS)
        assert set(style.bass_lines) <= set(composer.BASS_LINES)
        assert set(style.beats) <= set(composer.BEATS)
        assert set(style.scales) <= set(composer.SCALES)


def test_artists_share_instruments_but_no_two_share_a_style() -> None:
    styles = list(demo.ARTISTS.values())[:6]
    used = [name for style in styles for name in (*style.chords[:2], *style.leads[:2])]
    assert sum(used.count(name) > 1 for name in set(used)) >= 5
    assert len({(s.scales, s.tempo, s.rhythms, s.beats) for s in styles}) == 6


# The plan: names, lengths, labels


def test_the_default_corpus_has_the_size_it_says(planned: list[demo.Song]) -> None:
    seconds = [song.piece.seconds(song.n_bars) for song in planned]
    assert len(planned) == 96
    assert min(seconds) >= 15.5
    assert 1500.0 <= sum(seconds) <= 1600.0


@pytest.mark.parametrize("size", [{}, {"artists": 8, "albums": 20, "songs": 12}])
def test_names_are_unique_where_they_must_be(size: dict[str, int]) -> None:
    songs = demo.plan(demo.Parameters(**size))
    assert len({song.path for song in songs}) == len(songs)
    assert len({(song.artist, song.album) for song in songs}) == len({song.key[1:3] for song in songs})
    assert len({(song.artist, song.title) for song in songs}) == len(songs)
    assert any(not song.artist.isascii() for song in songs)
    assert all(unicodedata.is_normalized("NFC", song.path) for song in songs)


def test_two_albums_of_different_artists_hold_namesakes(planned: list[demo.Song]) -> None:
    titles = [song.title for song in planned]
    one, other = [song for song in planned if titles.count(song.title) > 1]
    assert one.artist != other.artist
    assert Path(one.path).name == Path(other.path).name


def test_tags_follow_from_scale_tempo_and_timbre(planned: list[demo.Song]) -> None:
    for song in planned:
        piece, tags = song.piece, demo.tags(song.piece)
        assert ("minor" in tags) == (composer.SCALES[piece.scale][2] == 3)
        assert ("slow" in tags) == (piece.bpm < 90)
        assert ("fast" in tags) == (piece.bpm >= 115)
        assert ("waltz" in tags) == (piece.style.beats_per_bar == 3)
        assert ("bright" in tags) == all(synth.INSTRUMENTS[i].bright for i in (piece.chords, piece.lead))
        assert synth.INSTRUMENTS[piece.chords].family in tags
        assert not any(";" in tag for tag in tags)


def test_a_genre_changes_with_timbre_tempo_and_scale_and_with_nothing_else() -> None:
    style = demo.ARTISTS["Velvet Antenna"]
    changed = functools.partial(dataclasses.replace, style)
    assert demo.genre(style) == demo.genre(changed(busy=0.9, beats=("none",))) == "electronic"
    assert demo.genre(changed(chords=("nylon", "steel"))) == "folk"
    assert demo.genre(changed(tempo=(60.0, 80.0))) == "downtempo"
    assert demo.genre(changed(scales=("major",))) == "pop"
    assert demo.genre(changed(chords=("epiano", "organ"))) == "jazz"
    genres = [demo.genre(each) for each in list(demo.ARTISTS.values())[:6]]
    assert 3 <= len(set(genres)) < 6, "artists share genres"


def test_albums_of_an_artist_come_from_different_studios_and_songs_of_an_album_from_one() -> None:
    for artist in range(6):
        productions = [demo.production(0, artist, album) for album in range(4)]
        assert len(set(productions)) == 4
        assert productions[0] == demo.production(0, artist, 0)


# The sound


def test_songs_are_finite_unclipped_audible_and_without_offset(planned: list[demo.Song]) -> None:
    for song in planned[5::14]:
        y = demo.render(song)
        assert y.dtype == np.float32
        assert y.shape == (round(song.piece.seconds(song.n_bars) * SR),)
        assert np.isfinite(y).all()
        assert 0.05 < np.abs(y).max() <= 0.99
        assert np.sum(np.abs(y) > 0.96) < 0.0005 * len(y)
        assert abs(y.mean()) < 1e-5
        assert -32.0 < level_db(y) < -9.0


def test_songs_have_onsets_a_beat_and_a_key(planned: list[demo.Song]) -> None:
    for song in planned[7::32]:
        y = demo.render(song)
        heard = librosa.feature.tempo(y=y, sr=SR, hop_length=256)[0] / song.piece.bpm
        assert min(abs(np.log2(heard / ratio)) for ratio in (0.5, 2 / 3, 1, 1.5, 2, 3)) < 0.06
        chroma = librosa.feature.chroma_stft(y=y, sr=SR, tuning=0.0).mean(axis=1)
        scale = [(song.piece.tonic + step) % 12 for step in composer.SCALES[song.piece.scale]]
        outside = [c for c in range(12) if c not in scale]
        assert chroma[scale].mean() > 1.25 * chroma[outside].mean()


def test_the_sound_is_the_one_of_this_version() -> None:
    """Frozen from `demo.render` itself at VERSION 3; where it fails, raise VERSION and freeze anew."""
    assert demo.VERSION == 3
    y = demo.render(demo.plan(demo.Parameters(seconds=6.0))[29])
    power, hz = np.abs(np.fft.rfft(y)) ** 2 / len(y) ** 2, np.fft.rfftfreq(len(y), 1.0 / SR)
    octaves = [10.0 * np.log10(power[(hz >= low) & (hz < 2 * low)].sum()) for low in 62.5 * 2.0 ** np.arange(7)]
    assert octaves == pytest.approx(FROZEN, abs=0.1)


# Writing and reading


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.synthesise(tmp_path_factory.mktemp("small"), **SMALL, workers=1).parent


def test_the_bytes_do_not_depend_on_the_run_or_the_workers(small: Path, tmp_path: Path) -> None:
    demo.synthesise(tmp_path, **SMALL, workers=2)
    assert digests(tmp_path) == digests(small)


def test_another_seed_gives_other_songs() -> None:
    one, other = (demo.plan(demo.Parameters(seed=seed)) for seed in (0, 1))
    assert {song.path for song in one}.isdisjoint({song.path for song in other})
    assert [song.piece for song in one] != [song.piece for song in other]


def test_files_are_what_the_manifest_says(small: Path) -> None:
    with (small / "tracks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == demo.COLUMNS
    assert len(rows) == 4
    for row in rows:
        info = soundfile.info(small / row["path"])
        assert (info.samplerate, info.channels, info.subtype, info.format) == (SR, 1, "PCM_16", "FLAC")
        assert row["path"] == row["track_id"] == f"{row['artist']}/{row['album']}/{row['title']}.flac"
        assert row["genre"]
        assert len(row["tags"].split(";")) >= 4


def test_a_second_call_writes_nothing_and_says_where(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert demo.synthesise(small, **SMALL) == small / "tracks.csv"
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_an_interrupted_synthesis_completes(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, written = demo._write_song, []

    def killed(folder: Path, song: demo.Song) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        whole(folder, song)
        written.append(folder / song.path)

    monkeypatch.setattr(demo, "_write_song", killed)
    with pytest.raises(KeyboardInterrupt):
        demo.synthesise(tmp_path, **SMALL, workers=1)
    assert not (tmp_path / "tracks.csv").exists()
    half = written[0].with_name(".partial-abc")
    half.write_bytes(b"fLaC half")
    os.utime(half, (0, 0))
    kept = written[0].stat().st_mtime_ns
    monkeypatch.setattr(demo, "_write_song", whole)
    seen: list[tuple[int, int]] = []
    demo.synthesise(tmp_path, **SMALL, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert written[0].stat().st_mtime_ns == kept
    assert digests(tmp_path) == digests(small)


def test_two_at_once_write_one_corpus(small: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(demo.synthesise, tmp_path, **SMALL, workers=1) for _ in range(2)]
        assert {call.result() for call in calls} == {tmp_path / "tracks.csv"}
    assert digests(tmp_path) == digests(small)


def test_a_folder_of_other_parameters_is_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give an empty folder"):
        demo.synthesise(small, **(SMALL | {"seed": 1}))
    (tmp_path / "tracks.csv").write_text("path,artist\n")
    with pytest.raises(InputError, match="of another kind"):
        demo.synthesise(tmp_path, **SMALL)


@pytest.mark.parametrize("wrong", [{"artists": 0}, {"artists": 9}, {"albums": 21}, {"songs": 0}, {"seconds": 1.0}])
def test_sizes_out_of_range_are_named(wrong: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Choose a"):
        demo.synthesise(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_demo_is_the_only_name(tmp_path: Path) -> None:
    assert demo.matches("demo")
    assert not any(demo.matches(data) for data in ("demo.csv", "Demo", "", str(tmp_path)))


def test_load_synthesises_into_the_cache_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path))
    monkeypatch.setitem(demo.CORPORA, "demo", demo.Parameters(**SMALL))
    monkeypatch.setattr(demo, "processes", lambda workers: 1)
    corpus = demo.load("demo")
    folders = list(tmp_path.glob("demo-*"))
    assert corpus.name == "demo"
    assert len(folders) == 1
    assert json.loads((folders[0] / "synthesis.json").read_text())["version"] == demo.VERSION
    assert len({track.artist for track in corpus.tracks}) == 2
    assert all(track.path.is_file() and track.labels["genre"] and track.labels["tags"] for track in corpus.tracks)
    before = digests(tmp_path)
    assert demo.load("demo") == corpus
    assert digests(tmp_path) == before


# What a classifier makes of it


def mfcc_statistics(log_mel: np.ndarray) -> np.ndarray:
    """Log-mel (frames, bands) -> mean and deviation of 20 MFCC, (40,)."""
    mfcc = scipy.fft.dct(log_mel, axis=1, norm="ortho")[:, :20]
    return np.r_[mfcc.mean(axis=0), mfcc.std(axis=0)]


def score(x: np.ndarray, artists: np.ndarray, test: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)).fit(x[~test], artists[~test])
    return f1_score(artists[test], model.predict(x[test]), average="weighted")


@pytest.fixture(scope="module")
def short_log_mels() -> tuple[list[np.ndarray], np.ndarray]:
    """All songs of the default corpus, but of some 8 s, and their keys (songs, 4)."""
    songs = demo.plan(demo.Parameters(seconds=8.0))
    options = {"sr": SR, "n_fft": 2048, "hop_length": 512, "n_mels": 128}
    mels = [librosa.feature.melspectrogram(y=demo.render(song), **options) for song in songs]
    return [librosa.power_to_db(mel).T for mel in mels], np.array([song.key for song in songs])


def splits(keys: np.ndarray, *, by_album: bool) -> list[np.ndarray]:
    """Masks of the songs to test: one album of each artist, or one song of each album; each once."""
    if by_album:
        return [keys[:, 2] == (keys[:, 1] * shift + turn) % 4 for shift in (0, 1) for turn in range(4)]
    return [keys[:, 3] == (keys[:, 1] * shift + keys[:, 2] + turn) % 4 for shift in (0, 1) for turn in range(4)]


def test_an_unseen_song_is_easier_than_an_unseen_album_and_neither_is_trivial(short_log_mels) -> None:
    mels, keys = short_log_mels
    x = np.array([mfcc_statistics(mel) for mel in mels])
    song = np.mean([score(x, keys[:, 1], test) for test in splits(keys, by_album=False)])
    album = np.mean([score(x, keys[:, 1], test) for test in splits(keys, by_album=True)])
    assert song > album + 0.1
    assert 0.3 < album < 0.75
    assert song < 0.95


def test_music_remains_below_four_kilohertz_at_one_level(short_log_mels) -> None:
    mels, keys = short_log_mels
    kept = librosa.mel_frequencies(n_mels=130, fmax=SR / 2)[1:-1] < 4000.0
    x = np.array([mfcc_statistics(mel[:, kept] - mel[:, kept].mean()) for mel in mels])
    assert np.mean([score(x, keys[:, 1], test) for test in splits(keys, by_album=True)]) > 2.0 * CHANCE
