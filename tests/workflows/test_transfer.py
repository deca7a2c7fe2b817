"""transfer, similar and enrol: the real entry points on a small corpus and a network trained on half of its artists."""

from __future__ import annotations

import dataclasses
import itertools
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

from projects import cli, enrol, score, similar, train, transfer
from projects.artists.audio.features import FeatureConfig
from projects.artists.data import corpora, featurize, prepare, songs
from projects.artists.data.cache import audio_digest
from projects.artists.data.featurize import Entry
from projects.artists.data.options import DataOptions
from projects.artists.data.recordings import Recordings
from projects.artists.errors import InputError
from projects.artists.evaluation import retrieval
from projects.artists.package import card as saved
from projects.artists.package import golden, reference
from projects.artists.systems import crnn
from projects.artists.tracking.model import log_model
from projects.artists.workflows import embed
from projects.artists.workflows import enrol as enrolling
from projects.artists.workflows.transfer import read_vectors
from tests.data.test_recordings import melody, mp3

PROJECT = Path(__file__).parents[2]


@dataclasses.dataclass
class Place:
    """A corpus of four artists, a store, and the run of a network that knows two of them."""

    corpus: Path
    variables: dict[str, str]
    left_out: list[str]
    model: str


@pytest.fixture(scope="module")
def logged(tmp_path_factory, write_corpus, tracking_template) -> Place:
    """The network is logged as a training logs it, but as it was initialised: a training would take longer."""
    folder = tmp_path_factory.mktemp("transfer")
    shutil.copy(tracking_template, folder / "mlflow.db")
    variables = {
        "ARTISTS_CACHE": str(folder / "cache"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "mlruns"),
    }
    corpus = write_corpus(folder / "corpus", artists=4, seconds=2.5)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(featurize, "_computed", compute_here)
        options = DataOptions(data=str(corpus), clip=1, leave_out=2)
        prepared = prepare.prepare(*prepare.read_features(options, FeatureConfig()), options, seed=0)
        left_out = sorted({path.name for path in corpus.iterdir()} - set(prepared.classes))
        return Place(corpus, variables, left_out, log_network(prepared, folder))


def compute_here(tracks, store, workers, *audits):
    for track in tracks:
        yield track, featurize._compute(track, store, *audits)


def log_network(prepared: prepare.Prepared, folder: Path) -> str:
    system, clips = crnn.System(), prepared.clips["train"]
    system.model = system.build(clips.length, clips.n_mels, len(prepared.classes))
    digests = {
        subset: [prepared.features.entries[track.track_id].audio_digest for track in tracks]
        for subset, tracks in prepared.tracks.items()
    }
    features = dataclasses.asdict(prepared.features.config)
    options = dataclasses.asdict(system.config)
    card = saved.Card("crnn", options, features, clips.length, "artist", prepared.classes, {}, digests)
    saved.save(folder / "system", system, card)
    with mlflow.start_run() as active:
        mlflow.set_tag("model_uri", log_model(folder / "system", golden.write(folder / "golden", system, card), folder))
    return active.info.run_id


@pytest.fixture
def place(logged, monkeypatch) -> Place:
    for name, value in logged.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(featurize, "_computed", compute_here)
    return logged


def run(verb, status: int = 0, **parameters: object) -> mlflow.entities.Run:
    argv = [word for name, value in parameters.items() for word in (f"--{name}", str(value))]
    assert cli.main(verb.COMMAND, argv) == status
    return next(run for run in MlflowClient().search_runs(["0"]) if "mlflow.parentRunId" not in run.data.tags)


def table(done: mlflow.entities.Run, name: str) -> pd.DataFrame:
    return pd.read_csv(mlflow.artifacts.download_artifacts(run_id=done.info.run_id, artifact_path=name))


def manifest(place: Place, tmp_path: Path) -> Path:
    """The corpus with a genre: two artists each."""
    rows = [
        {"path": str(path), "track_id": path.relative_to(place.corpus).as_posix(), "artist": path.parts[-3],
         "album": path.parts[-2], "genre": "high" if path.parts[-3] > "artist1" else "low",
         "fold": {"album0": "test", "album1": "val"}.get(path.parts[-2], "train")}
        for path in place.corpus.rglob("*.flac")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "genres.csv", index=False)
    return tmp_path / "genres.csv"


# Song vectors


