"""What a corpus is and what is wrong with it, before anyone trains on it: tables of tracks, artists and duplicates."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd

from ..audio.endings import cut_off
from ..audio.lengths import clip_frames
from ..audio.options import FeatureConfig
from ..data import prepare
from ..data.audit import Audit, AuditStore
from ..data.featurize import Features
from ..data.options import DataOptions
from ..data.prepare import Assigned
from ..data.recordings import groups_of
from ..data.splits import SUBSETS, Split
from ..data.tracks import Corpus, Track
from ..errors import InputError
from ..reports import corpus as report
from ..reports.figures import figure_bytes
from ..tracking.runs import Run

# Kinds of problems, and what is meant by them; the order of every list.
PROBLEMS = {
    "unreadable": "no audio that can be decoded; left out of training",
    "truncated": "the file ends before its own header says",
    "silent": "no sample above -60 dB of full scale",
    "clipped": "one sample in a thousand or more in runs of four at full scale",
    "too_short": "shorter than one clip; left out of training",
    "one_clip": "shorter than two clips",
}


@dataclasses.dataclass(frozen=True)
class Checkup:
    """Findings about what a training with the same parameters would learn from and be evaluated on.

    corpus, features: all that it would read; tracks: a row a track that would take part, in the order of ids, its
    problems separated by spaces; duplicates: a row a track that is the same recording as another; small: a row a label
    value or artist that is missing in a subset of the split; conflicts: sentences about recordings in two subsets or
    under two labels, and about a label that follows from the artist.
    """

    corpus: Corpus
    features: Features
    tracks: pd.DataFrame
    duplicates: pd.DataFrame
    small: pd.DataFrame
    conflicts: list[str]

    def by(self, *columns: str) -> pd.DataFrame:
        """Tracks, albums, minutes, rates, channels and problems of each artist, or of each artist's albums."""
        rows = []
        for names, part in self.tracks.groupby(list(columns), sort=True):
            row = dict(zip(columns, names, strict=True))
            row |= {"albums": part["album"].nunique()} if "album" not in columns else {}
            row |= {"tracks": len(part), "minutes": round(part["seconds"].sum() / 60, 2)}
            row |= {"sample_rates": _values(part["sample_rate"]), "channels": _values(part["channels"])}
            rows.append(row | _problems(part))
        return pd.DataFrame(rows)

    @property
    def metrics(self) -> dict[str, float]:
        groups = self.duplicates.groupby("duplicate_group")
        return {
            "tracks": len(self.tracks),
            "artists": self.tracks["artist"].nunique(),
            "albums": len(self.tracks[["artist", "album"]].drop_duplicates()),
            "minutes": self.tracks["seconds"].sum() / 60,
            **{f"tracks_{kind}": count for kind, count in _problems(self.tracks).items()},
            "duplicate_tracks": len(self.duplicates),
            "duplicate_recordings": groups.ngroups,
            "tracks_unlabelled": len(self.corpus.unlabelled),
            "label_conflicts": int((groups["label"].nunique() > 1).sum()),
            "artist_conflicts": int((groups["artist"].nunique() > 1).sum()),
            "too_small": len(self.small),
        }


def examine(
    options: DataOptions, config: FeatureConfig, *, seed: int, progress: prepare.Progress | None = None
) -> Checkup:
    """Decodes what was not audited before and looks at all that a training would take of a corpus.

    Raises:
        InputError: There is no corpus to look at; what is wrong with single files or a split raises nothing here.
    """
    audits = AuditStore()
    corpus, features = prepare.read_features(options, config, progress=progress, audits=audits)
    assigned, length = _assigned(corpus, features, options, seed), clip_frames(options.clip, config)
    rows = (_row(track, features, audits, assigned, options.label, length) for track in assigned.corpus.tracks)
    tracks = pd.DataFrame(rows)
    conflicts = prepare.duplicate_conflicts(assigned.corpus, assigned.groups, assigned.split, options.label)
    conflicts += prepare.artist_warnings(assigned.corpus, assigned.split, options.label)
    return Checkup(corpus, features, tracks, _duplicate_table(tracks), _small_table(tracks, options), conflicts)


def _assigned(corpus: Corpus, features: Features, options: DataOptions, seed: int) -> Assigned:
    """What a training would assign; where it could not, everybody in no subset."""
    try:
        return prepare.assign(corpus, features, options, seed=seed)
    except InputError:  # the same is said, once, by the preparation of a training
        nowhere = Split(dict.fromkeys((track.track_id for track in corpus.tracks), ""), options.split)
        return Assigned(corpus, [], groups_of(corpus.tracks, features), nowhere)


