"""Dockerfile and compose.yaml held against the lock, env.example and the installed MLflow; needs no Docker."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text()
SERVICES = yaml.safe_load(COMPOSE_TEXT)["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?::[?-][^}]*)?\}")
SECRET = re.compile(r"PASSWORD|SECRET|KEY")
EXACT_TAG = re.compile(r".+:\d+\.\d+[\w.-]*")


def instructions() -> list[tuple[str, str]]:
    """(instruction, its text on one line) in the order of the Dockerfile, comments dropped."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, text.strip()) for name, _, text in (row.partition(" ") for row in joined.splitlines() if row)]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of each stage, by its name."""
    by_name: dict[str, list[tuple[str, str]]] = {}
    for name, text in instructions():
        if name == "FROM":
            current = by_name.setdefault(text.split(" AS ")[1], [])
        current.append((name, text))
    return by_name


def installs() -> Iterator[list[str]]:
    """Words of every `pip install`, `uv pip install` and `uv pip sync`, without the subcommand."""
    arguments = dict(text.split("=") for name, text in instructions() if name == "ARG")
    for name, text in instructions():
        for command in re.split(r"&&|;", text) if name == "RUN" else ():
            words = shlex.split(command)
            if "pip" in words:
                rest = words[words.index("pip") + 2 :]
                yield [re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], word) for word in rest]


def lock_names() -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))


def environment_file() -> dict[str, str]:
    lines = (DOCKER / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def create_bucket() -> ModuleType:
    spec = importlib.util.spec_from_file_location("create_bucket", DOCKER / "create_bucket.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_docker_folder_is_no_package_that_would_shadow_the_sdk():
    assert not (DOCKER / "__init__.py").exists()


def test_every_stage_starts_from_an_exact_tag_or_another_stage():
    sources = [text.split(" AS ")[0] for name, text in instructions() if name == "FROM"]
    external = [source for source in sources if source not in stages()]
    assert external
    assert [source for source in external if not re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", source)] == []


def test_dockerfile_installs_from_the_lock_and_nothing_unpinned():
    commands = list(installs())
    assert len(commands) == 3
    for words in commands:
        held = "/locks/requirements.txt" in words and "--constraint" in words
        names = [w for w in words if not w.startswith(("-", "/", "$"))]
        loose = [w for w in names if not re.fullmatch(r"[\w.-]+==[\d.]+", w) and not (held and w in lock_names())]
        assert loose == []


def test_dockerfile_installs_no_distribution_packages():
    assert not any("apt" in text.split() or "apt-get" in text for _, text in instructions())


@pytest.mark.parametrize(("device", "lock"), [("cpu", "requirements.txt"), ("gpu", "requirements-gpu.txt")])
def test_device_argument_selects_the_lock(tmp_path: Path, device: str, lock: str):
    assert run_dependencies(tmp_path, device).stdout.split() == ["pip", "sync", f"/locks/{lock}"]


def test_an_unknown_device_fails_with_the_known_ones(tmp_path: Path):
    result = run_dependencies(tmp_path, "tpu")
    assert result.returncode != 0
    assert result.stdout == ""
    assert "DEVICE=tpu: expected cpu or gpu" in result.stderr


def run_dependencies(folder: Path, device: str) -> subprocess.CompletedProcess[str]:
    """Runs the script of the stage `dependencies` with a `uv` that prints its arguments."""
    (script,) = (text for name, text in stages()["dependencies"] if name == "RUN")
    stub = folder / "uv"
    stub.write_text('#!/bin/sh\necho "$@"\n')
    stub.chmod(0o755)
    script = re.sub(r"--mount=\S+", "", script)
    environment = {"DEVICE": device, "PATH": f"{folder}:/usr/bin:/bin"}
    return subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_the_default_device_is_the_cpu():
    assert ("ARG", "DEVICE=cpu") in stages()["dependencies"]


@pytest.mark.parametrize("stage", ["project", "server"])
def test_images_do_not_run_as_root(stage: str):
    users = [text for name, text in stages()[stage] if name == "USER"]
    assert users == ["1000"]


def test_the_last_stage_is_the_project_and_takes_the_arguments_of_mlflow_run():
    name, last = list(stages().items())[-1]
    assert name == "project"
    assert json.loads(dict(last)["ENTRYPOINT"]) == ["mlflow", "run", ".", "--env-manager=local"]


def test_dependencies_are_installed_before_the_code_is_copied():
    names = [text for name, text in stages()["project"] if name == "COPY"]
    assert names[0].startswith("--from=dependencies")
    assert names[-1].startswith("projects")


def test_what_is_copied_exists_and_is_sent_to_the_builder():
    rows = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {row[1:] for row in rows if row.startswith("!")}
    texts = [text for name, text in instructions() if name == "COPY" and "--from" not in text]
    copied = [word for text in texts for word in text.split()[:-1]]
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert [path for path in copied if path not in sent] == []


def test_the_environment_file_is_neither_committed_nor_sent_to_the_builder():
    assert ".env" in (DOCKER / ".gitignore").read_text().split()
    rows = [row for row in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if not row.startswith("#")]
    assert rows[0] == "*"
    assert rows.index("docker/*") > rows.index("!docker")
    assert "**/.env*" in rows


def test_every_image_in_compose_has_an_exact_tag():
    images = {name: service.get("image", "") for name, service in SERVICES.items()}
    assert {name: image for name, image in images.items() if not EXACT_TAG.fullmatch(image)} == {}
    assert "latest" not in COMPOSE_TEXT


def test_images_built_here_carry_the_version_of_the_project():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    built = [service["image"].split(":")[1] for service in SERVICES.values() if "build" in service]
    assert built
    assert [tag for tag in built if tag.removesuffix("-gpu") != version] == []


def test_every_service_has_a_health_check_or_runs_once():
    assert [n for n, s in SERVICES.items() if "healthcheck" not in s and s["restart"] != "no"] == []


def test_services_wait_for_the_condition_and_not_for_the_start():
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            once = "healthcheck" not in SERVICES[needed]
            assert how["condition"] == ("service_completed_successfully" if once else "service_healthy")


def test_compose_builds_stages_and_arguments_that_exist():
    arguments = {text.split("=")[0] for name, text in instructions() if name == "ARG"}
    for service in SERVICES.values():
        build = service.get("build", {"target": "project"})
        assert build["target"] in stages()
        assert set(build.get("args", {})) <= arguments


def test_the_project_is_told_its_commit_and_without_one_knows_none():
    built = [service["build"] for service in SERVICES.values() if service.get("build", {}).get("target") == "project"]
    assert [build["args"]["COMMIT"] for build in built] == ["${COMMIT:-}"] * 2
    assert ("ARG", "COMMIT=") in stages()["project"]


def test_only_the_server_is_published_and_only_on_this_machine():
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}
    assert list(published) == ["server"]
    assert published["server"].startswith("127.0.0.1:")


def test_no_secret_stands_in_compose():
    values = [(k, v) for s in SERVICES.values() for k, v in s.get("environment", {}).items() if SECRET.search(k)]
    assert values
    assert [key for key, value in values if not re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)] == []
    assert re.findall(r"//[^\s/@]*:[^\s/@]*@", COMPOSE_TEXT) == []


def test_every_variable_is_in_the_example_and_secrets_are_left_empty():
    example = environment_file()
    assert set(VARIABLE.findall(COMPOSE_TEXT)) == set(example)
    assert [name for name, value in example.items() if SECRET.search(name) and value] == []


def test_defaults_in_compose_equal_the_example():
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE_TEXT))
    assert defaults == {name: value for name, value in environment_file().items() if not SECRET.search(name)}