def test_a_song_is_the_mean_of_its_clips_and_a_short_one_is_padded_with_silence(tmp_path):
    config = FeatureConfig(n_mels=3)
    lengths, rng = (9, 4, 30, 2, 5), np.random.default_rng(0)
    arrays = [rng.normal(size=(n, 3)).astype(np.float32) for n in lengths]
    for i, features in enumerate(arrays):
        np.save(tmp_path / f"{i}.npy", features)
    entries = [Entry("", n, tmp_path / f"{i}.npy") for i, n in enumerate(lengths)]
    padded = np.concatenate([arrays[3], np.full((2, 3), arrays[3].min())])
    expected = [(padded if i == 3 else x[: len(x) // 4 * 4]).mean(0) for i, x in enumerate(arrays)]
    for unit in ("clip", "song"):
        sizes = []

        def mean_of_frames(batches, sizes=sizes):
            batches = list(batches)
            sizes += [len(clips) for clips in batches]
            return np.concatenate([clips.mean(1) for clips in batches])

        made = embed.Embedder("mean", "", "", mean_of_frames, unit, config, 4)
        assert made.vectors(entries) == pytest.approx(np.array(expected), abs=1e-6)
        assert sizes == ([2, 1, 7, 1, 1] if unit == "song" else [12])


def test_batches_are_of_one_size_whatever_the_songs():
    clips = np.arange(300)[:, None]
    batches = list(embed._rebatched(np.split(clips, [5, 200, 201])))
    assert [len(batch) for batch in batches] == [64, 64, 64, 64, 44] and (np.concatenate(batches) == clips).all()


def test_a_crop_is_another_embedding(place, tmp_path):
    whole = embed.open_embedder(place.model, tmp_path)
    assert whole.cropped(None) is whole and whole.cropped(60).config.crop == 60
    assert len({whole.identity, whole.cropped(60).identity, whole.cropped(30).identity}) == 3
    assert embed.open_embedder(place.model, tmp_path / "again").identity == whole.identity


# transfer


def test_transfer_of_a_trained_network_to_another_label(place, tmp_path):
    data = manifest(place, tmp_path)
    done = run(transfer, model=place.model, data=data, label="genre", split="manifest", k=3)
    scores = done.data.metrics
    for name in (
        "retrieval_map",
        "retrieval_map_test",
        "knn_accuracy",
        "linear_accuracy",
        "linear_f1",
        "linear_f1_macro",
    ):
        assert 0 <= scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"] <= 1
    assert (scores["train/songs"], scores["val/songs"], scores["test/songs"]) == (8, 8, 8)
    embedder = embed.open_embedder(place.model, tmp_path / "model")
    found = embedder.embed(corpora.load(str(data)), workers=1)
    y = np.array([track.label("genre") for track in found.tracks])
    assert scores["retrieval_map"] == pytest.approx(retrieval.average_precisions(found.vectors, y).mean(), abs=1e-6)
    rows = table(done, "transfer.csv").set_index("measure")["crnn"]
    assert rows["k-NN accuracy"] == pytest.approx(scores["knn_accuracy"])
    predicted = table(done, "songs.csv").dropna()
    assert (
        len(predicted) == 8
        and (predicted["label"] == predicted["linear_predicted"]).mean() == scores["linear_accuracy"]
    )
    assert len(table(done, "tsne.csv")) == 24
    note = done.data.tags["mlflow.note.content"]
    assert "8 validation songs" in note and "C " in note and "was trained on" in note


def test_transfer_of_vectors_from_elsewhere_and_of_several_side_by_side(place, tmp_path):
    data = manifest(place, tmp_path)
    genres = pd.read_csv(data)
    vectors = np.eye(2)[(genres["genre"] == "high").astype(int)] + 0.01 * np.arange(24)[:, None]
    ids = genres["track_id"].tolist()
    pd.DataFrame({"track_id": [*ids, "another"], "vector": [*vectors.tolist(), [1.0, 2]]}).to_parquet(
        tmp_path / "mert.parquet"
    )
    done = run(
        transfer, model=place.model, vectors=tmp_path / "mert.parquet", data=data, label="genre", split="manifest"
    )
    both = table(done, "transfer.csv").set_index("measure")
    assert both.loc["linear softmax F1", "mert"] == 1 and both.loc["retrieval MAP", "mert"] == 1
    below = MlflowClient().search_runs(["0"], f"tags.`mlflow.parentRunId` = '{done.info.run_id}'")
    assert {each.info.run_name for each in below} == {"crnn", "mert"}
    for each in below:
        row = both.loc["linear softmax accuracy", each.info.run_name]
        assert each.data.metrics["linear_accuracy"] == pytest.approx(row) and each.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"track_id": ["x"], "vector": [[1.0]]}, "has no vector of 24 of 24 tracks"),
        ({"track_id": ["x", "x"], "vector": [[1.0], [2.0]]}, "a track twice"),
        ({"track_id": ["x", "y"], "vector": [[1.0], [2.0, 3.0]]}, "cannot be read"),
        ({"track_id": ["x"], "vector": [["a"]]}, "cannot be read"),
        ({"track_id": ["x"], "vector": [[np.inf]]}, "or NaN"),
        ({"track_id": ["x"]}, "cannot be read"),
    ],
    ids=["missing", "twice", "ragged", "text", "infinite", "no vector"],
)
def test_vectors_that_do_not_fit_are_refused(logged, tmp_path, content, said):
    pd.DataFrame(content).to_parquet(tmp_path / "v.parquet")
    with pytest.raises(InputError, match=said):
        read_vectors(str(tmp_path / "v.parquet"), corpora.load(str(logged.corpus)))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "Neither model nor vectors"),
        ({"vectors": "v.parquet", "crop": 5}, "crop=5.0 means nothing without model="),
        ({"model": "weights.h5"}, "weights.h5 does not exist"),
        ({"model": "x", "k": 0}, "k=0 must be at least 1"),
        ({"model": "x", "clip": 3}, "Unknown parameter clip"),
    ],
)
def test_transfer_says_what_is_wrong(place, capsys, parameters, said):
    run(transfer, status=1, data=place.corpus, **parameters)
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, write_audio) -> tuple[Path, dict[str, str]]:
    """Two artists of six albums of a song, and a compilation of each with mp3 copies of the first four albums' songs.

    And the original of each copy, by track id.
    """
    root, originals = tmp_path_factory.mktemp("compiled"), {}
    for a in range(2):
        for b in range(6):
            y = melody(10 * a + b, 12)
            write_audio(root / f"artist{a}" / f"album{b}" / "song.flac", y)
            if b < 4:
                copy = root / f"artist{a}" / "best of" / f"song{b}.mp3"
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(mp3(y, 64).getvalue())
                originals[f"artist{a}/best of/song{b}.mp3"] = f"artist{a}/album{b}/song.flac"
    return root, originals


