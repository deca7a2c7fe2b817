"""What a search may vary: the spaces of the systems, YAML that changes them, objectives, options."""

from __future__ import annotations

import optuna
import pytest
import yaml

from projects.artists import systems
from projects.artists.errors import InputError
from projects.artists.evaluation.metrics import METRICS
from projects.artists.systems.space import contains
from projects.artists.workflows.plan import loose_plan, training_plan, used
from projects.artists.workflows.search import objectives
from projects.artists.workflows.search.request import request
from projects.artists.workflows.search.space import read_points, tunable

SEARCHABLE = [name for name in systems.names() if getattr(systems.find(name), "space", None)]


def write(path, content):
    path.write_text(yaml.safe_dump(content) if not isinstance(content, str) else content, encoding="utf-8")
    return str(path)


def asked(tmp_path, space=None, **flags):
    given = {**flags, **({"space": write(tmp_path / "space.yaml", space)} if space is not None else {})}
    return request(given)


@pytest.mark.parametrize("model", SEARCHABLE)
def test_every_space_holds_options_of_train_and_the_published_value_of_each(model):
    got = request({"model": model})
    settings = training_plan({"model": model}).values
    assert set(got.space.open) <= set(tunable(systems.find(model)))
    outside = {name: settings[name] for name, spec in got.space.open.items() if not contains(spec, settings[name])}
    assert outside == {}


@pytest.mark.parametrize("model", SEARCHABLE)
def test_whatever_a_system_suggests_train_accepts(model):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    got = request({"model": model})
    for _ in range(30):
        values = systems.find(model).suggest(study.ask(), got.space.open)
        settings = loose_plan({"model": model, **values}).values
        training_plan(used({"model": model, **values}))
        assert {name: settings[name] for name in values} == values


def test_there_is_a_system_to_search():
    assert "crnn" in SEARCHABLE


def test_a_file_narrows_widens_fixes_adds_and_leaves_out(tmp_path):
    space = {
        "learning_rate": {"low": "1e-3", "high": 0.1, "log": True},
        "gru_units": {"low": 8, "high": 65, "step": 8},
        "batch_size": [4, 8],
        "dropout": 0.5,
        "augment": None,
        "patience": [3, 30],
    }
    got = asked(tmp_path, space).space
    assert got.open["learning_rate"] == {"low": 1e-3, "high": 0.1, "log": True}
    assert got.open["gru_units"] == {"low": 8, "high": 64, "step": 8}
    assert got.open["batch_size"] == [4, 8] and got.open["patience"] == [3, 30]
    assert got.fixed == {"dropout": 0.5} and not {"augment", "dropout"} & set(got.open)
    assert "schedule" in got.open


