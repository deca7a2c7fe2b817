"""A library to a table: rows, labels, broken files, kills."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from projects.artists.data.corpora.folder import audio_files
from projects.artists.errors import InputError
from projects.artists.package.reference import Reference, make
from projects.artists.workflows.score import pool
from projects.artists.workflows.score import table as batch
from projects.artists.workflows.score.journal import Journal
from projects.artists.workflows.score.pool import Song
from projects.artists.workflows.score.table import ScoreOptions, Source

PROJECT = Path(__file__).parents[2]
CLASSES = ["Ada", "Bob", "Cyd"]


@pytest.fixture(scope="module")
def music(tmp_path_factory, tone, write_audio) -> Path:
    """Twelve songs in folders of any depth, among them a broken one, and other files."""
    root = tmp_path_factory.mktemp("music")
    for i in range(11):
        folder = root / ["", "a", "a/b"][i % 3]
        write_audio(folder / f"song{i:02d}.flac", tone(seconds=1.2, seed=i, pitch=100.0 + 40 * i))
    (root / "a" / "broken.mp3").write_bytes(b"no music")
    (root / "cover.jpg").write_bytes(b"no audio")
    return root


def source(folder: Path) -> Source:
    return Source("models:/artist-classifier/3", "f" * 32, folder, CLASSES)


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from projects.artists.workflows.score import table as batch
if __name__ == "__main__":
    model, audio, output, kill = sys.argv[1:]
    seen = []
    def progress(done, total):
        seen.append([done, total])
        if done == int(kill):
            os.kill(os.getpid(), signal.SIGKILL)
    source = batch.Source("models:/artist-classifier/3", "f" * 32, Path(model), ["Ada", "Bob", "Cyd"])
    done = batch.score(batch.ScoreOptions(audio=audio, output=output, workers=1), source, progress)
    print(json.dumps([done, seen]))
"""


def test_a_killed_scoring_goes_on_and_no_row_is_lost_or_scored_twice(packaged, music, tmp_path):
    script, output = tmp_path / "script.py", tmp_path / "out.parquet"
    script.write_text(SCRIPT)

    def run(kill: int) -> subprocess.CompletedProcess:
        command = [sys.executable, str(script), str(packaged), str(music), str(output), str(kill)]
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    killed = run(kill=5)
    assert killed.returncode == -9 and not output.exists(), killed.stderr
    done = run(kill=0)
    assert done.returncode == 0, done.stderr
    metrics, seen = json.loads(done.stdout.splitlines()[-1])
    assert seen == [[i, 12] for i in range(6, 13)] and metrics["tracks_resumed"] == 5
    table = pd.read_parquet(output)
    assert table["track_id"].tolist() == sorted(
        path.relative_to(music).as_posix() for path in music.rglob("*.*") if path.suffix != ".jpg"
    )
    assert set(table["model"]) == {"models:/artist-classifier/3"} and set(table["run_id"]) == {"f" * 32}
    broken = table[table["track_id"] == "a/broken.mp3"].iloc[0]
    assert broken["status"] == "error" and broken["reason"]
    assert pd.isna(broken["artist"]) and pd.isna(broken["probability"])
    good = table[table["status"] == "ok"]
    assert len(good) == 11 and good["artist"].isin(CLASSES).all() and (good["clips"] == 1).all()
    assert metrics["tracks_failed"] == 1 and not list(tmp_path.glob("*.partial"))


@pytest.fixture
def counted(monkeypatch):
    """Answers without a model: the first artist, or an error for a song called bad; the ids that were asked for."""
    asked = []

    def answers(songs, folder, params, processes):
        for song in songs:
            asked.append(song.track_id)
            if "bad" in song.track_id:
                yield song, pool.failed("bad, it said")
            else:
                guess = {"artist": "Ada", "probability": 0.5, "top_artists": ["Ada", "Bob"]}
                rest = {"top_probabilities": [0.5, 0.3], "status": "ok", "clips": 2, "embedding": [1.0, 0.0, 0.0, 0.0]}
                yield song, pool.failed("") | guess | rest

    monkeypatch.setattr(pool, "answers", answers)
    return asked


def manifest(tmp_path: Path, labels: list[str]) -> Path:
    rows = [
        {"path": f"{'bad' if label == 'bad' else 'song'}{i}.flac", "artist": label} for i, label in enumerate(labels)
    ]
    file = tmp_path / "tracks.csv"
    pd.DataFrame(rows).replace("bad", "Ada").to_csv(file, index=False)
    return file


