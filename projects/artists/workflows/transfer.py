"""What song vectors know of labels that nobody trained them on: tables 1 to 3 of Park et al. 2018 for any corpus."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..audio.options import FeatureConfig
from ..data import recordings
from ..data.featurize import Features, featurize
from ..data.paths import given_path
from ..data.prepare import duplicate_conflicts
from ..data.splits import SUBSETS, check_subsets, make_split
from ..data.tracks import Corpus, Progress, Track, nfc
from ..errors import InputError
from ..evaluation import intervals, metrics, retrieval, tsne
from ..reports import figures
from ..reports.parameters import markdown_table
from ..tracking import runs
from ..tracking.runs import Run
from .embed import Embedder, SongVectors, open_embedder, song_vectors
from .options import TransferOptions, words

MAP_POINTS = 1000
SHOWN = ("f1", "f1_macro", "accuracy")
# A measure's name in the tables and the metric of the run.
TABLES = {
    "retrieval MAP": "retrieval_map", "k-NN accuracy": "knn_accuracy", "linear softmax accuracy": "linear_accuracy",
    "linear softmax F1": "linear_f1",
}  # fmt: skip
# Five thousand artists, tables 1 to 3: basic, Siamese, tag.
PUBLISHED_COLUMNS = ("Park basic", "Park Siamese", "Park tag")
PUBLISHED = {
    "gtzan": {
        "retrieval_map": (0.4968, 0.5510, 0.5508),
        "knn_accuracy": (0.6655, 0.6966, 0.6759),
        "linear_accuracy": (0.6721, 0.6993, 0.7072),
    },
    "fma_small": {
        "retrieval_map": (0.2441, 0.3203, 0.3019),
        "knn_accuracy": (0.5269, 0.5732, 0.5332),
        "linear_accuracy": (0.5791, 0.5483, 0.5641),
    },
}


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Songs of a corpus with vectors (n, d); name: of the embedding.

    seen: ids of the songs that its network has learned from; features: what the network saw, None of other vectors;
    warning: what is not known of what it has learned from.
    """

    name: str
    tracks: tuple[Track, ...]
    vectors: np.ndarray
    seen: frozenset[str] = frozenset()
    features: Features | None = None
    warning: str = ""

    def labels(self, label: str) -> np.ndarray:
        return np.array([track.label(label) for track in self.tracks])


@dataclasses.dataclass(frozen=True)
class Transferred:
    """metrics by name; songs: a row a song; notes: what a reader has to know; softmax: C and how it was chosen."""

    name: str
    metrics: dict[str, float]
    songs: pd.DataFrame
    softmax: retrieval.Softmax
    notes: list[str]


def transfer(
    corpus: Corpus, options: TransferOptions, run: Run, work: Path, bar: Callable[[str], Progress]
) -> list[Transferred]:
    """Each embedding of a corpus, evaluated and logged: in the run, or in one below it for each of several."""
    embeddings = _embeddings(corpus, options, run, work, bar)
    groups = duplicate_groups(corpus, embeddings, options.workers, bar("features for duplicates"))
    results = []
    for each in embeddings:
        with contextlib.nullcontext(run) if len(embeddings) == 1 else runs.child(run, each.name) as place:
            results.append(evaluate(corpus, each, options, groups))
            _log(place, results[-1], each, options, work / "report" / each.name)
    return results


def _embeddings(
    corpus: Corpus, options: TransferOptions, run: Run, work: Path, bar: Callable[[str], Progress]
) -> list[Embedded]:
    """Of networks and of files, with names of their own."""
    embeddings = []
    for i, source in enumerate(words(options.model)):
        embedder = open_embedder(source, work / str(i)).cropped(options.crop)
        songs = song_vectors(run, embedder, corpus, options, bar(f"features for {embedder.name}"))
        embeddings.append(embedded(embedder, songs))
    embeddings += [read_vectors(source, corpus) for source in words(options.vectors)]
    names = distinct([each.name for each in embeddings], words(options.model) + words(options.vectors))
    return [dataclasses.replace(each, name=name) for each, name in zip(embeddings, names, strict=True)]


def _log(place: Run, result: Transferred, embedded: Embedded, options: TransferOptions, folder: Path) -> None:
    place.metrics(result.metrics)
    place.tags({"embedding": result.name, "linear_c_chosen_on": result.softmax.chosen_on})
    map_files(folder, embedded, options.label, options.seed)
    result.songs.to_csv(folder / "songs.csv", index=False)
    place.folder(folder)


def embedded(embedder: Embedder, songs: SongVectors) -> Embedded:
    """Songs as a network has embedded them."""
    copies = recordings.copies([songs.recordings], [embedder.trained_on])
    digests = zip(songs.tracks, songs.audio_sha256, strict=True)
    seen = frozenset(track.track_id for track, digest in digests if digest in copies)
    return Embedded(embedder.name, songs.tracks, songs.vectors, seen, songs.features, embedder.trained_on.warning)


