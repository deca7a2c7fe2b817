"""What every verb does around its work: parameters, a run, and errors that a user can act on."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .artists.errors import InputError

if TYPE_CHECKING:
    from .artists.data.tracks import Progress
    from .artists.track.runs import Run

Work = Callable[[Mapping[str, str], "Run"], Any]


def main(work: Work, usage: str, argv: Sequence[str] | None = None) -> int:
    """Runs a verb inside an MLflow run.

    Args:
        work: Called with the flags, as text, and the run.
        usage: What `--help` prints.

    Returns:
        Exit status: 0, 1 for an error, 130 for Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] in (["--help"], ["-h"]):
        print(usage)
        return 0
    _environment()
    from .artists.settings import parse_flags
    from .artists.track import runs

    try:
        with runs.start() as run:
            try:
                work(parse_flags(argv), run)
            except InputError as error:
                run.description(f"Failed: {error}")
                raise
    except InputError as error:
        if os.environ.get("ARTISTS_TRACEBACK"):
            raise
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the run is marked KILLED.", file=sys.stderr)
        return 130
    return 0


def progress_bar(name: str) -> Progress:
    """A bar for (done, total) calls, and one of its own for each other `what`; it ends when all is done."""
    bars: dict[str, tqdm] = {}

    def show(done: int, total: int, what: str = name, /) -> None:
        if what not in bars:
            bars[what] = tqdm(desc=what, total=total, unit=" tracks", mininterval=0.5, dynamic_ncols=True)
        bars[what].update(done - bars[what].n)
        if done == total:
            bars[what].close()

    return show


def _environment() -> None:
    """Read by TensorFlow and MLflow when they are imported: quiet, and GPU memory taken as it is needed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("projects").setLevel(logging.INFO)