def test_labels_of_a_manifest_become_metrics_worked_by_hand(counted, tmp_path):
    audio = manifest(tmp_path, ["Ada", "Ada", "Ada", "Bob", "Zoe", "bad"])
    for suffix in (".csv", ".parquet"):
        options = ScoreOptions(audio=str(audio), output=str(tmp_path / f"out{suffix}"))
        done = batch.score(options, source(tmp_path))
        assert done["tracks"] == 6 and done["tracks_failed"] == 1
        evaluated = batch.evaluated(options.file, CLASSES)
        said = evaluated.metrics()
        assert said["score_song_accuracy"] == 0.75 and said["score_songs"] == 4
        assert said["score_songs_of_others"] == 1 and said["score_songs_failed"] == 1
        assert evaluated.confusion(CLASSES).loc["Bob", "Ada"] == 1
    csv, parquet = pd.read_csv(tmp_path / "out.csv"), pd.read_parquet(tmp_path / "out.parquet")
    assert csv.columns.tolist() == parquet.columns.tolist()
    assert json.loads(csv.set_index("track_id").loc["song0.flac", "top_artists"]) == ["Ada", "Bob"]


def test_without_labels_nothing_is_judged(counted, music, tmp_path):
    options = ScoreOptions(audio=str(music), output=str(tmp_path / "out.parquet"))
    batch.score(options, source(tmp_path))
    assert batch.evaluated(options.file, CLASSES) is None


def test_a_journal_of_another_scoring_is_not_gone_on_with(counted, music, tmp_path):
    options = ScoreOptions(audio=str(music), output=str(tmp_path / "out.parquet"))
    journal = Journal(tmp_path / "out.parquet.partial", {"model": "models:/artist-classifier/2"})
    journal.close()
    with pytest.raises(InputError, match="another scoring"):
        batch.score(options, source(tmp_path))
    (tmp_path / "out.parquet.partial").unlink()
    batch.score(options, source(tmp_path))
    assert len(counted) == 12 == len(set(counted))


def enrolled_by(tmp_path: Path, seed: int) -> Reference:
    vectors = np.random.default_rng(seed).normal(size=(2, 4))
    return make(["x", "y"], ["Ada", "Bob"], ["0", "1"], vectors, model="m", model_name="crnn", model_source="here")


@pytest.mark.parametrize(("before", "after"), [(None, 1), (1, None), (1, 2)])
def test_a_resumed_scoring_with_another_reference_is_refused(counted, music, tmp_path, before, after):
    """Answers of the network, or of another reference, would stand in one table with those of this one."""

    def of(seed: int | None) -> Source:
        return dataclasses.replace(source(tmp_path), reference=None if seed is None else enrolled_by(tmp_path, seed))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    options = ScoreOptions(audio=str(music), output=str(tmp_path / "out.csv"), embedding=True)
    with pytest.raises(KeyboardInterrupt):
        batch.score(options, of(before), stop)
    with pytest.raises(InputError, match=r"another scoring .*reference="):
        batch.score(options, of(after))
    batch.score(options, of(before))
    assert len(set(counted)) == 12


