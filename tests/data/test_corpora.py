"""One contract over the kinds of corpora that read files, then what is particular to each."""

from __future__ import annotations

import errno
import os
import shutil
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from projects.artists.audio.decode import read_audio
from projects.artists.data import corpora
from projects.artists.errors import InputError

KINDS = ("folder", "csv", "parquet")


def as_manifest(corpus: Path, suffix: str) -> Path:
    """A table beside the files of a folder corpus."""
    paths = sorted(path.relative_to(corpus) for path in corpus.rglob("*.flac"))
    rows = [
        {"path": path.as_posix(), "artist": path.parts[0], "album": path.parts[1], "title": path.stem}
        for path in reversed(paths)
    ]
    return write_table(corpus / f"manifest.{suffix}", pd.DataFrame(rows))


def write_table(path: Path, table: pd.DataFrame) -> Path:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


@pytest.fixture(params=KINDS)
def data(request, small_corpus) -> str:
    return str(small_corpus if request.param == "folder" else as_manifest(small_corpus, request.param))


def manifest(tmp_path: Path, content: str | bytes, name: str = "m.csv") -> str:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(tmp_path / name)


# The contract


def test_every_kind_gives_the_same_tracks(data, small_corpus):
    expected = sorted(path.relative_to(small_corpus).as_posix() for path in small_corpus.rglob("*.flac"))
    corpus = corpora.load(data)
    assert [track.track_id for track in corpus.tracks] == expected and len(expected) == 18
    for track in corpus.tracks:
        assert (track.artist, track.album, track.title) == tuple(Path(track.track_id).with_suffix("").parts)


