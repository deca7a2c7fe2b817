"""Figures: what is written in them, any name and size, the same bytes for the same input."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import librosa
import numpy as np
import pytest
from matplotlib.figure import Figure

from projects.artists.reports.figures import (
    _cell_inches,
    _label_step,
    confusion_figure,
    figure_bytes,
    frequency_ticks,
    spectrogram_grid,
    tsne_figure,
)
from projects.artists.reports.fonts import drawable

HOSTILE = [
    "A$AP $x^{2$",
    "_underscore",
    "<b>bold</b>",
    "東京事変",
    "🎸🤘",
    "bad\udcff\nbyte",
    "ธงไชย",
    "x" * 300,
    "  ",
    "مرحبا",
]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def tick_labels(figure: Figure, axis: str) -> list[str]:
    return [label.get_text() for label in getattr(figure.axes[0], f"get_{axis}ticklabels")()]


def excerpts(names: list[str], frames: int = 94) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(-20, 15, (frames, 16)).astype(np.float32) for name in names}


def grid(panels: dict[str, np.ndarray], title: str = "t") -> Figure:
    bands = np.linspace(0, 8000, 16)
    return spectrogram_grid(panels, sr=16000, hop_length=512, mel_frequencies=bands, title=title)


def test_confusion_writes_row_percentages_and_counts_and_supports() -> None:
    figure = confusion_figure(np.array([[3, 1], [0, 2]]), ["a", "b"], "t")
    assert texts(figure) == ["75%\n3", "25%\n1", "100%\n2"]
    assert tick_labels(figure, "y") == ["a (4)", "b (2)"]
    assert tick_labels(figure, "x") == ["a", "b"]


def test_confusion_shows_a_recall_of_zero_on_the_diagonal() -> None:
    assert texts(confusion_figure(np.array([[0, 2], [0, 3]]), ["a", "b"], "t"))[0] == "0%\n0"


def test_confusion_leaves_a_row_without_examples_empty_and_says_zero() -> None:
    figure = confusion_figure(np.array([[4, 0], [0, 0]]), ["a", "b"], "t")
    assert texts(figure) == ["100%\n4"]
    assert tick_labels(figure, "y")[1] == "b (0)"


@pytest.mark.parametrize(("classes", "cells"), [(1, 1), (25, 50), (26, 0)])
def test_confusion_annotates_up_to_25_classes(classes: int, cells: int) -> None:
    matrix = 3 * np.eye(classes, dtype=int) + np.roll(np.eye(classes, dtype=int), 1, axis=1)
    assert len(texts(confusion_figure(matrix, [f"a{i}" for i in range(classes)], "t"))) == cells


def test_confusion_of_a_hundred_artists_names_each_and_lists_recalls_at_the_right() -> None:
    matrix = np.full((100, 100), 0) + 3 * np.eye(100, dtype=int)
    matrix[7] = np.eye(100, dtype=int)[8]
    figure = confusion_figure(matrix, [f"artist {i}" for i in range(100)], "t")
    right = figure.axes[0].child_axes[0]
    recalls = [label.get_text() for label in right.get_yticklabels()]
    assert len(tick_labels(figure, "y")) == len(recalls) == 100
    assert recalls[6:9] == ["100", "0", "100"]
    assert max(figure.get_size_inches()) < 26


@pytest.mark.parametrize("classes", [1, 12, 13, 25, 26, 100, 1000, 10_000])
def test_confusion_stays_within_20_inches_and_its_names_apart(classes: int) -> None:
    cell = _cell_inches(classes)
    assert cell * classes <= 20 + 1e-9
    assert cell * _label_step(cell) >= 0.12


def test_confusion_text_contrasts_with_its_cell() -> None:
    matrix = np.diag(np.arange(0, 101, 10)) + np.roll(np.diag(np.arange(100, -1, -10)), 1, axis=1)
    axes = confusion_figure(matrix, list("abcdefghijk"), "t").axes[0]
    cells = axes.images[0].to_rgba(matrix / 100)
    assert len(axes.texts) == 21
    for text in axes.texts:
        column, row = map(int, text.get_position())
        cell = cells[row, column, :3]
        linear = np.where(cell <= 0.04045, cell / 12.92, ((cell + 0.055) / 1.055) ** 2.4)
        background = float(linear @ [0.2126, 0.7152, 0.0722])
        ink = 0.0 if text.get_color() == "black" else 1.0
        assert (max(ink, background) + 0.05) / (min(ink, background) + 0.05) >= 4.5


@pytest.mark.parametrize(
    "matrix", [np.zeros((2, 3)), np.zeros((3, 3)), np.array([[1, -1], [0, 1]]), np.array([[np.nan, 1], [0, 1]])]
)
def test_confusion_refuses_what_is_not_counts_of_its_labels(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="give"):
        confusion_figure(matrix, ["a", "b"], "t")


def test_tsne_draws_every_point_and_names_every_label() -> None:
    rng = np.random.default_rng(0)
    labels = [f"artist {i % 21}" for i in range(210)]
    figure = tsne_figure(rng.normal(size=(210, 2)), labels, "t")
    drawn = figure.axes[0].collections
    assert sum(len(collection.get_offsets()) for collection in drawn) == 210
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"artist {i}" for i in range(21)]
    keys = {(handle.get_marker(), handle.get_color()) for handle in figure.legends[0].legend_handles}
    assert len(keys) == 21


def test_tsne_legend_stands_outside_the_map() -> None:
    figure = tsne_figure(np.eye(2), ["a", "b" * 28], "t")
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= figure.axes[0].get_window_extent().x1
    assert legend.x1 <= figure.bbox.x1


def test_tsne_cuts_a_long_legend_and_says_so() -> None:
    figure = tsne_figure(np.zeros((130, 2)), [f"{i:03d}" for i in range(130)], "t")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) == 101
    assert names[-1] == "… and 30 more"


def test_tsne_survives_no_point_and_one_point() -> None:
    assert figure_bytes(tsne_figure(np.zeros((0, 2)), [], "t"), dpi=40)
    assert figure_bytes(tsne_figure(np.zeros((1, 2)), ["a"], "t"), dpi=40)


def test_tsne_refuses_points_that_do_not_fit_their_labels() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\).*2 labels"):
        tsne_figure(np.zeros((3, 2)), ["a", "b"], "t")


def test_grid_shares_one_scale_and_puts_seconds_on_x() -> None:
    panels = excerpts(["a", "b", "c"])
    panels["b"] = panels["b"] + 30
    figure = grid(panels)
    images = [axes.images[0] for axes in figure.axes if axes.images and axes.get_title()]
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["a", "b", "c"]
    assert len({image.get_clim() for image in images}) == 1
    low, high = images[0].get_clim()
    assert high == pytest.approx(max(panel.max() for panel in panels.values()))
    assert high - low <= 80
    assert images[0].get_extent()[:2] == pytest.approx([0, 94 * 512 / 16000])


def test_grid_shows_bands_upwards() -> None:
    panel = np.tile(np.arange(16.0), (10, 1))
    image = grid({"a": panel}).axes[0].images[0]
    assert image.origin == "lower"
    assert np.array_equal(image.get_array(), panel.T)


def test_grid_cuts_after_25_artists_and_says_so_in_the_title() -> None:
    figure = grid(excerpts([f"artist {i}" for i in range(40)], frames=4), "Excerpts")
    assert sum(bool(axes.get_title()) for axes in figure.axes) == 25
    assert figure.get_suptitle() == "Excerpts (the first 25 of 40 artists)"


def test_grid_survives_silence_and_excerpts_of_different_lengths() -> None:
    panels = {"a": np.full((30, 16), -100.0), "b": np.full((94, 16), -100.0)}
    assert figure_bytes(grid(panels), dpi=40)


@pytest.mark.parametrize("panels", [{}, {"a": np.zeros((5, 3))}, {"a": np.zeros((0, 16))}])
def test_grid_refuses_nothing_and_other_bands(panels: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="give"):
        grid(panels)


def test_frequency_ticks_lie_where_their_frequency_is() -> None:
    frequencies = librosa.mel_frequencies(n_mels=128, fmin=0.0, fmax=8000.0)
    positions, names = frequency_ticks(frequencies)
    assert names == ["8000", "4000", "2000", "1000", "500"]
    found = np.interp(positions, np.arange(128), frequencies)
    assert found == pytest.approx([8000, 4000, 2000, 1000, 500], abs=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        lambda: confusion_figure(np.array([[3, 1], [0, 2]]), ["a", "b"], "t"),
        lambda: tsne_figure(np.random.default_rng(0).normal(size=(30, 2)), list("abc") * 10, "t"),
        lambda: grid(excerpts(["a", "b"], frames=4)),
    ],
    ids=["confusion", "tsne", "grid"],
)
def test_the_same_input_gives_the_same_png_again_and_in_threads(build: Callable[[], Figure]) -> None:
    figure = build()
    png = figure_bytes(figure, dpi=50)
    assert png == figure_bytes(figure, dpi=50)
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda _: figure_bytes(build(), dpi=50), range(2))) == {png}
    assert png.startswith(b"\x89PNG")
    assert b"Software" not in png


def test_any_name_is_drawn_as_text_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix = np.eye(len(HOSTILE), dtype=int)
        figures = [
            confusion_figure(matrix, HOSTILE, HOSTILE[0] + HOSTILE[4]),
            tsne_figure(np.random.default_rng(0).normal(size=(len(HOSTILE), 2)), HOSTILE, HOSTILE[4]),
            grid(excerpts(HOSTILE, frames=4), HOSTILE[4]),
        ]
        assert all(figure_bytes(figure, dpi=40) for figure in figures)
    assert "A$AP $x^{2$" in tick_labels(figures[0], "x")
    assert "_underscore" in [text.get_text() for text in figures[1].legends[0].get_texts()]


def test_names_cut_to_the_same_beginning_stay_apart() -> None:
    labels = ["The Same Long Beginning Of All Names, One", "The Same Long Beginning Of All Names, Two"]
    figure = confusion_figure(np.eye(2, dtype=int), labels, "t")
    assert len(set(tick_labels(figure, "x"))) == 2
    assert all("…" in name for name in tick_labels(figure, "x"))


def test_characters_without_a_glyph_become_boxes_and_joiners_vanish() -> None:
    assert drawable("a\U000f0000b") == "a□b"
    assert drawable("Ä\u200dé") in ("Äé", "Ä\u200dé")
