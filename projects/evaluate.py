"""Entry point evaluate: the scores, tables and figures of a logged model on any split or corpus."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e evaluate -P model=<run id or model URI> [-P name=value ...]
model                        what is tested; it fixes label, clip and features
data songs_per_artist        on what; the model's own unless given
split folds fold             which songs; split=all tests every track
seed split_seed              of the split and the intervals; of the split alone
workers                      processes for features
log_audio tsne_split         clips to listen to; subset of the t-SNE map
pooling                      from clips to a song"""


def run(flags: Mapping[str, str], run) -> None:
    from .artists.data import prepare, recordings
    from .artists.data.options import DataOptions
    from .artists.package import card as saved
    from .artists.tracking.model import download_system
    from .artists.workflows import quarantine, results
    from .artists.workflows.plan import evaluate_settings

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = download_system(flags.get("model", ""), work)
        system, card = saved.load(model)
        learned = recordings.learned(model, card.songs, card.groups, card.feature_config)
        settings = evaluate_settings(flags, card.settings)
        run.params(settings.values)
        options = settings.make(DataOptions)
        corpus, features = quarantine.read_features(
            run, options, card.feature_config, classes=card.classes, progress=cli.progress_bar("features")
        )
        prepared = prepare.prepare(
            corpus, features, options, seed=settings["seed"], classes=card.classes, required=("test",)
        )
        results.log_data(run, prepared, context="evaluation")
        results.log_again(run, system, card, learned, prepared, settings, work)


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
