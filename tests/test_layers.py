"""Who may import whom, read from the source of every module."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS, LIBRARY, REGISTRY = ROOT / "projects", ROOT / "projects" / "artists", ROOT / "registry"
ORDER = ["audio", "data", "evaluation", "training", "systems", "package", "reports", "tracking", "workflows"]
ENTRY_POINTS = sorted(path.stem for path in PROJECTS.glob("*.py") if path.stem not in ("__init__", "cli"))
MODULES = sorted([*PROJECTS.rglob("*.py"), *REGISTRY.rglob("*.py")])


@functools.cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """(absolute dotted name, whether inside a function or a TYPE_CHECKING block) of everything a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(ROOT).parts[:-1]
    lazy = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.If) for inner in ast.walk(node)
    }
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(name.name, id(node) in lazy) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names += [(f"{stem}.{name.name}", id(node) in lazy) for name in node.names]
    return names


def importers(library: str) -> set[str]:
    """Paths below the root of the modules that import a library, anywhere in their text."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        if library in {name.split(".")[0] for name, _ in imports(path)}
    }


def layer(name: str) -> str | None:
    parts = name.split(".")
    return parts[2] if parts[:2] == ["projects", "artists"] and len(parts) > 2 and parts[2] in ORDER else None


def modules(folder: str) -> list[Path]:
    return sorted((LIBRARY / folder).rglob("*.py"))


def test_every_module_stands_in_a_layer_the_registry_or_is_an_entry_point():
    loose = {path.stem for path in LIBRARY.iterdir() if path.name != "__pycache__"} - set(ORDER)
    assert loose == {"__init__", "errors"}
    folders = {path.name for path in PROJECTS.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {"artists", "grids"} and not list((PROJECTS / "grids").rglob("*.py"))
    assert len(MODULES) > 150 and {REGISTRY / "gates.py", PROJECTS / "train.py", LIBRARY / "errors.py"} <= set(MODULES)


@pytest.mark.parametrize("folder", ORDER)
def test_a_layer_imports_only_from_its_left(folder):
    for path in modules(folder):
        for name, lazy in imports(path):
            other = layer(name)
            if other is None or other == folder:
                continue
            assert ORDER.index(other) < ORDER.index(folder), f"{path.name} imports {name}"
            assert lazy or (folder, other) != ("systems", "training"), f"{path.name} loads training at import: {name}"


def test_the_library_imports_no_entry_point_and_its_own_modules_relatively():
    """A packaged model carries the library under another name."""
    for path in LIBRARY.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        absolute = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
        absolute |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        assert not [name for name in absolute if str(name).split(".")[0] == "projects"], path
        own = [name for name, _ in imports(path) if name.split(".")[0] == "projects"]
        assert all(name.startswith("projects.artists.") for name in own), path


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_an_entry_point_imports_no_other_and_nothing_heavy_at_import(entry_point):
    light = ("__future__", "os", "sys", "tempfile", "time", "collections", "pathlib", "typing")
    # tests/test_options.py runs them with the standard library alone.
    plans = {"cli", "corpora", "errors", "grid", "options", "plan", "request"}
    for name, lazy in imports(PROJECTS / f"{entry_point}.py"):
        parts = name.split(".")
        assert not (parts[0] == "projects" and parts[1] in ENTRY_POINTS), name
        assert lazy or parts[0] in light or plans & set(parts), f"{entry_point}.py imports {name} at import"


def test_registry_imports_nothing_of_projects_and_no_tracking_server():
    """What is decided is a function of evidence and policy."""
    for path in REGISTRY.rglob("*.py"):
        roots = {name.split(".")[0] for name, _ in imports(path)}
        assert not roots & {"projects", "mlflow", "keras", "os", "io", "pathlib"}, path


def test_nothing_imports_tensorflow():
    """The backend is a choice of the user: KERAS_BACKEND."""
    assert importers("tensorflow") == set()


def test_keras_is_imported_by_systems_training_package_and_the_benchmark_alone():
    allowed = ("systems/", "training/", "package/", "workflows/benchmark/")
    users = importers("keras")
    assert users and [user for user in users if not user.removeprefix("projects/artists/").startswith(allowed)] == []


def test_mlflow_is_imported_by_tracking_and_the_packaged_model_alone():
    users = importers("mlflow")
    others = {user for user in users if not user.startswith("projects/artists/tracking/")}
    assert len(users) > len(others) and others == {"projects/artists/package/pyfunc.py"}


def test_evaluation_opens_no_file():
    for path in modules("evaluation"):
        assert not {name.split(".")[0] for name, _ in imports(path)} & {"pathlib", "os", "io", "soundfile"}, path
        assert "open(" not in path.read_text(encoding="utf-8"), path


def test_the_packaged_model_imports_nothing_of_the_project():
    assert not [name for name, _ in imports(LIBRARY / "package" / "pyfunc.py") if name.startswith("projects")]
