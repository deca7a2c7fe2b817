"""Entry point transfer: what a network's vectors know of the labels of any corpus (Park et al., tables 1 to 3)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# Spawned workers import this again: what is slow to load is imported where it is used.
from . import cli
from .artists.workflows.options import TransferOptions, words
from .artists.workflows.plan import values

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .artists.data.tracks import Corpus
    from .artists.workflows.transfer import Embedded, Transferred


def run(options: TransferOptions, run: cli.Run) -> None:
    from .artists.data import corpora
    from .artists.workflows import transfer

    run.params(values(options))
    corpus = corpora.load(options.data).labelled(options.label)
    with tempfile.TemporaryDirectory() as folder:
        embedded = _embedded(corpus, options, run, Path(folder))
        progress = cli.progress_bar("features for duplicates")
        groups = transfer.duplicate_groups(corpus, embedded, options.workers, progress)
        results: list[Transferred] = []
        for each in embedded:
            with _place(run, each.name, alone=len(embedded) == 1) as place:
                results.append(transfer.evaluate(corpus, each, options, groups))
                _log(place, results[-1], each, options, Path(folder) / "report" / each.name)
    run.table(transfer.tables(corpus.name, options.label, results), "transfer.csv")
    text = transfer.markdown(corpus.name, options.label, results)
    run.text(text, "transfer.md")
    run.description(text)
    print("\n" + text)


def _embedded(corpus: Corpus, options: TransferOptions, run: cli.Run, work: Path) -> list[Embedded]:
    """The embeddings of the corpus, with names of their own."""
    import dataclasses

    from .artists.workflows import transfer

    sources = words(options.model) + words(options.vectors)
    embedded = [
        _by_network(corpus, source, options, run, work / str(i)) for i, source in enumerate(words(options.model))
    ]
    embedded += [transfer.read_vectors(source, corpus) for source in words(options.vectors)]
    names = transfer.distinct([each.name for each in embedded], sources)
    return [dataclasses.replace(each, name=name) for each, name in zip(embedded, names, strict=True)]


def _by_network(corpus: Corpus, source: str, options: TransferOptions, run: cli.Run, work: Path) -> Embedded:
    from .artists.workflows import embed, quarantine, transfer

    embedder = embed.open_embedder(source, work).cropped(options.crop)
    progress = cli.progress_bar(f"features for {embedder.name}")
    songs = quarantine.embed(run, embedder, corpus, options.label, workers=options.workers, progress=progress)
    return transfer.embedded(embedder, songs)


def _place(run: cli.Run, name: str, *, alone: bool) -> AbstractContextManager[cli.Run]:
    """The run itself, or one below it for each of several embeddings."""
    import contextlib

    from .artists.tracking import runs

    return contextlib.nullcontext(run) if alone else runs.child(run, name)


def _log(place: cli.Run, result: Transferred, embedded: Embedded, options: TransferOptions, folder: Path) -> None:
    from .artists.workflows import transfer

    place.metrics(result.metrics)
    place.tags({"embedding": result.name, "linear_c_chosen_on": result.softmax.chosen_on})
    transfer.map_files(folder, embedded, options.label, options.seed)
    result.songs.to_csv(folder / "songs.csv", index=False)
    place.folder(folder)


COMMAND = cli.Command(
    "transfer",
    run,
    usage="mlflow run . -e transfer -P model=<run id, model URI or .h5 file> -P data=... [-P name=value ...]",
    groups=(TransferOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