@pytest.mark.parametrize("source", ["vectors", "model"])
def test_transfer_keeps_copies_of_a_recording_in_one_subset(place, compiled, tmp_path, source):
    root, originals = compiled
    ids = [track.track_id for track in corpora.load(str(root)).tracks]
    vectors = np.random.default_rng(0).normal(size=(len(ids), 3)).tolist()
    pd.DataFrame({"track_id": ids, "vector": vectors}).to_parquet(tmp_path / "v.parquet")
    given = {"vectors": tmp_path / "v.parquet", "model": place.model}[source]
    done = run(transfer, **{source: given}, data=root, split="album", k=1)
    subset = table(done, "songs.csv").set_index("track_id")["subset"]
    assert set(subset) == {"train", "val", "test"} and len(subset) == len(ids)
    apart = [(copy, original) for copy, original in originals.items() if subset[copy] != subset[original]]
    assert not apart, f"{len(apart)} of {len(originals)} recordings stand in two subsets"


def test_transfer_of_vectors_says_where_copies_cannot_be_recognised(place, tmp_path, capsys):
    rows = pd.read_csv(manifest(place, tmp_path))
    rows.loc[0, "path"] = str(tmp_path / "gone.flac")
    rows.to_csv(tmp_path / "genres.csv", index=False)
    vectors = np.random.default_rng(0).normal(size=(24, 3)).tolist()
    pd.DataFrame({"track_id": rows["track_id"], "vector": vectors}).to_parquet(tmp_path / "v.parquet")
    run(transfer, vectors=tmp_path / "v.parquet", data=tmp_path / "genres.csv", split="album", k=1)
    assert "1 of 24 files cannot be read: copies of one recording among them are not" in capsys.readouterr().out


