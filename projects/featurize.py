"""Entry point featurize: log-mel spectrograms of a corpus into the cache."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e featurize [-P data=demo] [-P crop=60] [-P workers=2]
Computes what the cache (ARTISTS_CACHE, default ~/.cache/artists) does not hold yet.
data label artists workers       the corpus: its tracks with this label, of so many labels alone; processes
songs_per_artist                 beside artists: of the labels with as many songs alone
crop sr n_fft hop_length n_mels  features: seconds of each track, rate, log-mel spectrogram
mel_scale compression chroma     the same"""


def run(flags: Mapping[str, str], run) -> None:
    from .artists.audio.features import FeatureConfig
    from .artists.data.featurize import surviving
    from .artists.data.options import CorpusOptions, refuse
    from .artists.errors import command
    from .artists.workflows import quarantine
    from .artists.workflows.plan import resolve, values

    options, config = resolve((CorpusOptions, FeatureConfig), flags)
    if options.artists is None:
        refuse(options, ("songs_per_artist",), "to featurize without artists: all features are computed")
    run.params(values(options, config))
    corpus, features = quarantine.read_features(run, options, config, progress=cli.progress_bar("features"))
    seconds = sum(entry.n_frames for entry in features.entries.values()) * config.hop_length / config.sr
    run.metrics(
        {
            "tracks": len(features.entries),
            "tracks_computed": features.computed,
            "tracks_quarantined": len(features.quarantined),
            "minutes": seconds / 60,
        }
    )
    surviving(corpus, features, options.label)
    print(
        f"{len(features.entries)} tracks, {seconds / 60:.0f} minutes; {features.computed} computed now, "
        f"{len(features.quarantined)} unreadable. Next: {command('train', data=options.data)}"
    )


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
