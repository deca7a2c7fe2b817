"""What a registered model carries: no more code than it loads, and requirements that suffice."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from projects.artists import systems
from projects.artists.package import contents

# Hides every package that the requirements do not bring along, loads the model and scores its golden clips.
FRESH = """
import importlib.abc, json, re, sys
from importlib import metadata
from pathlib import Path
from packaging.requirements import Requirement

folder, lines = Path(sys.argv[1]), Path(sys.argv[1], "requirements.txt").read_text().splitlines()
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
waiting, brought = [(Requirement(line), "") for line in lines], set()
while waiting:
    requirement, extra = waiting.pop()
    if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
        for one in ("", *requirement.extras):
            key = (plain(requirement.name), one)
            if key not in brought:
                brought.add(key)
                try:
                    needs = metadata.requires(requirement.name) or []
                except metadata.PackageNotFoundError:
                    continue
                waiting += [(Requirement(need), one) for need in needs]
installed = {name for name, _ in brought}
hidden = {
    module for module, names in metadata.packages_distributions().items() if not installed & set(map(plain, names))
}

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in list(sys.modules):
    if name.partition(".")[0] in hidden:
        del sys.modules[name]
sys.meta_path.insert(0, Absent())
import mlflow, numpy as np, pandas as pd
model = mlflow.pyfunc.load_model(str(folder))
golden = np.load(folder / "artifacts" / "golden.npz")
rows = pd.DataFrame({"audio": [golden[f"audio_{i}"].tobytes() for i in range(4)]})
answers = model.predict(rows, params={"top_k": 3, "embedding": True})
worst = float(np.abs(np.array(answers["embedding"].tolist()) - golden["embedding"]).max())
loaded = {name: Path(module.__file__) for name, module in sys.modules.items() if name.startswith("artists_")}
copy = folder / "artifacts" / "package"
print(json.dumps({
    "worst": worst,
    "hidden": sorted(hidden),
    "loaded": sorted(file.relative_to(copy).as_posix() for file in loaded.values()),
    "copied": sorted(file.relative_to(copy).as_posix() for file in copy.rglob("*.*") if file.suffix != ".pyc"),
    "project": [name for name in sys.modules if name.partition(".")[0] in ("projects", "registry")],
    "brought": sorted({name.partition(".")[0] for name in sys.modules} & hidden),
}))
"""
ALL = """
import importlib, importlib.util, json, sys
from pathlib import Path
answers = {}
for folder in map(Path, sys.argv[1:]):
    name = f"copy_{folder.name}"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    importlib.import_module(f"{name}.package.scorer")
    importlib.import_module(f"{name}.systems").find(folder.name).Config()
    files = [Path(module.__file__) for key, module in sys.modules.items() if key.partition(".")[0] == name]
    answers[folder.name] = sorted(file.relative_to(folder).as_posix() for file in files)
assert not [key for key in sys.modules if key.partition(".")[0] == "projects"]
print(json.dumps(answers))
"""


def python(code: str, *arguments: str) -> dict:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=Path.home())
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def parts_of(name: str) -> list[str]:
    """A system and those of which it is made."""
    system = systems.find(name)
    return [name, *system.modules(dataclasses.asdict(system.Config()))]


def test_a_model_loads_and_scores_with_no_package_but_those_that_its_requirements_bring(packaged):
    answer = python(FRESH, str(packaged))
    assert answer["worst"] < 1e-4 and answer["brought"] == []
    assert {"optuna", "pytest", "boto3"} <= set(answer["hidden"])


def test_a_model_carries_the_modules_that_it_loads_and_no_other(packaged):
    answer = python(FRESH, str(packaged))
    assert answer["loaded"] == answer["copied"] and answer["project"] == []


def test_the_copy_for_each_system_is_what_it_imports(tmp_path):
    folders = [contents.copy(parts_of(name), tmp_path / name) for name in systems.names()]
    loaded = python(ALL, *map(str, folders))
    for folder in folders:
        copied = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.py"))
        assert loaded[folder.name] == copied, folder.name
        assert not {name.partition("/")[0] for name in copied} & {"training", "reports", "tracking", "workflows"}


@pytest.mark.parametrize("name", systems.names())
def test_what_scores_imports_nothing_of_the_project_in_a_function(name):
    """Such an import is not followed: the module would be missing in a registered model."""
    for file in contents.modules(*parts_of(name)):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name in ("scores", "values", "vectors", "load"):
                inside = [node for node in ast.walk(function) if isinstance(node, ast.ImportFrom)]
                assert not [ast.unparse(node) for node in inside if node.level], (file.name, function.name)


def test_requirements_follow_from_the_imports(tmp_path):
    file = tmp_path / "some.py"
    file.write_text(
        "import json, sklearn.svm\nfrom . import other\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import optuna\n"
        "def lazy():\n    import yaml\n    import not_installed_anywhere\n"
    )
    names = [line.partition("==")[0].lower() for line in contents.requirements([file])]
    assert names == ["pyyaml", "scikit-learn"]
    for text, expected in (
        ("import keras\n", ["keras", "tensorflow"]),
        ("from .lazy import layers\n", ["keras", "tensorflow"]),
        ("from .lazy import np\n", ["numpy"]),
    ):
        file.write_text(text)
        (tmp_path / "lazy.py").write_text((contents.LIBRARY / "systems" / "lazy.py").read_text())
        assert [line.partition("==")[0].lower() for line in contents.requirements([file])] == expected


@pytest.mark.parametrize("name", ["psutil", "tqdm", "threadpoolctl", "matplotlib", "plotly", "optuna"])
def test_what_serves_training_and_reports_alone_is_not_required(packaged, name):
    lines = (packaged / "requirements.txt").read_text().splitlines()
    assert name not in {line.partition("==")[0] for line in lines}


def test_no_path_of_the_machine_that_packaged_it_stands_in_its_artifacts(packaged):
    """MLflow itself notes in MLmodel where they came from."""
    places = [str(Path(contents.__file__).parents[3]), str(Path.home()), str(packaged.parents[1])]
    for file in (packaged / "artifacts").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [place for place in places if place.encode() in content], file
