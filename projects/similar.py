"""Entry point similar: the tracks of an index that are nearest to given audio; it also builds the index."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# Spawned workers import this again: what is slow to load is imported where it is used.
from . import cli
from .artists.workflows.options import SimilarOptions
from .artists.workflows.plan import values

if TYPE_CHECKING:
    from .artists.package.reference import Reference
    from .artists.workflows.embed import Embedder


def run(options: SimilarOptions, run: cli.Run) -> None:
    from .artists.workflows import embed

    run.params(values(options))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        index = _read(options.index, work) if options.index else None
        embedder = embed.open_embedder(options.model or (index.model_source if index else ""), work)
        if index is None:
            index = _build(embedder, options, run, work)
        index.check_model(embedder.identity)
        run.tags({"reference_digest": index.digest})
        if options.query:
            _search(embedder, index, options, run)


def _read(value: str, work: Path) -> Reference:
    from .artists.package import reference
    from .artists.tracking import references

    return reference.read(references.fetch(value, reference.FILE, work))


def _build(embedder: Embedder, options: SimilarOptions, run: cli.Run, work: Path) -> Reference:
    from .artists.data import corpora
    from .artists.errors import command
    from .artists.package import reference
    from .artists.workflows import enrol, quarantine

    corpus = enrol.named(corpora.load(str(options.data)), options.label)
    progress = cli.progress_bar("features")
    songs = quarantine.embed(run, embedder, corpus, options.label, workers=options.workers, progress=progress)
    index = enrol.make_reference(songs, embedder, options.label)
    reference.write(work / "index" / reference.FILE, index)
    run.folder(work / "index")
    run.table(index.table(), "reference.csv")
    run.metrics({"reference_songs": len(index)})
    print(
        f"An index of {len(index)} songs by {embedder.name}. "
        f"Next: {command('similar', index=run.run_id, query='<audio file>')}"
    )
    return index


def _search(embedder: Embedder, index: Reference, options: SimilarOptions, run: cli.Run) -> None:
    from .artists.data import songs
    from .artists.reports.names import printable, printable_lines
    from .artists.workflows import enrol, quarantine

    queries = embedder.embed(songs.query(str(options.query)), workers=options.workers)
    quarantine.log(run, queries.features, "query_quarantined.csv")
    table = enrol.neighbours(index, queries, options.k)
    run.table(table, "similar.csv")
    print("\n" + printable_lines(table.to_string(index=False, float_format="{:.3f}".format)))
    for name, reason in sorted(queries.features.quarantined.items()):
        print(f"warning: {printable(f'{name}: {reason}')}")


COMMAND = cli.Command(
    "similar",
    run,
    usage="mlflow run . -e similar -P data=<corpus> -P model=<run id, model URI or .h5 file> [-P query=...]\n"
    "    builds an index of the corpus, reference.npz of the run; searches it if there is a query\n"
    "mlflow run . -e similar -P index=<run id or path> -P query=<audio file or folder> [-P k=5] [-P model=...]\n"
    "    searches an index, with the model that it names unless another place of the same model is given",
    groups=(SimilarOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