def test_a_flag_fixes_its_parameter_and_a_configuration_file_only_sets_where_the_search_starts(tmp_path):
    config = write(tmp_path / "config.yaml", {"learning_rate": 0.002, "augment": 0.5})
    got = asked(tmp_path, config=config, dropout="0.2")
    assert "dropout" not in got.space.names and got.plan.values["dropout"] == 0.2
    assert "learning_rate" in got.space.open and got.plan.values["learning_rate"] == 0.002
    assert got.given["augment"] == 0.5 and got.params["n_trials"] == 30


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rat": [0.1]}, "Did you mean learning_rate"),
        ({"clip": [3, 5]}, "clip cannot be searched"),
        ({"seed": [1, 2]}, "seed cannot be searched"),
        ({"learning_rate": {"low": 0.1, "high": 0.01}}, "low must be below high"),
        ({"weight_decay": {"low": 0, "high": 0.1, "log": True}}, "above 0 with log"),
        ({"dropout": {"low": 0, "high": 0.5, "steps": 2}}, "must be a list"),
        ({"dropout": {"low": 0, "high": 0.5, "step": 2}}, "step must fit"),
        ({"dropout": {"low": 0, "high": 1.5}}, "dropout=1.5"),
        ({"batch_size": [16, 2.5]}, "batch_size=2.5 is not a whole number"),
        ({"schedule": {"low": 0, "high": 1}}, "schedule=0"),
        ({"batch_size": []}, "no choices"),
        ("- a\n- b\n", "space="),
        ({name: None for name in systems.find("crnn").space}, "nothing to search"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_reason(tmp_path, space, said):
    with pytest.raises(InputError, match=said):
        asked(tmp_path, space)


def test_points_are_split_into_what_can_be_suggested_and_what_is_outside(tmp_path):
    space = asked(tmp_path, {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "dropout": 0.1}).space
    point = {**{name: training_plan({}).values[name] for name in space.names}, "learning_rate": 0.5}
    inside, pinned = space.split(point)
    assert pinned == {"learning_rate": 0.5, "dropout": 0.3} and set(inside) == set(space.open) - {"learning_rate"}


def test_points_are_read_and_checked(tmp_path):
    space = asked(tmp_path).space

    def cast(name, value):
        return training_plan({name: value}).values[name]

    good = write(tmp_path / "points.yaml", [{"learning_rate": "3e-4"}, {"batch_size": 8, "schedule": "cosine"}])
    assert read_points(good, space, cast) == [{"learning_rate": 3e-4}, {"batch_size": 8, "schedule": "cosine"}]
    for content, said in (([{"clip": 3}], "clip is not searched"), ("3", "must hold a list"), ("[a]", "must hold")):
        with pytest.raises(InputError, match=said):
            read_points(write(tmp_path / "bad.yaml", content), space, cast)
    with pytest.raises(InputError, match="batch_size=0"):
        read_points(write(tmp_path / "bad.yaml", [{"batch_size": 0}]), space, cast)


@pytest.mark.parametrize(
    ("spec", "value", "inside"),
    [
        ([8, 16], 16, True), ([8, 16], 12, False), ([0.0, 1.0], 0.0, True), ([True, "a"], 1, False),
        ({"low": 0.0, "high": 0.5}, 0.5, True), ({"low": 0.0, "high": 0.5}, 0.6, False),
        ({"low": 1, "high": 9, "step": 2}, 7, True), ({"low": 1, "high": 9, "step": 2}, 6, False),
        ({"low": 1, "high": 9}, 2.5, False), ({"low": 0.0, "high": 1.0, "step": 0.1}, 0.3, True),
        ({"low": 0.0, "high": 1.0}, "cosine", False),
    ],
)  # fmt: skip
def test_a_value_is_inside_where_optuna_says_so(spec, value, inside):
    assert contains(spec, value) is inside


@pytest.mark.parametrize("name", ["test/song_f1", "val/song_f1,test/clip_f1"])
def test_a_test_metric_is_no_objective(name):
    with pytest.raises(InputError, match="cannot be evaluated on it; take val/"):
        request({"objective": name})


def test_objectives_have_their_direction_and_unknown_ones_are_refused():
    assert objectives.direction("val/song_f1") == objectives.direction("val/song_accuracy_vote50") == "maximize"
    for name in ("val_loss", "val/clip_log_loss", "val/song_ece", "parameters", "seconds_per_clip"):
        assert objectives.direction(name) == "minimize"
    assert {f"val/song_{name}" for name in METRICS} <= set(objectives.known())
    with pytest.raises(InputError, match="val/song_f2 is unknown; choose from val/song_f1"):
        request({"objective": "val/song_f2"})


def test_several_objectives_are_not_pruned_and_a_pruner_asked_for_is_refused(caplog):
    caplog.set_level("INFO")
    got = request({"objective": "val/song_f1, parameters"})
    assert got.options.pruner == "none" and got.params["pruner"] == "none" and "No trial is pruned" in caplog.text
    with pytest.raises(InputError, match="pruner=median needs one objective"):
        request({"objective": "val/song_f1,parameters", "pruner": "median"})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"n_trials": "none"}, "needs timeout"),
        ({"n_trials": "0"}, "n_trials=0"),
        ({"seeds": "0,a"}, "seeds=0,a"),
        ({"storage": "postgresql://me:secret@host/db"}, "holds a password"),
        ({"storage": "postgresql://me@host/db?password=secret"}, "holds a password"),
        ({"n_trail": "3"}, "Did you mean n_trials"),
        ({"resume": "abc"}, "takes no resume"),
        ({"pruner": "hyper"}, "choose one of median, hyperband, none"),
    ],
)
def test_options_that_make_no_sense_are_refused(flags, said):
    with pytest.raises(InputError, match=said) as refused:
        request(flags)
    assert "secret" not in str(refused.value)
