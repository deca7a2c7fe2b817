"""Cards of other versions: read rightly or refused with a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from projects.artists.audio.options import VERSION
from projects.artists.errors import InputError
from projects.artists.package import card


@pytest.fixture
def folder(packaged, tmp_path) -> Path:
    """The system of a model, in a copy that may be spoilt."""
    shutil.copytree(packaged / "artifacts", tmp_path / "artifacts")
    return tmp_path / "artifacts" / "system"


def change(folder: Path, edit: Callable[[dict], object]) -> None:
    content = json.loads((folder / card.CARD).read_text(encoding="utf-8"))
    edit(content)
    (folder / card.CARD).write_text(json.dumps(content), encoding="utf-8")


def without_versions(content: dict) -> None:
    del content["format"], content["features_version"]


def code(folder: Path, version: int) -> None:
    """Lets the model carry code of a version of the features, as models did before cards had a format."""
    (folder.parent / "package" / "audio" / "options.py").unlink()
    (folder.parent / "package" / "audio" / "features.py").write_text(f"import numpy\n\nVERSION = {version}\n")


def test_a_card_says_its_format_and_the_version_of_the_features(folder):
    content = json.loads((folder / card.CARD).read_text(encoding="utf-8"))
    assert content["format"] == card.FORMAT and content["features_version"] == VERSION
    assert card.load(folder)[1] == card.load_card(folder)


def test_an_old_card_is_read_where_the_code_beside_it_computes_the_same_features(folder):
    expected = card.load_card(folder)
    change(folder, without_versions)
    code(folder, VERSION)
    assert card.load(folder)[1] == expected


@pytest.mark.parametrize(
    ("edit", "version", "message"),
    [
        (lambda c: c.update(features_version=VERSION + 5), None, rf"features of version {VERSION + 5}, this code"),
        (without_versions, VERSION - 1, rf"features of version {VERSION - 1}, this code computes version {VERSION}"),
        # Frames of an odd length were others then.
        (
            lambda c: (without_versions(c), c["features"].update(n_fft=1023)),
            VERSION,
            rf"computes version {VERSION + 1}",
        ),
    ],
)
def test_features_of_another_version_are_refused_and_the_card_alone_is_read(folder, edit, version, message):
    """Its artists, songs and label are what score and promote need, where the model runs its own code."""
    change(folder, edit)
    if version:
        code(folder, version)
    with pytest.raises(InputError, match=message):
        card.load(folder)
    assert card.load_card(folder).classes == ["Ada", "Bob", "Cyd"]


def test_an_old_card_with_no_code_beside_it_is_refused(folder):
    change(folder, without_versions)
    shutil.rmtree(folder.parent / "package")
    with pytest.raises(InputError, match="features of version unknown"):
        card.load(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(format=card.FORMAT + 1), rf"has format {card.FORMAT + 1}, this code reads"),
        (lambda c: c.update(format="x"), "has format x"),
        (lambda c: c.update(mood="blue"), "unexpected keyword argument 'mood'"),
        (lambda c: c["features"].update(mood="blue"), "unexpected keyword argument 'mood'"),
        (lambda c: c["features"].update(sr=0), "sr=0"),
        (lambda c: c.pop("classes"), "classes"),
        (lambda c: c.pop("features_version"), "features_version"),
    ],
)
def test_a_card_that_this_code_does_not_know_is_one_sentence(folder, edit, message):
    change(folder, edit)
    for read in (card.load, card.load_card):
        with pytest.raises(InputError, match=rf"system\.json of the model cannot be read: .*{message}") as raised:
            read(folder)
        assert "\n" not in str(raised.value)


def test_a_card_that_is_no_json_or_is_not_there_is_one_sentence(folder):
    for text in ("{", "[]", "null"):
        (folder / card.CARD).write_text(text)
        with pytest.raises(InputError, match=r"system\.json of the model cannot be read"):
            card.load(folder)
    (folder / card.CARD).unlink()
    with pytest.raises(InputError, match=r"system\.json of the model cannot be read"):
        card.load(folder)


def test_options_that_the_system_no_longer_has_are_one_sentence(folder):
    change(folder, lambda content: content["options"].update(mood="blue"))
    with pytest.raises(InputError, match=r"crnn has other options in this version: .*'mood'"):
        card.load(folder)
