"""Entry point train: a corpus to a trained, evaluated, tracked classifier."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e train -P clip=5 [-P name=value ...]
data label split folds fold clip workers       the corpus and how it is cut
songs_per_artist                               equally many songs of each artist
crop sr n_fft hop_length n_mels mel_scale      features
compression chroma
model recipe config resume                     what is trained; recipe and config (YAML) set other parameters
epochs patience batch_size learning_rate seed  how it is trained
log_audio tsne_split                           what is shown
and the options of the model (crnn: filters width convolutions pool_time pool_bands gru_units gru_layers keras2_gru
conv_dropout dropout; an unknown name lists them).
A flag beats the config file, which beats the recipe, which beats the model's default. See README.md."""


def run(flags: Mapping[str, str], run) -> None:
    """Trains, evaluates on the best weights, and logs the model."""
    if flags.get("resume"):
        flags = _resumed(flags, run)
    try:
        _train(flags, run)
    except KeyboardInterrupt:
        go_on = f"mlflow run . -e train -P resume={run.run_id}"
        print(f"\nWhat it has learned is kept. To go on: {go_on}", file=sys.stderr)
        run.tags({"resume_with": go_on})
        raise


def _train(flags: Mapping[str, str], run) -> None:
    from .artists import experiment, pipeline, results
    from .artists.audio.features import FeatureConfig
    from .artists.learn import device
    from .artists.settings import DataOptions, train_settings
    from .artists.systems import find

    settings = train_settings(flags)
    _refuse_resume_in_file(settings)
    run.params(settings.values)
    options = settings.make(DataOptions)
    kind = find(settings["model"])
    kind.check_input(options.clip, settings.make(FeatureConfig), settings.make(kind.Config))
    corpus, features = pipeline.read_features(
        options, settings.make(FeatureConfig), progress=cli.progress_bar("features")
    )
    run.table(pipeline.quarantine_table(features), "quarantined.csv")
    prepared = pipeline.prepare(corpus, features, options, seed=settings["seed"])
    results.log_data(run, prepared)
    hint = device.idle_gpu_hint()
    if hint:
        print(f"warning: {hint}")
    system, _ = experiment.fit(settings, prepared, run)
    with tempfile.TemporaryDirectory() as folder:
        results.log_results(run, system, prepared, settings, Path(folder))


def _resumed(flags: Mapping[str, str], run) -> Mapping[str, str]:
    """The parameters of the run that is to go on.

    What its configuration file set is among them, unless it died before it logged more than `mlflow run` had.
    """
    from .artists.errors import InputError
    from .artists.learn.training import Training
    from .artists.settings import field_names

    others = sorted(set(flags) - {"resume"})
    if others:
        raise InputError(f"resume keeps the parameters of the old run; leave out {', '.join(others)}.")
    old = run.resume(flags["resume"])
    whole = set(field_names(Training)) <= set(old)
    return {name: value for name, value in old.items() if name != "resume" and not (whole and name == "config")}


def _refuse_resume_in_file(settings) -> None:
    from .artists.errors import InputError

    if settings["resume"]:
        raise InputError(
            f"resume={settings['resume']} stands in {settings['config']}; resume is a flag alone, "
            f"which takes everything else from the old run: mlflow run . -e train -P resume={settings['resume']}"
        )


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