def _row(
    track: Track, features: Features, audits: AuditStore, assigned: Assigned, label: str, length: int
) -> dict[str, object]:
    entry = features.entries.get(track.track_id)
    audit = audits.get(entry.audio_digest) if entry else None
    reason = features.quarantined.get(track.track_id, "")
    truncated = audit.truncated if audit else _ending(track.path)
    problems = {"unreadable": not entry, "truncated": bool(truncated)}
    if entry and audit:
        clips = entry.n_frames // length
        problems |= {"silent": audit.silent, "clipped": audit.clipped, "too_short": clips < 1, "one_clip": clips == 1}
    return {name: getattr(track, name) for name in ("track_id", "artist", "album", "title")} | {
        "label": track.label(label),
        "subset": assigned.split.subsets[track.track_id] if entry else "",
        "problems": " ".join(kind for kind in PROBLEMS if problems.get(kind)),
        "reason": "; ".join(filter(None, (reason, truncated))),
        **(dataclasses.asdict(audit) if audit else dict.fromkeys(f.name for f in dataclasses.fields(Audit))),
        "ending": "not known" if truncated is None else "truncated" if truncated else "whole",
        "duplicate_group": assigned.groups.get(track.track_id, ""),
        "audio_sha256": entry.audio_digest if entry else "",
    }


def _ending(path: Path) -> str | None:
    """A file that cannot be decoded may be one that was cut."""
    with contextlib.suppress(OSError, ValueError):
        return cut_off(path)
    return None


def _problems(tracks: pd.DataFrame) -> dict[str, int]:
    counts = Counter(" ".join(tracks["problems"]).split())
    return {kind: counts[kind] for kind in PROBLEMS}


def _values(column: pd.Series) -> str:
    """The distinct whole numbers of a column, the commonest first."""
    return " ".join(str(int(value)) for value in column.dropna().value_counts().index)


def _duplicate_table(tracks: pd.DataFrame) -> pd.DataFrame:
    """copy: `bytes` where another track of the group holds the same bytes, else `recording`."""
    columns = ["duplicate_group", "track_id", "artist", "album", "label", "subset", "audio_sha256"]
    table = tracks.loc[tracks["duplicate_group"] != "", columns].sort_values(["duplicate_group", "track_id"])
    same = table.duplicated("audio_sha256", keep=False)
    return table.assign(copy=same.map({True: "bytes", False: "recording"})).reset_index(drop=True)


def _small_table(tracks: pd.DataFrame, options: DataOptions) -> pd.DataFrame:
    """Label values, and artists where albums are assigned, without a song of one clip in some subset of the split."""
    rows = []
    usable = tracks[(tracks["audio_sha256"] != "") & ~tracks["problems"].str.contains("too_short")]
    columns = {options.label: "label"} | ({"artist": "artist"} if options.split in ("album", "kfold") else {})
    for name, column in columns.items() if options.split != "all" else ():
        for value, part in tracks.groupby(column, sort=True):
            songs = usable[usable[column] == value]
            if missing := [subset for subset in SUBSETS if subset not in set(songs["subset"])]:
                albums = len(songs[["artist", "album"]].drop_duplicates())
                rows.append((name, value, " ".join(missing), len(songs), albums, len(part) - len(songs)))
    return pd.DataFrame(rows, columns=["column", "value", "missing", "songs", "albums", "unusable"])


def log(run: Run, checkup: Checkup, options: DataOptions) -> None:
    """Tables, figure, counts and description into the run; the short form onto the terminal."""
    counts, artists = checkup.metrics, checkup.by("artist")
    run.metrics(counts)
    tables = {
        "tracks": checkup.tracks, "artists": artists, "albums": checkup.by("artist", "album"),
        "duplicates": checkup.duplicates, "too_small": checkup.small,
        "quarantined": prepare.quarantine_table(checkup.features),
    }  # fmt: skip
    for name, table in tables.items():
        run.table(table, f"{name}.csv")
    title = (
        f"{checkup.corpus.name}: {counts['tracks']} tracks, {counts['minutes']:.0f} minutes, "
        f"{counts['artists']} artists, {counts['albums']} albums"
    )
    figure = report.corpus_figure(checkup.tracks, list(PROBLEMS), title, options.clip)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "corpus.png").write_bytes(figure_bytes(figure))
        run.folder(Path(folder))
    warnings = [*prepare.unlabelled_warnings(checkup.corpus, options.label), *checkup.conflicts]
    text = report.corpus_text(
        title, artists, checkup.tracks, PROBLEMS, checkup.duplicates, checkup.small, f"split={options.split}", warnings
    )  # fmt: skip
    print("\n" + text)
    run.description(f"```\n{text}\n```")
