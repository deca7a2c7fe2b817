"""A folder laid out as artist20 is: <artist>/<album>/<song>.<suffix>."""

from __future__ import annotations

import os
from pathlib import Path

from ...audio.decode import AV_SUFFIXES, SUFFIXES
from ...errors import InputError
from ..tracks import Corpus, Track, nfc, track_id


def matches(data: str) -> bool:
    return Path(data).expanduser().is_dir()


def load(data: str) -> Corpus:
    """Raises InputError where a file does not stand under an artist and an album, or there is no audio at all."""
    root = Path(data).expanduser().resolve()
    found = sorted(audio_files(root))
    if not found:
        known = " ".join(sorted(s.lstrip(".") for s in SUFFIXES))
        raise InputError(
            f"data={data} holds no audio files ({known}). Give the folder that holds one folder for each artist."
        )
    misplaced = [path for path in found if len(path.relative_to(root).parts) < 3]
    if misplaced:
        raise InputError(
            f"data={data} has {len(misplaced)} file(s) outside <artist>/<album>/, the first "
            f"{misplaced[0].relative_to(root)}. Move them into <artist>/<album>/, give the folder that holds the "
            "artists, or write a manifest with the columns path and artist."
        )
    return Corpus(root.name, tuple(_track(path, root) for path in found))


def audio_files(root: Path) -> list[Path]:
    """All audio below `root`, hidden files and folders left out, links followed."""
    paths = []
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_loop(Path(folder), name)]
        paths += [Path(folder, name) for name in files if not name.startswith(".")]
    return [path for path in paths if path.suffix.lower() in SUFFIXES | AV_SUFFIXES]


def _is_loop(folder: Path, name: str) -> bool:
    """Whether a link leads back to a folder that it stands in."""
    return folder.resolve().is_relative_to(Path(folder, name).resolve())


def _track(path: Path, root: Path) -> Track:
    relative = path.relative_to(root)
    artist, album = (nfc(part) for part in relative.parts[:2])
    return Track(track_id(relative), path, artist=artist, album=album, title=nfc(path.stem))
