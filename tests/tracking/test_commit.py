"""What a run says of the code: its commit, and whether the checkout differs from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from projects.artists.tracking import runs

PROJECT = Path(__file__).parents[2]


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A repository of one commit, in which the module seems to lie."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "projects").mkdir()
    (folder / "projects" / "train.py").write_text("code")
    (folder / ".gitignore").write_text("mlruns/")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    monkeypatch.setattr(runs, "PROJECT", folder)
    return folder


def test_a_checkout_is_dirty_by_changes_and_by_new_code_but_not_by_files_beside_it(checkout):
    (checkout / "mlruns").mkdir()
    (checkout / "mlruns" / "x").touch()
    clean = {"mlflow.source.git.commit": git(checkout, "rev-parse", "HEAD").strip(), "git_dirty": "false"}
    (checkout / "best.yaml").touch()
    assert runs._git_tags() == clean
    (checkout / "projects" / "mynet.py").touch()
    assert runs._git_tags() == clean | {"git_dirty": "true"}
    (checkout / "projects" / "mynet.py").unlink()
    (checkout / "projects" / "train.py").write_text("changed")
    assert runs._git_tags() == clean | {"git_dirty": "true"}


@pytest.mark.parametrize(("commit", "tags"), [("", {}), ("abc", {"mlflow.source.git.commit": "abc"})])
def test_without_a_repository_the_commit_is_that_of_the_image_or_none(tmp_path, monkeypatch, commit, tags):
    monkeypatch.setattr(runs, "PROJECT", tmp_path)
    monkeypatch.setenv("ARTISTS_COMMIT", commit)
    assert runs._git_tags() == {"git_dirty": "no repository"} | tags


def test_no_git_is_needed_to_run(tmp_path):
    program = "from projects.artists.tracking import runs; print(runs._git_tags())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "{'git_dirty': 'no repository'}"
