"""Entry point check: what a corpus is and what is wrong with it, before anyone trains on it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from . import cli
from .artists.audio.options import FeatureConfig
from .artists.data import corpora
from .artists.data.options import DataOptions
from .artists.workflows.options import CheckOptions
from .artists.workflows.plan import resolve, values


def plan(flags: Mapping[str, str]) -> tuple[DataOptions, FeatureConfig, CheckOptions]:
    options, config, split = resolve((DataOptions, FeatureConfig, CheckOptions), flags)
    corpora.check(options.data)
    return options, config, split


def run(plan: tuple[DataOptions, FeatureConfig, CheckOptions], run: cli.Run) -> None:
    from .artists.data import prepare
    from .artists.errors import command
    from .artists.workflows import check

    options, config, split = plan
    run.params(values(*plan))
    findings = check.examine(options, config, seed=split.seed, progress=cli.progress_bar("check"))
    check.log(run, findings, options)
    prepare.prepare(findings.corpus, findings.features, options, seed=split.seed)
    print(f"\nA training is possible. Next: {command('train', data=options.data, split=options.split)}")


COMMAND = cli.Command(
    "check",
    run,
    usage="mlflow run . -e check -P data=<folder or manifest> [-P split=album] [-P clip=5]",
    notes="Lists tracks, minutes, rates and channels, unreadable, truncated, silent, clipped and short files,\n"
    "duplicates, and artists too small for the split, of what train with the same parameters takes.\n"
    "Fails only where it would.",
    groups=(DataOptions, FeatureConfig, CheckOptions),
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
