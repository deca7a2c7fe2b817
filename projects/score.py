"""Entry point score: every file of a library gets a row: who made it, how sure, or why it cannot be told."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import cli
from .artists.workflows.options import ScoreOptions
from .artists.workflows.plan import values

# Larger tables stay where they are.
SMALL = 20e6


def run(options: ScoreOptions, run: cli.Run) -> None:
    from .artists.workflows.score import table

    run.params(values(options))
    with tempfile.TemporaryDirectory() as folder:
        source = table.Source.of(options.model, Path(folder), options.reference)
        run.tags({"model_uri": source.name, "train_run_id": source.run_id})
        done = table.score(options, source, cli.progress_bar("score"))
        run.metrics(done)
        report = Path(folder, "report")
        report.mkdir()
        scores = table.report(options, source, report)
        run.metrics(scores)
        if options.file.stat().st_size < SMALL:
            (report / options.file.name).write_bytes(options.file.read_bytes())
        run.folder(report)
    if scores:
        print(
            f"\nSong F1 {scores['score_song_f1']:.3f}, accuracy {scores['score_song_accuracy']:.3f} over "
            f"{scores['score_songs']:.0f} labelled songs."
        )
    print(
        f"\n{options.file}: {done['tracks']:.0f} tracks by {source.name}, {done['tracks_resumed']:.0f} of them scored "
        f"before, {done['tracks_failed']:.0f} could not be read, {done['tracks_unknown']:.0f} unknown."
    )


COMMAND = cli.Command(
    "score",
    run,
    usage="mlflow run . -e score -P audio=<folder, manifest or s3://bucket/prefix> -P output=<file>.parquet",
    notes="A scoring that was interrupted goes on where it was when the same command is given again:\n"
    "files that were deleted since have no row, changed ones are scored anew, new ones are added.",
    groups=(ScoreOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
