"""Entry point benchmark: ratios that say whether this project is fast and sparing enough, measured in one run."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import cli
from .artists.workflows.options import BenchmarkOptions
from .artists.workflows.plan import values

if TYPE_CHECKING:
    from .artists.workflows.benchmark.figure import Figure


def run(options: BenchmarkOptions, run: cli.Run) -> None:
    from .artists.workflows.benchmark import figure

    run.params(values(options))
    with tempfile.TemporaryDirectory() as folder:
        figures = _measured(options, run, Path(folder))
    run.metrics({each.name: each.value for each in figures})
    text = figure.table(figures)
    run.text(text + "\n", "benchmark.txt")
    run.description(f"```\n{text}\n```")
    print(text)


def _measured(options: BenchmarkOptions, run: cli.Run, folder: Path) -> list[Figure]:
    from .artists.data import corpora
    from .artists.workflows.benchmark import memory, sound, speed

    bar = cli.progress_bar("features")
    figures: list[Figure] = []
    if any(options.measures(part) for part in ("features", "workers", "scoring")):
        y = sound.concatenated(corpora.load(options.data, bar), options.minutes)
    if options.measures("features"):
        figures += speed.features(y, options.repeats, folder / "features")
    if options.measures("workers"):
        figures += speed.workers(y, options.repeats, folder / "workers")
    if options.measures("memory"):
        figures += memory.memory(options.minutes, options.tracks, folder / "memory")
    if options.measures("scoring"):
        from .artists.workflows.benchmark import scoring

        figures += scoring.songs_a_minute(y, options.repeats, folder / "scoring")
    if options.measures("epoch") or options.measures("mlflow"):
        from .artists.workflows.benchmark import training

        if options.measures("epoch"):
            figures += training.epoch(options.data, options.repeats, bar)
        if options.measures("mlflow"):
            figures += training.mlflow(options.data, options.epochs, run, bar)
    return figures


COMMAND = cli.Command(
    "benchmark",
    run,
    usage="mlflow run . -e benchmark [-P only=features] [-P name=value ...]",
    groups=(BenchmarkOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
