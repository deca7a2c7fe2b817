"""Parameters: where a value comes from, what type it has, and what is said of one that cannot be."""

from __future__ import annotations

import dataclasses
import math
import typing

import pytest

from projects.artists.audio.features import FeatureConfig
from projects.artists.data.options import DataOptions, field_names
from projects.artists.errors import InputError
from projects.artists.evaluation.options import EvaluationOptions
from projects.artists.systems import find
from projects.artists.training.training import RECIPES, SYSTEMS, Training
from projects.artists.workflows import train
from projects.artists.workflows.options import TransferOptions
from projects.artists.workflows.plan import (
    Sources,
    TrainingPlan,
    changed,
    evaluation_plan,
    parse_flags,
    read_config,
    resolve,
    training_plan,
    with_default_recipe,
)


@pytest.fixture
def config(tmp_path):
    """Writes a configuration file; gives its path."""

    def write(content: str | bytes) -> str:
        path = tmp_path / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def plan(*argv: str) -> TrainingPlan:
    return training_plan(parse_flags(argv))


def settings(*argv: str) -> dict:
    return plan(*argv).values


# Flags


@pytest.mark.parametrize(
    ("argv", "flags"),
    [
        ([], {}),
        (["--clip", "3"], {"clip": "3"}),
        (["--clip=3"], {"clip": "3"}),
        (["--clip", "-3"], {"clip": "-3"}),
        (["--clip=-3"], {"clip": "-3"}),
        (["--learning-rate", "1e-3", "--log_audio=no"], {"learning_rate": "1e-3", "log_audio": "no"}),
        (["--data", "a=b --c", "--label="], {"data": "a=b --c", "label": ""}),
        (["--data=/x=y"], {"data": "/x=y"}),
        (["--clip", "3", "--clip", "5"], {"clip": "5"}),
    ],
)
def test_flags_are_names_and_values(argv, flags):
    assert parse_flags(argv) == flags


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["clip=3"], "'clip=3' was given where --name value was expected"),
        (["-clip", "3"], "'-clip' was given"),
        (["3"], "'3' was given"),
        (["--"], "'--' was given"),
        (["--clip"], "--clip has no value; give --clip value"),
        (["--clip", "--epochs", "3"], "'3' was given"),
    ],
)
def test_words_that_are_no_flags(argv, said):
    with pytest.raises(InputError, match=said):
        parse_flags(argv)


def test_the_arguments_are_left_as_they_are():
    argv = ["--clip", "3"]
    parse_flags(argv)
    assert argv == ["--clip", "3"]


# Precedence


def test_defaults_are_the_published_recipe():
    s = settings()
    assert (s["model"], s["recipe"], s["data"], s["split"], s["clip"]) == ("crnn", "published", "demo", "album", 5.0)
    assert (s["learning_rate"], s["batch_size"], s["epochs"], s["patience"], s["seed"]) == (0.001, 16, 200, 10, 0)
    assert (s["sr"], s["n_fft"], s["hop_length"], s["n_mels"], s["mel_scale"]) == (16000, 2048, 512, 128, "slaney")
    assert s["crop"] is s["config"] is s["workers"] is None


def test_a_flag_beats_the_file_which_beats_the_recipe_which_beats_the_default(config):
    path = config("learning_rate: 0.02\nepochs: 7\nclip: 3\n")
    assert settings()["epochs"] == 200
    assert settings("--recipe", "long")["epochs"] == 300
    assert settings("--recipe", "long", "--config", path)["epochs"] == 7
    s = settings("--recipe", "long", "--config", path, "--epochs", "2")
    assert (s["epochs"], s["learning_rate"], s["clip"], s["patience"]) == (2, 0.02, 3.0, 10)
    assert (s["recipe"], s["config"]) == ("long", path)
    assert settings("--epochs", "2", "--recipe", "long", "--learning_rate", "0.5")["learning_rate"] == 0.5


def test_a_file_may_choose_the_recipe_and_the_model_and_a_flag_overrules_it(config):
    path = config("recipe: paper\nmodel: crnn\n")
    assert settings("--config", path)["learning_rate"] == 0.0001
    assert settings("--config", path, "--recipe", "published")["learning_rate"] == 0.001


def test_a_system_has_defaults_of_its_own_below_every_recipe(monkeypatch):
    from projects.artists.systems.crnn import System

    monkeypatch.setattr(System, "training", {"learning_rate": 0.015, "batch_size": 15})
    monkeypatch.setattr(System, "features", {"sr": 22050})
    s = settings()
    assert (s["learning_rate"], s["batch_size"], s["sr"], s["epochs"]) == (0.015, 15, 22050, 200)
    s = settings("--recipe", "paper", "--sr", "8000")
    assert (s["learning_rate"], s["batch_size"], s["sr"]) == (0.0001, 15, 8000)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_sets_parameters_of_training(recipe):
    assert set(typing.get_args(typing.get_type_hints(Sources)["recipe"])) == set(RECIPES)
    assert RECIPES[recipe].keys() <= set(field_names(Training))
    if recipe not in SYSTEMS:
        assert plan("--recipe", recipe).model == "crnn"
        assert plan("--recipe", recipe).training == Training(**RECIPES[recipe])


