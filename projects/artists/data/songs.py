"""Songs that a user points at: a file or a folder to ask about, a folder of artists to enrol."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from . import corpora
from .corpora.folder import KNOWN, audio_files
from .paths import given_path
from .tracks import Corpus, Track, nfc, track_id


def query(source: str) -> Corpus:
    """An audio file, or all of a folder; artists are empty.

    Raises:
        InputError: It does not exist or holds no audio.
    """
    path = given_path("query", source)
    if path.is_file():
        return Corpus(path.stem, (Track(track_id(Path(path.name)), path.resolve(), artist="", title=nfc(path.stem)),))
    root, files = _audio_files(source, "query")
    tracks = (Track(track_id(p.relative_to(root)), p, artist="", title=nfc(p.stem)) for p in files)
    return Corpus(root.name, tuple(tracks))


def enrolled(source: str) -> Corpus:
    """Songs with their artists: a folder <artist>/<songs>, with albums or without, or anything that `data=` takes.

    Raises:
        InputError: It does not exist, holds no audio, or a song stands in no artist's folder.
    """
    if not source.startswith("s3://") and not given_path("songs", source).is_dir():
        return corpora.load(source)
    root, files = _audio_files(source, "songs")
    loose = [path for path in files if path.parent == root]
    if loose:
        raise InputError(
            f"songs={source} has {len(loose)} file(s) in no artist's folder, the first {nfc(loose[0].name)}. "
            "Give a folder that holds one folder of songs for each artist."
        )
    tracks = []
    for path in files:
        artist, *albums = (nfc(part) for part in path.relative_to(root).parts[:-1])
        album = albums[0] if albums else ""
        tracks.append(Track(track_id(path.relative_to(root)), path, artist=artist, album=album, title=nfc(path.stem)))
    return Corpus(root.name, tuple(tracks))


def _audio_files(source: str, name: str) -> tuple[Path, list[Path]]:
    root = given_path(name, source).resolve()
    # An empty name would be the current folder.
    if not source or not root.is_dir():
        raise InputError(f"{name}={source} does not exist. Give an audio file or a folder of audio files.")
    files = sorted(audio_files(root))
    if not files:
        raise InputError(f"{name}={source} holds no audio files ({KNOWN}).")
    return root, files
