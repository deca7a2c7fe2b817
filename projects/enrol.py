"""Entry point enrol: artists that a network was not trained on, known from a few songs, into a versioned reference."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# Spawned workers import this again: what is slow to load is imported where it is used.
from . import cli
from .artists.workflows.options import EnrolOptions
from .artists.workflows.plan import values

if TYPE_CHECKING:
    from .artists.package.reference import Reference
    from .artists.workflows.embed import Embedder


def run(options: EnrolOptions, run: cli.Run) -> None:
    from .artists.data import songs
    from .artists.package import reference
    from .artists.tracking import references
    from .artists.workflows import embed, enrol, quarantine

    run.params(values(options))
    corpus = songs.enrolled(options.songs)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        before = None
        if options.reference:
            before = reference.read(references.fetch(options.reference, reference.FILE, work))
        embedder = embed.open_embedder(options.model or (before.model_source if before else ""), work)
        if before:
            before.check_model(embedder.identity)
        corpus = enrol.named(corpus, options.label)
        progress = cli.progress_bar("features")
        vectors = quarantine.embed(run, embedder, corpus, options.label, workers=options.workers, progress=progress)
        enrolled = enrol.enrolled(vectors, embedder, options.label, before)
        reference.write(work / "reference" / reference.FILE, enrolled)
        run.folder(work / "reference")
    _log(run, enrolled, embedder, options)


def _log(run: cli.Run, enrolled: Reference, embedder: Embedder, options: EnrolOptions) -> None:
    from .artists.errors import command
    from .artists.workflows import enrol

    run.table(enrolled.table(), "reference.csv")
    run.tags(
        {
            "reference_digest": enrolled.digest,
            "reference_version": str(enrolled.version),
            "reference_from": enrolled.previous,
        }
    )
    run.metrics({"reference_songs": len(enrolled), "reference_artists": len(enrolled.artists)})
    then = command("score", reference=run.run_id, model=embedder.source, audio="<folder>")
    songs = f"{len(enrolled)} songs of {len(enrolled.artists)} {options.label}s"
    print(f"\nVersion {enrolled.version}, {enrolled.digest}: {songs}. Next: {then}")
    curve = enrol.curve(enrolled, embedder, options.seed)
    if curve.empty:
        print(f"No report: it needs two {options.label}s with two songs each that the model was not trained on.")
        return
    run.table(curve, "enrolment.csv")
    for row in curve.to_dict("records"):
        songs = f"enrolled_{row['enrolled']}"
        names = ("accuracy", "low", "high", "unknown_auroc", "artists", "songs")
        run.metrics({f"{songs}_{name}": row[name] for name in names})
    print(f"{options.label.capitalize()}s that the model was not trained on, against songs enrolled:")
    print(curve.to_string(index=False, float_format="{:.3f}".format))


COMMAND = cli.Command(
    "enrol",
    run,
    usage="mlflow run . -e enrol -P model=<run id, model URI or .h5 file> -P songs=<folder> [-P reference=...]",
    groups=(EnrolOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
