"""GTZAN and FMA, on miniatures in their layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from projects.artists.data import corpora
from projects.artists.data.splits import make_split
from projects.artists.errors import InputError

LISTS = {"train_filtered.txt": (0, 3), "valid_filtered.txt": (3, 4), "test_filtered.txt": (4, 6)}
HEADER = """\
,album,album,artist,artist,set,set,track,track,track
,id,title,id,name,split,subset,genre_top,interest,title
track_id,,,,,,,,,
"""
ROWS = """\
2,1,AWOL - A Way Of Life,1,AWOL,training,small,Hip-Hop,4656,Food
5,1,AWOL - A Way Of Life,1,AWOL,validation,small,Hip-Hop,1933,This World
10,6,Constant Hitmaker,6,Kurt Vile,test,medium,Pop,54881,Freeway
140,61,"On Opaque Things, part 1",54,Alec K. Redfearn,test,small,Folk,1299,"Queen ""Of"" The Wires"
1482,,,314,Kurt Vile,training,large,,725,
"""


@pytest.fixture
def gtzan(tmp_path) -> Path:
    """Two genres of eight excerpts, of which the lists leave two out."""
    root = tmp_path / "GTZAN"
    for genre in ("blues", "rock"):
        (root / "genres" / genre).mkdir(parents=True)
        for i in range(8):
            (root / "genres" / genre / f"{genre}.{i:05d}.wav").touch()
    for name, (first, last) in LISTS.items():
        lines = [f"{genre}/{genre}.{i:05d}.wav" for genre in ("blues", "rock") for i in range(first, last)]
        (root / name).write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def fma(tmp_path) -> Path:
    root = tmp_path / "fma"
    (root / "fma_metadata").mkdir(parents=True)
    (root / "fma_metadata" / "tracks.csv").write_text(HEADER + ROWS, encoding="utf-8")
    (root / "fma_small" / "000").mkdir(parents=True)
    return root


def test_gtzan_has_genres_no_artists_and_the_filtered_split(gtzan):
    corpus = corpora.load(str(gtzan))
    assert corpus.name == "gtzan" and corpus.label_columns == ["artist", "album", "genre"] and len(corpus.tracks) == 12
    assert corpus.tracks[0].track_id == "genres/blues/blues.00000.wav" and corpus.tracks[0].path.is_file()
    assert {track.label("genre") for track in corpus.tracks} == {"blues", "rock"}
    split = make_split(corpus.labelled("genre"), "manifest", label="genre")
    assert [len(split.tracks(corpus, subset)) for subset in ("train", "val", "test")] == [6, 2, 4]
    assert [track.title for track in split.tracks(corpus, "val")] == ["blues.00003", "rock.00003"]


def test_gtzan_as_the_original_archive_holds_it_has_the_same_genres(gtzan):
    expected = [(track.label("genre"), track.title, track.fold) for track in corpora.load(str(gtzan)).tracks]
    (gtzan / "genres").rename(gtzan / "genres_original")
    for path in list(gtzan.rglob("*.wav")):
        path.rename(path.with_suffix(".au"))
    assert [(t.label("genre"), t.title, t.fold) for t in corpora.load(str(gtzan)).tracks] == expected


def test_gtzan_without_lists_is_whole_and_other_files_do_not_count(gtzan):
    for name in LISTS:
        (gtzan / name).unlink()
    (gtzan / "genres" / "rock" / "rock.mf.wav").touch()
    (gtzan / "genres" / "rock" / "jazz.00001.wav").touch()
    assert len(corpora.load(str(gtzan)).tracks) == 16
    assert len(corpora.load(str(gtzan / "genres")).tracks) == 16


def test_gtzan_lists_that_do_not_fit_are_refused(gtzan):
    (gtzan / "valid_filtered.txt").write_text("rock/rock.00099.wav\n")
    with pytest.raises(InputError, match=r"valid_filtered\.txt .* names rock/rock\.00099\.wav, which is not there"):
        corpora.load(str(gtzan))
    (gtzan / "valid_filtered.txt").write_text("rock/rock.00000.wav\n")
    with pytest.raises(InputError, match=r"names rock/rock\.00000\.wav, which is listed for train too"):
        corpora.load(str(gtzan))
    (gtzan / "valid_filtered.txt").unlink()
    with pytest.raises(InputError, match=r"has no valid_filtered\.txt\. Give all three"):
        corpora.load(str(gtzan))


def test_a_corpus_without_artists_says_which_labels_it_has(gtzan):
    with pytest.raises(InputError, match=r"holds 0 artists.*another label: artist, album, genre"):
        corpora.load(str(gtzan)).labelled("artist")


def test_fma_small_has_its_artists_albums_genres_and_published_split(fma):
    corpus = corpora.load(str(fma))
    assert corpus.name == "fma_small" and corpus.label_columns == ["artist", "album", "genre", "subset"]
    assert [track.track_id for track in corpus.tracks] == [
        "fma_small/000/000002.mp3", "fma_small/000/000005.mp3", "fma_small/000/000140.mp3"
    ]  # fmt: skip
    last = corpus.tracks[-1]
    assert (last.artist, last.album, last.title) == (
        "Alec K. Redfearn", "On Opaque Things, part 1", 'Queen "Of" The Wires'
    )  # fmt: skip
    assert last.label("genre") == "Folk" and last.path == (fma / "fma_small/000/000140.mp3").resolve()
    split = make_split(corpus, "manifest", label="genre")
    assert [len(split.tracks(corpus, subset)) for subset in ("train", "val", "test")] == [1, 1, 1]


def test_fma_by_the_folder_of_a_subset_has_the_same_ids(fma):
    assert corpora.load(str(fma / "fma_small")).tracks == corpora.load(str(fma)).tracks
    (fma / "fma_medium").mkdir()
    assert len(corpora.load(str(fma / "fma_medium")).tracks) == 4
    with pytest.raises(InputError, match=r"holds fma_small and fma_medium\. Give the folder of one"):
        corpora.load(str(fma))


def test_fma_full_holds_every_track_some_without_a_genre(fma):
    (fma / "fma_small").rename(fma / "fma_full")
    (fma / "fma_full" / "000").rmdir()
    corpus = corpora.load(str(fma))
    track = corpus.tracks[-1]
    assert len(corpus.tracks) == 5 and track.track_id == "fma_full/001/001482.mp3" and track.title == "001482"
    assert not track.label("genre") and len(corpus.labelled("genre").tracks) == 4


@pytest.mark.parametrize(
    "content",
    [b"", b"track_id,genre\n2,Rock\n", HEADER.encode(), HEADER.encode() + b"x,1,a,1,b,c,d,e,f,g\n", b"\xff\xfe,"],
)
def test_a_table_that_is_not_fmas_is_refused(fma, content):
    (fma / "fma_metadata" / "tracks.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"tracks\.csv"):
        corpora.load(str(fma))


def test_fma_without_audio_says_which_folder_is_missing(fma):
    (fma / "fma_small" / "000").rmdir()
    (fma / "fma_small").rmdir()
    with pytest.raises(InputError, match="holds none of fma_small, fma_medium"):
        corpora.load(str(fma))


def test_a_folder_of_artists_is_no_genre_collection(small_corpus):
    (small_corpus / "artist0").rename(small_corpus / "blues")
    assert len(corpora.load(str(small_corpus)).tracks) == 18