def test_after_an_interruption_the_table_is_that_of_the_files_as_they_are_now(counted, music, tmp_path):
    """Gone: no row. Changed in size or time: scored anew. New: scored. The rest keep their answers."""
    library = Path(shutil.copytree(music, tmp_path / "library"))
    options = ScoreOptions(audio=str(library), output=str(tmp_path / "out.csv"))

    def stop(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch.score(options, source(tmp_path), stop)
    gone, larger, later = counted[:3]
    (library / gone).unlink()
    with (library / larger).open("ab") as file:
        file.write(b"more")
    os.utime(library / later, ns=(1, 1))
    shutil.copy(library / counted[3], library / "new.flac")
    before = list(counted)
    done = batch.score(options, source(tmp_path))
    assert sorted(counted[6:]) == sorted({"new.flac", larger, later} | {*ids(library)} - {*before})
    assert pd.read_csv(options.file)["track_id"].tolist() == ids(library)
    assert done["tracks"] == 12 and done["tracks_resumed"] == 3


def ids(library: Path) -> list[str]:
    return sorted(path.relative_to(library).as_posix() for path in audio_files(library))


@pytest.mark.parametrize("label", [None, "artist"])
def test_files_whose_names_differ_in_unicode_form_or_in_the_spelling_of_bytes_each_have_a_row(counted, tmp_path, label):
    root = tmp_path / "library" / "Ada" / "First"
    root.mkdir(parents=True)
    names = ["caf\u00e9.flac", "cafe\u0301.flac", "a\udce9.flac", "a\\xe9.flac", "plain.flac"]
    for name in names:
        (root / name).write_bytes(b"")
    if len(os.listdir(root)) < len(names):
        pytest.skip("this file system takes them for one name")
    options = ScoreOptions(audio=str(tmp_path / "library"), output=str(tmp_path / "out.csv"), label=label)
    done = batch.score(options, source(tmp_path))
    table = pd.read_csv(options.file)
    assert done["tracks"] == len(names) == len(set(table["track_id"])) == len(table)
    assert {"Ada/First/caf\u00e9.flac", "Ada/First/caf\u00e9.flac (2)", "Ada/First/plain.flac"} < set(table["track_id"])


class Surprised:
    """A model that fails in a way that nobody foresaw, for one file."""

    def predict(self, table: pd.DataFrame, params: dict) -> pd.DataFrame:
        if "bad" in table["path"][0]:
            raise ZeroDivisionError("nobody foresaw it")
        return pd.DataFrame([pool.failed("") | {"status": "ok"}])


def test_an_unexpected_exception_in_one_file_is_its_row(monkeypatch):
    monkeypatch.setitem(pool._loaded, "model", Surprised())
    monkeypatch.setitem(pool._loaded, "params", {})
    bad, good = (pool._answer(Song(name, Path(name))) for name in ("bad.flac", "good.flac"))
    assert bad["status"] == "error" and bad["reason"] == "unexpected ZeroDivisionError: nobody foresaw it"
    assert good["status"] == "ok"


def test_two_scorings_do_not_work_on_one_output(tmp_path):
    first = Journal(tmp_path / "x.partial", {"model": "1"})
    with pytest.raises(InputError, match="Is another scoring at work"):
        Journal(tmp_path / "x.partial", {"model": "1"})
    first.close()


def test_a_journal_hands_out_what_waits_in_batches_and_keeps_names_that_are_no_text(tmp_path):
    journal = Journal(tmp_path / "x.partial", {})
    odd = Song("odd", Path("a\udcff.flac"), "")
    journal.expect([odd, *(Song(f"{i:05d}", Path(f"{i}.flac")) for i in range(2500))])
    for i, song in enumerate(journal.waiting()):
        assert song.path == (odd.path if song.track_id == "odd" else Path(f"{int(song.track_id)}.flac"))
        if i % 2:
            journal.put(song, {"n": i})
    assert journal.counts() == (1250, 2501) and len(list(journal.waiting())) == 1251
    journal.expect([Song("00001", Path("other.flac"))])
    assert journal.counts() == (1250, 2501)
    journal.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"audio": ""}, "audio= is missing"), ({"output": "x.txt"}, "must be the name of"), ({"top_k": 0}, "top_k=0"),
        ({"threshold": 2.0}, "threshold=2"), ({"workers": 0}, "workers=0"), ({"output": ""}, "must be the name of"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        ScoreOptions(**{"audio": "x", "output": "x.csv", **given})


def test_a_folder_without_music_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no audio files"):
        batch.songs_of(str(tmp_path), None)


def test_a_folder_is_walked_as_that_of_a_corpus_is(music, tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "linked").symlink_to(music / "a")
    (tmp_path / "library" / "linked-again").symlink_to(tmp_path / "library")
    found = [song.track_id for song in batch.songs_of(str(tmp_path / "library"), None)]
    beyond = [path.relative_to(music / "a").as_posix() for path in audio_files(music / "a")]
    assert found == [f"linked/{name}" for name in beyond] and len(found) == 8


def test_a_label_that_is_given_is_read_from_folders_too_and_an_unknown_one_is_refused(common_corpus, music, tmp_path):
    songs = list(batch.songs_of(str(common_corpus), "album"))
    assert {song.label for song in songs} == {"album0", "album1", "album2"} and len(songs) == 18
    assert not any(song.label for song in batch.songs_of(str(common_corpus), None))
    with pytest.raises(InputError, match="label=genre is no column of corpus; it has artist, album"):
        batch.songs_of(str(common_corpus), "genre")
    with pytest.raises(InputError, match=r"outside <artist>/<album>/"):
        batch.songs_of(str(music), "artist")
    audio = str(manifest(tmp_path, ["Ada", "Bob"]))
    assert [song.label for song in batch.songs_of(audio, None)] == ["Ada", "Bob"]
    with pytest.raises(InputError, match="label=mood is no column"):
        batch.songs_of(audio, "mood")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark_gives_the_rows_of_the_local_engine(packaged, music, tmp_path):
    pytest.importorskip("pyspark", reason="the extra spark is not installed")
    tables = {}
    for engine in ("local", "spark"):
        options = ScoreOptions(
            audio=str(music), output=str(tmp_path / f"{engine}.parquet"), engine=engine, workers=3, embedding=True
        )
        batch.score(options, source(packaged))
        tables[engine] = pd.read_parquet(options.file)
    local, spark = tables["local"], tables["spark"]
    assert len(local) == 12
    pd.testing.assert_frame_equal(
        local.drop(columns=["embedding", "top_probabilities", "probability"]),
        spark.drop(columns=["embedding", "top_probabilities", "probability"]),
    )
    for name in ("embedding", "top_probabilities"):
        for a, b in zip(local[name], spark[name], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
