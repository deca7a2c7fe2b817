"""Reports of runs made with MLflow's own client: what they say is checked by hand, what they are by parsing them."""

from __future__ import annotations

import html.parser
import io
import itertools
import re
import shutil
from xml.etree import ElementTree

import markupsafe
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from projects.artists.errors import InputError
from projects.artists.reports.charts import Series, line_chart
from projects.artists.tracking import reading
from projects.artists.tracking.runs import Run
from projects.artists.workflows.grid import findings, report, tables
from projects.artists.workflows.grid.report import ReportOptions

HOSTILE = "<script>alert(1)</script> & \"q\" 'a' $x$ 椎名"
CLIPS, SEEDS = (1, 3, 10), (0, 21, 42)


def score(clip: int, split: str, seed: int) -> float:
    """Song split .8, album split .5, .01 a second, and -.02, 0 and .02 for the three seeds."""
    return {"song": 0.8, "album": 0.5}[split] + 0.01 * clip + {0: -0.02, 21: 0.0, 42: 0.02}[seed]


def track(client, experiment, name, params, metrics, tags=(), *, parent=None, status="FINISHED") -> str:
    tags = dict(tags) | ({"mlflow.parentRunId": parent} if parent else {})
    run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    run = Run(run_id)
    run.params(params)
    run.metrics(metrics)
    assert run.flush(20)
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def confusion_csv(names: list[str], right: int, wrong: int) -> str:
    matrix = np.full((len(names), len(names)), wrong) + np.eye(len(names), dtype=int) * (right - wrong)
    return pd.DataFrame(matrix, index=pd.Index(names, name="true"), columns=names).to_csv()