def test_flags_of_the_server_exist_in_the_installed_mlflow():
    from mlflow.cli import server

    known = {flag for option in server.params for flag in (*option.opts, *option.secondary_opts)}
    program, subcommand, *flags = SERVICES["server"]["command"]
    assert (program, subcommand) == ("mlflow", "server")
    assert [flag for flag in flags if flag.split("=")[0] not in known] == []


@pytest.mark.parametrize(("host", "allowed"), [("server:5000", True), ("localhost:5000", True), ("evil.org", False)])
def test_the_server_answers_to_its_own_names_only(host: str, allowed: bool):
    from mlflow.server.security_utils import is_allowed_host_header

    assert is_allowed_host_header(environment_file()["MLFLOW_ALLOWED_HOSTS"].split(","), host) is allowed


@pytest.mark.parametrize("service", ["train", "train-gpu"])
def test_clients_hold_no_key_of_the_stores_and_are_not_sent_to_them(service: str):
    environment = SERVICES[service]["environment"]
    assert not any(SECRET.search(name) for name in environment)
    assert "stores" not in SERVICES[service]["networks"]
    assert environment["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] == "false"
    assert environment["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] == "false"


class Store:
    """An S3 client that answers `head_bucket` with a status."""

    def __init__(self, status: int) -> None:
        self.status, self.created = status, []

    def head_bucket(self, **arguments: str) -> None:
        if self.status != 200:
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": self.status}}, "HeadBucket")

    def create_bucket(self, *, Bucket: str) -> None:
        self.created.append(Bucket)


@pytest.mark.parametrize(("status", "created"), [(404, ["mlflow"]), (200, [])])
def test_the_bucket_is_created_once(status: int, created: list[str]):
    store = Store(status)
    assert create_bucket().ensure_bucket(store, "mlflow") is bool(created)
    assert store.created == created


def test_wrong_keys_of_the_store_are_an_error():
    with pytest.raises(ClientError, match="HeadBucket"):
        create_bucket().ensure_bucket(Store(403), "mlflow")
