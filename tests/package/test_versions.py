"""Packaged models far from the checkout: two versions in one process, and a clean environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
WRITE = """
import json, sys
import mlflow, models
from pathlib import Path
given = json.loads(sys.argv[1])
_, uri = models.log(Path(given["work"]), models.card_of(**given["card"]))
print(mlflow.artifacts.download_artifacts(uri, dst_path=given["out"]))
"""
READ = """
import json, sys
import mlflow, numpy as np, pandas as pd
folders = sys.argv[1:]
loaded = [mlflow.pyfunc.load_model(folder) for folder in folders]
kept = [np.load(folder + "/artifacts/golden.npz") for folder in folders]
worst = []
for _ in range(2):
    for model, golden in zip(loaded, kept):
        rows = pd.DataFrame({"audio": [golden[f"audio_{i}"].tobytes() for i in range(4)]})
        answers = model.predict(rows, params={"top_k": 3, "embedding": True})
        worst.append(max(
            float(np.abs(np.array(answers["embedding"].tolist()) - golden["embedding"]).max()),
            float(np.abs(answers["probability"] - golden["proba"].max(1)).max()),
        ))
packages = {name.split(".")[0] for name in sys.modules if name.startswith("artists_")}
assert not [name for name in sys.modules if name.split(".")[0] == "projects"]
print(json.dumps({"worst": worst, "packages": len(packages)}))
"""


def python(code: str, *arguments: str, executable: str = sys.executable, **environment: str) -> str:
    given = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ARTISTS_AUDIO_ROOT")}
    given |= {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"} | environment
    done = subprocess.run(
        [executable, "-c", code, *arguments], env=given, capture_output=True, text=True, timeout=1500, cwd=Path.home()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_two_versions_of_other_features_and_layers_each_give_their_own_answer(tmp_path):
    """Each logged by a checkout of its own, used in turn in one process once both checkouts are gone."""
    folders = []
    for name, filters, card in (
        ("one", "64,128,128,128", {}),
        ("two", "8,16,16,16", {"features": {"sr": 8000, "n_fft": 1024, "hop_length": 256}, "clip_frames": 40}),
    ):
        checkout = tmp_path / name
        shutil.copytree(PROJECT / "projects", checkout / "projects")
        shutil.copy(PROJECT / "tests" / "models.py", checkout)
        network = checkout / "projects" / "artists" / "systems" / "crnn.py"
        text = network.read_text(encoding="utf-8")
        published = 'each block"] = "64,128,128,128"'
        assert published in text
        network.write_text(text.replace(published, f'each block"] = "{filters}"'), encoding="utf-8")
        given = {"work": str(checkout / "work"), "out": str(tmp_path / f"{name}-model"), "card": card}
        folders.append(python(WRITE, json.dumps(given), PYTHONPATH=str(checkout)))
        shutil.rmtree(checkout)
    said = json.loads(python(READ, *folders))
    assert said["packages"] == 2 and max(said["worst"]) < 1e-4
    first, second = (json.loads((Path(f) / "artifacts" / "system" / "system.json").read_text()) for f in folders)
    assert first["features"] != second["features"]


@pytest.mark.slow
def test_it_predicts_in_a_clean_environment_of_its_own_requirements(packaged, tmp_path):
    """Needs what pip has in reach: the package index, or uv's cache."""
    model, environment = tmp_path / "model", tmp_path / "clean"
    shutil.copytree(packaged, model)
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(environment)], check=True)
    executable = str(environment / "bin" / "python")
    install = [*uv, "pip", "install", "-q", "--python", executable, "-r", str(model / "requirements.txt")]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode and ("network" in done.stderr.lower() or "connect" in done.stderr.lower()):
        pytest.skip(f"the package index is out of reach: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    said = json.loads(python(READ, str(model), executable=executable, VIRTUAL_ENV=str(environment)))
    assert max(said["worst"]) < 1e-4
