"""Entry point similar: the tracks of an index that are nearest to given audio; it also builds the index."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import cli
from .artists.workflows.options import SimilarOptions
from .artists.workflows.plan import values


def run(options: SimilarOptions, run: cli.Run) -> None:
    from .artists.errors import command
    from .artists.reports.names import printable, printable_lines
    from .artists.workflows import enrol

    run.params(values(options))
    with tempfile.TemporaryDirectory() as folder:
        embedder, index = enrol.open_model(options.model, options.index, Path(folder))
        if index is None:
            index = enrol.build_index(embedder, options, run, Path(folder, "index"), cli.progress_bar("features"))
            then = command("similar", index=run.run_id, query="<audio file>")
            print(f"An index of {len(index)} songs by {embedder.name}. Next: {then}")
        else:
            run.tags({"reference_digest": index.digest})
        if not options.query:
            return
        table, features = enrol.search(embedder, index, options, run)
    run.table(table, "similar.csv")
    print("\n" + printable_lines(table.to_string(index=False, float_format="{:.3f}".format)))
    for name, reason in sorted(features.quarantined.items()):
        print(f"warning: {printable(f'{name}: {reason}')}")


COMMAND = cli.Command(
    "similar",
    run,
    usage="mlflow run . -e similar -P data=<corpus> -P model=<run id, model URI or .h5 file> [-P query=...]\n"
    "    builds an index of the corpus, reference.npz of the run; searches it if there is a query\n"
    "mlflow run . -e similar -P index=<run id or path> -P query=<audio file or folder> [-P k=5] [-P model=...]\n"
    "    searches an index, with the model that it names unless another place of the same model is given",
    groups=(SimilarOptions,),
)

if __name__ == "__main__":
    sys.exit(cli.main(COMMAND))