def duplicate_groups(
    corpus: Corpus, embeddings: Sequence[Embedded], workers: int | None, progress: Progress | None = None
) -> dict[str, str]:
    """Duplicate group of the tracks that are the same recording as another, for one split of all embeddings.

    They are compared by the features of the first network; where there is none, by those of the default configuration.
    """
    features = next((each.features for each in embeddings if each.features), None)
    if features is None:
        features = featurize(corpus, FeatureConfig(), workers=workers, progress=progress)
        if features.quarantined:
            unread = f"{len(features.quarantined)} of {len(corpus.tracks)} files"
            print(f"warning: {unread} cannot be read: copies of one recording among them are not recognised.")
    return recordings.groups_of(corpus.tracks, features)


def read_vectors(file: str, corpus: Corpus) -> Embedded:
    """Vectors of any other embedding for the tracks of a corpus."""
    path = given_path("vectors", file)
    try:
        table = pd.read_parquet(path, columns=["track_id", "vector"])
        ids = [nfc(str(name)) for name in table["track_id"]]
        vectors = np.array([np.asarray(vector, np.float32) for vector in table["vector"]])
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"vectors={file} cannot be read: {str(error).splitlines()[0]}. Give a Parquet file with the columns "
            "track_id (as in split.csv of a run on this corpus) and vector (lists of numbers of one length)."
        ) from error
    if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all() or len(set(ids)) < len(ids):
        raise InputError(
            f"vectors={file} holds vectors of shape {vectors.shape}, or NaN, or a track twice; expected one finite "
            "vector a track_id, all of one length."
        )
    row = {name: i for i, name in enumerate(ids)}
    if missing := [track.track_id for track in corpus.tracks if track.track_id not in row]:
        raise InputError(
            f"vectors={file} has no vector of {len(missing)} of {len(corpus.tracks)} tracks of {corpus.name}, the "
            f"first {missing[0]}. Its ids are like {ids[0] if ids else 'nothing'}; embed every track of the corpus."
        )
    return Embedded(path.stem, corpus.tracks, vectors[[row[track.track_id] for track in corpus.tracks]])


def evaluate(
    corpus: Corpus, embedded: Embedded, options: TransferOptions, groups: Mapping[str, str] | None = None
) -> Transferred:
    """Retrieval, nearest neighbours and linear softmax of one embedding.

    The split is of the whole corpus, so that it does not depend on what could be read; songs of one duplicate group
    stand in one subset. Training songs are fitted to, validation songs choose C, test songs are scored.
    """
    label, seed = options.label, options.seed
    split = make_split(
        corpus, options.split, label=label, seed=seed, folds=options.folds, fold=options.fold, groups=groups
    )
    check_subsets(split, Corpus(corpus.name, embedded.tracks), options.split, label, ("train", "test"))
    classes, y = np.unique(embedded.labels(label), return_inverse=True)
    subsets = np.array([split.subsets[track.track_id] for track in embedded.tracks])
    train, val, test = (subsets == subset for subset in SUBSETS)
    x = embedded.vectors
    softmax = retrieval.linear_softmax(x[train], y[train], x[val], y[val], x[test], len(classes), seed=seed)
    shares = retrieval.knn_shares(x[train], y[train], x[test], len(classes), k=options.k)
    ids = [track.track_id for track in embedded.tracks]
    songs = pd.DataFrame({"track_id": ids, "label": classes[y], "subset": subsets})
    numbers = _map_metrics(x, y, test, seed) | {"linear_c": softmax.c}
    for name, proba in (("knn", shares), ("linear", softmax.proba)):
        numbers |= _scores(name, y[test], proba, seed)
        songs.loc[test, f"{name}_predicted"] = classes[proba.argmax(1)]
        songs.loc[test, f"{name}_probability"] = proba.max(1)
    numbers |= {f"{subset}/songs": int((subsets == subset).sum()) for subset in SUBSETS}
    notes = _notes(embedded, y, train, test, classes)
    notes += [f"warning: {text}" for text in duplicate_conflicts(corpus, groups or {}, split, label)]
    return Transferred(embedded.name, numbers, songs, softmax, notes)


def tables(corpus: str, label: str, done: Sequence[Transferred]) -> pd.DataFrame:
    """Tables 1 to 3 as one: a row a measure, a column an embedding, and Park et al.'s where they have the corpus."""
    table = pd.DataFrame({"measure": list(TABLES), "corpus": corpus, "label": label})
    for each in done:
        for end in ("", " low", " high"):
            table[each.name + end] = [each.metrics[key + end.replace(" ", "_")] for key in TABLES.values()]
    published = PUBLISHED.get(corpus, {}) if label == "genre" else {}
    for i, name in enumerate(PUBLISHED_COLUMNS if published else ()):
        table[name] = [published[key][i] if key in published else None for key in TABLES.values()]
    return table


