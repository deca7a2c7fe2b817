"""The packaged model: what it takes, what it refuses, and that it answers as the training did."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import mlflow
import models
import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow.exceptions import MlflowException

from projects.artists.audio.decode import read_audio
from projects.artists.audio.features import log_mel
from projects.artists.evaluation import pooling
from projects.artists.package import card as saved
from projects.artists.package import golden, inference, request

SR = 16000


@pytest.fixture(scope="module")
def music(tmp_path_factory, tone, write_audio) -> Path:
    return write_audio(tmp_path_factory.mktemp("music") / "song.flac", tone(seconds=5.3, seed=1))


@pytest.fixture(scope="module")
def model(packaged, music):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(request.ROOT, str(music.parent))
        return mlflow.pyfunc.load_model(str(packaged))


@pytest.fixture(scope="module")
def closed(packaged):
    """The model in a process that allows nothing and little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(request.ROOT, raising=False)
        patch.setenv(request.MAX_SECONDS, "20")
        patch.setenv(request.MAX_MB, "1")
        return mlflow.pyfunc.load_model(str(packaged))


@pytest.fixture(scope="module")
def loaded(packaged):
    """System and card, outside the package."""
    return saved.load(packaged / "artifacts" / "system")


def ask(model, params: dict | None = None, **row) -> dict:
    return model.predict(pd.DataFrame([row]), params=params).to_dict("records")[0]


