"""Samples and maps of embeddings: allocations worked by hand, separated clusters, degenerate points."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.neighbors
from threadpoolctl import threadpool_info, threadpool_limits

from projects.artists.errors import InputError
from projects.artists.evaluation import tsne as embeddings
from projects.artists.evaluation.tsne import stratified_sample, tsne


def sizes(labels: list[str], n_max: int, seed: int = 0) -> dict[str, int]:
    chosen = stratified_sample(np.array(labels), n_max, seed)
    names, counts = np.unique(np.array(labels)[chosen], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def clusters(n: int = 60, k: int = 3, d: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng, y = np.random.default_rng(seed), np.arange(n) % k
    return (10 * np.eye(k, d)[y] + rng.normal(size=(n, d))).astype(np.float32), y


@pytest.mark.parametrize(
    ("labels", "n_max", "expected"),
    [
        (["a"] * 60 + ["b"] * 30 + ["c"] * 10, 10, {"a": 6, "b": 3, "c": 1}),
        (["a"] * 97 + ["b", "c", "c"], 10, {"a": 8, "b": 1, "c": 1}),  # 9.7, 0.1, 0.2 with a minimum of one
        (["a"] * 5 + ["b"] * 5 + ["c"] * 5, 7, {"a": 3, "b": 2, "c": 2}),  # equal remainders: the first
        (["a"] * 3 + ["b"] * 2 + ["c"], 2, {"a": 1, "b": 1}),  # more labels than points: the most frequent
        (["a"] * 3 + ["b"] * 2 + ["c"], 3, {"a": 1, "b": 1, "c": 1}),
        (["a"] * 3 + ["b"] * 2, 5, {"a": 3, "b": 2}),
        (["a"] * 3, 100, {"a": 3}),
        (["a"] * 30, 7, {"a": 7}),
    ],
)
def test_samples_are_as_worked_by_hand(labels: list[str], n_max: int, expected: dict[str, int]) -> None:
    assert sizes(labels, n_max) == expected


def test_samples_have_the_size_asked_for_and_all_labels_within_one_of_proportion() -> None:
    rng = np.random.default_rng(0)
    for seed in range(50):
        labels = rng.choice(20, size=3000, p=rng.dirichlet(np.ones(20)))
        chosen = stratified_sample(labels, 1000, seed)
        assert len(chosen) == 1000 and (np.diff(chosen) > 0).all()
        assert set(labels[chosen]) == set(labels)
        counts = np.bincount(labels, minlength=20)
        got = np.bincount(labels[chosen], minlength=20)
        assert (got <= counts).all() and (np.abs(got - counts / 3) < 4).all()


def test_samples_are_a_function_of_the_seed() -> None:
    labels = np.arange(500) % 7
    first = stratified_sample(labels, 100, 1)
    np.testing.assert_array_equal(first, stratified_sample(labels, 100, 1))
    assert not np.array_equal(first, stratified_sample(labels, 100, 2))


def test_samples_do_not_depend_on_the_names_of_labels() -> None:
    labels = np.arange(500) % 7
    names = np.array(["東京", "<b>", "=1+1", "", "a", "b", "c"], dtype=object)[labels]
    np.testing.assert_array_equal(stratified_sample(names, 100, 0), stratified_sample(labels, 100, 0))


def test_missing_labels_are_a_label() -> None:
    labels = np.array(["a", None, np.nan, "b"] * 10, dtype=object)
    assert len(stratified_sample(labels, 8, 0)) == 8


def test_nothing_can_be_sampled_and_mapped() -> None:
    assert stratified_sample(np.zeros(0), 10, 0).shape == (0,)
    assert tsne(np.zeros((0, 8)), seed=0).shape == (0, 2)


@pytest.mark.parametrize(("labels", "n_max"), [(np.zeros(3), 0), (np.zeros((3, 2)), 5)])
def test_samples_that_cannot_be_are_refused(labels: np.ndarray, n_max: int) -> None:
    with pytest.raises(ValueError, match="expected n_max > 0"):
        stratified_sample(labels, n_max, 0)


def test_the_map_keeps_clusters_apart() -> None:
    x, y = clusters()
    neighbours = sklearn.neighbors.KNeighborsClassifier(5).fit(tsne(x, seed=0), y)
    assert neighbours.score(tsne(x, seed=0), y) == 1


def test_the_map_is_a_function_of_the_seed() -> None:
    x, _ = clusters(40)
    np.testing.assert_array_equal(tsne(x, seed=0), tsne(x, seed=0))


def test_the_map_is_made_by_one_thread_whatever_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    # With two, a map of a thousand points is another one; few points do not show it.
    threads = []

    class Recorder(embeddings.TSNE):
        def fit_transform(self, X: np.ndarray, y: None = None) -> np.ndarray:
            threads.extend(pool["num_threads"] for pool in threadpool_info())
            return X[:, :2]

    monkeypatch.setattr(embeddings, "TSNE", Recorder)
    with threadpool_limits(2):
        tsne(clusters(20)[0], seed=0)
    assert set(threads) == {1}


def test_the_map_does_not_depend_on_scale_by_powers_of_two() -> None:
    x, _ = clusters(40)
    np.testing.assert_array_equal(tsne(x * 1024, seed=0), tsne(x, seed=0))


def test_huge_and_tiny_embeddings_are_mapped() -> None:
    x, _ = clusters(20)
    for scale in (1e-30, 1e30):
        assert np.isfinite(tsne(x.astype(float) * scale, seed=0)).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 31])
def test_few_points_get_finite_coordinates_without_warnings(n: int) -> None:
    x, _ = clusters(n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xy = tsne(x, seed=0)
    assert xy.shape == (n, 2) and xy.dtype == np.float32 and np.isfinite(xy).all()


def test_three_points_keep_their_distances() -> None:
    x = np.array([[0.0, 0, 0, 0], [3, 0, 0, 0], [0, 4, 0, 0]])
    xy = tsne(x, seed=0)
    distances = [np.linalg.norm(xy[i] - xy[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(np.array(distances) / distances[0], [1, 4 / 3, 5 / 3], rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e6])
@pytest.mark.parametrize("n", [1, 4, 50])
def test_points_that_coincide_get_the_origin(value: float, n: int) -> None:
    np.testing.assert_array_equal(tsne(np.full((n, 8), value, np.float32), seed=0), np.zeros((n, 2)))


def test_duplicates_are_mapped() -> None:
    x = np.repeat(clusters(3)[0], 20, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xy = tsne(x, seed=0)
    assert np.isfinite(xy).all()


@pytest.mark.parametrize("d", [1, 2])
def test_embeddings_of_few_dimensions_are_mapped(d: int) -> None:
    assert np.isfinite(tsne(clusters(20, d=d, k=1)[0], seed=0)).all()


def test_embeddings_that_are_nan_are_refused() -> None:
    x, _ = clusters(20)
    x[3, 2] = np.nan
    with pytest.raises(InputError, match="1 of 20 embeddings hold NaN"):
        tsne(x, seed=0)


def test_embeddings_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="expected \\(n, d\\)"):
        tsne(np.zeros(5), seed=0)
