"""Splits are a function of track ids and a seed; what stands where, and what is said when a subset would be empty."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from projects.artists.data import corpora
from projects.artists.data.splits import SPLITS, SUBSETS, Split, check_subsets, inner_folds, make_split
from projects.artists.data.tracks import Corpus, Track
from projects.artists.errors import InputError

PROJECT = Path(__file__).parents[2]


def made_up(albums: dict[str, int] | None = None, songs: int = 7, **fields) -> Corpus:
    """Artists with as many albums as said, `songs` songs each; every artist has an album called "Live"."""
    albums = albums or {"Ána": 3, "Bob": 4, "Cí & Co": 6, "日本": 5}
    tracks = []
    for artist, count in albums.items():
        for b in range(count):
            album = "Live" if b == 0 else f"Album {b}"
            for s in range(songs):
                name = f"{artist}/{album}/{s:02}.flac"
                tracks.append(Track(name, Path("/music", name), artist, album, f"{s:02}", **fields))
    return Corpus("made up", tuple(tracks))


def artist20() -> Corpus:
    """As large as artist20: 20 artists, six albums each, 60 to 79 songs an artist."""
    tracks = []
    for a in range(20):
        for s in range(60 + a):
            name = f"artist{a:02}/album{s % 6}/{s:02}.mp3"
            tracks.append(Track(name, Path(name), f"artist{a:02}", f"album{s % 6}"))
    return Corpus("artist20", tuple(tracks))


def units(corpus: Corpus, split: Split, key) -> dict[tuple[str, str], set]:
    """(artist, subset) -> its songs or albums there."""
    found = defaultdict(set)
    for track in corpus.tracks:
        found[track.artist, split.subsets[track.track_id]].add(key(track))
    return found


# A function of ids and seed


FROZEN = {
    ("song", 0): "bc355867bfa9b62c",
    ("song", 21): "3e8b33dc40c2ec1c",
    ("album", 0): "7bb50ed5d051c2cd",
    ("album", 42): "11e589660d89a4d7",
    ("kfold", 0): "aba36d500e3c306a",
}


@pytest.mark.parametrize(("split", "seed"), FROZEN)
def test_splits_are_what_they_were_in_the_first_version(split, seed):
    """Scores of another algorithm could not stand beside those of runs that are there already."""
    assert make_split(made_up(), split, seed=seed, folds=3).digest == FROZEN[split, seed]


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_the_order_of_tracks_does_not_matter(split):
    corpus = made_up()
    expected = make_split(corpus, split, folds=3)
    for i in range(5):
        tracks = random.Random(i).sample(corpus.tracks, len(corpus.tracks))
        assert make_split(Corpus("other name", tuple(tracks)), split, folds=3) == expected
        shuffled = Corpus("x", ())
        object.__setattr__(shuffled, "tracks", tuple(tracks))
        assert make_split(shuffled, split, folds=3).subsets == expected.subsets


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_only_ids_artists_and_albums_matter_not_where_the_files_lie(split):
    here = made_up()
    there = Corpus(
        "there", tuple(Track(t.track_id, Path("/nas") / t.title, t.artist, t.album, "x", "test") for t in here.tracks)
    )
    assert make_split(here, split, folds=3).digest == make_split(there, split, folds=3).digest


def test_another_process_with_another_hash_seed_agrees():
    code = (
        "from tests.data.test_splits import made_up, make_split\n"
        "print(*(make_split(made_up(), s, seed=3, folds=3).digest for s in ('song', 'album', 'kfold')))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [make_split(made_up(), s, seed=3, folds=3).digest for s in ("song", "album", "kfold")]


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_folders_with_composed_and_decomposed_names_are_split_alike(tmp_path, split):
    digests = []
    for form in ("NFC", "NFD"):
        for track in made_up(songs=2).tracks:
            path = tmp_path / form / unicodedata.normalize(form, track.track_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        digests.append(make_split(corpora.load(str(tmp_path / form)), split, folds=3).digest)
    assert digests[0] == digests[1] == make_split(made_up(songs=2), split, folds=3).digest


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_seeds_deal_differently(split):
    assert len({make_split(artist20(), split, seed=seed).digest for seed in range(10)}) == 10


@pytest.mark.parametrize("split", ["song", "album", "kfold"])
def test_a_new_artist_moves_nobody_else(split):
    before = make_split(made_up(), split, folds=3).subsets
    after = make_split(made_up({"Ána": 3, "Aaa": 9, "Bob": 4, "Cí & Co": 6, "日本": 5, "Z": 1}), split, folds=3).subsets
    assert before.items() <= after.items()


def test_every_song_is_tested_about_as_often_over_many_seeds():
    """20 songs, 2 tested: each one in ten times. The bounds are five standard deviations of 400 draws."""
    corpus = made_up({"A": 4, "B": 4}, songs=5)
    tested = Counter()
    for seed in range(400):
        tested.update(
            name for name, subset in make_split(corpus, "song", seed=seed).subsets.items() if subset == "test"
        )
    assert len(tested) == 40 and all(abs(count - 40) < 5 * 6 for count in tested.values())


# What stands where


@pytest.mark.parametrize("split", ["song", "album", "kfold", "all"])
@pytest.mark.parametrize("seed", [0, 21, 42])
def test_every_track_has_exactly_one_side(split, seed):
    corpus = artist20()
    made = make_split(corpus, split, seed=seed)
    subsets = [made.tracks(corpus, subset) for subset in SUBSETS]
    assert sorted(t.track_id for tracks in subsets for t in tracks) == [t.track_id for t in corpus.tracks]


@pytest.mark.parametrize("split", ["album", "kfold"])
@pytest.mark.parametrize("seed", range(8))
def test_no_album_stands_on_two_sides(split, seed):
    for corpus in (made_up(), artist20()):
        made = make_split(corpus, split, seed=seed, folds=3)
        subsets = defaultdict(set)
        for track in corpus.tracks:
            subsets[track.artist, track.album].add(made.subsets[track.track_id])
        assert all(len(found) == 1 for found in subsets.values())


@pytest.mark.parametrize("seed", range(8))
def test_every_artist_with_three_units_stands_on_every_side(seed):
    for n in range(3, 30):
        songs = make_split(made_up({"A": 1, "B": 1}, songs=n), "song", seed=seed)
        albums = make_split(made_up({"A": n, "B": n}, songs=2), "album", seed=seed)
        folds = make_split(made_up({"A": n, "B": n}, songs=1), "kfold", seed=seed, folds=3, fold=n % 3)
        for split in (songs, albums, folds):
            for artist in "AB":
                assert {subset for name, subset in split.subsets.items() if name[0] == artist} == set(SUBSETS)


def test_an_album_split_takes_one_album_of_each_artist_to_test_and_one_to_validation():
    corpus = artist20()
    found = units(corpus, make_split(corpus, "album"), lambda t: t.album)
    for a in range(20):
        assert [len(found[f"artist{a:02}", subset]) for subset in SUBSETS] == [4, 1, 1]


def test_albums_of_one_name_are_dealt_for_each_artist():
    """Every artist has an album called Live; over some seeds it stands in different subsets."""
    corpus = made_up()
    splits = [make_split(corpus, "album", seed=seed) for seed in range(20)]
    artists = ("Ána", "Bob", "Cí & Co", "日本")
    assert any(len({split.subsets[f"{artist}/Live/00.flac"] for artist in artists}) > 1 for split in splits)


def test_song_split_proportions_are_those_of_sklearn_twice():
    from sklearn.model_selection import train_test_split

    corpus = artist20()
    y = [track.artist for track in corpus.tracks]
    rest, test = train_test_split(range(len(y)), test_size=0.1, stratify=y, random_state=0)
    train, val = train_test_split(rest, test_size=0.1, stratify=[y[i] for i in rest], random_state=0)
    theirs = {"train": train, "val": val, "test": test}
    made = make_split(corpus, "song")
    for subset in SUBSETS:
        ours = Counter(track.artist for track in made.tracks(corpus, subset))
        expected = Counter(y[i] for i in theirs[subset])
        assert ours.keys() == expected.keys()
        assert max(abs(ours[artist] - expected[artist]) for artist in expected) <= 1 + (subset == "train")
        assert abs(ours.total() - expected.total()) <= 0.01 * len(y)


@pytest.mark.parametrize(("songs", "subsets"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (8, 1, 1)),
                                              (20, (16, 2, 2)), (100, (81, 9, 10))])  # fmt: skip
def test_song_split_by_hand(songs, subsets):
    corpus = made_up({"A": 1, "B": 1}, songs=songs)
    found = units(corpus, make_split(corpus, "song"), lambda t: t.track_id)
    for artist in "AB":
        assert tuple(len(found[artist, subset]) for subset in SUBSETS) == subsets


@pytest.mark.parametrize(("albums", "subsets"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (6, (4, 1, 1))])
def test_album_split_by_hand(albums, subsets):
    corpus = made_up({"A": albums, "B": albums}, songs=2)
    found = units(corpus, make_split(corpus, "album"), lambda t: t.album)
    for artist in "AB":
        assert tuple(len(found[artist, subset]) for subset in SUBSETS) == subsets


def test_a_song_split_is_stratified_by_the_label():
    tracks = [
        Track(f"{i}", Path("x"), f"artist{i}", "", labels={"genre": "rock" if i < 30 else "folk"}) for i in range(50)
    ]
    corpus = Corpus("c", tuple(tracks))
    split = make_split(corpus, "song", label="genre")
    counts = Counter((track.label("genre"), split.subsets[track.track_id]) for track in tracks)
    assert [counts["rock", subset] for subset in SUBSETS] == [24, 3, 3]
    assert [counts["folk", subset] for subset in SUBSETS] == [16, 2, 2]


def of_genres(sizes: dict[str, int], songs: int = 4) -> Corpus:
    """So many artists of each genre, two albums each; tags and mood differ within one."""
    return Corpus("genres", tuple(
        Track(f"{genre}{a:02}/{s}", Path("x"), f"{genre}{a:02}", f"{s % 2}",
              labels={"genre": genre, "mood": "calm" if s else "wild", "tags": f"{genre};{s % 2}"})
        for genre, artists in sizes.items() for a in range(artists) for s in range(songs)
    ))  # fmt: skip


def artists_of(corpus: Corpus, split: Split, genre: str) -> tuple[int, ...]:
    """Its artists in training, validation and test."""
    return tuple(len({t.artist for t in split.tracks(corpus, s) if t.label("genre") == genre}) for s in SUBSETS)


@pytest.mark.parametrize("label", ["genre", "mood", "tags", "album"])
@pytest.mark.parametrize("seed", range(8))
def test_no_artist_stands_in_two_subsets_of_an_artist_split(label, seed):
    corpus = of_genres({"rock": 12, "folk": 5, "jazz": 3})
    split = make_split(corpus, "artist", label=label, seed=seed)
    subsets = [{track.artist for track in split.tracks(corpus, subset)} for subset in SUBSETS]
    assert all(subsets) and sum(map(len, subsets)) == len(set().union(*subsets)) == 20
    assert sorted(split.subsets) == sorted(track.track_id for track in corpus.tracks)


@pytest.mark.parametrize(("artists", "subsets"), [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (8, 1, 1)),
                                                (20, (16, 2, 2)), (100, (81, 9, 10))])  # fmt: skip
def test_an_artist_split_is_stratified_by_the_label_and_has_the_shares_of_a_song_split(artists, subsets):
    corpus = of_genres({"rock": artists, "folk": 7}, songs=2)
    split = make_split(corpus, "artist", label="genre")
    assert artists_of(corpus, split, "rock") == subsets and artists_of(corpus, split, "folk") == (5, 1, 1)


def test_an_artist_of_several_values_is_assigned_with_those_of_the_commonest_one():
    labels = [["pop", "rock", "rock"]] * 10 + [["pop", "pop", "rock"]] * 10
    corpus = Corpus("c", tuple(
        Track(f"{a:02}/{s}", Path("x"), f"{a:02}", labels={"genre": genre})
        for a, genres in enumerate(labels) for s, genre in enumerate(genres)
    ))  # fmt: skip
    for seed in range(8):
        split = make_split(corpus, "artist", label="genre", seed=seed)
        tested = sorted({track.artist for track in split.tracks(corpus, "test")})
        assert len(tested) == 2 and tested[0] < "10" <= tested[1]


def test_artists_who_share_a_recording_stand_in_one_subset_of_an_artist_split():
    corpus = of_genres({"rock": 12, "folk": 5})
    groups = {"rock00/1": "g", "rock07/2": "g", "rock07/3": "h", "folk02/0": "h"}
    for seed in range(12):
        split = make_split(corpus, "artist", label="genre", seed=seed, groups=groups)
        joined = {split.subsets[f"{artist}/{s}"] for artist in ("rock00", "rock07", "folk02") for s in range(4)}
        assert len(joined) == 1
        # Joined artists count as one, with those of the first of them by label and name.
        assert sum(artists_of(corpus, split, genre)[1] for genre in ("rock", "folk")) >= 2


def test_artists_are_not_learned_from_other_artists():
    with pytest.raises(InputError, match=r"label=artist cannot be learned with it\. Give another label, or another"):
        make_split(made_up(), "artist")


def test_an_artist_split_of_tracks_without_an_artist_names_the_first():
    corpus = Corpus("c", tuple(Track(f"{i}", Path("x"), "" if i > 2 else "A", labels={"genre": "x"}) for i in range(5)))
    with pytest.raises(InputError, match=r"split=artist: 2 of 5 tracks of c have no artist, the first 3\. Name"):
        make_split(corpus, "artist", label="genre")


def test_an_artist_split_with_too_few_artists_of_each_value_says_how_many_are_needed():
    corpus = of_genres({"rock": 3, "folk": 2})
    with pytest.raises(InputError, match="fewer than two genres on val of genres: a genre needs three artists to"):
        check_subsets(make_split(corpus, "artist", label="genre"), corpus, "artist", "genre")


def test_an_album_split_keeps_albums_whole_whatever_the_label():
    tracks = [
        Track(f"{a}{b}{s}", Path("x"), f"{a}", f"{b}", labels={"genre": "xy"[s % 2]})
        for a in range(4) for b in range(3) for s in range(4)
    ]  # fmt: skip
    corpus = Corpus("c", tuple(tracks))
    assert make_split(corpus, "album", label="genre") == make_split(corpus, "album")
    assert make_split(corpus, "kfold", label="genre", folds=3) == make_split(corpus, "kfold", folds=3)


# Folds


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_every_song_is_tested_once_and_validated_once_over_the_folds(folds):
    corpus = made_up({"A": 1, "B": 2, "C": 3, "D": 7, "E": 12}, songs=2)
    counted = {subset: Counter() for subset in SUBSETS}
    for fold in range(folds):
        for name, subset in make_split(corpus, "kfold", seed=21, folds=folds, fold=fold).subsets.items():
            counted[subset][name] += 1
    for track in corpus.tracks:
        times = [counted[subset][track.track_id] for subset in SUBSETS]
        assert times == [folds - 2, 1, 1]


def test_the_test_sides_of_two_folds_are_disjoint_and_the_next_fold_is_validated():
    corpus = made_up({"A": 6, "B": 6})
    split = [make_split(corpus, "kfold", folds=3, fold=fold) for fold in range(3)]
    for fold in range(3):
        tested = {t.track_id for t in split[(fold + 1) % 3].tracks(corpus, "test")}
        assert tested == {t.track_id for t in split[fold].tracks(corpus, "val")}


@pytest.mark.parametrize(("folds", "fold"), [(2, 0), (0, 0), (-3, 0), (3, 3), (3, -1), (5, 7)])
def test_folds_that_do_not_exist_are_refused(folds, fold):
    with pytest.raises(InputError, match=rf"folds={folds}, fold={fold}: folds must be at least 3 and fold from 0"):
        make_split(made_up(), "kfold", folds=folds, fold=fold)


# Manifest, all, errors


@pytest.mark.parametrize(
    ("spelling", "subset"),
    [("train", "train"), ("Training", "train"), ("val", "val"), ("VALID", "val"), ("validation", "val"), ("dev", "val"),
     ("test", "test"), ("Testing", "test")],
)  # fmt: skip
def test_the_fold_column_may_spell_sides_as_others_do(spelling, subset):
    split = make_split(made_up(fold=spelling), "manifest")
    assert set(split.subsets.values()) == {subset} and len(split.subsets) == 126


@pytest.mark.parametrize("fold", ["", "holdout", "0"])
def test_a_fold_that_is_none_is_named_with_its_track(fold):
    with pytest.raises(InputError, match=rf"00\.flac has fold '{fold}'.*train, val or test in every row"):
        make_split(made_up(fold=fold), "manifest")


def test_all_tests_everything():
    assert set(make_split(made_up(), "all").subsets.values()) == {"test"}


def test_an_unknown_split_lists_the_known():
    with pytest.raises(InputError, match=r"split=genre is unknown; choose one of song, album, artist, manifest, kfold"):
        make_split(made_up(), "genre")
    assert SPLITS == ("song", "album", "artist", "manifest", "kfold", "all")


def test_two_artists_on_every_required_side_are_enough():
    corpus = made_up({"A": 3, "B": 3, "C": 1})
    assert check_subsets(make_split(corpus, "album"), corpus, "album", "artist") is None
    assert check_subsets(make_split(corpus, "all"), corpus, "all", "artist", ("test",)) is None


@pytest.mark.parametrize(
    ("albums", "subsets"),
    [({"A": 1, "B": 1}, "val and test"), ({"A": 3, "B": 2}, "val"), ({"A": 3, "B": 1}, "val and test")],
)
def test_an_album_split_with_too_few_albums_says_which_sides_and_what_to_do(albums, subsets):
    corpus = made_up(albums)
    said = rf"split=album leaves fewer than two artists on {subsets} of made up: an artist needs three albums.*song"
    with pytest.raises(InputError, match=said):
        check_subsets(make_split(corpus, "album"), corpus, "album", "artist")


def test_an_empty_side_of_the_fold_column_is_named():
    corpus = made_up(fold="train")
    with pytest.raises(InputError, match="on val and test of made up: its fold column says so"):
        check_subsets(make_split(corpus, "manifest"), corpus, "manifest", "artist")


def test_one_artist_among_all_that_is_tested_is_no_fault_of_a_fold_column():
    corpus = made_up({"A": 3})
    with pytest.raises(InputError, match="split=all leaves fewer than two artists on test of made up: it tests every"):
        check_subsets(make_split(corpus, "all"), corpus, "all", "artist", ("test",))


# The digest


def test_the_digest_follows_sides_and_not_their_order():
    subsets = {"b": "test", "a": "train", "ç": "val"}
    digest = Split(subsets).digest
    assert digest == Split(dict(sorted(subsets.items()))).digest and len(digest) == 16
    assert digest != Split(subsets | {"a": "val"}).digest
    assert digest != Split({"b": "test", "a": "train"}).digest


def test_the_shared_corpus_has_the_folds_of_its_readme(shared_corpus):
    corpus = corpora.load(str(shared_corpus / "tracks.csv"))
    split = make_split(corpus, "manifest")
    assert [len(split.tracks(corpus, subset)) for subset in SUBSETS] == [70, 32, 33]
    check_subsets(split, corpus, "manifest", "artist")


def test_no_file_is_needed_to_split(tmp_path, small_corpus):
    corpus = corpora.load(str(small_corpus))
    expected = make_split(corpus, "album")
    shutil.rmtree(small_corpus)
    assert make_split(corpus, "album") == expected


# Albums in the order of their names, and inner folds


def test_albums_in_the_order_of_their_names_are_dealt_to_the_folds_in_turn():
    corpus = made_up()
    for fold in range(3):
        split = make_split(corpus, "kfold", folds=3, fold=fold, album_order="name", seed=fold)
        for artist in {track.artist for track in corpus.tracks}:
            own = [track for track in corpus.tracks if track.artist == artist]
            for i, album in enumerate(sorted({track.album for track in own})):
                subsets = {split.subsets[track.track_id] for track in own if track.album == album}
                assert subsets == {("test", "val", "train")[(i - fold) % 3]}


def test_without_validation_its_songs_are_learned_from():
    split = make_split(made_up(), "kfold", folds=3)
    merged = split.without_validation()
    assert set(merged.subsets.values()) == {"train", "test"} and merged.digest != split.digest
    changed = {track for track, subset in split.subsets.items() if merged.subsets[track] != subset}
    assert changed == {track for track, subset in split.subsets.items() if subset == "val"}


def test_inner_folds_hold_out_whole_albums_and_songs_of_artists_with_one():
    one = [Track(f"solo/{i}", Path("x"), "solo", "only") for i in range(6)]
    corpus = Corpus("x", (*made_up().tracks, *one))
    folds = inner_folds(corpus, folds=3, seed=0, groups={})
    of_album = defaultdict(set)
    for track in corpus.tracks:
        of_album[track.artist, track.album].add(folds[track.track_id])
    assert of_album.pop(("solo", "only")) == {0, 1, 2}
    assert all(len(numbers) == 1 for numbers in of_album.values())
    for artist in {track.artist for track in corpus.tracks}:
        assert {folds[track.track_id] for track in corpus.tracks if track.artist == artist} == {0, 1, 2}


def test_copies_of_a_recording_are_held_out_together():
    corpus = made_up()
    a, b = corpus.tracks[0], next(t for t in corpus.tracks if t.album != corpus.tracks[0].album)
    folds = inner_folds(corpus, folds=3, seed=0, groups={a.track_id: "same", b.track_id: "same"})
    assert folds[a.track_id] == folds[b.track_id]
