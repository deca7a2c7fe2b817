"""Private memory of the commands on a corpus and on one ten times as large."""

from __future__ import annotations

import csv
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

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
        said = f"{verb}: private memory with {TIMES} times the songs ({small:.0f} -> {large:.0f} MiB)"
        figures.append(Figure(f"memory_{verb}_growth", large / small, said, most=GROWTH))
        figures.append(Figure(f"memory_{verb}_mb", large, f"{verb}: MiB"))
    return figures


def _corpus(folder: Path, count: int, minutes: float) -> Path:
    """A manifest of `count` songs, assigned to artists and albums."""
    table = folder / "tracks.csv"
    folder.mkdir(parents=True)
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "artist", "album"))
        for i in range(count):
            path = sound.write_mono(folder / f"{i:04d}.flac", sound.tune(minutes, i), format="FLAC")
            rows.writerow((path.name, f"artist {i % ARTISTS}", f"album {i // ARTISTS % ALBUMS}"))
    return table


def _commands(table: Path) -> dict[str, float]:
    """MiB of each command on a corpus, one after the other, in a cache and a tracking store of their own."""
    place = table.parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {
        "ARTISTS_CACHE": str(place / "cache"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    peaks, said = {}, ""
    for verb, flags in (
        ("featurize", {"data": str(table)}),
        ("train", {"data": str(table), **TRAINING}),
        ("evaluate", {}),
    ):
        if verb == "evaluate":
            flags = {"model": re.findall(r"-P model=(\S+)", said)[0]}
        peaks[verb], said = _peak(verb, flags, place, environment)
    return peaks


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
    said = log.read_text(errors="replace")
    if process.returncode:
        raise InputError(f"{verb} failed while its memory was measured: {said.strip().splitlines()[-1]}")
    return highest, said


def private_mb_with_children(process: psutil.Process) -> float:
    """Private memory of a process and those that it started, mapped files aside."""
    return sum(private_mb(each.pid) for each in (process, *_children(process)))


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
