"""Entry point benchmark: ratios that say whether this project is fast and sparing enough, measured in one run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e benchmark [-P only=features] [-P name=value ...]
only       all, or one of
  features   decoding and log-mel spectrogram against librosa, one core
  workers    two processes against one
  epoch      a training epoch against Keras' fit on arrays in memory
  mlflow     MLflow's share of a training
  memory     private memory of featurize, train and evaluate with ten times the songs
  scoring    songs a minute of the packaged model against librosa.load and Keras' predict
data       corpus whose songs it is measured on (default demo)
minutes    length of the files that are made of them (4)
repeats    of each pair; the median counts (5)
tracks     songs of the smaller corpus of `memory` (12)
epochs     of the training of `mlflow` (5)
Run it on a machine that does nothing else."""


def run(flags: Mapping[str, str], run) -> None:
    from .artists.workflows.benchmark import figure
    from .artists.workflows.benchmark.options import BenchmarkOptions
    from .artists.workflows.plan import resolve, values

    (options,) = resolve((BenchmarkOptions,), flags)
    run.params(values(options))
    with tempfile.TemporaryDirectory() as folder:
        figures = _measured(options, run, Path(folder))
    run.metrics({each.name: each.value for each in figures})
    text = figure.table(figures)
    run.text(text + "\n", "benchmark.txt")
    run.description(f"```\n{text}\n```")
    print(text)


def _measured(options, run, folder: Path) -> list:
    from .artists.data import corpora
    from .artists.workflows.benchmark import memory, sound, speed

    bar = cli.progress_bar("features")
    figures = []
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


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
