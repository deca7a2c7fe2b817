"""Private memory of the commands on a corpus and on one ten times as large."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import psutil

from ...data.machine import private_mb
from ...errors import InputError
from . import sound
from .figure import Figure

TIMES = 10
GROWTH = 1.1
# Minutes of a song: longer ones would fill the disk, not the memory.
LONGEST = 2.0
ROOT = Path(__file__).resolve().parents[4]
SECONDS_BETWEEN = 0.05
ARTISTS, ALBUMS = 2, 3
TRAINING = {"split": "album", "clip": "10", "epochs": "1", "log_audio": "true"}


def memory(minutes: float, tracks: int, folder: Path) -> list[Figure]:
    """Peak of private memory of featurize, train and evaluate, their workers included, on 1 and 10 times `tracks`."""
    minutes = min(minutes, LONGEST)
    peaks = {times: _commands(_corpus(folder / f"{times}x", tracks * times, minutes)) for times in (1, TIMES)}
    figures = []
    for verb, large in peaks[TIMES].items():
        small = peaks[1][verb]
        title = f"{verb}: private memory with {TIMES} times the songs ({small:.0f} -> {large:.0f} MiB)"
        figures.append(Figure(f"memory_{verb}_growth", large / small, title, most=GROWTH))
        figures.append(Figure(f"memory_{verb}_mb", large, f"{verb}: MiB"))
    return figures


def _corpus(folder: Path, count: int, minutes: float) -> Path:
    """A manifest of `count` songs, assigned to artists and albums."""
    paths = [sound.write_mono(folder / f"{i:04d}.flac", sound.tune(minutes, i), format="FLAC") for i in range(count)]
    rows = [(path.name, f"artist {i % ARTISTS}", f"album {i // ARTISTS % ALBUMS}") for i, path in enumerate(paths)]
    pd.DataFrame(rows, columns=["path", "artist", "album"]).to_csv(folder / "tracks.csv", index=False)
    return folder / "tracks.csv"


def _commands(table: Path) -> dict[str, float]:
    """MiB of each command on a corpus, one after the other, in a cache and a tracking store of their own."""
    place = table.parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {
        "ARTISTS_CACHE": str(place / "cache"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    featurize, _ = _peak("featurize", {"data": str(table)}, place, environment)
    train, output = _peak("train", {"data": str(table), **TRAINING}, place, environment)
    model = re.findall(r"-P model=(\S+)", output)[0]
    evaluate, _ = _peak("evaluate", {"model": model}, place, environment)
    return {"featurize": featurize, "train": train, "evaluate": evaluate}


def _peak(verb: str, flags: Mapping[str, str], place: Path, environment: Mapping[str, str]) -> tuple[float, str]:
    """(highest private memory of a command and its workers in MiB, what it printed)."""
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    log, highest = place / f"{verb}.txt", 0.0
    with log.open("w") as file:
        process = psutil.Popen(
            [sys.executable, "-m", f"projects.{verb}", *words], cwd=place, env=environment, stdout=file, stderr=file
        )
        while process.poll() is None:
            highest = max(highest, private_mb_with_children(process))
            time.sleep(SECONDS_BETWEEN)
    output = log.read_text(errors="replace")
    if process.returncode:
        raise InputError(f"{verb} failed while its memory was measured: {output.strip().splitlines()[-1]}")
    return highest, output


def private_mb_with_children(process: psutil.Process) -> float:
    """Private memory of a process and those that it started, mapped files aside."""
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        children = process.children(recursive=True)
    return sum(private_mb(each.pid) for each in (process, *children))
