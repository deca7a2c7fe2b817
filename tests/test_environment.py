"""One source of dependencies (pyproject.toml), one lock (requirements*.txt), one environment (conda.yaml; this one)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parents[1]
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_TEXT = (PROJECT / "conda.yaml").read_text(encoding="utf-8")
CONDA = yaml.safe_load(CONDA_TEXT)
PYTHONS = ("3.11", "3.12", "3.13")
READMES = [PROJECT / "README.md", *PROJECT.glob("[!.]*/**/README.md")]
PLATFORMS = (
    {"sys_platform": "linux", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_system": "Darwin"},
)


def read_lock(name: str) -> list[Requirement]:
    lines = (PROJECT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]


LOCK, GPU_LOCK = read_lock("requirements.txt"), read_lock("requirements-gpu.txt")


def pins(lock: list[Requirement]) -> dict[str, set[str]]:
    """Name -> versions; a lock for all platforms may hold two of a name."""
    versions: dict[str, set[str]] = {}
    for requirement in lock:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, f"{requirement} is not pinned"
        versions.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return versions


def applicable(lock: list[Requirement], environment: dict[str, str] | None = None) -> list[Requirement]:
    return [r for r in lock if r.marker is None or r.marker.evaluate(environment)]


@pytest.mark.parametrize("lock", [LOCK, GPU_LOCK], ids=["cpu", "gpu"])
def test_every_requirement_of_a_lock_is_pinned_to_a_version(lock):
    assert len(pins(lock)) > 50


@pytest.mark.parametrize("text", DECLARED["dependencies"])
@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_dependency_is_pinned_to_a_version_that_it_admits(text, python):
    declared = Requirement(text)
    for system in PLATFORMS:
        environment = {
            "python_version": python,
            "python_full_version": f"{python}.0",
            "platform_machine": "x86_64",
            **system,
        }
        versions = pins(applicable(LOCK, environment)).get(canonicalize_name(declared.name), set())
        assert len(versions) == 1 and declared.specifier.contains(*versions), (
            f"{text} is declared, {versions or 'nothing'} locked: run the uv commands at the top of pyproject.toml"
        )


def test_the_gpu_extra_is_in_the_gpu_lock_alone():
    (extra,) = (Requirement(text) for text in DECLARED["optional-dependencies"]["gpu"])
    assert extra.extras == {"and-cuda"}
    (tensorflow,) = pins(GPU_LOCK)["tensorflow"]
    assert extra.specifier.contains(tensorflow)
    assert any(name.startswith("nvidia-cudnn") for name in pins(GPU_LOCK))
    assert not any(name.startswith("nvidia") for name in pins(LOCK))


def test_the_gpu_lock_pins_everything_as_the_lock_does():
    gpu = {(canonicalize_name(r.name), str(r.specifier), str(r.marker)) for r in GPU_LOCK}
    cpu = {(canonicalize_name(r.name), str(r.specifier), str(r.marker)) for r in LOCK}
    assert {name for name, _, _ in cpu - gpu} == set()
    assert all(name.startswith("nvidia-") for name, _, _ in gpu - cpu)


def test_conda_yaml_holds_python_pip_and_the_lock_and_nothing_else():
    assert [entry for entry in CONDA["dependencies"] if isinstance(entry, dict)] == [{"pip": ["-r requirements.txt"]}]
    plain = [entry for entry in CONDA["dependencies"] if isinstance(entry, str)]
    assert {re.split("[<>=]", entry)[0] for entry in plain} == {"python", "pip"}


def test_conda_yaml_names_the_digest_of_the_lock():
    """conda looks at conda.yaml alone: without the digest a new lock would meet an old environment."""
    (written,) = re.findall(r"^# lock-sha256: (\S+)$", CONDA_TEXT, re.MULTILINE)
    digest = hashlib.sha256((PROJECT / "requirements.txt").read_bytes()).hexdigest()
    assert written == digest, f"the lock has changed: write '# lock-sha256: {digest}' into conda.yaml"


def test_conda_yaml_and_pyproject_agree_on_python():
    entries = [entry for entry in CONDA["dependencies"] if isinstance(entry, str) and entry.startswith("python")]
    conda = SpecifierSet(",".join(entry.removeprefix("python") for entry in entries))
    declared = SpecifierSet(DECLARED["requires-python"])
    versions = [f"3.{minor}.{patch}" for minor in range(8, 18) for patch in (0, 9)]
    assert list(conda.filter(versions)) == list(declared.filter(versions))
    assert all(declared.contains(f"{python}.5") for python in PYTHONS)


def test_this_python_is_one_of_the_declared():
    assert SpecifierSet(DECLARED["requires-python"]).contains(Version(platform.python_version()), prereleases=True)


def test_the_running_environment_is_that_of_the_lock():
    different = {}
    for requirement in applicable(LOCK):
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        if version == "not installed" or not requirement.specifier.contains(version, prereleases=True):
            different[str(requirement)] = version
    assert not different, f"not what requirements.txt says: {different}; run pip install -r requirements.txt"


def test_mlproject_builds_from_conda_yaml():
    assert yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["conda_env"] == "conda.yaml"


def installs_of_mlflow(text: str) -> list[list[str]]:
    """Words of every `pip install` of a text that names mlflow."""
    commands = re.findall(r"pip install\b[^\n`&|;]*", text)
    return [words for words in map(str.split, commands) if any(re.match(r"['\"]?mlflow\b", word) for word in words)]


def constrained(words: list[str]) -> bool:
    return any(pair in (("-c", "requirements.txt"), ("--constraint", "requirements.txt")) for pair in pairwise(words))


def test_an_install_without_the_lock_is_recognised():
    for text, held in (("`pip install mlflow uv`", False), ("pip install -c requirements.txt mlflow uv && x", True)):
        assert [constrained(words) for words in installs_of_mlflow(text)] == [held]


def test_mlflow_is_always_installed_at_the_locked_version():
    """A newer MLflow migrates the store, which the locked one of the environment then refuses to open."""
    texts = {path: path.read_text(encoding="utf-8") for path in (*READMES, PROJECT / ".ci" / "run")}
    commands = {path: installs_of_mlflow(text) for path, text in texts.items()}
    assert commands[PROJECT / "README.md"] and commands[PROJECT / ".ci" / "run"]
    assert {str(path): words for path in commands for words in commands[path] if not constrained(words)} == {}


def test_ci_checks_style_and_types_in_the_locked_environment_before_the_tests():
    run = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^mlflow run .*$", run, re.MULTILINE) == [
        "mlflow run . -e lint --env-manager=uv",
        "mlflow run . -e test --env-manager=uv",
    ]
    entry_points = yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    steps = entry_points["lint"]["command"].split(" && ")
    assert steps == ["python -m ruff check .", "python -m ruff format --check .", "python -m mypy"]
    assert tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"] == [
        "projects",
        "registry",
    ]


@pytest.mark.parametrize("readme", READMES, ids=[path.relative_to(PROJECT).as_posix() for path in READMES])
def test_entry_points_grids_and_files_that_a_readme_names_exist(readme):
    text = readme.read_text(encoding="utf-8")
    known = yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    assert set(re.findall(r"(?:mlflow run \.|artists|train) -e (\w+)", text)) <= set(known)
    assert [
        n for n in re.findall(r"-P grid=(\w+)", text) if not (PROJECT / "projects/grids" / f"{n}.yaml").is_file()
    ] == []
    paths = re.findall(r"(?<![\w./])(?:projects|tests|docker|registry)/[\w/]+\.(?:py|yaml|conf|md)\b", text)
    assert [path for path in paths if not (PROJECT / path).exists() and path != "projects/x.py"] == []
