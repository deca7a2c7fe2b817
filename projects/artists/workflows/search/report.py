"""What the parent run of a search shows: plots to explore, tables, the best configuration as a file."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import yaml
from optuna import visualization
from optuna.trial import FrozenTrial, TrialState
from plotly.graph_objects import Figure

from ...reports.pages import graph, render
from ..plan import NOT_OF_IDENTITY, used
from .final import SHOWN, best_trial
from .study import ENDED

# A contour of each pair: four make twelve panels that can still be read.
CONTOUR_PARAMETERS = 4
# Of a trial: its epochs, its figures, all else.
SECONDS = ("epochs", "evaluation", "other")
# What Optuna raises where a plot needs more trials, or others.
UNKNOWN = (ValueError, RuntimeError, ZeroDivisionError)


def write_study(folder: Path, study: optuna.Study, names: Sequence[str], given: Mapping[str, Any]) -> None:
    """search.html, trials.csv, best.yaml and, for several objectives `names`, pareto.csv.

    `given` are the parameters of a training that all trials had.
    """
    best = best_trial(study)
    table = trial_table(study, names).round({f"seconds_{name}": 3 for name in SECONDS})
    table.to_csv(folder / "trials.csv", index=False)
    (folder / "best.yaml").write_text(config_file(study, best, names, given), encoding="utf-8")
    if len(names) > 1:
        front = [trial.number for trial in study.best_trials]
        table[table["trial"].isin(front)].to_csv(folder / "pareto.csv", index=False)
    (folder / "search.html").write_text(study_page(study, names), encoding="utf-8")


def trial_table(study: optuna.Study, names: Sequence[str]) -> pd.DataFrame:
    """A row a trial: number, state, source, objectives, values, seconds of epochs, of figures and of all else."""
    rows = []
    for trial in study.trials:
        attrs, (epochs, figures) = trial.user_attrs, trial.user_attrs.get("seconds", (math.nan, math.nan))
        whole = trial.duration.total_seconds() if trial.duration else math.nan
        seconds = dict(zip(SECONDS, (epochs, figures, whole - epochs - figures), strict=True))
        row = {"trial": trial.number, "state": trial.state.name, "source": attrs.get("source", "sampler")}
        row |= dict.fromkeys(names, math.nan) | dict(zip(names, trial.values or [], strict=False))
        row |= attrs.get("values", trial.params)
        row |= {f"seconds_{name}": value for name, value in seconds.items()}
        rows.append(row | {name: attrs.get(name, "") for name in ("run_id", "failure")})
    return pd.DataFrame(rows)


def numbers(study: optuna.Study) -> dict[str, float]:
    """Metrics of the parent run before anything is tested.

    overhead_share: time of all finished trials beyond their epochs and their evaluation, as a share of their epochs;
    left out where that of one is not known.
    """
    table = trial_table(study, ())
    ended = table[table["state"].isin([state.name for state in ENDED])]
    counts = {f"trials_{s.name.lower()}": int((table["state"] == s.name).sum()) for s in (*ENDED, TrialState.FAIL)}
    values = {"best_trial": best_trial(study).number, "evaluation_seconds": table["seconds_evaluation"].sum()}
    if epochs := ended["seconds_epochs"].sum():
        values["overhead_share"] = ended.dropna(subset="seconds_epochs")["seconds_other"].sum(skipna=False) / epochs
    return {name: value for name, value in (counts | values).items() if math.isfinite(value)}


def config_file(study: optuna.Study, best: FrozenTrial, names: Sequence[str], given: Mapping[str, Any]) -> str:
    """YAML that train takes as config=."""
    given = used({**given, **best.user_attrs["values"]})
    values = {name: value for name, value in given.items() if name not in NOT_OF_IDENTITY}
    reached = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, best.values, strict=True))
    heading = f"# Trial {best.number} of {' '.join(study.study_name.split())}: {reached}\n"
    return heading + yaml.safe_dump(values, sort_keys=True, allow_unicode=True)


def study_page(study: optuna.Study, names: Sequence[str]) -> str:
    """One HTML file with all plots; plotly.js is in it once."""
    plots: list[dict[str, str]] = []
    for title, draw in _plots(study, names):
        try:
            with warnings.catch_warnings(action="ignore"):
                figure = draw()
            first = not any("graph" in plot for plot in plots)
            plots.append({"title": title, "graph": graph(figure, library=first)})
        except UNKNOWN as error:
            plots.append({"title": title, "reason": str(error).splitlines()[0]})
    return render("search.html", title=f"Search {study.study_name}", plots=plots)


def _plots(study: optuna.Study, names: Sequence[str]) -> list[tuple[str, Callable[[], Figure]]]:
    plots: list[tuple[str, Callable[[], Figure]]] = []
    if len(names) > 1:
        plots.append(("Pareto front", partial(visualization.plot_pareto_front, study, target_names=list(names))))
    for i, name in enumerate(names):
        # One objective needs no target, and Optuna shows more without one.
        options: dict[str, Any] = {"target_name": name}
        if len(names) > 1:
            options["target"] = lambda trial, i=i: trial.values[i]
        few = {**options, "params": _important(study, options.get("target"))}
        plots += [
            (f"History of {name}", partial(visualization.plot_optimization_history, study, **options)),
            (f"Importance for {name}", partial(visualization.plot_param_importances, study, **options)),
            (f"Slices, {name}", partial(visualization.plot_slice, study, **options)),
            (f"Contours, {name}", partial(visualization.plot_contour, study, **few)),
            (f"Parallel coordinates, {name}", partial(visualization.plot_parallel_coordinate, study, **options)),
        ]
    if len(names) == 1:
        plots.append(("Values after each epoch", partial(visualization.plot_intermediate_values, study)))
    return plots


def _important(study: optuna.Study, target: Callable[[FrozenTrial], float] | None) -> list[str] | None:
    """The parameters that matter most; None where it cannot be said."""
    ranked: dict[str, float] = {}
    with contextlib.suppress(*UNKNOWN), warnings.catch_warnings(action="ignore"):
        ranked = optuna.importance.get_param_importances(study, target=target)
    return list(ranked)[:CONTOUR_PARAMETERS] if len(ranked) > 1 else None


def summaries(table: pd.DataFrame) -> dict[str, float]:
    """`{configuration}_{metric}_mean` and `_sd` (n - 1) of `final.comparison`, over seeds that were trained."""
    columns = {f"{name}_{end}": (name, how) for name in SHOWN for end, how in (("mean", "mean"), ("sd", "std"))}
    values = table.groupby("configuration", sort=False).agg(**columns).stack().dropna()
    return {"_".join(key): value for key, value in values.items()}


def describe(study: optuna.Study, names: Sequence[str], table: pd.DataFrame) -> str:
    """Markdown: what was searched, and the best beside the published configuration on the test subset."""
    statistics, best, counts = summaries(table), best_trial(study), numbers(study)
    rows = []
    for configuration, part in table.groupby("configuration", sort=False):
        scores = [_with_deviation(statistics, f"{configuration}_{name}") for name in SHOWN]
        rows.append((configuration, scores, list(part.dropna(subset=list(SHOWN))["seed"])))
    values = [f"{name} {value:.3f}" for name, value in zip(names, best.values, strict=True)]
    overhead = counts.get("overhead_share", math.nan)
    return render(
        "search.md", study_name=study.study_name, counts=counts, overhead=overhead, best=best.number, values=values,
        metrics=SHOWN, rows=rows, verdict=verdict(statistics),
    )  # fmt: skip


def verdict(statistics: Mapping[str, float]) -> str:
    """One sentence on test song F1 that claims no more than the seeds show."""
    key = "test/song_f1"
    if not {f"best_{key}_mean", f"published_{key}_mean"} <= set(statistics):
        return "The two were not compared."
    gain = statistics[f"best_{key}_mean"] - statistics[f"published_{key}_mean"]
    deviation = max(statistics.get(f"{name}_{key}_sd", math.nan) for name in ("best", "published"))
    sentence = f"Test song F1, best minus published: {gain:+.3f}"
    if math.isnan(deviation):
        return f"{sentence}; one seed says nothing of the spread."
    where = "more than" if abs(gain) > deviation else "within"
    return f"{sentence}, {where} the deviation of one seed ({deviation:.3f})."


def _with_deviation(statistics: Mapping[str, float], key: str) -> str:
    if f"{key}_mean" not in statistics:
        return "failed"
    deviation = f" ± {statistics[f'{key}_sd']:.3f}" if f"{key}_sd" in statistics else ""
    return f"{statistics[f'{key}_mean']:.3f}{deviation}"