@pytest.mark.parametrize("recipe", SYSTEMS)
def test_a_recipe_chooses_the_system_where_no_model_is_given(recipe):
    chosen = plan("--recipe", recipe)
    assert chosen.model == SYSTEMS[recipe]["model"]
    again = plan(*(word for name, value in chosen.values.items() for word in (f"--{name}", str(value))))
    assert again.values == chosen.values, "a resumed run names its model beside its recipe"
    if RECIPES[recipe]:
        assert plan("--recipe", recipe, "--model", "rnn").training == Training(**RECIPES[recipe])
    else:
        with pytest.raises(InputError, match=f"recipe={recipe} is model=.* and trains no other"):
            plan("--recipe", recipe, "--model", "rnn")


def test_what_a_flag_unsets_is_unset(config):
    path = config("crop: 60\nworkers: 3\n")
    assert settings("--config", path)["crop"] == 60.0
    s = settings("--config", path, "--crop", "none", "--workers=")
    assert s["crop"] is None and s["workers"] is None


def test_what_a_run_logged_as_text_gives_the_same_settings(config):
    """As a resumed run does, where None is the text None."""
    for argv in ([], ["--crop", "60", "--log_audio", "no", "--workers", "2", "--split", "song", "--seed", "21"]):
        used = plan(*argv)
        assert training_plan({name: str(value) for name, value in used.values.items()}) == used


# Types


def test_values_have_the_types_of_their_fields(config):
    given = (
        "--clip 3 --crop 60 --epochs 4 --learning_rate 1 --log_audio false --fold 2 --data 12 --gru_units 8 --dropout 0"
        " --split kfold"
    )
    for s in (
        settings(*given.split()),
        settings("--config", config(given.replace(" --", "\n").replace("--", "").replace(" ", ": "))),
    ):
        for name, value in {
            "clip": 3.0, "crop": 60.0, "epochs": 4, "learning_rate": 1.0, "log_audio": False, "fold": "2", "data": "12",
            "gru_units": 8, "dropout": 0.0,
        }.items():  # fmt: skip
            assert s[name] == value and type(s[name]) is type(value), name


def test_a_plan_holds_the_options_of_each_part():
    s = plan("--crop", "60", "--n_mels", "130", "--clip", "3", "--seed", "21", "--tsne_split", "all")
    assert s.features == FeatureConfig(crop=60.0, n_mels=130)
    assert s.data == DataOptions(clip=3.0)
    assert s.training == Training(seed=21)
    assert s.evaluation == EvaluationOptions(tsne_split="all")
    assert (s.system.__module__.rsplit(".", 1)[1], s.options, s.model, s.seed) == (
        "crnn",
        s.system.Config(),
        "crnn",
        21,
    )
    assert changed(s.features, s.data) == {"crop": 60.0, "n_mels": 130, "clip": 3.0}


def test_no_two_groups_of_parameters_share_a_name():
    from projects.artists.systems import names

    for name in names():
        fields = field_names(Sources, DataOptions, FeatureConfig, Training, EvaluationOptions, find(name).Config)
        assert len(fields) == len(set(fields))
        assert set(training_plan({"model": name}).values) == set(fields)


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("True", True), ("1", True), ("yes", True), ("YES", True), ("false", False), ("False", False),
     ("0", False), ("no", False)],
)  # fmt: skip
def test_words_for_true_and_false(word, value):
    assert settings("--log_audio", word)["log_audio"] is value


@pytest.mark.parametrize("text", ["yes", "true", "on", "1"])
def test_yaml_words_for_true(config, text):
    assert settings("--config", config(f"log_audio: {text}"))["log_audio"] is True


@pytest.mark.parametrize("text", ["1e-3", "0.001", ".001", "'0.001'", "1.0e-3"])
def test_yaml_spellings_of_a_number(config, text):
    assert settings("--config", config(f"learning_rate: {text}"))["learning_rate"] == 0.001


