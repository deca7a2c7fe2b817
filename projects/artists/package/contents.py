"""What a registered model carries: the modules that scoring imports, and the requirements that follow from them.

Both are read from the source. An import inside a function is followed to another package on the index, since the
function may be called (`librosa` for chroma), but not to a module of this project: by the rule of layers that is how
a system names what it needs for training alone.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
# What MLflow runs, and what that imports of its copy of the library.
SCRIPT = LIBRARY / "package" / "pyfunc.py"
ENTRY = "package/scorer.py"


def copy(models: Iterable[str], folder: Path) -> Path:
    """Copies what scoring with these systems imports to `folder`, which must not be there yet; returns it."""
    for file in modules(*models):
        target = folder / file.relative_to(LIBRARY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return folder


def modules(*models: str) -> list[Path]:
    """Files of the library that are imported when a model with these systems is loaded and scores, sorted.

    Examples:
        >>> [file.name for file in modules("mfcc_gaussian") if file.parent.name == "package"]
        ['__init__.py', 'card.py', 'inference.py', 'request.py', 'scorer.py']
    """
    waiting, closure = [LIBRARY / ENTRY, *(LIBRARY / "systems" / f"{model}.py" for model in models)], set()
    while waiting:
        file = waiting.pop()
        if file not in closure:
            closure.add(file)
            waiting += [parent / "__init__.py" for parent in file.parents if parent.is_relative_to(LIBRARY)]
            waiting += [target for node, lazy in _imports(_tree(file)) if not lazy for target in _targets(file, node)]
    return sorted(closure)


def requirements(files: Iterable[Path]) -> list[str]:
    """`name==version` of the installed distributions that these files import anywhere, sorted.

    Keras needs one of its backends, which no file names: it is the one in use. What is imported but not installed is
    optional: the code that imports it does without.
    """
    names = {name for file in files for node, _ in _imports(_tree(file)) for name in _roots(file, node)}
    if "keras" in names:
        from ..training import device

        names.add(device.backend())
    installed = metadata.packages_distributions()
    distributions = {_of(name, installed[name]) for name in names - sys.stdlib_module_names if name in installed}
    return sorted(f"{name}=={metadata.version(name)}" for name in distributions)


def _of(module: str, candidates: list[str]) -> str:
    """The distribution of a module: of several, as mlflow has them, the one of its name."""
    return next((name for name in candidates if re.sub(r"[-_.]+", "_", name).lower() == module.lower()), candidates[0])


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _imports(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Import statements below a node, each with whether it stands in a function; not those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy
        elif not _is_for_type_checkers(child):
            yield from _imports(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def _roots(file: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Top-level names of what an import loads from outside: it is absolute, or takes names of `systems/lazy.py`."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if not node.level:
        return [str(node.module).partition(".")[0]]
    lazy = {name: root for target in _targets(file, node) for name, root in _stand_ins(_tree(target)).items()}
    return [lazy[alias.name] for alias in node.names if alias.name in lazy]


def _stand_ins(tree: ast.Module) -> dict[str, str]:
    """Names that a module imports for type checkers and makes otherwise when it runs, each with its top-level name."""
    blocks = [node for node in tree.body if isinstance(node, ast.If) and _is_for_type_checkers(node) and node.orelse]
    imported = [node for block in blocks for node in block.body if isinstance(node, ast.Import | ast.ImportFrom)]
    pairs = [(alias, getattr(node, "module", None) or alias.name) for node in imported for alias in node.names]
    return {alias.asname or alias.name: str(module).partition(".")[0] for alias, module in pairs}


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _targets(file: Path, node: ast.Import | ast.ImportFrom) -> list[Path]:
    """Files that a relative import loads, of those that are there; none for another import."""
    if isinstance(node, ast.Import) or not node.level:
        return []
    base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    inside = [path for alias in node.names for path in (base / f"{alias.name}.py", base / alias.name / "__init__.py")]
    return [path for path in (base.with_suffix(".py"), base / "__init__.py", *inside) if path.is_file()]
