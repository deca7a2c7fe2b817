"""A corpus on S3: over HTTP, against a real S3 API server in a process of its own."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import boto3
import pandas as pd
import pytest

from projects.artists.data import cache, corpora
from projects.artists.data.corpora import s3
from projects.artists.data.splits import make_split
from projects.artists.errors import InputError
from projects.artists.workflows.score import table as batch

PROJECT = Path(__file__).parents[2]
SECRET = "verysecretkey"


class Store:
    """The server, a client of it, and what it has been asked for."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", "0"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for line in self.process.stderr:
            if found := re.search(r"Running on http://127.0.0.1:(\d+)", line):
                break
        self.url = f"http://127.0.0.1:{found[1]}"
        self.asked: list[str] = []
        threading.Thread(target=lambda: self.asked.extend(self.process.stderr), daemon=True).start()
        self.client = self.service("s3")

    def service(self, name: str, key: str = "key", secret: str = SECRET):
        return boto3.client(
            name, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
        )

    def fill(self, bucket: str, root: Path, prefix: str = "", most: int | None = None) -> str:
        self.client.create_bucket(Bucket=bucket)
        for path in sorted(path for path in root.rglob("*") if path.is_file())[:most]:
            self.client.upload_file(str(path), bucket, prefix + path.relative_to(root).as_posix())
        return f"s3://{bucket}/{prefix}"

    def authenticate(self, after: str) -> None:
        """From how many more calls on permissions count."""
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth", after.encode(), {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(request).close()


@pytest.fixture(scope="module")
def store():
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        server = Store()
        yield server
        server.process.kill()
        server.process.wait()


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path, store):
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": store.url,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def music(store, common_corpus) -> str:
    """The common corpus in a bucket: read only."""
    return store.fill("music", common_corpus)


@pytest.fixture
def bucket(store, request) -> str:
    return re.sub("[^a-z]+", "-", request.node.name)[:60].strip("-")


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """Keys that have been downloaded."""
    keys: list[str] = []
    download = s3._download

    def noted(place, remote):
        keys.append(remote.key)
        download(place, remote)

    monkeypatch.setattr(s3, "_download", noted)
    return keys


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def said(data: str) -> str:
    with pytest.raises(InputError) as error:
        corpora.load(data)
    assert SECRET not in str(error.value)
    return str(error.value)


# What it is


@pytest.mark.parametrize("prefix", ["", "deep/in/music/"])
def test_a_corpus_is_the_same_on_s3_and_on_disk(store, bucket, common_corpus, prefix):
    (uri, disk) = store.fill(bucket, common_corpus, prefix), corpora.load(str(common_corpus))
    corpus = corpora.load(uri)
    assert corpus.name == (prefix.rstrip("/").rpartition("/")[2] or bucket)
    facts = lambda t: (t.track_id, t.artist, t.album, t.title)  # noqa: E731
    assert [facts(t) for t in corpus.tracks] == [facts(t) for t in disk.tracks] and len(corpus.tracks) == 18
    for there, here in zip(corpus.tracks, disk.tracks, strict=True):
        assert there.path.read_bytes() == here.path.read_bytes() and there.path.suffix == ".flac"
    for split in ("song", "album"):
        assert make_split(corpus, split, seed=3).digest == make_split(disk, split, seed=3).digest


def test_what_is_scored_may_lie_in_any_layout(store, bucket, common_corpus, tmp_path):
    song = next(common_corpus.rglob("*.flac"))
    for name in ("loose.flac", "a/b/c/deep.flac", "notes.txt"):
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(song, tmp_path / "music" / name)
    uri = store.fill(bucket, tmp_path / "music", "library/")
    seen = []
    there = list(batch.songs_of(uri, None, lambda *told: seen.append(told)))
    here = list(batch.songs_of(str(tmp_path / "music"), None))
    assert seen == [(1, 2, "download"), (2, 2, "download")]
    assert sorted(song.track_id for song in there) == sorted(song.track_id for song in here)
    assert [song.track_id for song in there] == ["a/b/c/deep.flac", "loose.flac"]
    assert all(each.path.read_bytes() == song.read_bytes() and not each.label for each in there)
    with pytest.raises(InputError, match="holds no audio files"):
        batch.songs_of(f"{uri}a/b/c/d", None)


