"""A corpus on S3, or on a store that speaks its protocol: `s3://bucket/prefix`, laid out as a folder, or a manifest.

Objects are kept in the cache under names made of their key, ETag and size. So an object that has not changed is never
fetched twice, a changed one never taken for the old, and no key, whatever its characters, chooses where it is written.
Track ids are keys relative to the prefix: those of the same corpus on disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...errors import InputError
from .. import cache
from ..tracks import Corpus, Progress
from ..workers import call_all
from . import folder, manifest

if TYPE_CHECKING:
    from botocore.client import BaseClient

logger = logging.getLogger(__name__)

THREADS = 16
ATTEMPTS = 4
CHUNK = 1 << 20
TABLES = (".csv", ".parquet")
# A run that began before an object was changed may still read the old one.
KEPT_SECONDS = 7 * 24 * 3600.0
UNWANTED = ".unwanted"
# Permissions by the names of the calls that need them.
PERMISSIONS = {"ListObjectsV2": "s3:ListBucket", "GetObject": "s3:GetObject"}


@dataclasses.dataclass(frozen=True)
class Remote:
    """An object of the listing; `relative` is its key without the prefix."""

    key: str
    relative: PurePosixPath
    etag: str
    size: int

    @property
    def name(self) -> str:
        """Of its file in the cache. Only a suffix that is known is kept, to tell the decoder."""
        digest = hashlib.sha256(f"{self.key}\0{self.etag}\0{self.size}".encode("utf-8", "surrogatepass")).hexdigest()
        suffix = self.relative.suffix.lower()
        return digest + (suffix if suffix in TABLES or folder.is_audio(PurePosixPath(f"a{suffix}")) else "")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where objects come from and go to. prefix: empty, or with a slash at its end."""

    data: str
    bucket: str
    prefix: str
    client: BaseClient
    endpoint: str
    cached: Path

    def file(self, remote: Remote) -> Path:
        return self.cached / remote.name


def matches(data: str) -> bool:
    return data.startswith("s3://")


def load(data: str, progress: Progress | None = None) -> Corpus:
    """Raises InputError where the store refuses or does not answer, or what lies there is no corpus."""
    place, table = _named(data)
    with _listed(place) as remotes:
        return _of_manifest(place, remotes, table, progress) if table else _of_folder(place, remotes, progress)


def is_table(data: str) -> bool:
    """Whether it names a manifest rather than a prefix."""
    return data.lower().endswith(TABLES)


def files(data: str, progress: Progress | None = None) -> dict[str, Path]:
    """Audio of any layout below a prefix, fetched: key relative to it -> file. Raises InputError as `load`."""
    place, _ = _named(data)
    with _listed(place) as remotes:
        audio = {str(relative): remote for relative, remote in remotes.items() if folder.is_audio(relative)}
        _fetch(place, audio.values(), progress)
    return {relative: place.file(remote) for relative, remote in sorted(audio.items())}


def _named(data: str) -> tuple[Place, str]:
    """The place that s3://bucket/key means, and the key of its manifest, empty where it is a prefix."""
    bucket, _, key = data.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"data={data} names no bucket. Give s3://bucket/prefix.")
    table = key if is_table(key) else ""
    prefix = key.rpartition("/")[0] if table else key.rstrip("/")
    return _place(data, bucket, f"{prefix}/" if prefix else ""), table


def _of_folder(place: Place, listed: Mapping[PurePosixPath, Remote], progress: Progress | None) -> Corpus:
    audio = {relative: remote for relative, remote in listed.items() if folder.is_audio(relative)}
    files: dict[PurePath, Path] = {relative: place.file(remote) for relative, remote in audio.items()}
    # Before anything is fetched: a wrong prefix may hold a million other things.
    corpus = folder.corpus_of(PurePosixPath(place.prefix).name or place.bucket, files, place.data)
    _fetch(place, audio.values(), progress)
    return corpus