def test_every_kind_gives_files_that_can_be_read_from_another_folder(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = corpora.load(os.path.relpath(data, tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert all(track.path.is_absolute() and track.path.is_file() for track in corpus.tracks)
    assert len(read_audio(corpus.tracks[0].path, 16000)) == 4 * 16000


def test_every_kind_has_a_name_and_label_columns(data):
    corpus = corpora.load(data)
    assert corpus.name in ("corpus", "manifest")
    assert corpus.label_columns == ["artist", "album"]


def test_every_kind_gives_the_same_twice(data):
    assert corpora.load(data) == corpora.load(data)


def test_every_kind_expands_the_home_folder(data, monkeypatch):
    monkeypatch.setenv("HOME", str(Path(data).parent))
    assert corpora.load(f"~/{Path(data).name}") == corpora.load(data)


@pytest.mark.parametrize("data", ["", "no/such/folder", "demo2", "no/such.csv"])
def test_what_no_kind_knows_says_what_can_be_given(data):
    with pytest.raises(InputError, match=r"does not exist.*`demo`, a folder .*<artist>/<album>/<song>.*manifest"):
        corpora.load(data)


def test_a_path_with_a_zero_in_it_is_refused_as_each_python_may_see_it():
    with pytest.raises(InputError, match=r"^data=folder\x00 (does not exist|is no path that can be used)"):
        corpora.load("folder\0")


# Folders


def test_all_suffixes_count_in_any_case_and_other_files_do_not(tmp_path):
    names = ["a.WAV", "b.Mp3", "c.ogg", "d.opus", "e.flac", "f.m4a", "g.oga", "cover.jpg", "notes.txt", "h"]
    (tmp_path / "A" / "x").mkdir(parents=True)
    for name in names:
        (tmp_path / "A" / "x" / name).touch()
    assert [Path(track.track_id).name for track in corpora.load(str(tmp_path)).tracks] == names[:7]


def test_hidden_files_and_folders_are_left_out(small_corpus):
    (small_corpus / "artist0" / "album0" / "._song0.flac").write_bytes(b"what macOS leaves on other disks")
    shutil.copytree(small_corpus / "artist0", small_corpus / ".Trash" / "artist0")
    assert len(corpora.load(str(small_corpus)).tracks) == 18


def test_discs_of_an_album_belong_to_the_album(small_corpus):
    album = small_corpus / "artist0" / "album0"
    (album / "CD2").mkdir()
    shutil.move(album / "song1.flac", album / "CD2" / "song0.flac")
    tracks = {track.track_id: track for track in corpora.load(str(small_corpus)).tracks}
    assert len(tracks) == 18
    assert tracks["artist0/album0/CD2/song0.flac"].album == tracks["artist0/album0/song0.flac"].album == "album0"


def test_names_are_the_same_however_the_file_system_composes_accents(tmp_path, small_corpus):
    source = next(small_corpus.rglob("*.flac"))
    loaded = []
    for form in ("NFC", "NFD"):
        names = [unicodedata.normalize(form, name) for name in ("Björk", "Début", "Café.flac")]
        path = tmp_path / form / "music" / Path(*names)
        path.parent.mkdir(parents=True)
        shutil.copy(source, path)
        (track,) = corpora.load(str(tmp_path / form / "music")).tracks
        assert track.path.is_file()
        loaded.append((track.track_id, track.artist, track.album, track.title))
    assert loaded[0] == loaded[1] == ("Björk/Début/Café.flac", "Björk", "Début", "Café")


def test_names_that_are_no_utf_8_can_be_listed_hashed_and_read(tmp_path, small_corpus):
    folder = tmp_path / "music" / "A" / "x"
    folder.mkdir(parents=True)
    try:
        os.link(next(small_corpus.rglob("*.flac")), os.fsencode(folder) + b"/caf\xe9.flac")
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    (track,) = corpora.load(str(tmp_path / "music")).tracks
    assert track.track_id.encode() == rb"A/x/caf\xe9.flac"
    assert len(read_audio(track.path, 16000)) == 64000


def test_files_outside_an_album_are_named(small_corpus):
    shutil.copy(next(small_corpus.rglob("*.flac")), small_corpus / "artist1" / "loose.flac")
    with pytest.raises(InputError, match=r"1 file\(s\) outside <artist>/<album>/, the first artist1/loose.flac"):
        corpora.load(str(small_corpus))
    with pytest.raises(InputError, match=r"7 file\(s\) outside"):
        corpora.load(str(small_corpus / "artist1"))


def test_the_name_of_a_misplaced_file_need_not_be_utf_8(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.flac")).touch()
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    with pytest.raises(InputError, match=r"the first caf\\xe9\.flac\."):
        corpora.load(str(tmp_path))


def test_a_folder_that_cannot_be_read_is_an_error_and_no_missing_artist(small_corpus, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "artist1":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"The folder .*artist1 cannot be read: Permission denied\. Make it readable"):
        corpora.load(str(small_corpus))


@pytest.mark.parametrize("data", ["~nosuchuser/x", "x" * 5000, "/".join(["x" * 200] * 30), "a\0b"])
def test_what_cannot_be_a_path_is_one_sentence(data):
    with pytest.raises(InputError) as raised:
        corpora.load(data)
    assert len(str(raised.value)) < 250 and str(raised.value).startswith("data=")


def test_a_path_that_may_not_be_looked_at_is_one_sentence(monkeypatch):
    stat = os.stat

    def refuse(path, *arguments, **named):
        if os.fsdecode(path).startswith("/private"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(InputError, match="data=/private/music is no path that can be used: Permission denied"):
        corpora.load("/private/music")


def test_a_folder_without_audio_says_what_counts_as_audio(tmp_path):
    (tmp_path / "A" / "x").mkdir(parents=True)
    (tmp_path / "A" / "x" / "song.txt").touch()
    with pytest.raises(InputError, match=r"holds no audio files \(.*flac m4a mka mp3.*\)"):
        corpora.load(str(tmp_path))


def test_a_link_to_a_folder_is_followed_and_a_circle_of_links_is_not(tmp_path, small_corpus):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "linked").symlink_to(small_corpus / "artist0")
    assert len(corpora.load(str(tmp_path / "library")).tracks) == 6
    # One link at a time: two that are followed without end would take 2 ** 40 steps.
    for target in ("..", "."):
        (small_corpus / "artist0" / "link").symlink_to(target)
        assert len(corpora.load(str(small_corpus)).tracks) == 18
        assert len(corpora.load(str(tmp_path / "library")).tracks) == 6
        (small_corpus / "artist0" / "link").unlink()


# Manifests


def test_extra_columns_are_labels_and_cells_without_value_are_none(tmp_path):
    content = "genre,path,artist,year,fold\nrock,a.wav,A,1999,Train\n,b.wav,B,, test \n"
    first, second = corpora.load(manifest(tmp_path, content)).tracks
    assert first.labels == {"genre": "rock", "year": "1999"} and first.fold == "Train"
    assert second.labels == {} and second.fold == "test"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_csv_and_parquet_give_the_same_labels(tmp_path, suffix):
    table = pd.DataFrame(
        {"path": ["a", "b"], "artist": ["A", "B"], "year": [1999, None], "tempo": [120.5, 90], "live": [True, None],
         "n": [1, 2], "mood": pd.Categorical(["calm", None])}
    )  # fmt: skip
    if suffix == "csv":
        table["year"] = table["year"].astype("Int64")
    first, second = corpora.load(str(write_table(tmp_path / f"m.{suffix}", table))).tracks
    assert first.labels == {"year": "1999", "tempo": "120.5", "live": "True", "n": "1", "mood": "calm"}
    assert second.labels == {"tempo": "90.0", "n": "2"}


def test_names_like_missing_values_are_names(tmp_path):
    tracks = corpora.load(manifest(tmp_path, "path,artist\na,NA\nb,nan\nc,None\nd,null\ne,007\nf,1e5\n")).tracks
    assert [track.artist for track in tracks] == ["NA", "nan", "None", "null", "007", "1e5"]


def test_track_id_and_title_come_from_their_columns_or_from_the_path(tmp_path):
    content = "path,artist,track_id,title\nx/a.wav,A,one,First\nx/b.wav,B,,\n./x/c.wav,B,,\n"
    tracks = corpora.load(manifest(tmp_path, content)).tracks
    assert [(t.track_id, t.title) for t in tracks] == [("one", "First"), ("x/b.wav", "b"), ("x/c.wav", "c")]


def test_an_absolute_path_below_the_manifest_does_not_tell_where_the_corpus_lies(tmp_path):
    tracks = corpora.load(manifest(tmp_path, f"path,artist\n{tmp_path}/x/a.wav,A\n/elsewhere/b.wav,B\n")).tracks
    assert [track.track_id for track in tracks] == ["/elsewhere/b.wav", "x/a.wav"]
    assert [track.path for track in tracks] == [Path("/elsewhere/b.wav"), tmp_path / "x" / "a.wav"]


def test_accents_of_a_manifest_are_composed(tmp_path):
    content = unicodedata.normalize("NFD", "path,artist,genre\né.wav,Björk,Électro\n")
    (track,) = corpora.load(manifest(tmp_path, content)).tracks
    assert (track.track_id, track.artist, track.labels["genre"]) == ("é.wav", "Björk", "Électro")


def test_quotes_commas_blank_lines_and_a_byte_order_mark(tmp_path):
    content = '\ufeffpath,artist,title\r\n"a,b.wav","Earth, Wind & Fire","The ""Best"""\r\n\r\nc.wav,B,\r\n'
    first, second = corpora.load(manifest(tmp_path, content)).tracks
    assert (first.track_id, first.artist, first.title) == ("a,b.wav", "Earth, Wind & Fire", 'The "Best"')
    assert second.title == "c"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("file,who\na,b\n", "no column path and no column artist; it has file, who"),
        ("path\na\n", "no column artist; it has path"),
        ("path;artist\na;b\n", "it has path;artist"),
        ("path,artist\na,A\n,B\n", "row 2 has no path or no artist"),
        ("path,artist\na,  \nb,B\n", "row 1 has no path or no artist"),
        ("path,artist\na,A\na,B\n", "names the same track twice: a"),
        ("path,artist\na,A\n./a,B\n", "names the same track twice: a"),
        ("", "cannot be read as a CSV"),
        ("path,artist\na,Bj\u00f6rk\n".encode("latin-1"), "cannot be read as a CSV .UTF-8."),
        ("path,artist\na,b\n".encode("utf-16"), "cannot be read as a CSV .UTF-8."),
        (bytes(range(256)), "cannot be read"),
        ('path,artist\n"a,A\n', "cannot be read"),
        ("path,artist,title\na,A,T\nb,B,T, more\n", "cannot be read.*line 3"),
        ("path,artist\na,A,\nb,B,\n", "more cells than its first line"),
        ("path,artist\na,A,T\nb,B,T\n", "more cells than its first line"),
    ],
)
def test_a_csv_that_makes_no_sense(tmp_path, content, said):
    with pytest.raises(InputError, match=said) as error:
        corpora.load(manifest(tmp_path, content))
    assert "m.csv" in str(error.value) or "m names" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing PAR1", b"path,artist\na,b\n"])
def test_a_parquet_file_that_is_none(tmp_path, content):
    with pytest.raises(InputError, match=r"m\.parquet cannot be read"):
        corpora.load(manifest(tmp_path, content, "m.parquet"))


def test_a_parquet_table_without_an_artist_or_with_gaps(tmp_path):
    write_table(tmp_path / "m.parquet", pd.DataFrame({"path": ["a"]}))
    with pytest.raises(InputError, match="no column artist"):
        corpora.load(str(tmp_path / "m.parquet"))
    write_table(tmp_path / "m.parquet", pd.DataFrame({"path": ["a", "b"], "artist": ["A", None]}))
    with pytest.raises(InputError, match="row 2 has no path or no artist"):
        corpora.load(str(tmp_path / "m.parquet"))


def test_a_song_is_no_manifest(small_corpus):
    with pytest.raises(InputError, match="cannot be read as a CSV"):
        corpora.load(str(next(small_corpus.rglob("*.flac"))))


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        corpora.load(str(tmp_path / "none.csv"))


def test_a_manifest_without_rows_holds_nothing_to_learn(tmp_path):
    with pytest.raises(InputError, match="holds 0 artists"):
        corpora.load(manifest(tmp_path, "path,artist\n")).labelled("artist")


# The corpus of real music


def test_the_shared_corpus_as_a_folder_and_as_a_manifest(shared_corpus):
    folder = corpora.load(str(shared_corpus / "artists"))
    table = corpora.load(str(shared_corpus / "tracks.csv"))
    assert len(folder.tracks) == len(table.tracks) == 135
    assert {t.path: (t.artist, t.album) for t in folder.tracks} == {t.path: (t.artist, t.album) for t in table.tracks}
    assert len({track.artist for track in folder.tracks}) == 7
    assert len({(track.artist, track.album) for track in folder.tracks}) == 28
