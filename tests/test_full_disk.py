"""A cache on a full disk, without permission or in the wrong place: a clear word, and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from projects.artists.audio.features import FeatureConfig
from projects.artists.data import cache, corpora
from projects.artists.data.cache import STALE_SECONDS, DigestIndex, FeatureStore
from projects.artists.data.featurize import featurize
from projects.artists.errors import InputError

PROJECT = Path(__file__).parents[1]
# A file system of its own, of a size that is given, for the process alone.
SMALL_DISK = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


def child(code: str, *argv: object, disk: str = "") -> list:
    """What a process prints as JSON; `disk` is the size of the file system that its cache is on."""
    command = [sys.executable, "-c", code, *map(str, argv)]
    if disk:
        command = ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", disk, str(cache.cache_root()), *command]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def mountable() -> bool:
    folder = cache.cache_root()
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", "64k", str(folder), "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


FEATURIZE = """
import json, os, subprocess, sys
import numpy as np
from projects.artists.audio.features import FeatureConfig
from projects.artists.data import cache, corpora
from projects.artists.data.featurize import featurize
from projects.artists.errors import InputError

root, corpus = cache.cache_root(), corpora.load(sys.argv[1])
try:
    featurize(corpus, FeatureConfig(), workers=2)
    said = ""
except InputError as error:
    said = str(error)
features = root / "features"
whole = [path for path in features.rglob("*.npy") if np.load(path).shape == (126, 128)]
every = [path for path in features.rglob("*") if path.is_file()]
subprocess.run(["mount", "-o", "remount,size=8m", str(root)], check=True)
after = featurize(corpus, FeatureConfig(), workers=2)
print(json.dumps([said, len(whole), len(every), after.computed, len(after.entries), after.quarantined]))
"""


def test_featurize_on_a_full_disk_says_so_and_goes_on_when_there_is_room(common_corpus):
    if not mountable():
        pytest.skip("no file system can be mounted here")
    said, whole, every, computed, entries, quarantined = child(FEATURIZE, common_corpus, disk="600k")
    assert "disk is full" in said and str(cache.cache_root()) in said and "ARTISTS_CACHE" in said
    assert 0 < whole < 18 and every == whole
    assert computed == 18 - whole and entries == 18 and quarantined == {}


LIMITED = """
import json, resource, sys
import numpy as np
from pathlib import Path
from projects.artists.audio.features import FeatureConfig
from projects.artists.data.cache import DigestIndex, FeatureStore, atomic_write, cache_root
from projects.artists.data.corpora import demo
from projects.artists.errors import InputError

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
array, root, index = np.zeros((1000, 128), np.float32), cache_root(), DigestIndex()

def stored():
    FeatureStore(FeatureConfig()).write("ab" * 32, array)

def checkpoint():
    with atomic_write(root / "checkpoints" / "a.npz") as file:
        np.savez(file, a=array, b=array)

def synthesised():
    demo.synthesise(root / "demo", artists=2, albums=1, songs=1, seconds=4.0, workers=1)

def indexed():
    here = Path(sys.executable)
    for i in range(1000):
        index.put(here.with_name("x" * 200 + str(i)), here.stat(), "0" * 64)

said = []
for write in (stored, checkpoint, synthesised, indexed):
    try:
        write()
    except InputError as error:
        said.append(str(error))
found = [path.name for path in root.rglob("*") if path.is_file()]
print(json.dumps([said, found, DigestIndex().get(Path("x"))]))
"""


def test_every_writer_of_the_cache_says_that_a_file_cannot_grow_and_leaves_none():
    """A limit on the size of files fails as a full disk does, on any machine."""
    said, found, _ = child(LIMITED)
    assert len(said) == 4 and all("ARTISTS_CACHE" in sentence for sentence in said)
    assert all("disk is full" in sentence for sentence in said[:3]), said
    assert sorted(found) == ["digests.sqlite", "synthesis.json"]


OUTPUT = """
import json, resource, sys
from pathlib import Path
from projects.artists.data.cache import atomic_write
from projects.artists.errors import InputError
from projects.artists.workflows.score.journal import Journal
from projects.artists.workflows.score.pool import Song

folder = Path(sys.argv[1])
journal = Journal(folder / "out.csv.partial", {"model": "1"})
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

def noted():
    journal.expect(Song("x" * 200 + str(i), folder / "x") for i in range(10_000))

def written():
    with atomic_write(folder / "out.csv") as file:
        file.write(bytes(100_000))

said = []
for write in (noted, written):
    try:
        write()
    except InputError as error:
        said.append(str(error))
print(json.dumps([said, sorted(path.name for path in folder.iterdir())]))
"""


def test_an_output_on_a_full_disk_is_named_and_not_taken_for_the_cache(tmp_path):
    said, found = child(OUTPUT, tmp_path)
    assert len(said) == 2 and all(sentence.startswith(f"{tmp_path} cannot be written: ") for sentence in said), said
    assert all("same command" in sentence for sentence in said) and "disk is full" in said[1]
    assert not any("ARTISTS_CACHE" in sentence or "cache" in sentence for sentence in said)
    assert "out.csv" not in found and not [name for name in found if name.startswith(".partial")]


def test_a_cache_that_is_a_file_or_cannot_be_made_is_named(tmp_path, monkeypatch, common_corpus):
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        monkeypatch.setenv("ARTISTS_CACHE", str(place))
        with pytest.raises(InputError, match=f"The cache cannot be written in {place}.*ARTISTS_CACHE"):
            featurize(corpora.load(str(common_corpus)), FeatureConfig())


def test_a_cache_without_permission_to_write_is_named(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir(mode=0o500)
    if os.access(tmp_path / "mine", os.W_OK):
        pytest.skip("this user may write everywhere")
    monkeypatch.setenv("ARTISTS_CACHE", str(tmp_path / "mine"))
    with pytest.raises(InputError, match="mine: Permission denied"):
        FeatureStore(FeatureConfig()).write("ab" * 32, [1])


def test_a_damaged_index_of_digests_is_named(tmp_path):
    (tmp_path / "digests.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"digests\.sqlite is damaged .*Delete it"):
        DigestIndex(tmp_path)


def test_what_died_processes_left_is_removed_once_it_is_old(small_corpus, in_process):
    store = FeatureStore(FeatureConfig())
    old, young = (store.folder / "ab" / f".partial-{name}" for name in ("old", "young"))
    for path, age in ((old, STALE_SECONDS + 60), (young, 60)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    featurize(corpora.load(str(small_corpus)), FeatureConfig())
    assert young.exists() and not old.exists()
