"""From a corpus and its features to the clips of each subset, and what a reader of the scores is told."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import unicodedata
from pathlib import Path

import mlflow
import numpy as np
import pytest

from projects.artists.audio.features import FeatureConfig
from projects.artists.data import corpora, prepare
from projects.artists.data.cache import audio_digest
from projects.artists.data.featurize import featurize
from projects.artists.data.options import DataOptions
from projects.artists.data.selection import first_values
from projects.artists.data.splits import make_split
from projects.artists.data.tracks import Corpus
from projects.artists.errors import InputError
from projects.artists.tracking import runs
from projects.artists.workflows import results

CONFIG = FeatureConfig()


def prepared(corpus: Corpus, **options) -> prepare.Prepared:
    options = DataOptions(**{"clip": 1.0, "split": "album", **options})
    return prepare.prepare(corpus, featurize(corpus, CONFIG), options, seed=0)


def notes(p: prepare.Prepared) -> dict:
    """What a run holds of the corpus that it has logged."""
    with runs.start() as run:
        results.log_data(run, p)
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run.run_id))
    return json.loads((folder / "corpus_notes.json").read_text(encoding="utf-8"))


def test_prepare_gives_every_side_the_clips_of_its_songs(cached):
    p = prepared(cached)
    assert p.classes == ["artist0", "artist1", "artist2"] and not p.warnings and not p.short
    # 126 frames hold three clips of 32.
    assert {subset: len(clips) for subset, clips in p.clips.items()} == {"train": 18, "val": 18, "test": 18}
    for subset, clips in p.clips.items():
        for i in range(len(clips)):
            track = p.tracks[subset][clips.songs[i]]
            assert p.classes[clips.y[i]] == track.artist
            features = np.load(p.features.entries[track.track_id].path)
            np.testing.assert_array_equal(clips.read(slice(i, i + 1))[0], features[clips.starts[i] :][:32])


def labelled(corpus: Corpus, column: str, value) -> Corpus:
    """The corpus with one label more, `value` of a track."""
    return Corpus(corpus.name, tuple(dataclasses.replace(t, labels={column: value(t)}) for t in corpus.tracks))


def test_a_label_that_follows_from_the_artist_is_named_where_artists_are_trained_on_and_tested(cached):
    by_artist = labelled(cached, "genre", lambda t: "low" if t.artist == "artist0" else "high")
    warning = f"Every artist of {cached.name} has one genre: scores may tell artists, not genres. Use split=artist"
    for split in ("song", "album", "kfold"):
        p = prepared(by_artist, label="genre", split=split, **({"folds": 3} if split == "kfold" else {}))
        assert sum(text.startswith(warning) for text in p.warnings) == 1
        assert [text for text in notes(p)["warnings"] if text.startswith(warning)]


def test_no_artist_tells_the_label_where_it_differs_within_one_or_every_artist_is_in_one_subset(cached):
    def warned(corpus: Corpus, split: str, label: str = "genre") -> bool:
        assigned = make_split(corpus, split, label=label)
        return bool(prepare.artist_warnings(corpus, assigned, label))

    by_artist = labelled(cached, "genre", lambda t: t.artist.upper())
    mixed = labelled(cached, "genre", lambda t: t.artist if t.title != "song1" else "artist1")
    folds = Corpus("folds", tuple(dataclasses.replace(t, fold="train") for t in by_artist.tracks))
    nameless = Corpus("gtzan", tuple(dataclasses.replace(t, artist="") for t in by_artist.tracks))
    single = by_artist.only({t.artist: t for t in by_artist.tracks}.values())
    assert warned(by_artist, "song") and warned(by_artist, "album")
    assert not warned(mixed, "song") and not warned(nameless, "song") and not warned(single, "song")
    assert not warned(by_artist, "artist") and not warned(folds, "manifest") and not warned(by_artist, "all")
    assert not warned(cached, "song", "artist")


def test_tracks_without_a_label_are_counted_and_named_however_often_the_corpus_is_cut(cached):
    tracks = [dataclasses.replace(t, labels={"mood": t.artist} if i else {}) for i, t in enumerate(cached.tracks)]
    corpus = first_values(Corpus(cached.name, tuple(tracks)).labelled("mood"), "mood", 2)
    p = prepared(corpus, label="mood", split="song", songs_per_artist=5)
    assert p.corpus.unlabelled == ("artist0/album0/song0.flac",)
    assert "1 track(s) have no mood and are left out: artist0/album0/song0.flac." in p.warnings
    assert notes(p)["unlabelled"] == ["artist0/album0/song0.flac"]


def test_warnings_steer_no_terminal(cached, capsys):
    p = dataclasses.replace(prepared(cached), short=["a\x1b[31m.flac"])
    notes(p)
    said = capsys.readouterr().out
    assert "left out: a [31m.flac" in said and "\x1b" not in said


def test_prepare_refuses_a_corpus_that_lost_too_much(small_corpus, in_process):
    (small_corpus / "artist1" / "album1" / "song1.flac").write_bytes(b"bad")
    with pytest.raises(InputError, match="1 of 18 tracks are unreadable"):
        prepared(corpora.load(str(small_corpus)))
    for path in (small_corpus / "artist1").rglob("*.flac"):
        path.write_bytes(b"bad")
    with pytest.raises(InputError, match="No readable file is left of artist artist1"):
        prepared(corpora.load(str(small_corpus)))


def test_songs_shorter_than_a_clip_are_listed_and_one_of_exactly_a_clip_is_used(
    small_corpus, in_process, write_audio, tone
):
    album = small_corpus / "artist0" / "album0"
    for path in album.iterdir():
        write_audio(path, tone(seconds=1.98) if path.stem == "song0" else tone(seconds=1.9, seed=1))
    p = prepared(corpora.load(str(small_corpus)), clip=2.0)
    assert math.ceil(2 * 16000 / 512) == p.clips["train"].length == 63
    assert p.features.entries["artist0/album0/song0.flac"].n_frames == 62
    write_audio(album / "song0.flac", tone(seconds=2))
    p = prepared(corpora.load(str(small_corpus)), clip=2.0)
    assert p.short == ["artist0/album0/song1.flac"]
    assert sum(map(len, p.clips.values())) == 17 + 16
    assert p.warnings == ["1 song(s) are shorter than one clip and left out: artist0/album0/song1.flac."]


def test_an_artist_without_a_song_as_long_as_a_clip_on_a_side_is_named(small_corpus, in_process, write_audio, tone):
    subset = prepared(corpora.load(str(small_corpus))).split.subsets["artist2/album1/song0.flac"]
    for path in (small_corpus / "artist2" / "album1").iterdir():
        write_audio(path, tone(seconds=0.5, seed=int(path.stem[-1])))
    p = prepared(corpora.load(str(small_corpus)))
    assert p.split.subsets["artist2/album1/song0.flac"] == subset
    assert f"No song of artist artist2 is in subset {subset}." in p.warnings


def test_corpus_notes_name_everyone_who_is_absent_where_a_warning_ends_after_five(tmp_path, in_process, write_corpus):
    absent = [f"artist{i}" for i in range(2, 9)]
    root = write_corpus(tmp_path / "many", artists=9, songs=1, seconds=1.5)
    for artist in absent:
        shutil.rmtree(root / artist / "album2")
    p = prepared(corpora.load(str(root)))
    written = notes(p)
    assert p.absent == {"val": absent} == written["absent"]
    assert written["warnings"][0] == f"No song of artist {', '.join(absent[:5])} ... is in subset val."


def test_clips_longer_than_every_song_are_refused(cached):
    with pytest.raises(InputError, match=r"No song in subset train and val and test is as long as one clip of 30 s"):
        prepared(cached, clip=30.0)


def test_the_split_table_names_every_track_and_the_digest_follows_audio_and_labels(cached):
    p = prepared(cached)
    table = prepare.split_table(p)
    assert list(table["track_id"]) == [track.track_id for track in cached.tracks]
    assert set(table["subset"]) == {"train", "val", "test"} and (table["seconds"] == 4.03).all()
    assert table["audio_sha256"][0] == audio_digest(cached.tracks[0].path)
    digest = prepare.corpus_digest(table)
    assert digest == prepare.corpus_digest(table.sample(frac=1, random_state=0))
    for column in ("label", "audio_sha256", "track_id"):
        other = table.copy()
        other.loc[0, column] = "x"
        assert prepare.corpus_digest(other) != digest
    other = table.copy()
    other["subset"] = "train"
    assert prepare.corpus_digest(other) == digest


def test_names_of_any_kind_go_through_to_the_tables(small_corpus, in_process):
    for i, name in enumerate(["=HYPERLINK(1)", "<b>ö", unicodedata.normalize("NFD", "Ünï")]):
        shutil.move(small_corpus / f"artist{i}", small_corpus / name)
    p = prepared(corpora.load(str(small_corpus)))
    assert p.classes == ["<b>ö", "=HYPERLINK(1)", "Ünï"]
    assert set(prepare.split_table(p)["artist"]) == set(p.classes)
