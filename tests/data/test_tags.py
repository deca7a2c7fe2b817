"""Labels that are sets of tags: the matrix, scores by tag, and the network that learns them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from projects.artists import systems
from projects.artists.audio.features import FeatureConfig
from projects.artists.data import corpora, prepare
from projects.artists.data.clipset import make_clips
from projects.artists.data.featurize import Entry, featurize
from projects.artists.data.options import DataOptions
from projects.artists.data.tags import tag_matrix, tags_of
from projects.artists.data.tracks import Corpus
from projects.artists.evaluation import tags
from projects.artists.training.loop import Hooks
from projects.artists.training.training import Training
from projects.artists.workflows import evaluate

CLASSES = ["fast;major", "fast;minor", "major;slow"]


def test_tags_are_between_semicolons():
    assert tags_of("slow; minor;slow;") == ["minor", "slow"] and tags_of("jazz") == ["jazz"] and tags_of("") == []


def test_the_matrix_says_which_label_has_which_tag():
    names, matrix = tag_matrix(CLASSES)
    assert names == ["fast", "major", "minor", "slow"]
    np.testing.assert_array_equal(matrix, [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]])


def test_scores_by_tag_by_hand():
    proba = np.array([[0.6, 0.1, 0.3], [0.1, 0.7, 0.2], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]])
    table = tags.per_tag(np.array([0, 1, 2, 2]), proba, CLASSES).set_index("tag")
    assert table["support"].to_dict() == {"fast": 2, "major": 3, "minor": 1, "slow": 2}
    # major: rows 1, 3, 4 have it, with .9, .5, .7 against .3 of row 2: perfect. slow: .3, .4 against .3, .2.
    assert table.loc["major", "average_precision"] == table.loc["major", "roc_auc"] == 1
    assert table.loc["slow", "roc_auc"] == pytest.approx(3.5 / 4)
    expected = average_precision_score([0, 0, 1, 1], [0.3, 0.2, 0.3, 0.4])
    assert table.loc["slow", "average_precision"] == pytest.approx(expected)
    assert tags.scores(np.array([0, 1, 2, 2]), proba, CLASSES)["tag_auc"] == pytest.approx(table["roc_auc"].mean())


def test_tags_that_all_rows_have_or_none_count_for_nothing():
    proba = np.array([[0.6, 0.1, 0.3], [0.1, 0.7, 0.2]])
    table = tags.per_tag(np.array([0, 1]), proba, CLASSES).set_index("tag")
    assert np.isnan(table.loc["fast", "roc_auc"]) and np.isnan(table.loc["slow", "average_precision"])
    assert tags.scores(np.array([0, 0]), proba, CLASSES) == {}


@pytest.mark.slow
def test_a_semicolon_in_an_artist_s_name_is_no_list_of_tags(tmp_path, write_corpus, in_process):
    """Neither in the metrics, nor in the tables, nor in what the tag network learns."""
    root = write_corpus(tmp_path / "corpus", seconds=5)
    for i, name in enumerate(["Ada; Bob; Dan", "Bob", "Cyd;"]):
        (root / f"artist{i}").rename(root / name)
    corpus = corpora.load(str(root))
    tagged = [dataclasses.replace(t, labels={"tags": t.artist, "mood_tags": t.artist}) for t in corpus.tracks]
    corpus, features = Corpus(corpus.name, tuple(tagged)), featurize(corpus, FeatureConfig())

    def measured(label: str) -> set[str]:
        prepared = prepare.prepare(corpus, features, DataOptions(clip=4.1, label=label), seed=0)
        clips = prepared.clips["test"]
        proba = np.random.default_rng(0).dirichlet(np.ones(3), len(clips))
        metrics = evaluate.SubsetScores.of_proba(clips, proba).metrics("test", seed=0)
        system = systems.find("tag_dcnn")()
        system.fit(clips, clips, 3, Training(epochs=1, batch_size=6), Hooks(on_epoch=lambda e, logs: None))
        assert system.model.get_layer("tags").units == (3 if label == "artist" else 4)
        return {name for name in metrics if "_tag_" in name}

    assert measured("artist") == set()
    assert measured("tags") == measured("mood_tags") == {
        f"test/{level}_tag_{name}" for level in ("clip", "song") for name in ("map", "auc")
    }  # fmt: skip


def test_probabilities_of_sets_are_those_of_independent_tags_given_that_a_set_exists(tmp_path):
    """With sigmoid outputs p: the product of p over a set's tags and of 1 - p over the others, over all sets."""
    rng, entries, y = np.random.default_rng(0), [], [0, 1, 2, 0, 1, 2]
    for i in range(6):
        path = tmp_path / f"{i}.npy"
        np.save(path, rng.gamma(1, 0.2 + 0.1 * y[i], (130, 128)).astype(np.float32))
        entries.append(Entry(path.stem, 130, path))
    train = make_clips(entries, y, 129, tag_sets=CLASSES)[0]
    system, seen = systems.find("tag_dcnn")(), []
    system.fit(train, train, 3, Training(epochs=1, batch_size=6), Hooks(on_epoch=lambda e, logs: seen.append(logs)))
    proba, embedding = system.scores([train.read(slice(None))])
    kernel, bias = system.model.get_layer("tags").get_weights()
    p = 1 / (1 + np.exp(-(embedding @ kernel + bias).astype(float)))
    _, matrix = tag_matrix(CLASSES)
    joint = np.stack([np.prod(np.where(row == 1, p, 1 - p), axis=1) for row in matrix], axis=1)
    np.testing.assert_allclose(proba, joint / joint.sum(1, keepdims=True), atol=1e-5)
    truth = matrix[train.y]
    entropy = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()
    assert seen[0]["val_loss"] == pytest.approx(entropy, rel=1e-3)
