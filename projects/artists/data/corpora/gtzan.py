"""GTZAN genre collection, Tzanetakis and Cook 2002: 1,000 excerpts of 30 s, 22,050 Hz mono, 100 of each of ten genres.

Card: <data>/genres/<genre>/<genre>.000NN.wav (or .au, or in genres_original/, or in <data> itself). `label=genre`;
there are no artists. With the fault-filtered lists of Kereliuk et al. 2015, which Park et al. 2018 use (443, 197 and
290 excerpts), laid beside as train_filtered.txt, valid_filtered.txt and test_filtered.txt, `split=manifest` is their
split, and what no list names is left out: repetitions, distortions, an artist in two subsets.
Licence: none is stated. Expected (Park, Siamese): retrieval .551, k-NN .697, linear softmax .699.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from ...errors import InputError
from ..splits import SUBSETS
from ..tracks import Corpus, Track, track_id
from .folder import audio_files

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
FOLDERS = ("genres", "genres_original", ".")
LISTS = dict(zip(SUBSETS, ("train_filtered.txt", "valid_filtered.txt", "test_filtered.txt"), strict=True))
_EXCERPT = re.compile(rf"({'|'.join(GENRES)})/\1\.\d{{5}}")


def matches(data: str) -> bool:
    return _folder(Path(data).expanduser()) is not None


def load(data: str, progress: object = None) -> Corpus:
    """Raises InputError where some of the three lists are missing, or one names what is not there or stands twice."""
    root = Path(data).expanduser().resolve()
    folder = _folder(root) or root
    excerpts = {name: path for path in audio_files(folder) if (name := _name(path.relative_to(folder).as_posix()))}
    folds = _folds(root, data, excerpts)
    tracks = [
        Track(
            track_id(path.relative_to(root)),
            path,
            artist="",
            title=path.stem,
            fold=folds.get(name, ""),
            labels={"genre": name.split("/")[0]},
        )
        for name, path in excerpts.items()
        if not folds or name in folds
    ]
    return Corpus("gtzan", tuple(tracks))


def _folder(root: Path) -> Path | None:
    """Where the genres are; None where there is no excerpt."""
    for name, genre in itertools.product(FOLDERS, GENRES):
        if any(_name(f"{genre}/{path.name}") for path in (root / name / genre).glob(f"{genre}.[0-9]*")):
            return root / name
    return None


def _name(relative: str) -> str | None:
    """blues/blues.00029 of a path or a line of a list, whatever its suffix; None of anything else."""
    found = _EXCERPT.match(relative)
    return found and found[0]


def _folds(root: Path, data: str, excerpts: dict[str, Path]) -> dict[str, str]:
    """Excerpt -> subset; empty without lists."""
    there = [subset for subset in SUBSETS if (root / LISTS[subset]).is_file()]
    if not there:
        return {}
    if len(there) < len(SUBSETS):
        missing = ", ".join(LISTS[subset] for subset in SUBSETS if subset not in there)
        raise InputError(f"data={data} has no {missing}. Give all three lists, or none for the whole collection.")
    folds: dict[str, str] = {}
    for subset in SUBSETS:
        for line in (root / LISTS[subset]).read_text(encoding="utf-8").split():
            name = _name(line)
            if name not in excerpts:
                raise InputError(f"{LISTS[subset]} of data={data} names {line}, which is not there.")
            if name in folds:
                raise InputError(f"{LISTS[subset]} of data={data} names {line}, which is listed for {folds[name]} too.")
            folds[name] = subset
    return folds