def test_transfer_and_enrol_know_songs_of_the_training_that_were_encoded_again(place, tmp_path, write_audio):
    """The network has learned from FLAC files; their music comes again as mp3, under artists of other names."""
    corpus, again = tmp_path / "corpus", tmp_path / "again"
    for a, b in itertools.product(range(2), range(3)):
        write_audio(corpus / f"artist{a}" / f"album{b}" / "song.flac", melody(40 + 10 * a + b, 12))
        write_audio(again / f"new{a}" / f"album{b}" / "song.flac", melody(60 + 10 * a + b, 12))
        copy = again / f"alias{a}" / f"album{b}" / "song.mp3"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(mp3(melody(40 + 10 * a + b, 12), 64).getvalue())
    options = DataOptions(data=str(corpus), clip=1)
    model = log_network(prepare.prepare(*prepare.read_features(options, FeatureConfig()), options, seed=0), tmp_path)
    # Of three albums an artist has one that it was tested on.
    note = run(transfer, model=model, data=again, split="album", k=1).data.tags["mlflow.note.content"]
    assert "was trained on 4 of these 12 songs" in note and "was trained on 1 of the 4 test songs" not in note
    made = run(enrol, model=model, songs=again)
    assert made.data.metrics["enrolled_1_artists"] == 2, "of four artists it has learned two under other names"


# similar


def test_similar_finds_a_song_itself_first_and_then_its_neighbours(place, tmp_path):
    built = run(similar, data=place.corpus, model=place.model, workers=1)
    query = place.corpus / "artist3" / "album1" / "song0.flac"
    found = table(run(similar, index=built.info.run_id, query=query, k=4), "similar.csv")
    assert len(found) == 4 and found["similarity"].is_monotonic_decreasing
    assert found["track_id"][0] == "artist3/album1/song0.flac" and found["same_audio"].tolist() == [True, *[False] * 3]
    index = reference.read(
        Path(mlflow.artifacts.download_artifacts(run_id=built.info.run_id, artifact_path="reference.npz"))
    )
    own = index.vectors[index.track_ids.index(found["track_id"][0])].astype(float)
    others = index.vectors.astype(float)
    cosines = np.sort(others @ own / np.linalg.norm(others, axis=1) / np.linalg.norm(own))[::-1]
    assert found["similarity"].to_numpy() == pytest.approx(cosines[:4], abs=1e-5)


def test_an_index_of_another_model_is_refused_and_a_broken_query_is_named(place, tmp_path, capsys):
    embedder = embed.open_embedder(place.model, tmp_path)
    corpus = songs.enrolled(str(place.corpus / "artist0"))
    made = enrolling.make_reference(embedder.embed(corpus, workers=1), embedder, "artist")
    reference.write(tmp_path / "other.npz", dataclasses.replace(made, model="ffff"))
    run(similar, status=1, index=tmp_path / "other.npz", query=place.corpus)
    assert "vectors of another model" in capsys.readouterr().err
    reference.write(tmp_path / "own.npz", made)
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "bad.wav").write_bytes(b"no audio")
    shutil.copy(place.corpus / "artist0" / "album0" / "song0.flac", tmp_path / "queries" / "good.flac")
    done = run(similar, index=tmp_path / "own.npz", query=tmp_path / "queries", k=1)
    assert table(done, "similar.csv")["query"].tolist() == ["good.flac"]
    assert table(done, "query_quarantined.csv")["track_id"].tolist() == ["bad.wav"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"query": "x.wav"}, "Give either index="),
        ({"index": "a", "data": "b", "model": "c"}, "Give either index="),
        ({"data": "demo"}, "An index of data=demo needs model="),
        ({"index": "a"}, "query= is missing"),
        ({"index": "0123", "query": "x.wav"}, "0123 is neither a reference file nor a run"),
    ],
)
def test_similar_says_what_is_wrong(place, capsys, parameters, said):
    run(similar, status=1, **parameters)
    assert said in capsys.readouterr().err


# enrol


def test_artists_left_out_are_drawn_by_the_seed_and_are_no_part_of_the_training(place):
    assert len(place.left_out) == 2
    drawn = set()
    for seed in range(6):
        options = DataOptions(data=str(place.corpus), clip=1, leave_out=2)
        prepared = prepare.prepare(*prepare.read_features(options, FeatureConfig()), options, seed=seed)
        assert {track.artist for subset in prepared.tracks.values() for track in subset} == set(prepared.classes)
        drawn.add(tuple(prepared.classes))
    assert len(drawn) > 1 and all(len(classes) == 2 for classes in drawn)


