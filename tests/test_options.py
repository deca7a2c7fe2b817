"""What the entry points take: nothing without effect, nothing that ends in a traceback, nothing untold."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import mlflow
import pytest

from projects import cli, main, promote
from projects.artists import systems
from projects.artists.audio.features import FeatureConfig
from projects.artists.data.machine import cores, processes
from projects.artists.data.options import CorpusOptions, DataOptions, field_names
from projects.artists.errors import InputError
from projects.artists.reports.parameters import parameters
from projects.artists.tracking import runs
from projects.artists.workflows.options import CheckOptions, GridOptions, PromoteOptions
from projects.artists.workflows.plan import GROUPS, evaluation_plan, resolve, training_plan, used
from projects.artists.workflows.search.request import request

# What each verb asks for beside its options.
NEEDED = {
    "enrol": {"songs": "songs", "model": "m"},
    "promote": {"run_id": "r"},
    "score": {"audio": "songs", "output": "table.csv"},
    "similar": {"data": "songs", "model": "m"},
    "grid": {"grid": "demo_tables_4_5"},
    "transfer": {"model": "m"},
}

PARALLEL = [
    "check", "enrol", "featurize", "main", "promote", "grid", "score", "search", "similar", "train", "transfer"
]  # fmt: skip


def verb(name: str) -> ModuleType:
    return importlib.import_module(f"projects.{name}")


def refusal(name: str, **given: str) -> str:
    """What an entry point says before it looks at anything but its options."""
    command = verb(name).COMMAND
    with pytest.raises(InputError) as error:
        command.work(command.read({**NEEDED.get(name, {}), **given}), None)
    return str(error.value)


# Ranges that several entry points share


def test_the_processes_are_those_asked_for_or_one_a_core():
    assert (processes(3), processes(None)) == (3, cores())
    for workers in (0, -1):
        with pytest.raises(InputError, match=f"workers={workers} must be at least 1; leave it out for one a core"):
            processes(workers)


@pytest.mark.parametrize("workers", ["0", "-1"])
@pytest.mark.parametrize("name", PARALLEL)
def test_no_entry_point_takes_fewer_than_one_worker(name, workers):
    assert f"workers={workers} must be at least 1" in refusal(name, workers=workers)


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
@pytest.mark.parametrize("name", ["check", "enrol", "grid", "main", "search", "train", "transfer"])
def test_every_entry_point_takes_the_same_seeds(name, seed):
    assert f"seed={seed} must be from 0 to 4294967295" in refusal(name, seed=seed)


def test_a_number_out_of_range_ends_in_a_sentence_and_marks_the_run_of_mlflow_run_as_failed(capsys, monkeypatch):
    given = ["--songs", "songs", "--model", "m", "--workers", "-1"]
    monkeypatch.setenv("MLFLOW_RUN_ID", mlflow.MlflowClient().create_run("0").info.run_id)
    assert cli.main(verb("enrol").COMMAND, given) == 1
    said = capsys.readouterr().err
    assert "error: workers=-1 must be at least 1" in said and "Traceback" not in said
    (run,) = mlflow.search_runs(output_format="list", search_all_experiments=True)
    assert run.info.status == "FAILED" and "workers=-1" in run.data.tags["mlflow.note.content"]


def test_a_wrong_value_makes_no_run_of_its_own(capsys):
    assert cli.main(verb("train").COMMAND, ["--clip", "abc"]) == 1
    assert "error: clip=abc is not a number." in capsys.readouterr().err
    assert not mlflow.search_runs(output_format="list", search_all_experiments=True)


# Nothing is taken and then ignored


@pytest.mark.parametrize("option", ["split", "folds", "fold", "clip", "leave_out", "split_seed", "overlap", "seed"])
def test_featurize_takes_nothing_that_features_do_not_depend_on(option):
    assert f"Unknown parameter {option}." in refusal("featurize", **{option: "3"})


def test_featurize_refuses_songs_per_artist_where_all_artists_are_read_anyway():
    assert "songs_per_artist=3 means nothing to featurize without artists" in refusal("featurize", songs_per_artist="3")


def test_main_gives_each_step_what_it_takes(monkeypatch):
    """As `mlflow run . -P split=song -P clip=3` does, with systems and files that set parameters too."""
    steps = {}
    monkeypatch.setattr(main, "_step", lambda name, given: steps.setdefault(name, given) and f"run of {name}")
    with runs.start() as run:
        main.run(main.plan({"split": "song", "clip": "3", "workers": "2", "model": "dcnn"}), run)
    assert list(steps) == ["check", "featurize", "train", "evaluate", "promote", "score"]
    features = {"workers": 2, "sr": 22050, "n_fft": 1024, "compression": "log10"}
    assert steps["featurize"] == features
    assert steps["check"] == {"split": "song", "clip": 3.0, "seed": 0, **features}
    assert steps["train"] == {"split": "song", "clip": "3", "workers": "2", "model": "dcnn"}
    given = {name: {flag: str(value) for flag, value in steps[name].items()} for name in ("check", "featurize")}
    assert resolve((CorpusOptions, FeatureConfig), given["featurize"])[1].sr == 22050
    assert resolve((DataOptions, FeatureConfig, CheckOptions), given["check"])[0].clip == 3.0


@pytest.mark.parametrize("option", ["folds", "fold"])
@pytest.mark.parametrize("name", ["check", "grid", "main", "search", "train", "transfer"])
def test_folds_are_refused_without_a_split_into_folds(name, option):
    said = refusal(name, split="song", **{option: "3"})
    assert f"{option}=3 means nothing with split=song, only with split=kfold. Leave it out." in said


def test_folds_in_a_configuration_file_are_refused_without_a_split_into_folds(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("fold: 2\n")
    for name in ("train", "search"):
        assert "fold=2 means nothing with split=album" in refusal(name, config=str(config))
    assert training_plan({"config": str(config), "split": "kfold"}).data.fold == "2"


def test_an_evaluation_of_another_split_forgets_the_folds_of_the_training():
    trained = {**training_plan({"split": "kfold", "folds": "4", "fold": "2"}).values}
    same, other = (evaluation_plan({"model": "m", **given}, trained).data for given in ({}, {"split": "all"}))
    assert (same.split, same.folds, same.fold) == ("kfold", 4, "2")
    assert (other.split, other.folds, other.fold) == ("all", 5, "0")
    assert evaluation_plan({"model": "m"}, {**trained, "split": "song"}).data.fold == "0", "a model of an older version"
    assert evaluation_plan({"model": "m", "fold": "7"}) and evaluation_plan({"model": "m", "folds": "9", "fold": "7"})
    for given in ({"fold": "1", "split": "all"}, {"folds": "9", "fold": "9"}):
        with pytest.raises(InputError, match="fold="):
            evaluation_plan({"model": "m", **given})
    with pytest.raises(InputError, match="fold=1 means nothing with split=all"):
        evaluation_plan({"model": "m", "split": "all", "fold": "1"}, trained)


FOR_PROMOTE = {"run_id": "r", "experiment_name": "e", "metric": "val/clip_f1", "policy": "p", "data": "d"}


@pytest.mark.parametrize(("option", "value"), [*FOR_PROMOTE.items(), ("workers", "2"), ("dry_run", "true")])
@pytest.mark.parametrize("action", ["history", "rollback"])
def test_an_action_takes_no_more_than_it_uses(action, option, value):
    given = {"action": action, "name": "music", option: value}
    if (action, option) == ("rollback", "dry_run"):
        assert resolve((PromoteOptions,), given)[0].dry_run is True
        return
    with pytest.raises(InputError, match=f"^{option}={value} means nothing with action={action}. Leave it out.$"):
        promote.COMMAND.read(given)


def test_a_rollback_that_names_a_run_changes_nothing_and_says_why(capsys):
    assert cli.main(promote.COMMAND, ["--action", "rollback", "--run_id", "abc"]) == 1
    assert "error: run_id=abc means nothing with action=rollback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("promote", {"metric": "val/clip_f1"}, "metric=val/clip_f1 means nothing with run_id="),
        ("similar", {"k": "3"}, "k=3 means nothing without query="),
        (
            "similar",
            {"data": "", "model": "", "index": "i", "query": "q", "label": "genre"},
            "label=genre means nothing",
        ),
        ("transfer", {"model": "", "vectors": "v", "crop": "9"}, "crop=9.0 means nothing without model="),
        ("main", {"resume": "abc"}, "resume=abc is given beside other parameters; resume is a flag of train alone"),
        ("grid", {"resume": "abc"}, "resume=abc is given beside other parameters"),
    ],
)
def test_what_goes_with_something_else_is_refused_alone(name, given, said):
    assert said in refusal(name, **given)


FROZEN = {"model": "siamese_dcnn", "pretrained": "park.h5", "freeze": "true"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (FROZEN | {"epochs": "3"}, "epochs=3 means nothing to siamese_dcnn with freeze=true"),
        (FROZEN | {"learning_rate": "0.01"}, "learning_rate=0.01 means nothing to siamese_dcnn with freeze=true"),
        (FROZEN | {"recipe": "paper"}, "learning_rate=0.0001 means nothing"),
        (FROZEN | {"patience": "3"}, "patience=3 means nothing"),
        (FROZEN | {"batch_size": "16"}, "batch_size=16 means nothing"),
        (FROZEN | {"schedule": "cosine"}, "schedule=cosine means nothing"),
        (FROZEN | {"margin": "0.2"}, "margin=0.2 means nothing"),
        (FROZEN | {"negatives": "2"}, "negatives=2 means nothing"),
        (FROZEN | {"dropout": "0.2"}, "dropout=0.2 means nothing"),
        (FROZEN | {"head": "linear", "neighbours": "5"}, "neighbours=5 means nothing to siamese_dcnn with head=linear"),
        ({"model": "siamese_dcnn", "head": "knn", "head_c": "2"}, "head_c=2.0 means nothing .* with head=knn"),
        ({"model": "mfcc_svm", "learning_rate": "0.01"}, "means nothing to mfcc_svm, which is fitted at once"),
    ],
)
@pytest.mark.parametrize("name", ["main", "search", "train"])
def test_a_system_refuses_what_it_would_not_look_at(name, given, said):
    assert re.search(said, refusal(name, **given))


@pytest.mark.parametrize("name", systems.names())
def test_what_changes_nothing_is_a_parameter_and_may_stay_at_its_default(name):
    plan = training_plan({"model": name})
    assert set(plan.unused) <= set(plan.values)
    assert training_plan({flag: str(value) for flag, value in plan.values.items()}) == plan


def test_frozen_and_other_systems_still_take_what_they_use():
    for given in ({"head": "knn", "neighbours": "5"}, {"head_c": "2"}, {"seed": "3"}, {"overlap": "0.5"}):
        assert training_plan(FROZEN | given).options.freeze is True
    plan = training_plan({"model": "dcnn", "pretrained": "park.h5", "freeze": "true", "epochs": "3"})
    assert plan.training.epochs == 3


def test_a_search_tries_nothing_that_changes_nothing():
    assert set(request(FROZEN).space.open) == {"head", "head_c"}
    assert "head_c" not in request({"model": "siamese_dcnn", "head": "knn"}).space.open
    with pytest.raises(InputError, match="There is nothing to search"):
        request(FROZEN | {"head": "knn", "neighbours": "9"})


def test_a_search_over_heads_takes_the_option_of_each(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("{head: [linear, knn], head_c: [1.0, 2.0], neighbours: [5, 20]}")
    asked = request({"model": "siamese_dcnn", "space": str(file)})
    assert {"head", "head_c", "neighbours", "margin"} <= set(asked.space.open)
    point = {"model": "siamese_dcnn", "head": "knn", "head_c": 2.0, "neighbours": 5}
    assert used(point) == {"model": "siamese_dcnn", "head": "knn", "neighbours": 5}
    assert training_plan(used({**asked.given, **point})).options.neighbours == 5
    fixed = request({"model": "siamese_dcnn", "neighbours": "5"})
    assert fixed.given["neighbours"] == 5 and "head" in fixed.space.open, "of the trials with head=knn"


# Help


def accepted(name: str) -> set[str]:
    """The parameters that an entry point says it knows; resume is a flag of train, and each other one refuses it."""
    said = refusal(name, xyzzy="1")
    if name == "sync":
        assert said == "sync takes no parameters; leave out xyzzy."
        return set()
    known = set(re.search(r"(?:Known: |it takes )(.*)\.$", said)[1].split(", "))
    return known - ({"resume"} if name != "train" else set()) | (
        set(field_names(GridOptions)) if name == "grid" else set()
    )


def listed(usage: str) -> dict[str, str]:
    """Name -> default of the rows of a help whose default stands in one line."""
    rows = [re.split("  +", line.strip()) for line in usage.splitlines() if re.match(r"  [a-z_0-9]+  ", line)]
    return {row[0]: row[2] if len(row) > 3 else "" for row in rows}


VERBS = [path.stem for path in sorted(Path(cli.__file__).parent.glob("*.py")) if path.stem not in ("__init__", "cli")]
OF_TRAINING = ("grid", "main", "search", "train")


@pytest.mark.parametrize("name", VERBS)
def test_help_lists_every_parameter_and_no_other(name, capsys):
    assert cli.main(verb(name).COMMAND, ["--help"]) == 0
    usage = capsys.readouterr().out
    assert set(listed(usage)) == accepted(name)
    assert max(map(len, usage.splitlines())) <= 120
    assert f"mlflow run . -e {name}" in usage or name == "main"


@pytest.mark.parametrize("model", systems.names())
@pytest.mark.parametrize("name", OF_TRAINING)
def test_help_of_a_model_lists_its_options_and_its_defaults(name, model, capsys):
    assert cli.main(verb(name).COMMAND, ["--model", model, "--help"]) == 0
    shown, values = listed(capsys.readouterr().out), training_plan({"model": model}).values
    assert set(field_names(systems.find(model).Config)) <= set(shown)
    for option in set(values) - {"resume"}:
        assert shown[option] == str(values[option]).lower() or len(str(values[option])) > 18, option


def test_help_of_an_unknown_model_names_the_known(capsys):
    assert cli.main(verb("train").COMMAND, ["--help", "--model", "crnm"]) == 1
    error = capsys.readouterr().err
    assert "model=crnm is unknown; choose one of " in error and " crnn, " in error


def test_every_parameter_has_a_line_of_description():
    configs = [systems.find(name).Config for name in systems.names()]
    for group in {*GROUPS, *configs, *(group for name in VERBS for group in verb(name).COMMAND.groups)}:
        for row in parameters(group):
            assert 5 < len(row.description) <= 240, (group, row.name)


def test_the_tables_of_the_readme_are_those_of_the_options(tmp_path):
    text = cli.README.read_text(encoding="utf-8")
    assert cli.readme_tables() in text, "run python -m projects.cli"
    (tmp_path / "README.md").write_text(text.replace("| `clip` |", "| `klip` |"), encoding="utf-8")
    cli.write_readme(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text


def test_what_is_no_part_of_the_identity_says_so_at_its_field():
    plan, other = (
        training_plan({}),
        training_plan({"workers": "2", "log_audio": "no", "tsne_split": "all", "deform": "level"}),
    )
    assert plan.values != other.values and plan.identity == other.identity
    assert set(plan.values) - set(plan.identity) == {"workers", "config", "resume", "log_audio", "tsne_split", "deform"}


# Answers before anything slow is imported

ONLY_STANDARD_LIBRARY = """
import importlib, os, resource, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in (*sys.stdlib_module_names, "projects", "registry", "yaml", "_yaml"):
            raise ModuleNotFoundError(f"{name} is not installed")

