"""Entry point transfer: what a network's vectors know of the labels of any corpus (Park et al., tables 1 to 3)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import cli
from .artists.workflows.options import TransferOptions
from .artists.workflows.plan import values


def run(options: TransferOptions, run: cli.Run) -> None:
    from .artists.data import corpora
    from .artists.workflows import transfer

    run.params(values(options))
    corpus = corpora.load(options.data).labelled(options.label)
    with tempfile.TemporaryDirectory() as folder:
        results = transfer.transfer(corpus, options, run, Path(folder), cli.progress_bar)
    run.table(transfer.tables(corpus.name, options.label, results), "transfer.csv")
    text = transfer.markdown(corpus.name, options.label, results)
    run.text(text, "transfer.md")
    run.description(text)
    print("\n" + text)


COMMAND = cli.Command(
    "transfer",
    run,
    usage="mlflow run . -e transfer -P model=<run id, model URI or .h5 file> -P data=... [-P name=value ...]",
    groups=(TransferOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
