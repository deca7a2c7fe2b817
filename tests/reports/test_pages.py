"""Pages and their charts: any name is text, colours are the page's, identifiers are unique, links are web addresses."""

from __future__ import annotations

import re
import warnings
from xml.etree import ElementTree

import pytest

from projects.artists.reports.charts import Series, line_chart, map_chart, matrix_chart, paired_chart
from projects.artists.reports.pages import Chart, Link, Row, Section, Table, render

HOSTILE = ['</svg><script>alert("x")</script>', "a\x00b\uffff", "bad\udcff", "#0072b2", "A$AP $x^{2$", "椎名林檎", "_x"]


def charts(name: str) -> list[Chart]:
    series = Series(name, [0, 1], [0.2, 0.4], [0.1, 0.1], [(0, 0.3)])
    return [
        line_chart(
            f"{name} 1", [name, "b"], [series], x_label=name, y_label=name, bounds=(0, 1), lines={name: 0.5}
        ),
        paired_chart(f"{name} 2", (name, "right"), [(0.1, 0.2, 0)], [name], y_label=name, bounds=(0, 1)),
        matrix_chart(f"{name} 3", [[3, 1], [0, 2]], [name, "b"]),
        map_chart(f"{name} 4", [(0.0, 1.0), (1.0, 2.0), (float("nan"), 0.0)], [0, 1, 1], [name, "b"]),
    ]  # fmt: skip


def page(name: str) -> str:
    table = Table(name, [name], [name], [Row([name], [Link(name, "https://x.example/?a=\"'<")])], name)
    return render("report.html", title=name, facts=[name], sections=[Section(name, name, [table], [charts(name)])])


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_text_in_page_and_charts(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source, harmless = page(name), page("harmless")
    source.encode("utf-8")
    assert re.findall("<([a-z]+)", source) == re.findall("<([a-z]+)", harmless)
    assert "\x00" not in source and "\u202e" not in source


def test_a_chart_shows_names_as_they_are_and_takes_every_colour_from_the_page() -> None:
    for chart in charts("#0072b2 & 椎名"):
        root = ElementTree.fromstring(chart.body)
        assert {element.get("style", "") for element in root.iter() if "#" in element.get("style", "")} == set()
        assert "#0072b2 & 椎名" in "".join(root.itertext()) and "url(" not in chart.body
    (label, *_) = ElementTree.fromstring(charts("椎名")[0].body).iter("text")
    assert label.text == "椎名"


def test_the_same_chart_is_the_same_text_and_identifiers_of_a_page_are_unique() -> None:
    assert page("a") == page("a")
    identifiers = re.findall(r' id="([^"]+)"', page("a"))
    assert len(identifiers) == len(set(identifiers)) >= 3
    assert {f"#{name}" for name in identifiers} == set(re.findall(r'href="(#[^"]+)"', page("a")))


def test_values_outside_the_axis_stand_at_its_ends() -> None:
    series = Series("s", [0, 1], [-5.0, 5.0], [1.0, 1.0])
    chart = line_chart("t", ["a", "b"], [series], x_label="", y_label="", bounds=(0, 1))
    marks = [float(mark.get("y", "")) for mark in ElementTree.fromstring(chart.body).iter("use")]
    assert (min(marks), max(marks)) == (10.0, 208.0)


@pytest.mark.parametrize(("address", "followed"), [("javascript:alert(1)", False), ("http://127.0.0.1:5000/", True)])
def test_only_web_addresses_are_followed(address: str, followed: bool) -> None:
    table = Table("", ["a"], [], [Row([Link("text", address)], [])])
    source = render("report.html", title="t", facts=[], sections=[Section("s", tables=[table])])
    assert ("<a " in source) == followed and "text" in source


def test_sections_that_hold_nothing_are_left_out() -> None:
    assert "<h2>" not in render("report.html", title="t", facts=[], sections=[Section("empty", "text")])
