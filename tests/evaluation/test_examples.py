"""Examples in docstrings are run as doctests by the default suite: see `testpaths` in pyproject.toml."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from projects.artists import evaluation

MODULES = sorted(module.name for module in pkgutil.iter_modules(evaluation.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_of_evaluation_shows_an_example(name):
    module = importlib.import_module(f"{evaluation.__name__}.{name}")
    functions = [f for f in vars(module).values() if inspect.isfunction(f) and f.__module__ == module.__name__]
    public = [f for f in functions if not f.__name__.startswith(("_", "check_")) and f.__qualname__ == f.__name__]
    assert [f.__name__ for f in public if ">>> " not in (f.__doc__ or "")] == []


def test_the_default_suite_runs_the_examples_of_what_others_call(request):
    paths = request.config.getini("testpaths")
    assert {"tests", *(f"projects/artists/{folder}" for folder in ("audio", "evaluation", "package"))} <= set(paths)
    assert request.config.option.doctestmodules
