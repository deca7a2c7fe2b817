"""Who may import whom, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECTS = Path(__file__).parents[1] / "projects"
LIBRARY = PROJECTS / "artists"
ORDER = ["audio", "data", "evaluation", "training", "systems", "package", "reports", "tracking", "workflows"]
VERBS = sorted(path.stem for path in PROJECTS.glob("*.py") if path.stem not in ("__init__", "cli"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """(absolute dotted name, whether inside a function or a TYPE_CHECKING block) of everything a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(PROJECTS.parent).parts[:-1]
    lazy = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.If) for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name.name, id(node) in lazy) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            found += [(f"{stem}.{name.name}", id(node) in lazy) for name in node.names]
    return found


def layer(name: str) -> str | None:
    parts = name.split(".")
    return parts[2] if parts[:2] == ["projects", "artists"] and len(parts) > 2 and parts[2] in ORDER else None


def modules(folder: str) -> list[Path]:
    return sorted((LIBRARY / folder).rglob("*.py"))


def test_every_module_of_the_library_stands_in_a_layer():
    loose = {path.stem for path in LIBRARY.iterdir() if path.name != "__pycache__"} - set(ORDER)
    assert loose == {"__init__", "errors"}


@pytest.mark.parametrize("folder", ORDER)
def test_a_layer_imports_only_from_its_left(folder):
    for path in modules(folder):
        for name, lazy in imports(path):
            other = layer(name)
            if other is None or other == folder:
                continue
            assert ORDER.index(other) < ORDER.index(folder), f"{path.name} imports {name}"
            assert lazy or (folder, other) != ("systems", "training"), f"{path.name} loads training at import: {name}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_imports_no_verb_and_nothing_heavy_at_import(verb):
    light = ("__future__", "os", "sys", "tempfile", "time", "collections", "pathlib", "typing")
    # tests/test_options.py runs them with the standard library alone.
    plans = {"cli", "errors", "options", "plan"}
    for name, lazy in imports(PROJECTS / f"{verb}.py"):
        parts = name.split(".")
        assert not (parts[0] == "projects" and parts[1] in VERBS), name
        assert lazy or parts[0] in light or plans & set(parts), f"a worker of {verb}.py imports {name}"


def test_registry_imports_nothing_of_projects():
    for path in (PROJECTS.parent / "registry").rglob("*.py"):
        assert "projects" not in {name.split(".")[0] for name, _ in imports(path)}


def test_keras_is_used_by_systems_and_training_alone_and_tensorflow_by_nobody():
    for path in LIBRARY.rglob("*.py"):
        roots = {name.split(".")[0] for name, _ in imports(path)}
        assert "tensorflow" not in roots, path
        assert "keras" not in roots or path.relative_to(LIBRARY).parts[0] in ("systems", "training"), path


def test_only_tracking_and_the_packaged_model_talk_to_mlflow():
    for path in LIBRARY.rglob("*.py"):
        if path.relative_to(LIBRARY).parts[0] != "tracking" and path.name != "pyfunc.py":
            assert "mlflow" not in {name.split(".")[0] for name, _ in imports(path)}, path


def test_evaluation_opens_no_file():
    for path in modules("evaluation"):
        assert not {name.split(".")[0] for name, _ in imports(path)} & {"pathlib", "os", "io", "soundfile"}, path
        assert "open(" not in path.read_text(encoding="utf-8"), path


def test_the_packaged_model_imports_nothing_of_the_project():
    assert not [name for name, _ in imports(LIBRARY / "package" / "pyfunc.py") if name.startswith("projects")]
