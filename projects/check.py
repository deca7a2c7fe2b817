"""Entry point check: what a corpus is and what is wrong with it, before anyone trains on it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

# Spawned workers import this module again: the library is imported where it is used.
from . import cli

USAGE = """mlflow run . -e check -P data=<folder or manifest> [-P split=album] [-P clip=5]
Lists tracks, minutes, rates and channels, unreadable, truncated, silent, clipped and short files, duplicates, and
artists too small for the split, of what train with the same parameters takes. Fails only where it would.
data label workers                  the corpus, the column that is to be learned, processes
artists songs_per_artist leave_out  the part of it that train would learn from
split folds fold seed split_seed    who would be tested; folds and fold of split=kfold
clip overlap                        how train would cut it
crop sr n_fft hop_length n_mels     features, which train finds in the cache
mel_scale compression chroma        the same"""


def run(flags: Mapping[str, str], run) -> None:
    from .artists.audio.features import FeatureConfig
    from .artists.data import prepare
    from .artists.data.options import DataOptions
    from .artists.errors import command
    from .artists.workflows import check
    from .artists.workflows.plan import resolve, values

    options, config, split = resolve((DataOptions, FeatureConfig, check.CheckOptions), flags)
    run.params(values(options, config, split))
    found = check.examine(options, config, seed=split.seed, progress=cli.progress_bar("check"))
    check.log(run, found, options)
    prepare.prepare(found.corpus, found.features, options, seed=split.seed)
    print(f"\nA training is possible. Next: {command('train', data=options.data, split=options.split)}")


if __name__ == "__main__":
    sys.exit(cli.main(run, USAGE))
