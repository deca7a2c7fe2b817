"""The options of the entry points that are not those of a training; imports nothing that is slow to load."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from ..data.machine import processes
from ..data.options import check_folds, check_label_of_split, check_seed, refuse
from ..errors import InputError
from ..evaluation.names import metric_name
from ..systems.options import check_positive

# Of promote, by the actions that evaluate no model.
TAKEN = {"history": ("action", "name"), "rollback": ("action", "name", "dry_run")}
TABLES = (".csv", ".parquet")


def words(text: str | None) -> list[str]:
    """What stands between commas, each once."""
    return list(dict.fromkeys(word.strip() for word in (text or "").split(",") if word.strip()))


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Check: beside the options of data and features."""

    seed: Annotated[int, "of the split that is tried"] = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate: which model; it fixes label, clip and features, and what is not given is as in its training."""

    model: Annotated[str, "run id or model URI of a trained model"] = ""
    seed: Annotated[int, "of the split and the intervals"] = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclasses.dataclass(frozen=True)
class EnrolOptions:
    """Enrol: whose songs, by which network, into which reference."""

    songs: Annotated[str, "a folder <artist>/<songs>, or what data= of train takes"] = ""
    model: Annotated[str | None, "run id, model URI or .h5 file of the network; none: the reference's"] = None
    reference: Annotated[str | None, "run id or path of one that is added to; none: a new one begins"] = None
    label: Annotated[str, "what is enrolled"] = "artist"
    seed: Annotated[int, "of the draws behind the report"] = 0
    workers: Annotated[int | None, "processes that compute features; none: one a core"] = None

    def __post_init__(self) -> None:
        if not self.songs:
            raise InputError("songs= is missing; give a folder with a folder of songs for each artist, or a manifest.")
        if not self.model and not self.reference:
            raise InputError("Neither model nor reference is given. Give model=<run id, URI or .h5 file>.")
        check_seed(self.seed)
        processes(self.workers)


@dataclasses.dataclass(frozen=True)
class SimilarOptions:
    """Similar: what is looked for, and in which index."""

    query: Annotated[str | None, "audio file or folder that is looked for"] = None
    index: Annotated[str | None, "run id or path of an index to search"] = None
    data: Annotated[str | None, "instead: a corpus to build an index of"] = None
    model: Annotated[str | None, "run id, model URI or .h5 file of the network; none: the index's"] = None
    label: Annotated[str, "what is named beside each neighbour, which an index keeps"] = "artist"
    k: Annotated[int, "neighbours"] = 5
    workers: Annotated[int | None, "processes that compute features; none: one a core"] = None

    def __post_init__(self) -> None:
        processes(self.workers)
        check_positive(self, "k")
        if bool(self.index) == bool(self.data):
            raise InputError(
                "Give either index=<run id or path of an index> to search, or data=<corpus> with model=<run id, URI or "
                ".h5 file> to build one; query=<audio file or folder> is what is looked for."
            )
        if self.data and not self.model:
            raise InputError(f"An index of data={self.data} needs model=<run id, URI or .h5 file>.")
        if self.index and not self.query:
            raise InputError("query= is missing; give the audio file or the folder to look for.")
        if self.index:
            refuse(self, ("label",), "with index=, which names its own labels")
        if not self.query:
            refuse(self, ("k",), "without query=")


@dataclasses.dataclass(frozen=True)
class TransferOptions:
    """Transfer: which vectors, on which corpus."""

    model: Annotated[str | None, "run ids, model URIs or .h5 files of networks, with commas between"] = None
    vectors: Annotated[str | None, "Parquet files with track_id and vector, with commas between"] = None
    data: Annotated[str, "corpus, as for train"] = "demo"
    label: Annotated[str, "the column that is predicted"] = "artist"
    split: Annotated[
        Literal["song", "album", "artist", "manifest", "kfold"], "val chooses the softmax's C, test is scored"
    ] = "album"
    folds: Annotated[int, "number of folds, of split=kfold alone"] = 5
    fold: Annotated[int, "the fold that is tested, of split=kfold alone"] = 0
    crop: Annotated[float | None, "seconds around the centre of each track; none: as the model was trained"] = None
    k: Annotated[int, "neighbours; 20 is Park et al.'s"] = 20
    seed: Annotated[int, "of the split and the map"] = 0
    workers: Annotated[int | None, "processes that compute features; none: one a core"] = None

    def __post_init__(self) -> None:
        if not words(self.model) and not words(self.vectors):
            raise InputError(
                "Neither model nor vectors is given. Give model=<run id, URI or .h5 file of published weights> or "
                "vectors=<Parquet file with the columns track_id and vector>."
            )
        check_positive(self, "k")
        if not words(self.model):
            refuse(self, ("crop",), "without model=: vectors= are there already")
        check_seed(self.seed)
        processes(self.workers)
        check_folds(self)
        check_label_of_split(self.split, self.label)


@dataclasses.dataclass(frozen=True)
class PromoteOptions:
    """Promote: which model, and what is done."""

    action: Annotated[
        Literal["promote", "history", "rollback"], "history takes the name alone, rollback name and dry_run"
    ] = "promote"
    run_id: Annotated[str | None, "the candidate, a run of train"] = None
    experiment_name: Annotated[str | None, "instead: its best run by metric"] = None
    metric: Annotated[str, "validation metric that chooses from experiment_name"] = "val/song_f1"
    name: Annotated[str, "the registered model"] = "artist-classifier"
    policy: Annotated[str | None, "file of gates; none: registry/policy.yaml"] = None
    data: Annotated[str | None, "where the candidate's corpus is now; none: where it was"] = None
    dry_run: Annotated[bool, "say what would be decided and write nothing"] = False
    workers: Annotated[int | None, "processes that score its test songs; none: one a core"] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", metric_name(self.metric))
        if not self.metric.startswith("val/"):
            raise InputError(
                f"metric={self.metric} is not of validation. A model is chosen by a val/ metric: one that is chosen "
                "by its test scores has no test scores left that mean anything."
            )
        processes(self.workers)
        if self.action in TAKEN:
            others = [field.name for field in dataclasses.fields(self) if field.name not in TAKEN[self.action]]
            refuse(self, others, f"with action={self.action}")
        elif (self.run_id is None) == (self.experiment_name is None):
            raise InputError("give run_id=<a run of train>, or experiment_name=<name> for its best run.")
        elif self.run_id:
            refuse(self, ("metric",), "with run_id=: it chooses among the runs of experiment_name=")


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """Score: what is scored, by whom, and what is answered."""

    model: Annotated[str, "model URI or run id"] = "models:/artist-classifier@champion"
    audio: Annotated[str, "folder, manifest (.csv, .parquet) or s3://bucket/prefix"] = ""
    output: Annotated[str, "the table, a .parquet or .csv file"] = ""
    label: Annotated[str | None, "truth: of a manifest artist, of a corpus in folders none unless given"] = None
    pooling: Annotated[Literal["mean", "vote", "vote50"], "from a song's clips to its probabilities"] = "mean"
    top_k: Annotated[int, "so many artists in each row"] = 3
    threshold: Annotated[float, "probability below which the artist is unknown"] = 0.0
    embedding: Annotated[bool, "the song's vector in each row"] = False
    reference: Annotated[str | None, "run id of enrol, or its file: the artists enrolled answer, by cosine"] = None
    engine: Annotated[Literal["local", "spark"], "processes here, or Spark"] = "local"
    workers: Annotated[int | None, "processes; none: one a core"] = None

    def __post_init__(self) -> None:
        if not self.audio:
            raise InputError("audio= is missing; give a folder, a manifest (.csv, .parquet) or s3://bucket/prefix.")
        if Path(self.output).suffix.lower() not in TABLES:
            raise InputError(f"output={self.output} must be the name of a .parquet or .csv file.")
        check_positive(self, "top_k")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold={self.threshold} must be from 0 to 1.")
        processes(self.workers)
        if self.reference and (self.pooling != "mean" or self.threshold):
            raise InputError("A reference answers by cosine; pooling and threshold are of probabilities. Omit them.")

    @property
    def file(self) -> Path:
        return Path(self.output).expanduser()

    @property
    def params(self) -> dict[str, Any]:
        """Those of the model's signature."""
        params = {name: getattr(self, name) for name in ("pooling", "top_k", "threshold", "embedding")}
        return params | {"embedding": self.embedding or bool(self.reference)}


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """Workers: where they meet, and what becomes of the trial of a lost one."""

    storage: Annotated[str | None, "sqlite:///FILE (one host; none: in the cache) or postgresql://USER@HOST/DB"] = None
    max_retry: Annotated[int, "how often a training is begun again after its worker was lost"] = 1
    heartbeat: Annotated[int, "seconds between signs of life; without any for three times that a worker is lost"] = 20

    def __post_init__(self) -> None:
        if self.max_retry < 0:
            raise InputError(f"max_retry={self.max_retry} must be at least 0.")
        if self.heartbeat < 1:
            raise InputError(f"heartbeat={self.heartbeat} must be at least 1 second.")
        if self.storage and re.search(r"://[^@]*:[^@]+@|[?&]password=", self.storage):
            raise InputError(
                "storage= holds a password, which would be logged; leave it out and set PGPASSWORD or ~/.pgpass."
            )


