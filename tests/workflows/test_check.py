"""The entry point check on a corpus with each kind of dirt, and on corpora that cannot be trained on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from projects import check, cli
from projects.artists.audio.features import FeatureConfig
from projects.artists.data import prepare
from projects.artists.data.options import DataOptions
from projects.artists.reports.corpus import corpus_figure, corpus_text
from projects.artists.reports.figures import figure_bytes
from projects.artists.workflows import check as checkup
from tests.data.test_recordings import SR, melody, mp3

PROJECT = Path(__file__).parents[2]
SECONDS = 8


def write_dirty(root: Path, write_audio) -> Path:
    """Three artists of four albums of two songs, nine files with one thing wrong each, an artist of one song."""
    for a in range(3):
        for b in range(4):
            for s in range(2):
                write_audio(
                    root / f"Artist {a}" / f"Album {b}" / f"Song {s}.flac", melody(100 * a + 10 * b + s, SECONDS)
                )
    write_audio(root / "Lonely" / "Only" / "Song.flac", melody(999, SECONDS))
    first = root / "Artist 0" / "Album 0"
    (first / "bad.flac").write_bytes(b"this is not audio")
    whole = write_audio(first / "cut.wav", melody(500, SECONDS)).read_bytes()
    (first / "cut.wav").write_bytes(whole[: len(whole) * 2 // 3])
    write_audio(first / "silent.flac", np.zeros(SECONDS * SR, np.float32))
    write_audio(first / "loud.flac", np.clip(20 * melody(501, SECONDS), -1, 1))
    write_audio(first / "short.flac", melody(502, 1.5))
    write_audio(first / "stereo.wav", np.stack([melody(503, 3.0)] * 2, axis=1), 22050)
    other = root / "Artist 1" / "Album 3"
    shutil.copy(root / "Artist 1" / "Album 1" / "Song 1.flac", other / "same.flac")
    (other / "again.mp3").write_bytes(mp3(melody(111, SECONDS)[SR:], 64).getvalue())
    (root / "Artist 2" / "Album 3" / "taken.mp3").write_bytes(mp3(melody(0, SECONDS), 64).getvalue())
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory, write_audio):
    folder = tmp_path_factory.mktemp("check")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {"MLFLOW_TRACKING_URI": uri, "ARTISTS_CACHE": str(folder / "cache")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    client = MlflowClient(uri)
    client.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    return folder, write_dirty(folder / "corpus", write_audio), environment, client


@pytest.fixture(scope="module")
def checked(place):
    folder, corpus, environment, client = place
    command = [
        sys.executable, "-m", "mlflow", "run", str(PROJECT), "-e", "check", "-P", f"data={corpus}", "-P", "clip=2",
        "-P", "split=album", "-P", "workers=2", "--env-manager=local", "--experiment-name=tests",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    done.run = client.search_runs([client.get_experiment_by_name("tests").experiment_id])[0]
    done.folder = Path(mlflow.artifacts.download_artifacts(
        run_id=done.run.info.run_id, tracking_uri=environment["MLFLOW_TRACKING_URI"]
    ))  # fmt: skip
    return done


def table(checked, name: str) -> pd.DataFrame:
    return pd.read_csv(checked.folder / name, keep_default_na=False)


def test_check_finds_each_kind_of_dirt_and_nothing_else(checked):
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tracks = table(checked, "tracks.csv").set_index("track_id")
    found = {name: row.problems for name, row in tracks.iterrows() if row.problems}
    first = "Artist 0/Album 0/"
    assert found == {
        f"{first}bad.flac": "unreadable", f"{first}cut.wav": "truncated", f"{first}silent.flac": "silent",
        f"{first}loud.flac": "clipped", f"{first}short.flac": "too_short", f"{first}stereo.wav": "one_clip",
    }  # fmt: skip
    stereo = tracks.loc[f"{first}stereo.wav"]
    assert float(stereo.seconds) == pytest.approx(3.0 * SR / 22050, abs=0.01)
    assert (float(stereo.sample_rate), float(stereo.channels)) == (22050, 2)
    assert "bytes that its header promises are missing" in tracks.loc[f"{first}cut.wav"].reason
    assert float(tracks.loc[f"{first}cut.wav"].seconds) == pytest.approx(SECONDS * 2 / 3, abs=0.01)


def test_check_groups_copies_and_keeps_them_on_one_side(checked):
    copies = table(checked, "duplicates.csv")
    groups = {frozenset(part["track_id"]): part for _, part in copies.groupby("duplicate_group")}
    one = frozenset(f"Artist 1/Album {b}/{s}" for b, s in ((1, "Song 1.flac"), (3, "same.flac"), (3, "again.mp3")))
    stolen = frozenset(("Artist 0/Album 0/Song 0.flac", "Artist 2/Album 3/taken.mp3"))
    assert set(groups) == {one, stolen}
    assert all(part["subset"].nunique() == 1 for part in groups.values())
    assert dict(zip(groups[one]["track_id"], groups[one]["copy"], strict=True)) == {
        "Artist 1/Album 1/Song 1.flac": "bytes", "Artist 1/Album 3/same.flac": "bytes",
        "Artist 1/Album 3/again.mp3": "recording",
    }  # fmt: skip
    assert "two values of artist (1 found)" in checked.stdout and "taken.mp3" in checked.stdout


def test_check_counts_minutes_rates_and_who_is_too_small(checked):
    artists = table(checked, "artists.csv").set_index("artist")
    assert list(artists["albums"]) == [4, 4, 4, 1] and list(artists["tracks"]) == [14, 10, 9, 1]
    assert float(artists.loc["Artist 2", "minutes"]) == pytest.approx(9 * SECONDS / 60, abs=0.02)
    assert artists.loc["Artist 0", "sample_rates"] == "16000 22050" and artists.loc["Artist 0", "channels"] == "1 2"
    assert artists.loc["Artist 0", "clipped"] == 1 and artists["unreadable"].sum() == 1
    albums = table(checked, "albums.csv")
    assert len(albums) == 13 and albums["tracks"].sum() == 34
    small = table(checked, "too_small.csv")
    assert list(small["value"]) == ["Lonely"] and set(small["missing"]) == {"val test"}
    assert "artist Lonely: 1 usable song(s) of 1 album(s), none in subset val and test" in checked.stdout


def test_check_logs_counts_a_figure_and_a_description(checked):
    metrics = checked.run.data.metrics
    expected = {
        "tracks": 34, "artists": 4, "albums": 13, "tracks_unreadable": 1, "tracks_truncated": 1, "tracks_silent": 1,
        "tracks_clipped": 1, "tracks_too_short": 1, "tracks_one_clip": 1, "duplicate_tracks": 5,
        "duplicate_recordings": 2, "label_conflicts": 1, "artist_conflicts": 1, "too_small": 1,
    }  # fmt: skip
    assert {name: metrics[name] for name in expected} == expected
    assert (checked.folder / "corpus.png").read_bytes()[:4] == b"\x89PNG"
    assert checked.run.info.status == "FINISHED" and "34 tracks" in checked.run.data.tags["mlflow.note.content"]
    lines = checked.stdout.splitlines()
    assert max(map(len, lines[lines.index(next(x for x in lines if "34 tracks" in x)) :])) < 400
    assert "A training is possible" in lines[-1]


def test_a_second_check_decodes_nothing_and_says_the_same(place, checked, monkeypatch, capsys):
    """In this process, where a decoder that is called would raise."""
    from projects.artists.data import featurize

    monkeypatch.setenv("ARTISTS_CACHE", place[2]["ARTISTS_CACHE"])
    computed = []
    original = featurize._computed
    monkeypatch.setattr(
        featurize, "_computed", lambda tracks, *more: computed.extend(tracks) or original(tracks, *more)
    )
    argv = ["--data", str(place[1]), "--clip", "2", "--split", "album", "--workers", "1"]
    assert cli.main(check.COMMAND, argv) == 0
    assert [track.title for track in computed] == ["bad"], "only what could not be read is tried again"
    said = capsys.readouterr().out.strip()
    assert said in checked.stdout.replace("workers=2", "workers=1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "manifest"}, "has fold ''; the manifest needs a column fold"),
        ({"clip": "30"}, "is as long as one clip of 30 s"),
    ],
)
def test_check_fails_after_its_report_where_a_training_would(place, checked, monkeypatch, capsys, options, said):
    monkeypatch.setenv("ARTISTS_CACHE", place[2]["ARTISTS_CACHE"])
    argv = [
        word for name, value in ({"data": place[1], "workers": 1} | options).items() for word in (f"--{name}", value)
    ]
    assert cli.main(check.COMMAND, list(map(str, argv))) == 1
    shown = capsys.readouterr()
    assert said in shown.err and "Traceback" not in shown.err
    assert "34 tracks" in shown.out and "A training is possible" not in shown.out
    run = mlflow.get_run(mlflow.last_active_run().info.run_id)
    assert run.info.status == "FAILED" and run.data.metrics["tracks"] == 34


@pytest.fixture
def uneven(tmp_path, in_process, write_corpus, write_audio) -> Path:
    """Artists of 8, 7, 7, 7 and 2 songs; one file cannot be read, and artist 2 has a song of artist 1."""
    root = write_corpus(tmp_path / "music", artists=4, albums=4, seconds=1.5)
    for a in (1, 2, 3):
        (root / f"artist{a}" / "album3" / "song1.flac").unlink()
    shutil.copy(root / "artist1" / "album0" / "song0.flac", root / "artist2" / "album1" / "song0.flac")
    (root / "artist0" / "album2" / "song1.flac").write_bytes(b"bad")
    for s in range(2):
        write_audio(root / "few" / f"album{s}" / "song.flac", melody(700 + s, 1.5))
    return root


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"split_seed": 4},
        {"artists": 3},
        {"leave_out": 2},
        {"songs_per_artist": 7, "split": "song"},
        {"artists": 4, "leave_out": 1, "songs_per_artist": 6, "split": "song", "split_seed": 5},
    ],
)
def test_check_examines_the_corpus_and_split_of_a_training_with_the_same_parameters(uneven, options):
    options, config = DataOptions(data=str(uneven), clip=1.0, **options), FeatureConfig()
    found = checkup.examine(options, config, seed=1)
    read = prepare.read_features(options, config)
    trained = prepare.prepare(*read, options, seed=1)
    columns = ["track_id", "label", "subset", "duplicate_group", "audio_sha256"]
    readable = found.tracks[found.tracks["problems"] != "unreadable"].reset_index(drop=True)
    pd.testing.assert_frame_equal(readable[columns], prepare.split_table(trained)[columns])
    assert (found.corpus, found.features.quarantined) == (read[0], read[1].quarantined)
    assert set(found.small["value"]) <= set(trained.classes)
    assert all(any(said in warning for warning in trained.warnings) for said in found.conflicts)
    assert prepare.prepare(found.corpus, found.features, options, seed=1).split == trained.split


def test_check_says_where_a_label_follows_from_the_artist(place, write_corpus, in_process, tmp_path, capsys):
    root = write_corpus(tmp_path / "music", artists=6, albums=3, seconds=1.5)
    paths = sorted(root.rglob("*.flac"))
    rows = [
        f"{path},{path.parts[-3]},{path.parts[-2]},{'low' if path.parts[-3] < 'artist3' else 'high'}" for path in paths
    ]
    (tmp_path / "m.csv").write_text("\n".join(["path,artist,album,genre", *rows]))
    argv = ["--data", str(tmp_path / "m.csv"), "--label", "genre", "--clip", "1", "--workers", "1", "--split"]
    warning = "Every artist of m has one genre: scores may tell artists, not genres. Use split=artist"
    for split in ("album", "artist"):
        assert cli.main(check.COMMAND, [*argv, split]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert (warning in shown) == (split == "album")


@pytest.mark.parametrize("impossible", [{"leave_out": 4}, {"songs_per_artist": 9}, {"split": "manifest"}])
def test_check_describes_all_tracks_where_no_training_could_take_any(uneven, impossible):
    found = checkup.examine(DataOptions(data=str(uneven), clip=1.0, **impossible), FeatureConfig(), seed=0)
    assert len(found.tracks) == 31 and set(found.tracks["subset"]) == {""}
    assert found.metrics["tracks_unreadable"] == 1 and len(found.duplicates) == 2


def rows(count: int) -> pd.DataFrame:
    """As many tracks, each an artist's only one, unreadable, with a hostile name."""
    return pd.DataFrame({
        "track_id": [f"a{i}/x/\x1b[31m{i}.wav" for i in range(count)], "artist": [f"日本 {i:04}" for i in range(count)],
        "subset": "", "seconds": np.nan, "problems": "unreadable", "reason": "line one\nline two",
    })  # fmt: skip


