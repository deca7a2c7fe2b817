"""The figure of deformations: what is written in it, extreme values, the same bytes for the same input."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from projects.artists.reports.deformations import deformation_figure
from projects.artists.reports.figures import figure_bytes


def table(changed: list[int], songs: int = 24) -> pd.DataFrame:
    scores = [max(0.0, 0.9 - 0.1 * i) for i in range(len(changed))]
    titles = ["undisturbed", *(f"lowpass {4000 + i} Hz" for i in range(1, len(changed)))]
    bounds = {"song_f1_low": [s - 0.1 for s in scores], "song_f1_high": [s + 0.1 for s in scores]}
    return pd.DataFrame({"title": titles, "song_f1": scores, **bounds, "changed": changed, "songs": songs})


def texts(figure: Figure, axes: int) -> list[str]:
    return [text.get_text() for text in figure.axes[axes].texts]


def test_scores_and_changes_of_each_deformation_are_written_beside_its_name():
    figure = deformation_figure(table([0, 3, 12]), "crnn")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "undisturbed", "lowpass 4001 Hz", "lowpass 4002 Hz"
    ]  # fmt: skip
    assert texts(figure, 0) == ["0.90", "0.80", "0.70"] and texts(figure, 1) == ["3 (12%)", "12 (50%)"]
    assert "of 24" in figure.axes[1].get_xlabel()


@pytest.mark.parametrize("changed", [[0, 0], [0, *range(20)], [0, 24]])
def test_every_number_stands_inside_of_the_figure(changed):
    figure = deformation_figure(table(changed), "A$AP $x^{2$")
    figure.canvas.draw()
    renderer, box = figure.canvas.get_renderer(), figure.bbox
    for axes in figure.axes:
        for text in axes.texts:
            place = text.get_window_extent(renderer)
            assert box.x0 <= place.x0 and place.x1 <= box.x1, text.get_text()
    assert figure_bytes(figure) == figure_bytes(deformation_figure(table(changed), "A$AP $x^{2$"))