sys.meta_path.insert(0, Blocker())
os.environ.pop("MLFLOW_RUN_ID", None)
from projects import cli
status = cli.main(importlib.import_module("projects." + sys.argv[1]).COMMAND, sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_SELF)
print("seconds", used.ru_utime + used.ru_stime)
sys.exit(status)
"""


def alone(*argv: str) -> subprocess.CompletedProcess:
    """An entry point in a process that has the standard library and PyYAML."""
    done = subprocess.run(
        [sys.executable, "-c", ONLY_STANDARD_LIBRARY, *argv],
        cwd=Path(cli.__file__).parents[1], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert float(done.stdout.rsplit("seconds ", 1)[1]) < 1, done.stdout[-200:]
    return done


@pytest.mark.parametrize("name", VERBS)
def test_help_and_a_wrong_name_need_no_package_and_less_than_a_second(name):
    done = alone(name, "--help")
    assert (done.returncode == 0 and f"projects.{name}" in done.stdout) or "mlflow run ." in done.stdout
    needed = [word for flag, value in NEEDED.get(name, {}).items() for word in (f"--{flag}", value)]
    done = alone(name, *needed, "--xyzzy", "1")
    assert done.returncode == 1 and re.search("error: .*xyzzy", done.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--clip", "abc"], "clip=abc is not a number"),
        (["train", "--data", "nowhere"], "data=nowhere does not exist. Give `demo`, a folder"),
        (["check", "--data", ""], "data= does not exist"),
        (["train", "--model", "crnm"], "model=crnm is unknown; choose one of convnet, crnn"),
        (["train", "--model", "mfcc_svm", "--epochs", "3"], "epochs=3 means nothing to mfcc_svm"),
        (["train", "--config", "nowhere.yaml"], "config=nowhere.yaml cannot be read"),
        (["train", "--epoch", "3"], "Did you mean epochs?"),
        (["search", "--space", "nowhere.yaml"], "nowhere.yaml"),
        (["search", "--n_trials", "0"], "n_trials=0 must be at least 1"),
        (["grid", "--grid", "demo_tables_4_5", "--epochs", "0"], "epochs=0 must be at least 1"),
        (["grid", "--grid", "nothing"], "nothing is neither a file nor a grid"),
        (["evaluate", "--split", "half"], "split=half is unknown"),
        (["promote", "--run_id", "r", "--metric", "test_song_f1"], "metric=test/song_f1 is not of validation"),
        (["score", "--audio", "songs", "--output", "x.txt"], "output=x.txt must be the name of"),
        (["transfer", "--model", "m", "--k", "0"], "k=0 must be at least 1"),
        (["benchmark", "--only", "speed"], "only=speed is unknown"),
    ],
)
def test_a_wrong_value_needs_no_package_and_less_than_a_second(words, said):
    done = alone(*words)
    assert done.returncode == 1 and "error: " in done.stderr and said in " ".join(done.stderr.split())