BAD = [
    ("clip", "abc", "is not a number"),
    ("clip", "", "is not a number"),
    ("clip", "-3", "positive"),
    ("clip", "0", "positive"),
    ("crop", "-1", "positive"),
    ("crop", "ten", "is not a number"),
    ("epochs", "2.5", "is not a whole number"),
    ("epochs", "3.0", "is not a whole number"),
    ("epochs", "1e3", "is not a whole number"),
    ("epochs", "", "is not a whole number"),
    ("epochs", "0", "at least 1"),
    ("patience", "-1", "at least 1"),
    ("batch_size", "0", "at least 1"),
    ("learning_rate", "0", "above 0"),
    ("learning_rate", "-0.1", "above 0"),
    ("learning_rate", "100", "below 10"),
    ("seed", "-1", "from 0 to 4294967295"),
    ("seed", "x", "is not a whole number"),
    ("workers", "0", "at least 1"),
    ("sr", "0", "positive"),
    ("hop_length", "-512", "positive"),
    ("n_mels", "many", "is not a whole number"),
    ("mel_scale", "bark", "choose one of slaney, htk"),
    ("split", "genre", "choose one of song, album, artist"),
    ("split", "artist", "label=artist cannot be learned"),
    ("split", "Song", "choose one of song, album"),
    ("tsne_split", "none", "choose one of train, val, test, all"),
    ("log_audio", "maybe", "neither true nor false"),
    ("log_audio", "", "neither true nor false"),
    ("dropout", "1", "below 1"),
    ("gru_units", "0", "at least 1"),
    ("model", "nonet", "choose one of .*crnn"),
    ("recipe", "best", "choose one of published, paper, long"),
    ("config", "/no/such/file", "cannot be read: No such file"),
]


@pytest.mark.parametrize(("name", "value", "said"), BAD)
def test_values_that_cannot_be_are_named_with_what_was_expected(name, value, said):
    with pytest.raises(InputError, match=f"{name}={value}.*{said}"):
        settings(f"--{name}", value)


@pytest.mark.parametrize("name", ["clip", "crop", "learning_rate", "dropout", "conv_dropout"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", ".inf", ".nan"])
def test_no_number_may_be_infinite_or_none(config, name, value):
    if not value.startswith("."):
        with pytest.raises(InputError, match=f"{name}="):
            settings(f"--{name}", value)
    with pytest.raises(InputError, match=f"{name}="):
        settings("--config", config(f"{name}: {value}"))


@pytest.mark.parametrize(
    "text",
    ["clip: null", "clip: true", "clip: [3]", "clip: {a: 1}", "epochs: 2.5", "epochs: true", "epochs: .inf",
     "seed: null", "label: true", "split: [song]", "log_audio: 2", "clip: " + "9" * 400],
)  # fmt: skip
def test_values_of_a_file_that_cannot_be_are_named(config, text):
    with pytest.raises(InputError, match=f"^{text.split(':')[0]}="):
        settings("--config", config(text))


# Names


def test_an_unknown_name_lists_the_known_and_proposes_a_close_one():
    with pytest.raises(InputError) as error:
        settings("--clips", "3")
    said = str(error.value)
    assert said.startswith("Unknown parameter clips. Did you mean clip? Known: ")
    known = said.split("Known: ")[1].rstrip(".").split(", ")
    assert known == sorted(settings())
    assert {"data", "label", "split", "fold", "seed", "clip", "crop", "model", "epochs", "patience", "batch_size",
            "learning_rate", "config", "recipe", "resume", "log_audio"} <= set(known)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "close"), [("epoch", "epochs"), ("lerning_rate", "learning_rate"), ("gru_unit", "gru_units")]
)
def test_close_names(name, close):
    with pytest.raises(InputError, match=rf"Did you mean {close}\?"):
        settings(f"--{name}", "3")


def test_a_name_like_no_other_proposes_none():
    with pytest.raises(InputError, match=r"Unknown parameter xyzzy\. Known"):
        settings("--xyzzy", "3")


def test_an_unknown_name_in_a_file_is_an_error_too(config):
    with pytest.raises(InputError, match="Unknown parameter clipp"):
        settings("--config", config("clipp: 3"))
    with pytest.raises(InputError, match="Unknown parameter 5"):
        settings("--config", config("5: 3"))


def test_resolve_takes_any_group_of_dataclasses():
    @dataclasses.dataclass(frozen=True)
    class Options:
        count: int = 3
        name: str | None = None

    assert resolve([Options], {"count": "4"}) == (Options(count=4),)
    assert resolve([Options], {"name": "x"}, {"count": 5, "other": 6}) == (Options(5, "x"),)


# Files


def test_a_file_may_be_json_or_yaml_and_lie_in_the_home_folder(config, monkeypatch, tmp_path):
    assert read_config(config('{"clip": 3, "data": "ö"}')) == {"clip": 3, "data": "ö"}
    assert read_config(config("# why\nclip: 3  # seconds\n")) == {"clip": 3}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_config("~/config.yaml") == {"clip": 3}


@pytest.mark.parametrize("content", ["", "- clip\n- epochs\n", "just words", "3", "null", "# nothing"])
def test_a_file_without_names_and_values_says_what_it_should_hold(config, content):
    with pytest.raises(InputError, match=r"config\.yaml holds no `name: value` lines"):
        settings("--config", config(content))


