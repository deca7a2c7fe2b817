"""The systems of MFCC: divergences and likelihoods by hand, and each against scikit-learn or a definition."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from projects.artists import systems
from projects.artists.audio.features import FeatureConfig
from projects.artists.data import prepare
from projects.artists.data.clipset import make_clips
from projects.artists.data.featurize import Entry, featurize
from projects.artists.data.options import DataOptions
from projects.artists.errors import InputError
from projects.artists.package import card as saved
from projects.artists.package import inference
from projects.artists.systems import fitted
from projects.artists.systems.array_system import temperature
from projects.artists.systems.song_svm import divergence
from projects.artists.training.loop import Hooks
from projects.artists.training.training import Training
from projects.artists.workflows.evaluate import SubsetScores


def songs(folder, n, *, frames=80, columns=128, seed=0):
    """Songs of three artists that differ by the slope of their spectrum."""
    rng, entries = np.random.default_rng(seed), []
    for i in range(n):
        path = folder / f"{seed}-{i}.npy"
        slope = (i % 3) * np.linspace(0, 25, columns)
        np.save(path, (rng.normal(-30, 10, (frames, columns)) - slope).astype(np.float32))
        entries.append(Entry(path.stem, frames, path))
    return make_clips(entries, [i % 3 for i in range(n)], 40)[0]


@pytest.fixture
def subsets(tmp_path):
    return songs(tmp_path, 9), songs(tmp_path, 6, seed=1)


def fit(name, subsets, **options):
    system = systems.find(name)(**options)
    state = system.fit(*subsets, 3, Training(seed=3), Hooks())
    return system, state


@pytest.mark.parametrize("name", ["mfcc_svm", "mfcc_gaussian", "mfcc_gmm", "song_svm"])
def test_artists_that_differ_by_timbre_are_told_apart_on_new_songs(subsets, tmp_path, name):
    system, state = fit(name, subsets, n_mfcc=4)
    new = songs(tmp_path, 6, seed=2)
    proba, _ = system.scores(new.batches_of(system.unit))
    assert (proba.argmax(1) == new.y).mean() > 0.8
    again, _ = fit(name, subsets, n_mfcc=4)
    np.testing.assert_array_equal(again.scores(new.batches_of(system.unit))[0], proba)
    assert state.history[0]["val_loss"] < np.log(3) and system.count_params() > 0


def test_a_class_without_songs_in_training_has_no_probability(subsets):
    train, val = subsets
    for name in ("mfcc_svm", "mfcc_gaussian", "mfcc_gmm", "song_svm"):
        system = systems.find(name)()
        system.fit(train, val, 5, Training(), Hooks())
        proba, embedding = system.scores(val.batches_of(system.unit))
        assert proba.shape == (len(val), 5) and (proba[:, 3:] == 0).all() and np.isfinite(embedding).all()


def gaussian(rng, d):
    a = rng.normal(size=(d, d))
    return rng.normal(size=d), a @ a.T + np.eye(d)


def test_the_divergence_is_zero_for_itself_symmetric_and_positive():
    rng = np.random.default_rng(0)
    mean, cov = (np.stack(part) for part in zip(*[gaussian(rng, 20) for _ in range(6)], strict=True))
    mean *= 300
    d = divergence((mean, cov), (mean, cov))
    np.testing.assert_allclose(np.diag(d), 0, atol=1e-9)
    np.testing.assert_allclose(d, d.T, rtol=1e-9, atol=1e-9)
    assert (d[~np.eye(6, dtype=bool)] > 1).all()


def test_the_divergence_of_two_numbers_by_hand():
    """Variances 1 and 4, means 0 and 3: (4 + 1/4 - 2 + 9 (1 + 1/4)) / 2."""
    a, b = (np.array([[0.0]]), np.array([[[1.0]]])), (np.array([[3.0]]), np.array([[[4.0]]]))
    assert divergence(a, b)[0, 0] == pytest.approx((2.25 + 9 * 1.25) / 2)


def test_the_divergence_is_the_mean_difference_of_log_densities():
    """By Monte Carlo: E_p[log p - log q] + E_q[log q - log p]."""
    rng = np.random.default_rng(1)
    p, q = gaussian(rng, 3), gaussian(rng, 3)
    densities = [scipy.stats.multivariate_normal(*each) for each in (p, q)]
    x, y = (each.rvs(200_000, random_state=rng) for each in densities)
    expected = np.mean(densities[0].logpdf(x) - densities[1].logpdf(x))
    expected += np.mean(densities[1].logpdf(y) - densities[0].logpdf(y))
    got = divergence(*((mean[None], cov[None]) for mean, cov in (p, q)))[0, 0]
    assert got == pytest.approx(expected, rel=0.03)


def test_the_kernel_of_song_svm_is_one_for_a_song_itself(subsets):
    system, _ = fit("song_svm", subsets)
    mean, cov = system.gaussian(next(subsets[0].song_batches()))
    d = divergence((mean[None], cov[None]), (system.means, system.covariances))[0]
    assert d[0] == pytest.approx(0, abs=1e-9) and d[1:].min() > 0
    median = np.median(divergence(*[(system.means, system.covariances)] * 2)[~np.eye(9, dtype=bool)])
    assert system.gamma == pytest.approx(1 / median)
    assert fit("song_svm", subsets, gamma=0.5)[0].gamma == 0.5


def test_a_gaussian_scores_the_mean_log_density_of_the_frames(subsets):
    system, _ = fit("mfcc_gaussian", subsets, n_mfcc=5)
    train, val = subsets
    frames = system.coefficients(train.read(np.flatnonzero(train.y == 1))).reshape(-1, 5)
    density = scipy.stats.multivariate_normal(frames.mean(0), np.cov(frames.T, bias=True) + 1e-2 * np.eye(5))
    clips = val.read(slice(0, 2))
    expected = density.logpdf(system.coefficients(clips)).mean(1)
    np.testing.assert_allclose(system.values(clips)[0][:, 1], expected, rtol=1e-6)


def test_chroma_columns_go_beside_the_mfcc_untransformed(tmp_path):
    """Artists of one timbre and different keys: only chroma tells them apart."""
    rng, entries = np.random.default_rng(0), []
    for i in range(18):
        chroma = rng.uniform(0, 0.3, (80, 12))
        chroma[:, 4 * (i % 3)] = 1 - rng.uniform(0, 0.1, 80)
        path = tmp_path / f"{i}.npy"
        np.save(path, np.hstack([rng.normal(-30, 10, (80, 128)), chroma]).astype(np.float32))
        entries.append(Entry(path.stem, 80, path))
    y = [i % 3 for i in range(18)]
    subsets = make_clips(entries[:12], y[:12], 40)[0], make_clips(entries[12:], y[12:], 40)[0]
    with_chroma, _ = fit("mfcc_gaussian", subsets, chroma=True)
    assert (with_chroma.scores(subsets[1].batches())[0].argmax(1) == subsets[1].y).all()
    assert with_chroma.frame_vectors(subsets[0].read([0])).shape == (1, 40, 32)
    np.testing.assert_array_equal(
        with_chroma.frame_vectors(subsets[0].read([0]))[..., 20:], subsets[0].read([0])[..., 128:]
    )


def test_the_temperature_has_the_lowest_log_loss():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 4))
    u = rng.gumbel(size=logits.shape)
    y = (logits + u).argmax(1)
    assert temperature(7 * logits, y) == pytest.approx(7, rel=0.1)
    masked = np.column_stack([7 * logits, np.full(4000, -np.inf)])
    assert temperature(masked, y) == pytest.approx(7, rel=0.1)


@pytest.mark.parametrize(
    "estimator",
    [SVC(C=3), SVC(kernel="rbf", gamma=0.1), GaussianMixture(3, random_state=0),
     make_pipeline(StandardScaler(), LogisticRegression())],
)  # fmt: skip
@pytest.mark.parametrize("classes", [2, 3])
def test_estimators_return_from_a_file_as_they_were(tmp_path, estimator, classes):
    from sklearn.base import clone

    rng = np.random.default_rng(0)
    y = np.arange(60) % classes
    x = rng.normal(size=(60, 4)) + y[:, None]
    estimator = clone(estimator).fit(x, y)
    fitted.save(tmp_path, types.SimpleNamespace(fitted=("a", "number"), a={1: estimator}, number=3))
    fitted.load(tmp_path, system := types.SimpleNamespace(fitted=("a", "number")))
    again = system.a[1]
    method = "score_samples" if isinstance(estimator, GaussianMixture) else "decision_function"
    np.testing.assert_allclose(getattr(again, method)(x), getattr(estimator, method)(x), rtol=1e-12)
    assert system.number == 3


def test_a_file_that_names_more_than_estimators_and_arrays_is_refused_and_one_of_an_older_version_too(tmp_path):
    odd = StandardScaler().fit(np.eye(3))
    odd.callback_ = print
    with pytest.raises(InputError, match=r"The model has no fitted\.skops: an earlier version of this project"):
        fitted.load(tmp_path, types.SimpleNamespace())
    fitted.save(tmp_path, types.SimpleNamespace(fitted=("odd",), odd=odd))
    system = types.SimpleNamespace(fitted=("odd",))
    with pytest.raises(InputError, match=r"fitted\.skops of the model cannot be read: .*builtins\.print"):
        fitted.load(tmp_path, system)
    assert set(vars(system)) == {"fitted"}
    (tmp_path / "fitted.skops").write_bytes((tmp_path / "fitted.skops").read_bytes()[:200])
    with pytest.raises(InputError, match=r"fitted\.skops of the model cannot be read"):
        fitted.load(tmp_path, system)


CHROMA = {"chroma": True}


@pytest.mark.parametrize(("name", "features"), [("song_svm", {}), ("mfcc_gaussian", CHROMA), ("mfcc_svm", {})])
def test_audio_scored_by_a_saved_system_is_as_in_its_evaluation(small_corpus, in_process, tmp_path, name, features):
    """From files to a saved model and back, over two clips a song."""
    from projects.artists.data import corpora

    corpus = corpora.load(str(small_corpus))
    config, options = FeatureConfig(**features), DataOptions(data=str(small_corpus), clip=1.5)
    prepared = prepare.prepare(corpus, featurize(corpus, config), options, seed=0)
    cls = systems.find(name)
    chosen = {option: getattr(cls.Config(), option, features.get(option)) for option in cls.option_names()}
    system = cls(**chosen)
    system.fit(prepared.clips["train"], prepared.clips["val"], 3, Training(), Hooks())
    test = SubsetScores.of(system, prepared.clips["test"])
    assert 0 <= test.metrics("test", seed=0)["test/song_f1"] <= 1
    card = saved.Card(name, chosen, {**features}, prepared.clips["test"].length, "artist", prepared.classes, {}, {})
    saved.save(tmp_path / "system", system, card)
    loaded, card = saved.load(tmp_path / "system")
    for i, track in enumerate(prepared.tracks["test"][:2]):
        scored = inference.score(track.path, loaded, card)
        np.testing.assert_allclose(scored.proba.mean(0), test.song_proba[i], atol=1e-5)
        assert not scored.padded
    short = inference.score(track.path, loaded, dataclasses.replace(card, clip_frames=500))
    assert short.padded and short.proba.shape == (1, 3) and np.isfinite(short.proba).all()
