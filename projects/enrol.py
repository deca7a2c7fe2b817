"""Entry point enrol: artists that a network was not trained on, known from a few songs, into a versioned reference."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import cli
from .artists.workflows.options import EnrolOptions
from .artists.workflows.plan import values


def run(options: EnrolOptions, run: cli.Run) -> None:
    from .artists.data import songs
    from .artists.errors import command
    from .artists.workflows import embed, enrol

    run.params(values(options))
    label, corpus = options.label, songs.enrolled(options.songs)
    with tempfile.TemporaryDirectory() as folder:
        embedder, before = enrol.open_model(options.model, options.reference, Path(folder))
        vectors = embed.song_vectors(run, embedder, enrol.named(corpus, label), options, cli.progress_bar("features"))
        enrolled = enrol.enrolled(vectors, embedder, label, before)
        enrol.log_reference(run, enrolled, Path(folder, "reference"))
    run.tags({"reference_version": str(enrolled.version), "reference_from": enrolled.previous})
    run.metrics({"reference_artists": len(enrolled.artists)})
    then = command("score", reference=run.run_id, model=embedder.source, audio="<folder>")
    counts = f"{len(enrolled)} songs of {len(enrolled.artists)} {label}s"
    print(f"\nVersion {enrolled.version}, {enrolled.digest}: {counts}. Next: {then}")
    curve = enrol.log_curve(run, enrolled, embedder, options.seed)
    if curve.empty:
        print(f"No report: it needs two {label}s with two songs each that the model was not trained on.")
        return
    print(f"{label.capitalize()}s that the model was not trained on, against songs enrolled:")
    print(curve.to_string(index=False, float_format="{:.3f}".format))


COMMAND = cli.Command(
    "enrol",
    run,
    usage="mlflow run . -e enrol -P model=<run id, model URI or .h5 file> -P songs=<folder> [-P reference=...]",
    groups=(EnrolOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