@pytest.mark.parametrize(
    "content",
    ["clip: [", "clip: 3\n\tepochs: 4", "a: b: c", b"\xff\xfe\x00", "? [1]\n: 2", "clip: !!python/name:os.system",
     "clip: 2020-13-45", "clip: 3\x00", "[" * 5000],
)  # fmt: skip
def test_a_file_that_is_no_yaml_says_why(config, content):
    with pytest.raises(InputError, match=r"config\.yaml cannot be read: .+\. Give a YAML file"):
        settings("--config", config(content))


def test_a_folder_and_a_missing_file_are_no_configuration(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        settings("--config", str(tmp_path))
    with pytest.raises(InputError, match=r"none\.yaml cannot be read: No such file"):
        settings("--config", str(tmp_path / "none.yaml"))
    for path in ("a\0b", "~nosuchuser/x.yaml", "x" * 5000):
        with pytest.raises(InputError, match="cannot be read"):
            settings("--config", path)


# Evaluation


TRAINED = {"data": "music", "label": "genre", "split": "song", "folds": 5, "fold": "0", "clip": 3.0, "workers": None,
           "log_audio": True, "tsne_split": "test", "seed": 21, "epochs": 7, "model": "crnn"}  # fmt: skip


def test_an_evaluation_uses_what_the_model_was_trained_with():
    s = evaluation_plan({"model": "runs:/1"}, TRAINED).values
    assert (s["model"], s["seed"], s["clip"], s["label"], s["split"]) == ("runs:/1", 21, 3.0, "genre", "song")
    assert "epochs" not in s


def test_an_evaluation_may_take_another_corpus_split_and_seed():
    s = evaluation_plan({"model": "m", "data": "other", "split": "all", "seed": "3", "log_audio": "no"}, TRAINED).values
    assert (s["data"], s["split"], s["seed"], s["log_audio"]) == ("other", "all", 3, False)


def test_artists_are_trained_on_and_evaluated_alone_for_labels_other_than_artist():
    refusal = "label=artist cannot be learned with it"
    assert training_plan({"split": "artist", "label": "genre"}).data.split == "artist"
    assert evaluation_plan({"model": "m", "split": "artist"}).data.split == "artist", "the label is not known yet"
    assert evaluation_plan({"model": "m", "split": "artist"}, TRAINED).data.split == "artist"
    with pytest.raises(InputError, match=refusal):
        evaluation_plan({"model": "m", "split": "artist"}, {**TRAINED, "label": "artist"})
    with pytest.raises(InputError, match=refusal):
        training_plan({"split": "artist"})
    with pytest.raises(InputError, match=refusal):
        TransferOptions(model="m", split="artist")
    assert TransferOptions(model="m", split="artist", label="genre").split == "artist"


@pytest.mark.parametrize("name", ["clip", "label", "epochs", "sr", "nonsense", "config"])
def test_an_evaluation_does_not_change_what_the_model_fixes(name):
    with pytest.raises(InputError, match=rf"evaluate does not take {name}: it takes album_order, data, deform, fold,"):
        evaluation_plan({"model": "m", name: "1"}, TRAINED)


@pytest.mark.parametrize(
    ("name", "value"), [("seed", "x"), ("seed", "-1"), ("fold", "1.5"), ("split", "x"), ("workers", "0")]
)
def test_bad_values_of_an_evaluation(name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        evaluation_plan({"model": "m", name: value}, TRAINED)


# Dataclasses used without flags


@pytest.mark.parametrize("clip", [0, -1.0, math.nan])
def test_a_clip_that_is_not_positive(clip):
    with pytest.raises(InputError, match="positive number of seconds"):
        DataOptions(clip=clip)


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("patience", 0), ("batch_size", -1), ("seed", -1),
                                             ("learning_rate", math.inf), ("learning_rate", math.nan)])  # fmt: skip
def test_a_training_that_makes_no_sense(name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        Training(**{name: value})


@pytest.mark.parametrize(
    ("given", "clips", "hint"),
    [
        ({}, 144, True), ({"recipe": "small"}, 144, False), ({}, 80 * 16, False), ({"model": "mfcc_svm"}, 144, False)
    ],
)  # fmt: skip
def test_a_training_of_few_steps_says_which_recipe_suits_it(given, clips, hint):
    assert bool(train.batchnorm_hint(training_plan(given), clips)) == hint


def test_a_training_started_by_hand_takes_todays_recipe_where_nothing_says_which(config):
    assert with_default_recipe({"clip": "3"}) == {"clip": "3", "recipe": "modern"}
    for flags in ({"model": "rnn"}, {"recipe": "published"}, {"config": config("model: rnn\n")}):
        assert with_default_recipe(flags) == flags
    assert plan().training == Training(), "a grid or a search takes the published one"