def test_a_manifest_on_s3_brings_its_labels_to_be_scored(store, bucket, common_corpus, tmp_path):
    pd.DataFrame({"path": ["a.flac"], "artist": ["Ada"], "genre": ["folk"]}).to_csv(tmp_path / "t.csv", index=False)
    shutil.copy(next(common_corpus.rglob("*.flac")), tmp_path / "a.flac")
    (song,) = batch.songs_of(f"{store.fill(bucket, tmp_path)}t.csv", "genre")
    assert song.label == "folk" and song.path.is_file()


def test_only_what_is_new_or_changed_is_fetched_and_what_is_deleted_vanishes(store, bucket, common_corpus, fetched):
    uri = store.fill(bucket, common_corpus)
    first = corpora.load(uri)
    assert len(fetched) == 18
    fetched.clear()
    assert corpora.load(uri) == first and corpora.load(uri.rstrip("/")) == first and fetched == []
    before = {track.track_id: track.path.read_bytes() for track in first.tracks}
    changed, gone = first.tracks[3].track_id, first.tracks[4].track_id
    # The same size: only the ETag tells.
    content = before[changed][:-1] + bytes([before[changed][-1] ^ 1])
    store.client.put_object(Bucket=bucket, Key=changed, Body=content)
    store.client.put_object(Bucket=bucket, Key="artist0/album0/new.flac", Body=b"new")
    store.client.delete_object(Bucket=bucket, Key=gone)
    second = corpora.load(uri)
    assert sorted(fetched) == ["artist0/album0/new.flac", changed]
    assert {track.track_id for track in second.tracks} == set(before) - {gone} | {"artist0/album0/new.flac"}
    assert next(track for track in second.tracks if track.track_id == changed).path.read_bytes() == content


def test_a_run_may_still_read_what_has_been_replaced_but_not_for_ever(store, bucket, common_corpus):
    uri = store.fill(bucket, common_corpus, most=3)
    old = corpora.load(uri).tracks[0]
    store.client.put_object(Bucket=bucket, Key=old.track_id, Body=b"other")
    corpora.load(uri)
    assert old.path.is_file()
    mark = old.path.with_name(old.path.name + s3.UNWANTED)
    os.utime(mark, (0, 0))
    kept = corpora.load(uri)
    assert not old.path.exists() and not mark.exists() and all(track.path.is_file() for track in kept.tracks)


def test_progress_counts_files_under_a_name_of_its_own(music):
    seen = []
    corpora.load(music, lambda *told: seen.append(told))
    assert seen == [(i, 18, "download") for i in range(1, 19)]
    corpora.load(music, lambda *told: seen.append(told))
    assert len(seen) == 18


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_manifest_fetches_what_it_names_and_has_the_ids_of_the_disk(store, bucket, small_corpus, fetched, suffix):
    paths = sorted(path.relative_to(small_corpus).as_posix() for path in small_corpus.rglob("*.flac"))[:12]
    table = pd.DataFrame({"path": paths, "artist": [p.split("/")[0] for p in paths], "mood": "calm"})
    file = small_corpus / f"tracks.{suffix}"
    table.to_csv(file, index=False) if suffix == "csv" else table.to_parquet(file)
    uri = store.fill(bucket, small_corpus, "some/where/") + file.name
    here, there = corpora.load(str(file)), corpora.load(uri)
    assert [t.track_id for t in there.tracks] == [t.track_id for t in here.tracks] == paths
    assert there.name == here.name == "tracks" and there.label_columns == here.label_columns
    assert [t.path.read_bytes() for t in there.tracks] == [t.path.read_bytes() for t in here.tracks]
    assert make_split(there, "song").digest == make_split(here, "song").digest
    assert sorted(fetched) == sorted(f"some/where/{path}" for path in [*paths, file.name])


