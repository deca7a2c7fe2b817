"""What every verb does around its work: parameters, a run, and errors that a user can act on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .artists.errors import InputError

if TYPE_CHECKING:
    from .artists.data.tracks import Progress
    from .artists.tracking.runs import Run

# Stands in a usage for the options of each model, which only its module knows.
OPTIONS = "  <option of the model>"
# What train, main, search and study take, for their --help.
TRAINING = f"""\
data label workers                             the corpus, the column that is learned, processes for features
split folds fold                               song, album (default), manifest, or kfold with its folds and fold
split_seed                                     of the split alone, where it is not to change with seed
clip overlap                                   seconds; share of a training clip that is in the next one too
artists songs_per_artist leave_out             so many labels, so many songs of each, so many labels kept for enrol
crop sr n_fft hop_length n_mels mel_scale      features: seconds of each track, rate, log-mel spectrogram
compression chroma                             db or log10; twelve pitch classes beside the bands (mfcc_gaussian)
model recipe config                            what is trained; recipe and config (YAML) set other parameters
epochs patience batch_size learning_rate seed  how it is trained
schedule weight_decay label_smoothing augment  the same, beyond the published recipes: none of it unless given
pooling log_audio tsne_split                   from clips to a song; clips to listen to; subset of the t-SNE map
and the options of the model:
{OPTIONS}
A flag beats the config file, which beats the recipe, which beats the model's default. See README.md."""
Work = Callable[[Mapping[str, str], "Run"], Any]


def main(work: Work, usage: str, argv: Sequence[str] | None = None, *, tracked: bool = True) -> int:
    """Runs a verb inside an MLflow run.

    Args:
        work: Called with the flags, as text, and the run.
        usage: What `--help` prints.
        tracked: False for a verb that needs no run; it is called with None.

    Returns:
        Exit status: 0, 1 for an error, 130 for Ctrl-C, 143 for SIGTERM.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] in (["--help"], ["-h"]):
        print(usage.replace(OPTIONS, _options()) if OPTIONS in usage else usage)
        return 0
    _environment()
    with Interruption() as interruption:
        from .artists.tracking import runs
        from .artists.workflows.plan import parse_flags

        try:
            with runs.start() if tracked else contextlib.nullcontext() as run:
                interruption.allow()
                try:
                    work(parse_flags(argv), run)
                except InputError as error:
                    if run:
                        run.failed(str(error))
                    raise
        except InputError as error:
            if os.environ.get("ARTISTS_TRACEBACK"):
                raise
            from .artists.reports.names import printable_lines

            print(f"\nerror: {printable_lines(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nInterrupted" + ("; the run is marked KILLED." if tracked else "."), file=sys.stderr)
            return 128 + (interruption.signal or signal.SIGINT)
    return 0


class Interruption:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt once, after `allow`, so that the run can end in order.

    `mlflow run` gets Ctrl-C too, sends its child SIGTERM a quarter of a second later and waits for it: what comes after
    the first signal is ignored, unless a user presses Ctrl-C again after a second.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._allowed, self._at, self._old = False, 0.0, {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def allow(self) -> None:
        """From here on there is a run to end; raises what came before, while MLflow was imported."""
        self._allowed = True
        if self.signal:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: object) -> None:
        if self.signal is None:
            self.signal, self._at = number, time.monotonic()
            if self._allowed:
                raise KeyboardInterrupt
        elif number == signal.SIGINT and time.monotonic() > self._at + 1:
            raise KeyboardInterrupt


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


def _options() -> str:
    """A row of names of models and what their Config holds; models that take the same share one."""
    _environment()
    from .artists import systems
    from .artists.data.options import field_names

    rows: dict[str, list[str]] = {}
    for name in systems.names():
        rows.setdefault(" ".join(field_names(systems.find(name).Config)), []).append(name)
    lines = []
    for options, names in rows.items():
        first = f"  {' '.join(names)}".ljust(31)
        first += " " * 2 if not first.endswith("  ") else ""
        lines += textwrap.wrap(options, 118, initial_indent=first, subsequent_indent=" " * 31)
    return "\n".join(lines)


def _environment() -> None:
    """Read by TensorFlow and MLflow: quiet, GPU memory taken as it is needed, and requests that end.

    MLflow would repeat a request for minutes; track/ repeats what it asks itself, and knows what may be repeated.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("projects").setLevel(logging.INFO)