def _of_manifest(place: Place, listed: Mapping[PurePosixPath, Remote], table: str, progress: Progress | None) -> Corpus:
    """Only what the manifest names is fetched; what is not there is left for featurizing to report."""
    remote = listed.get(PurePosixPath(table.removeprefix(place.prefix)))
    if remote is None:
        raise InputError(f"data={place.data} does not exist. Check the name of the manifest.")
    _fetch(place, [remote], None)
    corpus = manifest.read(place.file(remote), place.data)
    relatives = [_relative(track.path, place) for track in corpus.tracks]
    _fetch(place, {relative: listed[relative] for relative in relatives if relative in listed}.values(), progress)
    files = [
        place.file(listed[relative]) if relative in listed else place.cached / "not on S3" for relative in relatives
    ]
    tracks = [dataclasses.replace(track, path=file) for track, file in zip(corpus.tracks, files, strict=True)]
    return Corpus(PurePosixPath(table).stem, tuple(tracks))


def _relative(path: Path, place: Place) -> PurePosixPath:
    """The place of a manifest's track below the prefix."""
    relative = path.relative_to(place.cached) if path.is_relative_to(place.cached) else None
    if relative is None or ".." in relative.parts:
        raise InputError(f"data={place.data} names {path}; its paths must be relative to it and below it.")
    return PurePosixPath(*relative.parts)


# Listing


def _list(place: Place) -> dict[PurePosixPath, Remote]:
    """All objects below the prefix whose keys could be those of files: the first level, then its folders at once."""
    contents, folders = _listing(place, place.prefix, "/")
    with ThreadPoolExecutor(THREADS) as pool:
        for more, _ in pool.map(lambda prefix: _listing(place, prefix, ""), folders):
            contents += more
    listed, odd = {}, []
    for entry in contents:
        key = entry["Key"]
        if key.endswith("/"):  # what consoles make for an empty folder
            continue
        relative = key.removeprefix(place.prefix)
        if _is_path(relative):
            path = PurePosixPath(relative)
            listed[path] = Remote(key, path, entry["ETag"].strip('"'), entry["Size"])
        else:
            odd.append(key)
    if odd:
        logger.warning("%d object(s) whose keys are no paths are left out, the first %.200r", len(odd), odd[0])
    return listed


def _listing(place: Place, prefix: str, delimiter: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Objects below a prefix, and the folders that the delimiter makes."""
    contents, folders = [], []
    pages = place.client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=place.bucket, Prefix=prefix, Delimiter=delimiter):
        contents += page.get("Contents", [])
        folders += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
    return contents, folders


def _is_path(relative: str) -> bool:
    """Whether a file on disk could stand there."""
    return "\0" not in relative and not {"", ".", ".."} & set(relative.split("/"))


# Fetching


def _fetch(place: Place, remotes: Iterable[Remote], progress: Progress | None) -> None:
    """Fetches what the cache does not hold."""
    cache.existing(place.cached)
    remotes = list(remotes)
    missing = [remote for remote in remotes if not place.file(remote).is_file()]
    if not missing:
        return

    def report(fetched: int) -> None:
        if progress:
            progress(len(remotes) - len(missing) + fetched, len(remotes), "download")

    cache.sweep(place.cached)
    with ThreadPoolExecutor(THREADS) as pool:
        call_all(pool, lambda remote: _download(place, remote), missing, report)


def _download(place: Place, remote: Remote) -> None:
    """One object into the cache, whole or not at all; a connection that breaks is tried again."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

    for attempt in range(ATTEMPTS):
        try:
            response = place.client.get_object(Bucket=place.bucket, Key=remote.key)
            if response["ETag"].strip('"') != remote.etag:
                raise InputError(f"data={place.data}: {remote.key} has changed since it was listed. Run it again.")
            with cache.atomic_write(place.file(remote)) as file:
                for chunk in response["Body"].iter_chunks(CHUNK):
                    file.write(chunk)
            return
        except (HTTPClientError, ConnectionError, IncompleteReadError):
            if attempt == ATTEMPTS - 1:
                raise
        except ClientError as error:
            raise _refused(place, error, remote.key) from error


def _forget(place: Place, names: Collection[str]) -> None:
    """Removes files of objects that have been gone or changed for a week."""
    with contextlib.suppress(OSError):
        for path in place.cached.iterdir():
            mark = path.with_name(path.name + UNWANTED)
            if path.name.startswith(".") or path.suffix == UNWANTED:
                continue
            if path.name in names:
                mark.unlink(missing_ok=True)
            elif not mark.exists():
                mark.touch()
            elif time.time() - mark.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
                mark.unlink()


# The store


def _place(data: str, bucket: str, prefix: str) -> Place:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    retries = {"mode": "standard", "max_attempts": ATTEMPTS}
    options = Config(max_pool_connections=THREADS, retries=retries, connect_timeout=10, read_timeout=60)
    # boto3 reads AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 itself.
    named = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} & set(os.environ)
    url = None if named else os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None
    try:
        client = boto3.session.Session().client("s3", endpoint_url=url, config=options)
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"data={data}: the settings of AWS cannot be used: {error}") from error
    parts = urlsplit(client.meta.endpoint_url)
    endpoint = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # without the password that may stand in it
    digest = hashlib.sha256(f"{endpoint}\0{bucket}\0{prefix}".encode()).hexdigest()[:16]
    return Place(data, bucket, prefix, client, endpoint, cache.cache_root().resolve() / "s3" / digest)


