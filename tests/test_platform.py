"""Where it runs, and what it says elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# As on Windows: its name, and none of the modules that POSIX alone has.
WINDOWS = """
import runpy, sys
sys.platform = "win32"
sys.modules |= {"fcntl": None, "resource": None, "pwd": None, "grp": None}
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("arguments", [["projects.train"], ["projects.score", "--help"], ["projects.promote"]])
def test_windows_is_told_in_one_sentence(arguments):
    command = [sys.executable, "-c", WINDOWS, *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "Linux and macOS" in done.stderr
    assert len(done.stderr.splitlines()) == 1
