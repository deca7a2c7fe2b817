"""A folder laid out as artist20 is: <artist>/<album>/<song>.<suffix>."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from ...audio.decode import AV_SUFFIXES, SUFFIXES
from ...errors import InputError
from ..tracks import Corpus, Progress, Track, free_name, nfc, track_id

KNOWN = " ".join(sorted(suffix.lstrip(".") for suffix in SUFFIXES | AV_SUFFIXES))


def matches(data: str) -> bool:
    return Path(data).expanduser().is_dir()


def load(data: str, progress: Progress | None = None) -> Corpus:
    """Raises InputError where a file does not stand under an artist and an album, or there is no audio at all."""
    root = Path(data).expanduser().resolve()
    return corpus_of(nfc(root.name), {path.relative_to(root): path for path in audio_files(root)}, data)


def corpus_of(name: str, files: Mapping[PurePath, Path], data: str) -> Corpus:
    """The corpus of audio files by their place relative to it; `data` is what the user gave.

    Raises:
        InputError: A file does not stand under an artist and an album, or there is none.
    """
    if not files:
        raise InputError(
            f"data={data} holds no audio files ({KNOWN}). Give the folder that holds one folder for each artist."
        )
    misplaced = sorted(relative for relative in files if len(relative.parts) < 3)
    if misplaced:
        raise InputError(
            f"data={data} has {len(misplaced)} file(s) outside <artist>/<album>/, the first {track_id(misplaced[0])}. "
            "Move them into <artist>/<album>/, give the folder that holds the artists, or write a manifest with the "
            "columns path and artist."
        )
    taken: set[str] = set()
    return Corpus(name, tuple(_track(relative, files[relative], taken) for relative in sorted(files)))


def is_audio(relative: PurePath) -> bool:
    """Whether a file counts: by its suffix, and unless it or a folder above it is hidden."""
    return relative.suffix.lower() in SUFFIXES | AV_SUFFIXES and not any(p.startswith(".") for p in relative.parts)


def audio_files(root: Path) -> Iterator[Path]:
    """All audio below `root`, hidden files and folders left out, links followed; one folder is in memory at a time.

    Raises:
        InputError: A folder cannot be read: left out, an artist would be missing without a word.
    """
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_unreadable):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not _is_loop(Path(folder), n))
        yield from (Path(folder, name) for name in sorted(files) if is_audio(PurePath(name)))


def _unreadable(error: OSError) -> None:
    raise InputError(
        f"The folder {nfc(os.fsdecode(error.filename))} cannot be read: {error.strerror}. Make it readable, or move it "
        "out of the corpus."
    ) from error


def _is_loop(folder: Path, name: str) -> bool:
    """Whether a link leads back to a folder that it stands in."""
    return folder.resolve().is_relative_to(Path(folder, name).resolve())


def _track(relative: PurePath, path: Path, taken: set[str]) -> Track:
    artist, album = (nfc(part) for part in relative.parts[:2])
    return Track(free_name(track_id(relative), taken), path, artist=artist, album=album, title=nfc(relative.stem))
