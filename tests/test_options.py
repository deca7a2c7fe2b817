"""What the entry points take: nothing without effect, nothing that ends in a traceback, nothing their help leaves out."""

from __future__ import annotations

import importlib
from types import ModuleType

import mlflow
import pytest

from projects import cli
from projects.artists.data.machine import cores, processes
from projects.artists.errors import InputError

# What each verb asks for beside its options.
NEEDED = {
    "enrol": {"songs": "songs", "model": "m"},
    "promote": {"run_id": "r"},
    "score": {"audio": "songs", "output": "table.csv"},
    "similar": {"data": "songs", "model": "m"},
    "study": {"study": "demo_tables_4_5"},
    "transfer": {"model": "m"},
}


def verb(name: str) -> ModuleType:
    return importlib.import_module(f"projects.{name}")


def refusal(name: str, **given: str) -> str:
    """What an entry point says before it looks at anything but its options."""
    with pytest.raises(InputError) as error:
        verb(name).run({**NEEDED.get(name, {}), **given}, None)
    return str(error.value)


# Ranges that several entry points share


def test_the_processes_are_those_asked_for_or_one_a_core():
    assert (processes(3), processes(None)) == (3, cores())
    for workers in (0, -1):
        with pytest.raises(InputError, match=f"workers={workers} must be at least 1; leave it out for one a core"):
            processes(workers)


@pytest.mark.parametrize("workers", ["0", "-1"])
@pytest.mark.parametrize(
    "name", ["check", "enrol", "featurize", "main", "promote", "score", "search", "similar", "study", "train", "transfer"]
)
def test_no_entry_point_takes_fewer_than_one_worker(name, workers):
    assert f"workers={workers} must be at least 1" in refusal(name, workers=workers)


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
@pytest.mark.parametrize("name", ["check", "enrol", "main", "search", "study", "train", "transfer"])
def test_every_entry_point_takes_the_same_seeds(name, seed):
    assert f"seed={seed} must be from 0 to 4294967295" in refusal(name, seed=seed)


def test_a_number_out_of_range_ends_in_a_sentence_and_a_failed_run(capsys):
    given = ["--songs", "songs", "--model", "m", "--workers", "-1"]
    assert cli.main(verb("enrol").run, verb("enrol").USAGE, given) == 1
    said = capsys.readouterr().err
    assert "error: workers=-1 must be at least 1" in said and "Traceback" not in said
    (run,) = mlflow.search_runs(output_format="list", search_all_experiments=True)
    assert run.info.status == "FAILED" and "workers=-1" in run.data.tags["mlflow.note.content"]
