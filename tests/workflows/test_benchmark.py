"""The benchmark measures what it says: real files, real processes, pairs in turn; figures in the table and the run."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mlflow.tracking import MlflowClient

from projects.artists.audio.decode import read_audio
from projects.artists.audio.features import FeatureConfig, log_mel
from projects.artists.data import corpora
from projects.artists.data.cache import audio_digest, cache_root
from projects.artists.errors import InputError
from projects.artists.workflows.benchmark import memory, sound, speed
from projects.artists.workflows.benchmark.figure import Figure, table
from projects.artists.workflows.options import BenchmarkOptions
from projects.artists.workflows.plan import resolve

PROJECT = Path(__file__).parents[2]


def test_a_figure_is_held_against_what_is_wanted_of_it():
    assert Figure("a", 1.6, "", least=1.6).met and not Figure("a", 1.59, "", least=1.6).met
    assert Figure("a", 0.01, "", most=0.01).met and not Figure("a", 0.011, "", most=0.01).met
    assert Figure("a", -5, "").met
    lines = table([Figure("a", 1.25, "fast", least=1.6), Figure("b", 2, "free")]).splitlines()
    assert lines[1].split() == ["fast", "1.25", "at", "least", "1.6", "MISSED"] and lines[2].split() == ["free", "2"]


def test_pairs_are_measured_in_turn():
    done, ticks = [], itertools.count()
    work = {name: lambda name=name: done.append(name) for name in "ab"}
    seconds = speed.paired(work, 3, lambda: float(next(ticks)))
    assert "".join(done) == "ababab" and {name: list(each) for name, each in seconds.items()} == {
        "a": [1, 1, 1], "b": [1, 1, 1],
    }  # fmt: skip


def test_a_clock_counts_calls_within_calls_once(monkeypatch):
    from projects.artists.workflows.benchmark import training

    now = itertools.count()
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(now)))

    class Target:
        name = "a run"

        def outer(self, other):
            return other.inner() + 1

        def inner(self):
            return 1

    clock = training.Clock()
    timed = clock.around(Target())
    assert timed.outer(timed) == 2 and timed.name == "a run"
    # Readings: outer begins (0), inner begins (1), outer ends (2).
    assert clock.seconds == 2
    before = training.results.log_model
    with clock.inside(training.results, "log_model"):
        assert training.results.log_model is not before
    assert training.results.log_model is before
    with pytest.raises(AttributeError):
        timed.nothing()


def test_the_files_are_what_they_are_called_and_of_the_length_asked_for(tmp_path, common_corpus):
    y = sound.concatenated(corpora.load(str(common_corpus)), 0.2)
    assert y.shape == (12 * 16000,) and y.dtype == np.float32
    np.testing.assert_array_equal(y[:64000], read_audio(next(iter(sorted(common_corpus.rglob("*.flac")))), 16000))
    mp3, ogg = sound.write_stereo(tmp_path / "a.mp3", y), sound.write_mono(tmp_path / "a.ogg", y, format="OGG")
    seen = [(i.samplerate, i.channels, i.format, round(i.duration)) for i in map(soundfile.info, map(str, (mp3, ogg)))]
    assert seen == [(44100, 2, "MP3", 12), (16000, 1, "OGG", 12)]
    left, right = soundfile.read(mp3)[0].T
    assert np.abs(left - right).max() > 0.05


def test_copies_are_other_bytes_and_the_same_music(tmp_path, tone):
    config = FeatureConfig()
    for write in (sound.write_stereo, lambda path, y: sound.write_mono(path, y, format="MP3")):
        source = write(tmp_path / "a.mp3", tone(seconds=2)[:, 0])
        paths = sound.copies(source, tmp_path / "copies", 3)
        assert len({audio_digest(path) for path in paths}) == 3
        for path in paths:
            np.testing.assert_array_equal(
                log_mel(read_audio(path, 16000), config), log_mel(read_audio(source, 16000), config)
            )


def test_an_empty_cache_is_gone_afterwards_and_the_old_one_back():
    before = cache_root()
    with speed.empty_cache() as inside:
        assert cache_root() == inside != before
    assert cache_root() == before and not inside.exists()


def test_private_memory_counts_what_a_process_and_its_children_hold():
    import psutil

    code = "import subprocess, sys; x = b'x' * (50 << 20); print(flush=True)\n"
    child = f"{code}sys.stdin.read()"
    both = f"{code}p = subprocess.Popen([sys.executable, '-c', {child!r}]); p.wait()"
    process = psutil.Popen([sys.executable, "-c", both], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() and process.stdout.readline()
    assert 100 < memory.private_mb_with_children(process) < 150
    process.stdin.close()
    process.wait()
    assert memory.private_mb_with_children(process) == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"only": "speed"}, "only=speed is unknown; choose one of all, features"),
        ({"minutes": "0"}, "minutes=0 is too small"),
        ({"tracks": "3"}, "tracks=3 is too small"),
    ],
)
def test_wrong_options_are_named(flags, words):
    with pytest.raises(InputError, match=words):
        resolve((BenchmarkOptions,), flags)


def benchmark(tmp_path, **parameters) -> tuple[str, dict[str, float]]:
    """What the entry point prints, and the metrics of its run."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    given = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "run", str(PROJECT), "-e", "benchmark", "--env-manager=local", *given],
        cwd=tmp_path, env=environment | {"MLFLOW_TRACKING_URI": uri}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = MlflowClient(uri).search_runs(["0"])
    assert run.info.status == "FINISHED" and run.data.params["repeats"] == str(parameters["repeats"])
    return done.stdout, run.data.metrics


@pytest.mark.slow
def test_the_entry_point_prints_and_logs_the_ratios_to_librosa(tmp_path, common_corpus):
    text, metrics = benchmark(tmp_path, only="features", data=common_corpus, minutes=0.2, repeats=2)
    for kind in ("mp3", "ogg"):
        assert metrics[f"features_{kind}_speedup"] > 0.8 and metrics[f"features_{kind}_max_db"] < 1e-3
        assert metrics[f"features_{kind}_over_decoding"] > 1 and metrics[f"features_{kind}_over_fft"] > 1
    assert "44.1 kHz stereo mp3: times as fast as librosa" in text and "at least 1.6" in text
    assert not [name for name in metrics if name.startswith(("epoch", "memory", "workers", "mlflow"))]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    _, metrics = benchmark(tmp_path, only="memory", minutes=1, repeats=1)
    for verb in ("featurize", "train", "evaluate"):
        assert metrics[f"memory_{verb}_growth"] < 1.1, metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("only", "name"),
    [
        ("workers", "workers_speedup"),
        ("epoch", "epoch_of_keras"),
        ("mlflow", "mlflow_share"),
        ("scoring", "scoring_speedup"),
    ],
)
def test_the_other_parts_are_measured(tmp_path, only, name):
    text, metrics = benchmark(tmp_path, only=only, minutes=0.5, repeats=1, epochs=1)
    assert 0 < metrics[name] < 10 and "wanted" in text
