"""The summary: scores with intervals beside the baselines, within 100 columns, no name obeyed."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from projects.artists.reports.markdown import inline, plain
from projects.artists.reports.names import display_width
from projects.artists.reports.summary import Score, Summary

SCORES = [("song F1", 0.656, 0.52, 0.78), ("clip F1", 0.585, None, None)]
BASELINES = {"majority class": 0.04, "loudness alone": 0.35, "MFCC logistic regression": 0.55}
COMMAND = "mlflow run . -e evaluate -P model=runs:/0123/model -P 'data=my  music' " + "-P split=album " * 8
ARGUMENTS = ("crnn, album split", SCORES, BASELINES, ["artifacts/tsne.html"], ["mlflow ui", COMMAND], {"device": "CPU"})


@pytest.mark.parametrize("summary", [Summary.text, Summary.markdown])
def test_both_forms_hold_every_part(summary: Callable[..., str]) -> None:
    text = summary(Summary(*ARGUMENTS))
    for part in (
        "crnn, album split",
        "song F1",
        "0.656",
        "0.520 to 0.780",
        "0.585",
        "majority class",
        "0.040",
        "loudness alone",
        "0.350",
        "MFCC logistic regression",
        "0.550",
        "artifacts/tsne.html",
        "mlflow ui",
        "device",
        "CPU",
    ):
        assert part in text


def test_values_and_intervals_stand_in_columns() -> None:
    lines = [line for line in Summary(*ARGUMENTS).text().splitlines() if "0." in line and line.startswith("  ")]
    assert len({line.index("0.") for line in lines}) == 1
    scores = [("名前", 0.5, 0.4, 0.6), ("ascii", 0.5, None, None)]
    wide = Summary("t", scores, {}, [], [], {}).text().splitlines()
    assert len({display_width(line[: line.index("0.500")]) for line in wide if "0.500" in line}) == 1


def test_no_line_is_wider_than_100_columns() -> None:
    long = "word " * 60
    scores, facts = [("名" * 90, 0.5, 0.1, 0.9)], {"fact": long}
    text = Summary(long, scores, {"x" * 200: 0.1}, ["a/b.png"], [COMMAND], facts).text()
    assert max(map(display_width, text.splitlines())) <= 100


def test_a_continued_command_is_the_same_command() -> None:
    text = Summary("t", [], {}, [], [COMMAND], {}).text()
    typed = text.split("Next:\n")[1].replace("\\\n", " ")
    assert " \\\n" in text
    assert shlex.split(typed) == shlex.split(COMMAND)
    assert "-P \\\n" not in text


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (("F1", 0.9, 0.8, 0.95), "(MFCC logistic regression, 0.550), and so is its whole 95 % interval"),
        (("F1", 0.6, 0.5, 0.7), "but its 95 % interval reaches below that"),
        (("F1", 0.6, None, None), "is above the best baseline (MFCC logistic regression, 0.550)."),
        (("F1", 0.3, 0.2, 0.4), "0.300 is not above the best baseline"),
        (("F1", float("nan"), None, None), "– is not above"),
    ],
)
def test_the_verdict_follows_the_interval(score: Score, verdict: str) -> None:
    assert verdict in " ".join(Summary("t", [score], BASELINES, [], [], {}).text().split())
    assert verdict in Summary("t", [score], BASELINES, [], [], {}).markdown()


def test_baselines_belong_to_the_first_score() -> None:
    other = Summary("t", SCORES[::-1], {"majority class": 0.55})
    assert "clip F1 0.585 is above" in other.markdown() and "clip F1 0.585 is above" in other.text()
    assert "clip F1 of: majority class" in other.markdown() and "comparison, clip F1 of" in other.text()


def test_markdown_table_has_three_cells_a_row_whatever_the_names() -> None:
    text = Summary("t", [("a|b", 0.1, None, None)], {"c|d": 0.2}, [], [], {}).markdown()
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {4}


def test_markdown_obeys_no_name() -> None:
    text = Summary("<script>", SCORES, {}, ["`a`"], ["echo '```'"], {"[x](y)": "*b* <i>"}).markdown()
    assert "<script>" not in text
    assert "<i>" not in text
    assert "\\[x\\](y): \\*b\\* &lt;i&gt;" in text
    assert "`` `a` ``" in text
    assert "````sh\necho '```'\n````" in text


def test_plain_is_the_text_again() -> None:
    text = r"a_b *c* [d](e) <artist>/<album>/ caf\xe9 `f` & &amp; #1 | {x}"
    assert plain(inline(text)) == text
    assert plain("as it was: no marks") == "as it was: no marks"


def test_terminal_text_has_no_control_character() -> None:
    text = Summary("a\x1b[31m\x07", SCORES, {"x\ry": 0.1}, ["p\x1b"], ["c\x1b"], {"f\x1b": "v\x1b"}).text()
    assert not any(ord(character) < 32 for character in text.replace("\n", ""))


def test_an_empty_summary_is_its_title() -> None:
    assert Summary("t", [], {}, [], [], {}).text() == "t\n"
    assert Summary("t", [], {}, [], [], {}).markdown() == "### t\n"