def markdown(corpus: str, label: str, done: Sequence[Transferred]) -> str:
    """The same as a table to read, and how each linear softmax was chosen."""
    table = tables(corpus, label, done)
    names = [each.name for each in done] + [name for name in PUBLISHED_COLUMNS if name in table]
    rows = [(row["measure"], *(_number(row, name) for name in names)) for row in table.to_dict("records")]
    heading = [_line(text) for text in (f"{corpus}, {label}", *names)]
    lines = [markdown_table(heading, rows), "", "In brackets 95 % of a bootstrap over songs."]
    for each in done:
        train, val, test = (each.metrics[f"{subset}/songs"] for subset in SUBSETS)
        sizes = f"{train} training, {val} validation, {test} test songs"
        lines.append(f"{_line(each.name)}: C {each.softmax.c:g} chosen on {each.softmax.chosen_on}; {sizes}.")
        lines += each.notes
    return "\n".join(lines) + "\n"


def map_files(folder: Path, embedded: Embedded, label: str, seed: int) -> None:
    """t-SNE of the songs by label, `tsne.png` and `tsne.csv`."""
    values = embedded.labels(label)
    keep = tsne.stratified_sample(values, MAP_POINTS, seed=seed)
    xy = tsne.tsne(embedded.vectors[keep], seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    title = f"t-SNE of {len(keep)} songs by {label}, {embedded.name}"
    figure = figures.tsne_figure(xy, values[keep].tolist(), title)
    (folder / "tsne.png").write_bytes(figures.figure_bytes(figure))
    columns = {"x": xy[:, 0], "y": xy[:, 1], "track_id": [embedded.tracks[i].track_id for i in keep]}
    pd.DataFrame(columns | {label: values[keep]}).to_csv(folder / "tsne.csv", index=False)


def distinct(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """A name an embedding; where two are the same, a digest of where they come from tells them apart."""
    return [
        name if names.count(name) == 1 else f"{name} {hashlib.sha256(source.encode()).hexdigest()[:6]}"
        for name, source in zip(names, sources, strict=True)
    ]


def _map_metrics(x: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> dict[str, float]:
    """MAP of all songs among all, and of the test songs among themselves."""
    numbers: dict[str, float] = {}
    for name, songs in ("retrieval_map", slice(None)), ("retrieval_map_test", test):
        values = retrieval.average_precisions(x[songs], y[songs])
        values = values[~np.isnan(values)]
        if len(values):
            low, high = intervals.mean_interval(values, seed=seed)
            numbers |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
    if "retrieval_map" not in numbers:
        raise InputError("No label has two songs: nothing to retrieve. Choose another label.")
    return numbers


def _scores(name: str, y: np.ndarray, proba: np.ndarray, seed: int) -> dict[str, float]:
    scores, bounds = metrics.scores(y, proba), intervals.song_intervals(y, proba, seed=seed)
    numbers = {f"{name}_{key}": scores[key] for key in SHOWN}
    for key in SHOWN:
        numbers[f"{name}_{key}_low"], numbers[f"{name}_{key}_high"] = bounds[key]
    return numbers


def _notes(embedded: Embedded, y: np.ndarray, train: np.ndarray, test: np.ndarray, classes: np.ndarray) -> list[str]:
    notes = []
    if unseen := sorted(set(y[test]) - set(y[train])):
        names = ", ".join(str(classes[i]) for i in unseen[:5])
        notes.append(f"warning: no training song of {names}: their test songs count as wrong.")
    if learned := sum(embedded.tracks[i].track_id in embedded.seen for i in np.flatnonzero(test)):
        notes.append(f"warning: {embedded.name} was trained on {learned} of the {test.sum()} test songs.")
    if len(embedded.seen):
        notes.append(
            f"{embedded.name} was trained on {len(embedded.seen)} of these {len(embedded.tracks)} songs: its retrieval "
            "MAP over all of them is flattered; retrieval_map_test is over the test songs alone."
        )
    if embedded.warning:
        notes.append(f"warning: {embedded.name}: {embedded.warning}")
    return notes


def _line(text: str) -> str:
    return text.replace("\n", " ")


def _number(row: Mapping[str, float], name: str) -> str:
    if row[name] is None or np.isnan(row[name]):
        return ""
    bounds = f" ({row[f'{name} low']:.3f} to {row[f'{name} high']:.3f})" if f"{name} low" in row else ""
    return f"{row[name]:.4f}{bounds}"