@contextlib.contextmanager
def _listed(place: Place) -> Iterator[Mapping[PurePosixPath, Remote]]:
    """All objects, while they are read; afterwards old files are removed.

    Turns what boto3 raises into a sentence; never what the store sent, which may hold parts of keys.
    """
    from botocore import exceptions

    try:
        remotes = _list(place)
        yield remotes
        _forget(place, {remote.name for remote in remotes.values()})
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.TokenRetrievalError) as error:
        raise InputError(
            f"data={place.data}: no AWS credentials were found to list the bucket {place.bucket}. Set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws configure`."
        ) from error
    except exceptions.ParamValidationError as error:
        raise InputError(f"data={place.data}: {place.bucket!r} cannot be the name of a bucket.") from error
    except exceptions.ClientError as error:
        raise _refused(place, error) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError) as error:
        raise InputError(
            f"data={place.data}: {place.endpoint} does not answer as it should ({type(error).__name__}). Check the "
            "network and AWS_ENDPOINT_URL; what has been fetched is kept."
        ) from error
    except exceptions.BotoCoreError as error:
        raise InputError(f"data={place.data} cannot be read from {place.endpoint}: {type(error).__name__}.") from error


def _refused(place: Place, error: Any, key: str = "") -> InputError:
    """What a refusal means: which action on what, and what to do."""
    code = str(error.response.get("Error", {}).get("Code", ""))[:60]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    action = PERMISSIONS.get(error.operation_name, error.operation_name)
    where = f"the object {key} of the bucket {place.bucket}" if key else f"the bucket {place.bucket}"
    advice = {
        "NoSuchBucket": f"There is no bucket {place.bucket} at {place.endpoint}. Check its name and AWS_ENDPOINT_URL.",
        "NoSuchKey": f"The object {key} has been deleted since it was listed. Run it again.",
        "InvalidAccessKeyId": "The store does not know AWS_ACCESS_KEY_ID. Check it, and AWS_ENDPOINT_URL.",
        "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID. Set both again.",
        "ExpiredToken": "The credentials have expired. Log in again.",
        "InvalidObjectState": f"The object {key} is archived. Restore it first.",
        "RequestTimeTooSkewed": "The clock of this machine is wrong. Set it.",
        "PermanentRedirect": f"The bucket {place.bucket} is in another region. Set AWS_DEFAULT_REGION.",
        "AuthorizationHeaderMalformed": f"The bucket {place.bucket} is in another region. Set AWS_DEFAULT_REGION.",
    }.get(code)
    if advice is None and status in (401, 403):
        advice = (
            f"These credentials may not {action} on {where}. Ask its owner for {action}, or use others (AWS_PROFILE)."
        )
    return InputError(f"data={place.data}: {advice or f'{action} on {where} failed: {code or status}.'}")
