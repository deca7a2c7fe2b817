"""Entry point evaluate: the scores, tables and figures of a logged model on any split or corpus."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e evaluate -P model=<run id or model URI> [-P name=value ...]
data split folds fold seed    what is tested; the model's own unless given; split=all tests every track
workers log_audio tsne_split  see train"""


def run(flags: Mapping[str, str], run) -> None:
    from .artists import pipeline, results, saved
    from .artists.settings import DataOptions, evaluate_settings
    from .artists.track.model import download_system

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        system, card = saved.load(download_system(flags.get("model", ""), work))
        settings = evaluate_settings(flags, card.settings)
        run.params(settings.values)
        options = settings.make(DataOptions)
        corpus, features = pipeline.read_features(
            options, card.feature_config, classes=card.classes, progress=cli.progress_bar("features")
        )
        run.table(pipeline.quarantine_table(features), "quarantined.csv")
        prepared = pipeline.prepare(
            corpus, features, options, seed=settings["seed"], classes=card.classes, required=("test",)
        )
        results.log_data(run, prepared, context="evaluation")
        results.log_again(run, system, card, prepared, settings, work)


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
