"""Entry point enrol: artists that a network was not trained on, known from a few songs, into a versioned reference."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# Spawned workers import this module again: what is slow to load is imported where it is used.
from . import cli
from .artists.workflows.options import EnrolOptions
from .artists.workflows.plan import values

if TYPE_CHECKING:
    from .artists.tracking.runs import Run


def run(options: EnrolOptions, run: Run) -> None:
    from .artists.data import songs as given
    from .artists.package import reference
    from .artists.tracking import references
    from .artists.workflows import embed, enrol, quarantine

    run.params(values(options))
    corpus = given.enrolled(options.songs)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        before = None
        if options.reference:
            before = reference.read(references.fetch(options.reference, reference.FILE, work))
        embedder = embed.open_embedder(options.model or before.model_source, work)
        if before:
            before.check_model(embedder.identity)
        corpus = enrol.named(corpus, options.label)
        progress = cli.progress_bar("features")
        songs = quarantine.embed(run, embedder, corpus, options.label, workers=options.workers, progress=progress)
        made = enrol.enrolled(songs, embedder, options.label, before)
        reference.write(work / "made" / reference.FILE, made)
        run.folder(work / "made")
    _log(run, made, embedder, options)


def _log(run, made, embedder, options) -> None:
    from .artists.errors import command
    from .artists.workflows import enrol

    run.table(made.table(), "reference.csv")
    run.tags({"reference_digest": made.digest, "reference_version": str(made.version), "reference_from": made.previous})
    run.metrics({"reference_songs": len(made), "reference_artists": len(made.artists)})
    print(
        f"\nVersion {made.version}, {made.digest}: {len(made)} songs of {len(made.artists)} {options.label}s. "
        f"Next: {command('score', reference=run.run_id, model=embedder.source, audio='<folder>')}"
    )
    curve = enrol.curve(made, embedder, options.seed)
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