@pytest.fixture(scope="module")
def store(tmp_path_factory, tracking_template):
    """A study of 18 runs, a failed and a killed one, a second run of one cell; and somebody else's experiment."""
    folder = tmp_path_factory.mktemp("reports")
    shutil.copy(tracking_template, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        client = MlflowClient()
        ours = client.create_experiment("ours", artifact_location=(folder / "artifacts").as_uri())
        tags = {"study": "x", "study_title": HOSTILE, "study_paper": "nasrullah_zhao", "study_columns": "clip"}
        parent = track(client, ours, "parent", {}, {}, tags)
        for clip, split, seed in itertools.product(CLIPS, ("song", "album"), SEEDS):
            value = score(clip, split, seed)
            metrics = {
                "test/clip_f1": value - 0.1, "test/song_f1": value, "test/song_f1_vote50": value - 0.01,
                "test/song_f1_mfcc": 0.4, "test/song_f1_majority": 0.05, "train_seconds": 10 * clip,
                "parameters": 1000, "classes": 3, "epoch/loss": 1.0,
            }  # fmt: skip
            params = {"model": "crnn", "clip": f"{clip}.0", "split": split, "seed": seed, "gru_units": 32}
            cell = {"cell": f"{clip}{split}{seed}", "corpus": "demo"}
            run_id = track(client, ours, f"{clip} {split} {seed}", params, metrics, cell, parent=parent)
            if clip == 3:
                names = ["NA", HOSTILE, "third"]
                client.log_text(run_id, confusion_csv(names, 4, 1), "confusion_song.csv")
                places = pd.DataFrame({"x": [0.0, 1, 2], "y": [2.0, 1, 0], "label": names})
                client.log_text(run_id, places.to_csv(index=False), "tsne.csv")
        twice = {"model": "crnn", "clip": "1.0", "split": "song", "seed": 0}
        track(client, ours, "again", twice, {"test/song_f1": 0.0}, {"cell": "1song0"}, parent=parent)
        reason = {"cell": "f", "mlflow.note.content": "Failed: <b>no</b> disk"}
        track(client, ours, "broken", {"clip": "30.0"}, {}, reason, parent=parent, status="FAILED")
        part = {"test/song_f1": 0.1}
        track(client, ours, "killed", {"clip": "30.0"}, part, {"cell": "k"}, parent=parent, status="RUNNING")
        theirs = client.create_experiment("theirs", artifact_location=(folder / "artifacts").as_uri())
        for depth, rate in itertools.product((2, 4, 8), ("0.1", "0.01")):
            png = b"\x89PNG" + bytes(10)
            values = {"max_depth": depth, "rate": rate, "note": "same", "objective": f"o{depth}"}
            tree = track(client, theirs, f"tree {depth}", values, {"rmse": 1.0 / depth + float(rate), "seconds": depth})
            (folder / "training_confusion_matrix.png").write_bytes(png)
            client.log_artifact(tree, str(folder / "training_confusion_matrix.png"))
        yield folder, parent


@pytest.fixture
def here(store, monkeypatch):
    """The store as the tracking store of this test; the id of the study's parent."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store[0] / 'mlflow.db'}")
    assert mlflow.get_tracking_uri().endswith("mlflow.db")
    return store[1]


@pytest.fixture(scope="module")
def made(store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store[0] / 'mlflow.db'}")
        return report.report(ReportOptions(run_id=store[1]))


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, and the rows of every table as text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.tables: list[list[list[str]]] = []
        self._cell: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append("".join(self._cell or []))
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)


def paper_form(page: str, split: str, kind: str) -> list[str]:
    """The numbers of a row of the table of song-level F1."""
    table = next(
        t for t in Reader(page).tables if t[0][:2] == ["split", ""] and t[1][2:5] == ["0.810", "0.830", "0.900"]
    )
    return next(row[2:] for row in table if row[:2] == [split, kind])


def test_the_table_has_mean_best_and_deviation_of_the_seeds_as_worked_by_hand(made):
    assert paper_form(made.page, "song", "average") == ["0.810", "0.830", "0.900"]
    assert paper_form(made.page, "album", "average") == ["0.510", "0.530", "0.600"]
    assert paper_form(made.page, "album", "best") == ["0.530", "0.550", "0.620"]
    # Of -.02, 0 and .02 with n - 1: the root of .0008 / 2.
    assert paper_form(made.page, "song", "deviation") == ["0.020", "0.020", "0.020"]


def test_published_figures_stand_beside_the_configurations_they_are_of(made):
    table = made.summary.set_index(["metric", "split", "clip"])
    assert table.loc[("test/clip_f1", "album", "3"), ["published_average", "published_best"]].tolist() == [0.513, 0.527]
    assert table.loc[("test/song_f1_vote50", "song", "10"), "published_average"] == 0.902
    # The paper voted: its figures do not stand beside a mean of probabilities.
    assert pd.isna(table.loc[("test/song_f1", "song", "3"), "published_average"])


def test_a_cell_counts_once_and_only_when_finished(made, here):
    assert len(made.runs) == 18 and set(made.summary["runs"]) == {3}
    assert set(made.runs["clip"]) == {"1", "3", "10"}
    assert "broken" in made.page and "killed" in made.page and "Failed: &lt;b&gt;no&lt;/b&gt; disk" in made.page


def test_differences_are_paired_and_their_uncertainty_is_over_seeds(made):
    by = {(f.what, f.where, f.metric): f.change for f in made.findings}
    producer = by["album split minus song split", "", "test/song_f1"]
    assert producer.mean == pytest.approx(-0.3) and producer.pairs == 9
    assert producer.by_seed == pytest.approx((-0.3,) * 3) and producer.deviation == pytest.approx(0, abs=1e-12)
    longer = by["clip 10 minus clip 1", "split album", "test/clip_f1"]
    assert longer.mean == pytest.approx(0.09) and longer.pairs == 3
    assert by["song level minus clip level", "split song", "F1, mean probability"].mean == pytest.approx(0.1)
    assert by["above logistic regression on MFCC", "split album", "test/song_f1"].mean == pytest.approx(
        0.5 + (0.01 + 0.03 + 0.1) / 3 - 0.4
    )


def test_the_interval_is_students_over_the_means_of_seeds():
    pairs = pd.DataFrame({"seed": ["0", "0", "1", "1", "2", "2"], "left": [0.0] * 6, "right": [1, 3, 3, 5, 5, 7.0]})
    change = tables.difference(pairs)
    assert (change.mean, change.by_seed, change.deviation) == (4.0, (2.0, 4.0, 6.0), 2.0)
    # t of 2 degrees of freedom at .975 is 4.303.
    assert findings.interval_over_seeds(change) == pytest.approx(
        (4 - 4.303 * 2 / 3**0.5, 4 + 4.303 * 2 / 3**0.5), abs=2e-3
    )
    assert findings.interval_over_seeds(tables.difference(pairs[pairs["seed"] == "0"])) is None


def test_every_counted_run_is_linked(made):
    links = [attrs["href"] for tag, attrs in Reader(made.page).tags if tag == "a"]
    for run_id in made.runs["run_id"]:
        assert sum(link.endswith(f"/runs/{run_id}") for link in links) >= 2, "in the tables and in the list"
    assert all(link.startswith("http://127.0.0.1:5000/#/experiments/") for link in links)


def test_the_page_needs_no_network_and_takes_no_script_from_a_name(made):
    tags = Reader(made.page).tags
    assert {"script", "iframe", "link", "img", "object"}.isdisjoint(tag for tag, _ in tags)
    assert not [attrs for tag, attrs in tags if any(name.startswith("on") or name == "src" for name in attrs)]
    assert "url(" not in made.page and "@import" not in made.page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made.page and "prefers-color-scheme: dark" in made.page


def test_confusions_of_the_seeds_are_added_and_a_class_called_na_is_a_class(made):
    assert made.page.count('class="chart matrix"') == 2 and made.page.count('class="chart map"') == 2
    assert "NA as NA: 12 of 18" in made.page and "NA as third: 3 of 18" in made.page


def test_trivial_classifiers_are_lines_on_song_level_charts_alone(made):
    charts = [chart for chart in made.page.split("<figure") if "against clip" in chart]
    lines = {("F1 by song" in chart): "logistic regression on MFCC 0.40" in chart for chart in charts}
    assert len(charts) == 6 and lines == {True: True, False: False}


def test_somebody_elses_experiment_is_reported_by_its_own_parameters(here):
    made = report.report(ReportOptions(experiment_name="theirs"))
    # `note` does not vary and `objective` follows from the depth.
    assert list(made.summary.columns[:2]) == ["max_depth", "rate"] and len(made.runs) == 6
    best = made.summary[made.summary["metric"] == "rmse"].set_index(["max_depth", "rate"])["best"]
    assert best[("8", "0.01")] == pytest.approx(0.135)
    assert "rmse against max_depth" in made.page and "rmse against rate" in made.page
    images = [attrs["src"] for tag, attrs in Reader(made.page).tags if tag == "img"]
    assert len(images) == 6 and all(src.startswith("data:image/png;base64,iVBO") for src in images)


@pytest.mark.slow
def test_a_model_that_was_evaluated_and_promoted_is_one_row(common_corpus, common_cache, tmp_path, monkeypatch):
    from projects import evaluate, promote, train
    from projects.artists.tracking import runs

    monkeypatch.setenv("ARTISTS_CACHE", str(shutil.copytree(common_cache, tmp_path / "cache")))

    def ran(verb, **flags: str) -> str:
        with runs.start() as run:
            verb.run(verb.COMMAND.read(flags), run)
        return run.run_id

    model = ran(train, data=str(common_corpus), split="song", clip="1", epochs="1", gru_units="4")
    evaluation, _ = ran(evaluate, model=model, split="all"), ran(promote, run_id=model, workers="1")
    made = report.report(ReportOptions(experiment_name="Default"))
    assert list(made.runs["run_id"]) == [model] and set(made.summary["runs"]) == {1}
    assert "1 finished runs" in made.page and "2 that trained nothing left out" in made.page
    assert list(tables.results([reading.read(evaluation)]).runs) == [evaluation], "what stands alone is reported"


def test_runs_of_earlier_versions_are_reported_under_the_names_of_today(tmp_path, tracking_template, monkeypatch):
    shutil.copy(tracking_template, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient()
    old = client.create_experiment("old", artifact_location=(tmp_path / "artifacts").as_uri())
    parent = client.create_run(old, tags={"study": "x", "study_metrics": "test_song_f1"}).info.run_id
    for split, value in (("song", 0.8), ("album", 0.5)):
        run_id = client.create_run(old, tags={"mlflow.parentRunId": parent}).info.run_id
        client.log_param(run_id, "split", split)
        for name in ("test_song_f1", "test_clip_f1", "epoch_loss", "train_seconds"):
            client.log_metric(run_id, name, value)
        client.log_text(run_id, "track_id,side,label\nt,test,a\n", "split.csv")
        client.log_text(run_id, "x,y,side,label\n0,1,test,a\n1,0,test,b\n", "tsne.csv")
        client.set_terminated(run_id)
    result = report.report(ReportOptions(run_id=parent))
    assert list(result.summary["metric"]) == ["test/song_f1"] * 2 and list(result.summary["mean"]) == [0.8, 0.5]
    assert "album split minus song split" in result.page and "-0.300" in result.page
    assert result.page.count('class="chart map"') == 2


def test_what_a_report_cannot_be_made_of_is_said(here):
    for options, word in (
        ({"run_id": "0" * 32}, "no such run"), ({"experiment_name": "nowhere"}, "ours, theirs"),
        ({"run_id": here, "paper": "park et al"}, "nasrullah_zhao"), ({}, "Give either run_id"),
        ({"experiment_name": "Default"}, "no finished run"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=word):
            report.report(ReportOptions(**options))


def test_the_entry_point_logs_page_and_tables_on_the_parent(here, monkeypatch, capsys):
    from projects import report as verb
    from projects.artists.tracking import runs

    with runs.start() as run:
        verb.run(verb.COMMAND.read({"run_id": here, "metrics": "test/song_f1"}), run)
    assert {"report.html", "runs.csv", "summary.csv"} <= set(reading.artifact_names(here))
    summary = pd.read_csv(io.BytesIO(reading.artifact(here, "summary.csv", 10**6)))
    assert set(summary["metric"]) == {"test/song_f1"} and len(summary) == 6
    assert "album split minus song split" in capsys.readouterr().out


def test_seeds_and_what_follows_from_others_do_not_tell_configurations_apart():
    params = pd.DataFrame(
        {"model": ["a", "a", "b"], "seed": ["0", "1", "0"], "option_of_b": ["", "", "1"], "workers": ["1", "2", "3"]}
    )
    assert tables.varying(params) == ("model",)
    assert tables.varying(params.assign(option=["0", "1", "1"])) == ("model", "option")
    assert (
        tables.in_order(["10", "1", "3"]) == ["1", "3", "10"]
        and tables.in_order(["kfold", "album", "song"])[0] == "song"
    )


def test_a_chart_puts_a_value_where_it_belongs():
    series = Series("s", [0, 1], [0.0, 1.0], [0.1, float("nan")])
    chart = line_chart("t", ["a", "b"], [series], x_label="x", y_label="y", bounds=(0, 1))
    root = ElementTree.fromstring(chart.body)
    circles = [float(mark.get("y")) for mark in root.iter("use") if "fill: var(--c0)" in mark.get("style")]
    grid = [float(path.get("d").split()[2]) for path in root.iter("path") if "--line" in path.get("style")]
    assert circles == [grid[0], grid[-1]] and grid == sorted(grid, reverse=True)
    bars = re.findall(r'd="M ([\d.]+) ([\d.]+)\s+L \1 ([\d.]+)\s*" style="fill: none; stroke: var\(--c0\)', chart.body)
    # Only one value has a deviation; its bar reaches a tenth of the axis up, and is cut at the bottom.
    assert len(bars) == 1 and float(bars[0][2]) == pytest.approx(grid[0] + (grid[-1] - grid[0]) / 10, abs=0.2)


def test_the_page_has_the_title_of_its_grid_escaped(made):
    assert f"<h1>{markupsafe.escape(HOSTILE)}</h1>" in str(made.page) and HOSTILE not in str(made.page)