def test_what_a_manifest_names_and_s3_lacks_is_left_to_be_reported(store, bucket, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "m.csv").write_text("path,artist\na/x.wav,A\nb/y.wav,B\n")
    (tmp_path / "c" / "a").mkdir()
    (tmp_path / "c" / "a" / "x.wav").write_bytes(b"x")
    corpus = corpora.load(store.fill(bucket, tmp_path / "c") + "m.csv")
    assert [track.path.exists() for track in corpus.tracks] == [True, False]


# Strangers' keys


def test_no_key_is_written_outside_the_cache(store, bucket, tmp_path):
    store.client.create_bucket(Bucket=bucket)
    kept = [
        "A/b/c.wav",
        "a/b/c.wav",
        "a/b/c.wav/d.wav",
        "back\\..\\..\\x/y/z.wav",
        f"long/{'x' * 900}/s.flac",
        "ü/%2e/s.ogg",
    ]
    odd = ["../../escape/a/b.wav", "/abs/a/b.wav", "a/../b/c/d.wav", "a//b/c.wav", "a/./b/c.wav", "folder/"]
    for key in [*kept, *odd, ".hidden/a/b.wav", "a/b/cover.jpg"]:
        store.client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    before = files(tmp_path)
    corpus = corpora.load(f"s3://{bucket}")
    assert {track.track_id: track.path.read_text() for track in corpus.tracks} == {key: key for key in kept}
    assert all(path.is_relative_to(cache.cache_root() / "s3") for path in files(tmp_path) - before)


@pytest.mark.parametrize("path", ["../outside.wav", "/etc/passwd", "a/../../b.wav"])
def test_a_manifest_reaches_nothing_outside_its_folder(store, bucket, tmp_path, path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "m.csv").write_text(f"path,artist\n{path},A\nb/y.wav,B\n")
    assert "relative" in said(store.fill(bucket, tmp_path / "c") + "m.csv")


# Interruption


class Gate(threading.Thread):
    """A TCP proxy before the store that, while shut, lets `limit` bytes of answers through and then none."""

    def __init__(self, url: str, limit: int) -> None:
        super().__init__(daemon=True)
        self.server, self.limit, self.passed = socket.create_server(("127.0.0.1", 0)), limit, 0
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.port, self.stalled, self.open = int(url.rpartition(":")[2]), threading.Event(), threading.Event()

    def run(self) -> None:
        while True:
            near, _ = self.server.accept()
            far = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.pipe, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.pipe, args=(far, near, True), daemon=True).start()

    def pipe(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(4096):
                self.passed += counted * len(data)
                if counted and self.passed > self.limit:
                    self.stalled.set()
                    self.open.wait()
                target.sendall(data)
        except OSError:
            pass
        finally:
            for each in (source, target):
                each.close()


def test_a_killed_download_goes_on_with_what_is_missing(store, music, common_corpus, tmp_path, fetched, monkeypatch):
    whole = sum(path.stat().st_size for path in files(common_corpus))
    gate = Gate(store.url, whole // 2)
    gate.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
    code = "import sys; from projects.artists.data.corpora import s3; s3.THREADS = 2; s3.load(sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, music], cwd=PROJECT)
    assert gate.stalled.wait(60)
    held = lambda: {p for p in files(cache.cache_root()) if not p.name.startswith(".")}  # noqa: E731
    left = lambda: {p for p in files(cache.cache_root()) if p.name.startswith(".partial-")}  # noqa: E731
    while not left() and process.poll() is None:
        pass
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = held()
    assert 0 < len(before) < 18 and left()
    for path in left():
        os.utime(path, (0, 0))
    gate.open.set()
    corpus = corpora.load(music)
    assert len(fetched) == 18 - len(before) and before <= held() and not left()
    assert {t.track_id: t.path.read_bytes() for t in corpus.tracks} == {
        path.relative_to(common_corpus).as_posix(): path.read_bytes() for path in files(common_corpus)
    }


def test_an_object_that_changes_while_it_is_fetched_is_not_taken_for_the_old(store, bucket, common_corpus, monkeypatch):
    uri, download = store.fill(bucket, common_corpus, most=3), s3._download

    def changed(place, remote):
        store.client.put_object(Bucket=bucket, Key=remote.key, Body=b"changed")
        download(place, remote)

    monkeypatch.setattr(s3, "_download", changed)
    assert "has changed" in said(uri)
    assert not {path for path in files(cache.cache_root()) if path.read_bytes() == b"changed"}


def test_a_disk_that_fills_is_named_and_no_half_object_is_trusted(music):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))\n"
        "from projects.artists.data.corpora import s3\n"
        "s3.load(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, music], cwd=PROJECT, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert "InputError: The cache cannot be written" in last and "disk is full" in last and "ARTISTS_CACHE" in last
    assert not files(cache.cache_root())


