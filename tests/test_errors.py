"""Commands that a user is told to type."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from projects.artists.errors import command, env_manager


def test_a_command_can_be_pasted_whatever_its_values_hold():
    words = shlex.split(command("train", data="/my music/a'b", clip=5))
    assert words[:5] == ["mlflow", "run", ".", "-e", "train"]
    assert words[5:9] == ["-P", "data=/my music/a'b", "-P", "clip=5"]


def test_an_environment_of_ones_own_is_local(tmp_path):
    assert env_manager(tmp_path / "venv") == " --env-manager=local"


@pytest.mark.parametrize("maker", ["uv", "virtualenv"])
def test_the_manager_that_made_an_environment_is_named(tmp_path, maker):
    place = tmp_path / f"mlflow-{'0' * 40}"
    words = ["uv", "venv", "--offline", "-p", sys.executable] if maker == "uv" else [sys.executable, "-m", "venv"]
    if maker == "uv":
        pytest.importorskip("uv")
        words = [sys.executable, "-m", *words]
    subprocess.run([*words, str(place)], check=True, capture_output=True)
    assert env_manager(place) == f" --env-manager={maker}"


def test_with_conda_no_flag_is_needed(tmp_path):
    (tmp_path / "mlflow-0" / "conda-meta").mkdir(parents=True)
    assert env_manager(tmp_path / "mlflow-0") == ""