def test_check_counts_and_names_tracks_without_the_label(tmp_path, common_corpus, capsys):
    files = sorted(common_corpus.rglob("*.flac"))
    moods = ["", *(path.parts[-3] for path in files[1:])]
    table = pd.DataFrame({"path": [str(path) for path in files], "artist": "A", "mood": moods})
    table.to_csv(tmp_path / "m.csv", index=False)
    argv = ["--data", tmp_path / "m.csv", "--label", "mood", "--split", "song", "--clip", "1"]
    cli.main(check.COMMAND, list(map(str, argv)))
    assert "warning: 1 track(s) have no mood and are left out: " in capsys.readouterr().out
    data = mlflow.get_run(mlflow.last_active_run().info.run_id).data
    assert data.metrics["tracks_unlabelled"] == 1 and "1 track(s) have no mood" in data.tags["mlflow.note.content"]


def test_long_lists_are_cut_with_their_count_and_names_cannot_steer_the_terminal():
    tracks, kinds = rows(400), {"unreadable": "no audio", "silent": "nothing heard"}
    artists = tracks[["artist"]].assign(
        albums=1, tracks=1, minutes=0.0, sample_rates="", channels="", unreadable=1, silent=0
    )
    small = pd.DataFrame(
        [{"column": "artist", "value": f"v{i}", "missing": "test", "songs": 1, "albums": 1} for i in range(60)]
    )
    copies = pd.DataFrame(
        {"duplicate_group": [str(i // 5) for i in range(50)], "track_id": [f"t{i}" for i in range(50)], "copy": "bytes"}
    )
    text = corpus_text("title", artists, tracks, kinds, copies, small, "split=song", ["mind this"])
    assert "... and 375 more artists: artists.csv" in text and "... and 397 more tracks: tracks.csv" in text
    assert "... and 7 more recordings: duplicates.csv" in text and "... and 35 more values: too_small.csv" in text
    assert "t0 = t1 = t2 = ..." in text and "warning: mind this" in text
    assert "\x1b" not in text and len(text.splitlines()) < 90


def test_a_figure_of_any_corpus_can_be_drawn():
    empty = rows(0).astype({"seconds": float})
    one = rows(1).assign(seconds=3.0, subset="train", problems="")
    for tracks in (empty, rows(1), one, rows(300)):
        assert figure_bytes(corpus_figure(tracks, ["unreadable"], "ti$le", 5.0), dpi=40)[:4] == b"\x89PNG"


def test_so_many_artists_and_the_seed_of_the_split_are_those_of_a_training(common_corpus):
    def subsets(seed: int, **options: int) -> dict[str, str]:
        chosen = DataOptions(data=str(common_corpus), clip=1.0, split="song", workers=1, **options)
        tracks = checkup.examine(chosen, FeatureConfig(), seed=seed).tracks
        return dict(zip(tracks["track_id"], tracks["subset"], strict=True))

    everyone = subsets(0)
    assert subsets(0, split_seed=3) == subsets(3) != everyone
    assert {name.split("/")[0] for name in subsets(0, artists=2)} < {name.split("/")[0] for name in everyone}