# What is refused


class Answer(http.server.BaseHTTPRequestHandler):
    """Refuses everything, as a proxy of a company may: no XML, no code."""

    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def user(store):
    """Makes the credentials of a user with a policy the ones that are used."""
    iam = store.service("iam")

    def become(monkeypatch, name, *actions):
        iam.create_user(UserName=name)
        statements = [{"Effect": "Allow", "Action": action, "Resource": "*"} for action in actions]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        store.authenticate("0")

    yield become
    store.authenticate("inf")


def test_who_may_not_list_is_told_what_to_ask_for(music, user, monkeypatch):
    user(monkeypatch, "nobody")
    error = said(music)
    assert "s3:ListBucket" in error and "bucket music" in error


def test_who_may_list_but_not_read_is_told_which_object(music, user, monkeypatch):
    user(monkeypatch, "lister", "s3:ListBucket")
    error = said(music)
    assert "s3:GetObject" in error and ".flac" in error and "bucket music" in error


def test_who_may_list_and_read_gets_the_corpus(music, user, monkeypatch):
    user(monkeypatch, "reader", "s3:ListBucket", "s3:GetObject")
    assert len(corpora.load(music).tracks) == 18


def test_unknown_keys_of_a_user_are_named(music, user, monkeypatch):
    user(monkeypatch, "other", "s3:*")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    assert "AWS_ACCESS_KEY_ID" in said(music)


def test_a_refusal_without_a_word_is_still_explained(monkeypatch):
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    error = said("s3://music/a")
    server.shutdown()
    assert "may not s3:ListBucket" in error and "music" in error


def test_a_bucket_that_is_not_there_and_names_that_cannot_be(bucket):
    assert "There is no bucket nowhere" in said("s3://nowhere/x")
    assert "names no bucket" in said("s3:///x")
    assert "cannot be the name of a bucket" in said("s3://a b/x")


def test_an_empty_prefix_and_a_missing_manifest(store, bucket, common_corpus):
    store.fill(bucket, common_corpus, most=1)
    assert "no audio files" in said(f"s3://{bucket}/elsewhere")
    assert "does not exist" in said(f"s3://{bucket}/tracks.csv")
    store.client.put_object(Bucket=bucket, Key="bad.csv", Body=b"file,who\n")
    assert f"s3://{bucket}/bad.csv has no column path" in said(f"s3://{bucket}/bad.csv")


def test_without_credentials_it_says_what_to_set(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = said("s3://music/x")
    assert "no AWS credentials" in error and "AWS_PROFILE" in error and "music" in error


def test_an_address_that_does_not_answer_is_named_without_its_password(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{SECRET}@127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port} does not answer" in said("s3://music/x")


def test_mlflows_address_of_the_store_is_used_where_aws_has_none(store, music, monkeypatch):
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    assert len(corpora.load(music).tracks) == 18
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", store.url)
    assert len(corpora.load(music).tracks) == 18
