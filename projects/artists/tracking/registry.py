"""A registered model and its decision log in MLflow's model registry.

The log is a registered model of its own, `<name>-decisions`: an entry is a version of it, with the decision in its
tags. The store gives out version numbers one by one (a primary key, tried again when two writers meet), and a version
appears together with its tags, so that every host sees the same entries in the same order and never half of one.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from . import server

T = TypeVar("T")
ENTRY = "decision"
ATTEMPTS = 10
KNOWN, UNKNOWN = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"
DESCRIPTION = "The decision log of {name}: a version a decision. What counts is the log; aliases follow it."


class Registry:
    """The versions, aliases and decisions of one registered model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log_name = f"{name}-decisions"
        self._client = server.client(f"reading or writing the registered model {name}")

    def register(self, model_uri: str, run_id: str) -> str:
        """The version of a model: an existing one when it is registered already."""
        if known := self.version_of(model_uri, run_id):
            return known
        self._ensure(self.name, "Recognises who made a piece of music. Use the alias champion.")
        model_id = model_uri.removeprefix("models:/") if model_uri.startswith("models:/m-") else None
        return _retried(
            lambda: _create(self.name, model_uri, run_id=run_id, model_id=model_id),
            lost=lambda: self.version_of(model_uri, run_id) or None,
        )

    def version_of(self, model_uri: str, run_id: str) -> str:
        """The version that a model is registered as; empty for none."""
        versions = (v for v in self._versions(self.name) if v.run_id == run_id and v.source == model_uri)
        return next((str(v.version) for v in versions), "")

    def uri(self, version: str) -> str:
        return f"models:/{self.name}/{version}"

    def run_of(self, version: str) -> str:
        return self._client.get_model_version(self.name, version).run_id or ""

    def description(self, version: str) -> str:
        return self._client.get_model_version(self.name, version).description or ""

    def describe(self, version: str, description: str, tags: Mapping[str, str]) -> None:
        """Sets the description and tags that the UI shows for a version."""
        self._client.update_model_version(self.name, version, description)
        for key, value in tags.items():
            self._client.set_model_version_tag(self.name, version, key, value)

    def append(self, entry: Mapping[str, Any], description: str) -> None:
        """Adds an entry at the end of the log."""
        self._ensure(self.log_name, DESCRIPTION.format(name=self.name))
        tags = {ENTRY: json.dumps(entry, sort_keys=True), "role": entry["role"], "action": entry["action"]}
        fields = {"run_id": entry["run_id"] or None, "tags": tags, "description": description}
        _retried(lambda: _create(self.log_name, self.uri(entry["version"]), **fields))

    def entries(self) -> list[dict[str, Any]]:
        """The log, oldest first."""
        return [json.loads(v.tags[ENTRY]) for v in self._versions(self.log_name) if ENTRY in v.tags]

    def aliases(self) -> dict[str, str]:
        try:
            return {alias: str(v) for alias, v in self._client.get_registered_model(self.name).aliases.items()}
        except MlflowException as error:
            if error.error_code == UNKNOWN:
                return {}
            raise

    def set_alias(self, alias: str, version: str) -> None:
        """Points an alias to a version; an empty one removes it."""
        if version:
            _retried(lambda: self._client.set_registered_model_alias(self.name, alias, version))
        else:
            self._client.delete_registered_model_alias(self.name, alias)

    def _versions(self, name: str) -> list[ModelVersion]:
        """All versions of a registered model in the order of their numbers; none when there is no such model."""
        search = functools.partial(self._client.search_model_versions, f"name='{name}'")
        return sorted(server.pages(search), key=lambda version: int(version.version))

    def _ensure(self, name: str, description: str) -> None:
        try:
            _retried(lambda: MlflowClient().create_registered_model(name, description=description))
        except MlflowException as error:
            if error.error_code != KNOWN:
                raise


def _create(name: str, source: str, **fields: Any) -> str:
    """The number of a new version of a registered model."""
    return str(MlflowClient().create_model_version(name, source, **fields).version)


def _retried(call: Callable[[], T], lost: Callable[[], T | None] | None = None) -> T:
    """The result of a write, repeated where it met another write or no server; a decision written twice counts once."""
    for attempt in range(ATTEMPTS):
        try:
            return server.retry(call, "writing to the model registry", lost=lost)
        except MlflowException as error:
            if attempt == ATTEMPTS - 1 or error.error_code in (KNOWN, UNKNOWN, "INVALID_PARAMETER_VALUE"):
                raise
            time.sleep(0.05 * 2**attempt)
    raise AssertionError