@dataclasses.dataclass(frozen=True)
class GridOptions(EngineOptions):
    """Grid: which trainings, how much of each is logged, and where workers share them."""

    grid: Annotated[str, "one that is shipped (an unknown name lists them), or a YAML file: see projects/grids/"] = ""
    full: Annotated[bool, "each cell logs all that train logs, model included; false: tables alone"] = False


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Report: of which runs, and what is shown."""

    run_id: Annotated[
        str | None, "a grid, or any run with children: they are reported, and the page is logged there"
    ] = None
    experiment_name: Annotated[str | None, "instead: all trainings of an experiment, or its other runs"] = None
    metrics: Annotated[str | None, "metrics to show, with commas between"] = None
    columns: Annotated[str | None, "the parameter that runs across the tables; none: clip or what varies"] = None
    paper: Annotated[str | None, "whose published figures stand beside: nasrullah_zhao, tandon_shah, park"] = None
    ui: Annotated[str | None, "address of the MLflow UI that links lead to"] = None

    def __post_init__(self) -> None:
        if bool(self.run_id) == bool(self.experiment_name):
            raise InputError("Give either run_id=<a parent run> or experiment_name=<an experiment>.")


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """Benchmark: what is measured. Run it on a machine that does nothing else."""

    only: Annotated[
        Literal["all", "features", "workers", "epoch", "mlflow", "memory", "scoring"],
        "against librosa; two processes; Keras' fit; MLflow's share; ten times the songs; songs a minute scored",
    ] = "all"
    data: Annotated[str, "corpus whose songs it is measured on"] = "demo"
    minutes: Annotated[float, "length of the files that are made of them"] = 4.0
    repeats: Annotated[int, "of each pair; the median counts"] = 5
    tracks: Annotated[int, "songs of the smaller corpus of only=memory"] = 12
    epochs: Annotated[int, "of the training of only=mlflow"] = 5

    def __post_init__(self) -> None:
        for name, least in (("minutes", 0.1), ("repeats", 1), ("tracks", 12), ("epochs", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name):g} is too small; give {least:g} or more.")

    def measures(self, part: str) -> bool:
        return self.only in ("all", part)
