"""Entry point featurize: log-mel spectrograms of a corpus into the cache."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from . import cli
from .artists.audio.options import FeatureConfig
from .artists.data import corpora
from .artists.data.options import CorpusOptions, refuse
from .artists.workflows.plan import resolve, values


def plan(flags: Mapping[str, str]) -> tuple[CorpusOptions, FeatureConfig]:
    options, config = resolve((CorpusOptions, FeatureConfig), flags)
    if options.artists is None:
        refuse(options, ("songs_per_artist",), "to featurize without artists: all features are computed")
    corpora.check(options.data)
    return options, config


def run(plan: tuple[CorpusOptions, FeatureConfig], run: cli.Run) -> None:
    from .artists.data import prepare
    from .artists.errors import command

    options, config = plan
    run.params(values(*plan))
    corpus, features = prepare.read_features(options, config, progress=cli.progress_bar("features"))
    run.table(prepare.quarantine_table(features), "quarantined.csv")
    seconds = sum(entry.n_frames for entry in features.entries.values()) * config.hop_length / config.sr
    run.metrics({"tracks": len(features.entries), "tracks_computed": features.computed})
    run.metrics({"tracks_quarantined": len(features.quarantined), "minutes": seconds / 60})
    prepare.surviving(corpus, features, options.label)
    print(
        f"{len(features.entries)} tracks, {seconds / 60:.0f} minutes; {features.computed} computed now, "
        f"{len(features.quarantined)} unreadable. Next: {command('train', data=options.data)}"
    )


COMMAND = cli.Command(
    "featurize",
    run,
    usage="mlflow run . -e featurize [-P data=demo] [-P crop=60] [-P workers=2]",
    notes="Computes what the cache (ARTISTS_CACHE, default ~/.cache/artists) does not hold yet.",
    groups=(CorpusOptions, FeatureConfig),
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
