"""The file of a reference: what it answers, what it refuses, what of it a stranger could have made."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest

from projects.artists.errors import InputError
from projects.artists.package import reference

MADE_BY = {"model": "0123456789abcdef", "model_name": "crnn", "model_source": "models:/m-1", "label": "artist"}


def made(labels: str = "aabb", start: int = 0, **by: str) -> reference.Reference:
    """A song a letter, by the artist of that name, in a direction near the artist's axis."""
    vectors = [np.eye(3)["abc".index(name)] + 0.1 * np.eye(3)[i % 3] for i, name in enumerate(labels)]
    ids = [f"{name}/song{start + i}" for i, name in enumerate(labels)]
    digests = [f"{start + i:064x}" for i in range(len(labels))]
    return reference.make(ids, list(labels), digests, np.array(vectors), **(MADE_BY | by))


def same(one: reference.Reference, two: reference.Reference) -> bool:
    return one.digest == two.digest and one.meta == two.meta and np.array_equal(one.vectors, two.vectors)


def test_what_is_written_is_read_again(tmp_path):
    original = dataclasses.replace(made(), labels=["Ünï", "b\n", "日本", "x" * 500], version=3, previous="feed")
    reference.write(tmp_path / "r.npz", original)
    read = reference.read(tmp_path / "r.npz")
    assert same(read, original) and read.labels == original.labels and read.track_ids == original.track_ids
    assert not list(tmp_path.glob(".partial*"))


def test_the_digest_changes_with_every_part_but_where_the_model_lies():
    one = made()
    changed = [
        dataclasses.replace(one, vectors=one.vectors + np.float32(1e-3)),
        dataclasses.replace(one, labels=list("abbb")),
        dataclasses.replace(one, track_ids=list("wxyz")),
        made(model="other"),
        dataclasses.replace(one, version=2),
    ]
    assert len({one.digest, *(each.digest for each in changed)}) == 6
    assert made(model_source="elsewhere").digest == one.digest


def test_it_answers_with_the_nearest_artist():
    answer = made("aaabbbcc").answer(np.array([[0.0, 2, 0.1], [0, 4, 0.1]]), top_k=2)
    assert answer.artist == "b" and answer.top_artists[0] == "b" and len(answer.top_artists) == 2
    assert answer.similarity == pytest.approx(answer.top_similarities[0]) and 0.9 < answer.similarity <= 1
    assert answer.none_of_these < 0.5


def test_a_stranger_is_none_of_these():
    known = made("aaabbb")
    assert known.answer(np.array([[0.0, 0, 1]])).none_of_these > 0.5
    assert made("ab").answer(np.array([[0.0, 0, 1]])).none_of_these is None


def test_vectors_of_another_size_or_model_are_refused():
    with pytest.raises(InputError, match="the reference holds 3 numbers a song"):
        made().answer(np.ones((2, 4)))
    with pytest.raises(InputError, match=r"vectors of another model.*crnn 0123456789abcdef.*this is ffff"):
        made().check_model("ffff")
    with pytest.raises(InputError, match="another model"):
        made().extended(made(model="ffff", start=4))


def test_a_second_version_holds_both_and_says_where_it_comes_from():
    first, more = made("aabb"), made("ccc", start=4)
    second = first.extended(more)
    assert second.version == 2 and second.previous == first.digest and second.artists == ["a", "b", "c"]
    assert len(second) == 7 and second.track_ids == sorted(second.track_ids) and len(first) == 4
    assert second.answer(more.vectors[:1]).artist == "c"


def test_a_song_enrolled_twice_counts_once_and_never_under_two_names():
    first = made("aabb")
    again = first.extended(made("aab"))
    assert len(again) == 4 and again.version == 2
    with pytest.raises(InputError, match=r"c/song0 is enrolled as a already; now it stands under c"):
        first.extended(made("c"))
    with pytest.raises(InputError, match="the same audio under two names"):
        reference.make(["x", "y"], ["a", "b"], ["0", "0"], np.eye(2), **MADE_BY)


def test_songs_of_the_same_name_in_two_folders_keep_a_name_each():
    first = made("aabb")
    other = dataclasses.replace(made("aabb", start=10), track_ids=first.track_ids)
    ids = first.extended(other).track_ids
    assert len(set(ids)) == 8 and "a/song0 (2)" in ids


def test_nearest_songs_come_with_their_names():
    table = made("aabb").nearest(np.array([0.0, 1, 0]), 3)
    assert table["artist"].tolist()[:2] == ["b", "b"] and table["rank"].tolist() == [1, 2, 3]
    assert table["similarity"].is_monotonic_decreasing


def parts(**changes: object) -> dict[str, np.ndarray]:
    """The arrays of a whole file, some of them changed."""
    whole = made()
    arrays = {name: np.array(getattr(whole, name)) for name in ("vectors", "track_ids", "labels", "audio_sha256")}
    return arrays | {"meta": np.array(json.dumps(whole.meta))} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.array([b"code", None, "x", "y"], object)},
        {"vectors": np.ones((4, 3))},
        {"vectors": np.full((4, 3), np.nan, np.float32)},
        {"vectors": np.ones((3, 3), np.float32)},
        {"vectors": np.ones(4, np.float32)},
        {"track_ids": np.arange(4)},
        {"meta": np.array("[]")},
        {"meta": np.array("{")},
        {"meta": np.array(json.dumps({**made().meta, "format": 2}))},
        {"meta": np.array(json.dumps({**made().meta, "version": "1"}))},
        {"meta": np.array(json.dumps({**made().meta, "more": "x"}))},
    ],
    ids=["pickle", "float64", "NaN", "fewer", "flat", "numbers", "list", "broken", "format", "type", "unknown"],
)
def test_what_this_project_did_not_write_is_refused(tmp_path, changes):
    np.savez(tmp_path / "r.npz", **parts(**changes))
    with pytest.raises(InputError, match=r"cannot be read: .+ Give a reference\.npz"):
        reference.read(tmp_path / "r.npz")


def test_a_file_that_is_not_whole_or_no_archive_or_not_there_is_refused(tmp_path):
    reference.write(tmp_path / "r.npz", made())
    whole = (tmp_path / "r.npz").read_bytes()
    for content in (whole[:-30], b"text", b""):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            reference.read(tmp_path / "bad.npz")
    with pytest.raises(InputError, match="No such file"):
        reference.read(tmp_path / "nothing.npz")


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "LARGEST", 100_000)
    content = io.BytesIO()
    np.save(content, np.zeros((1000, 100), np.float32))
    with zipfile.ZipFile(tmp_path / "r.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.npy", content.getvalue())
    assert (tmp_path / "r.npz").stat().st_size < 10_000
    with pytest.raises(InputError, match="unpacks to more than"):
        reference.read(tmp_path / "r.npz")


def test_the_identity_of_a_system_is_that_of_its_files_wherever_they_lie(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "system.json").write_text("{}")
        (tmp_path / name / "sub" / "weights").write_bytes(b"1")
    first = reference.identity_of(tmp_path / "one")
    assert reference.identity_of(tmp_path / "two") == first
    (tmp_path / "two" / "sub" / "weights").write_bytes(b"2")
    assert reference.identity_of(tmp_path / "two") != first