def test_enrolled_artists_answer_without_a_training_and_are_reported_against_songs_enrolled(place, tmp_path):
    for name in place.left_out:
        shutil.copytree(place.corpus / name, tmp_path / "songs" / name)
    first = run(enrol, model=place.model, songs=tmp_path / "songs", workers=1)
    assert first.data.tags["reference_version"] == "1" and first.data.metrics["reference_artists"] == 2
    report = table(first, "enrolment.csv")
    assert report["enrolled"].tolist() == [1, 3, 5] and report["artists"].tolist() == [2, 2, 2]
    assert first.data.metrics["enrolled_3_accuracy"] == pytest.approx(report["accuracy"][1])
    made = fetched(first)
    embedder = embed.open_embedder(place.model, tmp_path)
    assert made.model == embedder.identity and made.artists == place.left_out
    asked = embedder.embed(songs.query(str(place.corpus / place.left_out[0] / "album0" / "song1.flac")), workers=1)
    answer = made.answer(asked.vectors)
    assert answer.artist in place.left_out and answer.similarity > 0.9 and 0 <= answer.none_of_these <= 1


def test_score_answers_with_the_artists_enrolled(place, tmp_path):
    made = run(enrol, model=place.model, songs=place.corpus)
    output = tmp_path / "scores.parquet"
    options = {"audio": manifest(place, tmp_path), "output": output, "workers": 1, "reference": made.info.run_id}
    done = run(score, model=place.model, **options)
    rows, enrolled = pd.read_parquet(output), fetched(made)
    assert rows["probability"].isna().all() and rows["embedding"].map(len).eq(0).all()
    assert done.data.metrics["tracks"] == len(rows) > 0
    vectors = dict(zip(enrolled.audio_sha256, enrolled.vectors, strict=True))
    for row in rows.itertuples():
        expected = enrolled.answer(vectors[audio_digest(Path(row.path))][None])
        assert list(row.top_artists) == expected.top_artists
        np.testing.assert_allclose(row.top_similarities, expected.top_similarities, atol=1e-4)
        unknown = expected.none_of_these is not None and expected.none_of_these > 0.5
        # pandas has NaN for the null of a column of text.
        assert (None if pd.isna(row.artist) else row.artist) == (None if unknown else expected.artist)


def test_artists_that_the_network_has_heard_under_any_label_are_no_part_of_the_report():
    made = reference.make(
        [f"{i}" for i in range(12)], [*"aaaabbbbcccc"], [f"{i}" for i in range(12)], np.eye(12),
        model="", model_name="", model_source="", label="artist",
    )  # fmt: skip

    def artists(trained_on: set[str], classes: tuple[str, ...]) -> list[int]:
        known = Recordings(frozenset(trained_on))
        heard = embed.Embedder("", "", "", None, "clip", FeatureConfig(), 1, known, classes)
        report = enrolling.curve(made, heard, seed=0)
        return [] if report.empty else report["artists"].tolist()

    assert artists(set(), ()) == [3, 3] and artists({"5"}, ("rock",)) == [2, 2] and artists(set(), ("a",)) == [2, 2]
    assert artists({"5"}, ("a",)) == []


def test_a_reference_grows_in_versions_of_its_own(place, tmp_path):
    for name in ("artist0", "artist1"):
        (tmp_path / name / name).mkdir(parents=True)
        for i in range(2):
            shutil.copy(place.corpus / name / f"album{i}" / "song0.flac", tmp_path / name / name / f"{i}.flac")
    first = run(enrol, model=place.model, songs=tmp_path / "artist0", workers=1)
    second = run(enrol, reference=first.info.run_id, songs=tmp_path / "artist1", workers=1)
    assert second.data.tags["reference_version"] == "2"
    assert second.data.tags["reference_from"] == first.data.tags["reference_digest"]
    assert len(fetched(first)) == 2 and fetched(second).artists == ["artist0", "artist1"]


def test_a_recording_is_enrolled_once_and_under_one_artist_however_it_is_encoded(place, tmp_path, write_audio, capsys):
    folder = tmp_path / "songs"
    for a, s in itertools.product(range(2), range(2)):
        write_audio(folder / f"artist{a}" / f"song{s}.flac", melody(10 * a + s, 12))
    (folder / "artist0" / "live.mp3").write_bytes(mp3(melody(0, 12), 64).getvalue())
    first = run(enrol, model=place.model, songs=folder)
    assert first.data.metrics["reference_songs"] == 4
    more = tmp_path / "more" / "artist1"
    more.mkdir(parents=True)
    (more / "again.mp3").write_bytes(mp3(melody(11, 12), 64).getvalue())
    write_audio(more / "new.flac", melody(12, 12))
    second = run(enrol, reference=first.info.run_id, songs=more.parent)
    assert fetched(second).track_ids == sorted([*fetched(first).track_ids, "artist1/new.flac"])
    (folder / "artist1" / "stolen.mp3").write_bytes(mp3(melody(0, 12), 64).getvalue())
    run(enrol, status=1, model=place.model, songs=folder)
    assert "artist1/stolen.mp3 is enrolled as artist0 already" in capsys.readouterr().err