def flac(seconds: float, sr: int = 8000) -> bytes:
    """Silence."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", sr, 1, format="FLAC", subtype="PCM_16") as sound:
        for _ in range(int(seconds)):
            sound.write(np.zeros(sr, np.int16))
    return file.getvalue()


def test_a_path_its_bytes_and_their_base64_are_one_song(model, music):
    data = music.read_bytes()
    rows = [{"path": str(music)}, {"path": music.name}, {"audio": data}, {"base64": base64.b64encode(data).decode()}]
    answers = [ask(model, **row) for row in rows]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["status"] == "ok" and answers[0]["clips"] == 5 and answers[0]["seconds"] == pytest.approx(5.3)
    assert answers[0]["artist"] in models.ARTISTS and answers[0]["embedding"] == []


def test_probabilities_are_calibrated_and_the_embedding_comes_on_request(model, loaded, music):
    system, card = loaded

    features = log_mel(read_audio(music, SR), card.feature_config)
    clips = np.stack([features[i * 32 : (i + 1) * 32] for i in range(5)])
    proba, embedding = system.scores([clips])
    answer = ask(model, {"top_k": 3, "embedding": True}, path=str(music))
    squared = proba.mean(0) ** 2  # the temperature of songs is 0.5
    given = dict(zip(answer["top_artists"], answer["top_probabilities"], strict=True))
    np.testing.assert_allclose([given[name] for name in models.ARTISTS], squared / squared.sum(), atol=1e-5)
    np.testing.assert_allclose(answer["embedding"], embedding.mean(0), atol=1e-5)
    one = ask(model, {"top_k": 3}, path=str(music), seconds=1.1)
    root = np.sqrt(proba[0])  # that of single clips is 2
    given = dict(zip(one["top_artists"], one["top_probabilities"], strict=True))
    assert one["clips"] == 1
    np.testing.assert_allclose([given[name] for name in models.ARTISTS], root / root.sum(), atol=1e-5)


@pytest.mark.parametrize("method", sorted(pooling.POOLINGS))
def test_pooling_answers_as_that_of_evaluate(model, loaded, music, method):
    system, card = loaded

    proba = inference.score(music, system, card).proba
    _, (winner,) = pooling.POOLINGS[method](proba, np.zeros(len(proba), int))
    answer = ask(model, {"pooling": method}, path=str(music))
    assert answer["artist"] == models.ARTISTS[winner] and answer["probability"] == answer["top_probabilities"][0]


def test_below_the_threshold_the_artist_is_unknown_and_the_guesses_stay(model, music):
    sure = ask(model, path=str(music))
    just, above = sure["probability"], min(1.0, sure["probability"] + 1e-6)
    assert ask(model, {"threshold": just}, path=str(music))["artist"] == sure["artist"]
    unknown = ask(model, {"threshold": above, "top_k": 1}, path=str(music))
    assert unknown["artist"] is None and unknown["top_artists"] == [sure["artist"]] and unknown["status"] == "ok"


def test_start_and_seconds_cut_the_song(model, music, tmp_path, write_audio):
    y, _ = soundfile.read(music, dtype="float32")
    part = write_audio(tmp_path / "part.flac", y[2 * SR : 4 * SR])
    whole = ask(model, audio=part.read_bytes())
    cut = ask(model, path=str(music), start=2.0, seconds=2.0)
    assert cut["seconds"] == 2 and cut["probability"] == pytest.approx(whole["probability"], abs=1e-4)
    assert "behind the end" in ask(model, path=str(music), start=6.0)["reason"]
    assert ask(model, path=str(music), start=-1.0)["status"] == "error"
    assert ask(model, path=str(music), seconds=0.0)["status"] == "error"


def test_music_shorter_than_a_clip_is_padded_and_said_so(model, tone, tmp_path, write_audio):
    short = write_audio(tmp_path / "short.wav", tone(seconds=0.3, sr=44100, channels=2), 44100)
    answer = ask(model, audio=short.read_bytes())
    assert answer["status"] == "padded" and answer["clips"] == 1 and "padded" in answer["reason"]


@pytest.mark.parametrize("path", ["song.flac", "/etc/hostname", "file:///etc/hostname", "../song.flac", "", "a\0b"])
def test_paths_are_off_unless_the_process_names_a_root(closed, path):
    answer = ask(closed, path=path)
    assert answer["status"] == "error" and request.ROOT in answer["reason"]


def test_no_path_leads_out_of_the_root(model, music, tmp_path):
    secret = tmp_path / "secret.flac"
    secret.write_bytes(music.read_bytes())
    link = music.parent / "link.flac"
    link.symlink_to(secret)
    relative = f"../{secret.relative_to(secret.parents[2])}"
    for path in (str(secret), f"file://{secret}", relative, "link.flac", f"{music}\0", str(music.parent)):
        answer = ask(model, path=path)
        assert answer["status"] == "error" and answer["artist"] is None, path
    link.unlink()


def test_no_parameter_of_a_request_opens_the_file_system(closed, music):
    for name in ("root", "roots", "ARTISTS_AUDIO_ROOT", "allow_path"):
        assert ask(closed, {name: "/"}, path=str(music))["status"] == "error"


def test_a_row_gives_one_source(model, music):
    both = ask(model, path=str(music), audio=music.read_bytes())
    assert both["status"] == "error" and "not 2" in both["reason"]
    assert "not 0" in ask(model, start=1.0)["reason"]


def test_ten_hours_of_silence_are_refused_before_they_are_decoded(closed):
    data = flac(36_000)
    assert len(data) < 2**20
    assert "limit of 20 s" in ask(closed, audio=data)["reason"]
    # With a header that does not tell the length it is the blocks that count.
    unknown = bytearray(data)
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    assert "limit of 20 s" in ask(closed, audio=bytes(unknown))["reason"]


def test_the_rows_of_a_request_share_the_seconds(closed):
    rows = pd.DataFrame({"audio": [flac(15), flac(15), flac(4)]})
    answers = closed.predict(rows)
    assert answers["status"].tolist() == ["ok", "error", "ok"]


def test_bytes_beyond_the_limit_are_refused(closed):
    data = np.random.default_rng(0).bytes(2**20 + 1)
    assert request.MAX_MB in ask(closed, audio=data)["reason"]
    assert request.MAX_MB in ask(closed, base64=base64.b64encode(data).decode())["reason"]


@pytest.mark.parametrize("text", ["", "====", "no base64!", "AAA", "ÄÖÜ"])
def test_what_is_no_base64_is_a_row_with_a_reason(closed, text):
    answer = ask(closed, base64=text)
    assert answer["status"] == "error" and answer["reason"]


@pytest.mark.parametrize("params", [{"pooling": "median"}, {"top_k": 0}, {"threshold": 1.5}, {"threshold": -0.1}])
def test_parameters_that_make_no_sense_are_refused(model, music, params):
    with pytest.raises(MlflowException, match=next(iter(params))):
        ask(model, params, path=str(music))


def test_a_thousand_mutated_files_each_get_an_answer(closed, tone):
    rng = np.random.default_rng(0)
    originals = []
    for kind, subtype in (("FLAC", "PCM_16"), ("WAV", "FLOAT"), ("OGG", "VORBIS"), ("MP3", None), ("AIFF", "PCM_24")):
        file = io.BytesIO()
        soundfile.write(file, tone(seconds=0.4, sr=8000), 8000, format=kind, subtype=subtype)
        originals.append(file.getvalue())
    mutants = [mutant(originals[i % len(originals)], rng, i) for i in range(1000)]
    mutants += [b"", b"\0", np.full(800, np.nan, np.float32).tobytes()]
    answers = closed.predict(pd.DataFrame({"audio": mutants}))
    assert len(answers) == len(mutants) and set(answers["status"]) <= {"ok", "padded", "error"}
    failed = answers["status"] == "error"
    assert failed.sum() > 200 and answers.loc[failed, "reason"].str.len().gt(0).all()
    assert answers.loc[failed, "artist"].isna().all() and answers.loc[~failed, "artist"].notna().all()
    assert answers.loc[~failed, "probability"].between(0, 1).all()


def mutant(data: bytes, rng: np.random.Generator, number: int) -> bytes:
    """Bytes flipped (in the header of each second one), the end cut off, or a piece put elsewhere."""
    out = bytearray(data)
    if number % 4 == 0:
        return bytes(out[: rng.integers(len(out))])
    if number % 4 == 1:
        a, b = sorted(rng.integers(len(out), size=2))
        return bytes(out[b:] + out[:a] + out[a:b])
    reach = min(len(out), 64) if number % 4 == 2 else len(out)
    for place in rng.integers(reach, size=rng.integers(1, 20)):
        out[place] = rng.integers(256)
    return bytes(out)


def test_golden_clips_repeat_what_the_training_said(model, packaged):
    kept = golden.read(packaged / "artifacts" / "golden.npz")
    answers = model.predict(pd.DataFrame({"audio": kept.audio}), params={"top_k": 3, "embedding": True})
    order = [[names.index(name) for name in models.ARTISTS] for names in answers["top_artists"]]
    proba = np.array([np.array(p)[o] for p, o in zip(answers["top_probabilities"], order, strict=True)])
    embedding = np.array(answers["embedding"].tolist())
    assert kept.difference(proba, embedding) < 1e-5
    assert kept.difference(proba[::-1], embedding) > 1e-4
    assert answers["status"].tolist() == ["ok", "padded", "ok", "ok"]
