"""Names: one line, writable, never empty, cut by what they take on the screen."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from projects.artists.reports.names import (
    clean,
    clock,
    display_width,
    distinct_names,
    groups,
    printable,
    shorten,
    shorten_middle,
)
from projects.artists.reports.palette import MARKERS, OKABE_ITO, colours, contrast, luminance, mark, text_on


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Sigur Ro\u0301s", "Sigur R\u00f3s"),
        (" two\n\tlines ", "two lines"),
        ("\x1b[31mred", "[31mred"),
        ("a\u202eb", "ab"),
        ("bad\udcff", "bad\ufffd"),
        ("", "(unnamed)"),
        (None, "(unnamed)"),
        (float("nan"), "(unnamed)"),
        (pd.NA, "(unnamed)"),
        ("<NA>", "<NA>"),
        ("nan", "nan"),
        (1999, "1999"),
        ("\u0646\u200c\u0647", "\u0646\u200c\u0647"),
    ],
)
def test_clean_gives_one_writable_line(name: object, shown: str) -> None:
    assert clean(name) == shown
    assert clean(clean(name)) == shown
    clean(name).encode("utf-8")


def test_printable_keeps_spaces_and_normal_form_of_a_path() -> None:
    assert printable("a  b/Ro\u0301s") == "a  b/Ro\u0301s"
    assert printable("a\x1b\udcff") == "a \ufffd"


def test_width_counts_wide_characters_twice_and_marks_not_at_all() -> None:
    assert [display_width(text) for text in ("abc", "東京", "e\u0301", "")] == [3, 4, 1, 0]


@pytest.mark.parametrize("cut", [shorten, shorten_middle])
@pytest.mark.parametrize("text", ["short", "a much longer name", "東京事変と椎名林檎の長い名前", "x" * 100])
@pytest.mark.parametrize("width", [2, 9, 12])
def test_shortened_text_fits_and_a_short_one_stays(
    cut: Callable[[str, int], str],
    text: str,
    width: int,
) -> None:
    result = cut(text, width)
    assert display_width(result) <= width
    assert result == text if display_width(text) <= width else "…" in result


def test_names_that_stay_alike_get_their_position() -> None:
    assert distinct_names(["same", "other", "same"], 10) == ["same #1", "other", "same #3"]


def test_groups_are_in_reading_order_whatever_the_order_of_arrival() -> None:
    assert groups(["b", "CD 10", "a", "CD 2", "b", None]) == ["(unnamed)", "a", "b", "CD 2", "CD 10"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (3.2, "0:03"),
        (65, "1:05"),
        (3661, "1:01:01"),
        (float("nan"), "?"),
        (float("inf"), "?"),
        (None, "?"),
    ],
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_56_labels_differ_in_colour_and_marker_and_24_in_colour() -> None:
    assert len({mark(index) for index in range(len(OKABE_ITO) * len(MARKERS))}) == 56
    assert len(set(colours(24))) == 24
    assert colours(8) == list(OKABE_ITO)


def test_contrast_of_black_and_white_is_21_and_of_equals_1() -> None:
    assert contrast(luminance((0, 0, 0)), luminance((1, 1, 1))) == pytest.approx(21.0)
    assert contrast(0.3, 0.3) == 1.0
    assert (text_on((1, 1, 1)), text_on((0, 0, 0.3))) == ("black", "white")