def test_enrol_says_what_is_wrong(place, tmp_path, capsys):
    shutil.copy(next(place.corpus.rglob("*.flac")), tmp_path / "loose.flac")
    for parameters, said in (
        ({}, "songs= is missing"),
        ({"songs": place.corpus}, "Neither model nor reference"),
        ({"songs": tmp_path, "model": place.model}, "1 file(s) in no artist's folder, the first loose.flac"),
        ({"songs": place.corpus, "model": place.model, "label": "genre"}, "has a genre; its columns are artist, album"),
    ):
        run(enrol, status=1, **parameters)
        assert said in capsys.readouterr().err


def fetched(done: mlflow.entities.Run) -> reference.Reference:
    return reference.read(
        Path(mlflow.artifacts.download_artifacts(run_id=done.info.run_id, artifact_path=reference.FILE))
    )


def test_leaving_out_too_many_artists_is_refused(place, capsys):
    run(train, status=1, data=place.corpus, clip=1, leave_out=3, workers=1)
    assert "leave_out=3 leaves fewer than two of 4 artists" in capsys.readouterr().err


# mlflow run


@pytest.mark.parametrize(
    "entry_point",
    ["enrol", pytest.param("transfer", marks=pytest.mark.slow), pytest.param("similar", marks=pytest.mark.slow)],
)
def test_the_entry_points_run_as_a_user_starts_them(place, tmp_path, entry_point):
    asked = {
        "enrol": {"songs": place.corpus, "seed": 1},
        "transfer": {"data": place.corpus, "split": "album"},
        "similar": {"data": place.corpus, "query": next(place.corpus.rglob("*.flac"))},
    }[entry_point]
    given = [word for name, value in asked.items() for word in ("-P", f"{name}={value}")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "run", str(PROJECT), "-e", entry_point, "-P", f"model={place.model}", *given,
         "--env-manager=local"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    last = MlflowClient().search_runs(["0"])[0]
    wanted = {"enrol": "enrolment.csv", "transfer": "transfer.csv", "similar": "similar.csv"}[entry_point]
    assert last.info.status == "FINISHED" and len(table(last, wanted))
    assert last.data.tags["mlflow.project.entryPoint"] == entry_point


# The published weights


@pytest.fixture
def weights() -> Path:
    file = PROJECT.parent / "shared" / "weights" / "siamese_msd_10000_artists.h5"
    if not file.is_file():
        pytest.skip(f"the published weights are not there: {file}")
    return file


def test_published_weights_are_a_model_of_their_own_features(place, weights, tmp_path):
    embedder = embed.open_embedder(str(weights), tmp_path)
    config = embedder.config
    assert (config.sr, config.n_fft, config.hop_length, config.n_mels) == (22050, 1024, 512, 128)
    assert config.compression == "log10" and embedder.clip_frames == 129 and not embedder.trained_on.digests
    found = embedder.embed(songs.query(str(place.corpus / "artist0" / "album0")), workers=1)
    assert found.vectors.shape == (2, 256) and found.vectors.min() >= 0 and found.vectors.any(1).all()


@pytest.mark.slow
def test_frozen_published_weights_know_the_artists_of_real_music(place, weights, shared_corpus):
    done = run(transfer, model=weights, data=shared_corpus / "tracks.csv", split="manifest")
    scores = done.data.metrics
    assert scores["linear_f1"] >= 0.5 and scores["retrieval_map"] > 0.5
    assert (scores["train/songs"], scores["val/songs"], scores["test/songs"]) == (70, 32, 33)
    assert done.data.tags["linear_c_chosen_on"] == "32 validation songs"


@pytest.mark.slow
def test_three_enrolled_songs_are_far_above_chance_on_real_music(place, weights, shared_corpus):
    report = table(run(enrol, model=weights, songs=shared_corpus / "tracks.csv"), "enrolment.csv").set_index("enrolled")
    assert report.loc[3, "low"] > 3 * report.loc[3, "chance"] and report.loc[10, "accuracy"] > report.loc[1, "accuracy"]
    assert report.loc[3, "unknown_auroc"] > 0.6
