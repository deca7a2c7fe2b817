"""A search from its settings to its report: what the verb calls, and what several workers do at the same time."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage

from ...data import prepare
from ...data.prepare import Prepared
from ...errors import InputError
from ...tracking import others, reading
from ...tracking.runs import Run
from .. import engine
from ..engine import digest, exclusive, open_storage, storage_url
from ..options import words
from . import final, report
from .options import SearchOptions
from .request import Request, caster
from .space import Point, SearchSpace, read_points
from .study import SeededSampler, enqueue, make_pruner, open_study, work
from .trial import Search, run_trial

logger = logging.getLogger(__name__)
# Best trials that are taken over from an earlier study.
WARM = 5
Write = Callable[[Path], tuple[dict[str, float], dict[str, str]]]


def search(asked: Request, prepared: Prepared, run: Run) -> str:
    """Starts, joins or goes on with a study, and ends it: trials, trainings over seeds, report (in Markdown)."""
    options = asked.options
    url = storage_url(options.storage)
    storage = open_storage(url, max_retry=options.max_retry, heartbeat=options.heartbeat)
    identity = _identity(asked, prepared)
    name = options.study_name or f"{asked.plan.model}-{digest(identity)}"
    with exclusive(url, name):
        study = _start(asked, storage, name, identity, run)
    parent = study.user_attrs["run_id"]
    # The run of whoever started the study.
    owner = run if parent == run.run_id else Run(reading.read(parent).run_id)
    common = Search(
        name=name,
        given=asked.given,
        plan=asked.plan,
        prepared=prepared,
        space=asked.space,
        objectives=asked.objectives,
        prunes=options.pruner != "none",
        parent=owner,
    )
    run.tags({"study_name": name, "search_run_id": common.parent.run_id})
    logger.info("study %s in %s, run %s", name, url, common.parent.run_id)
    deadline = None if options.timeout is None else time.monotonic() + options.timeout
    work(
        study, url, lambda trial: run_trial(common, trial),
        limit=options.n_trials, deadline=deadline, worker=run.run_id,
    )  # fmt: skip
    return _finish(common, options, study, storage, url, run.run_id)


def _start(asked: Request, storage: RDBStorage, name: str, identity: Mapping[str, Any], run: Run) -> optuna.Study:
    """The study with everything that is to be tried first: the published configuration before all."""
    options, space = asked.options, asked.space
    study = open_study(
        storage,
        name,
        asked.objectives,
        sampler=SeededSampler(asked.plan.seed),
        pruner=make_pruner(options.pruner, asked.plan.training.epochs),
        attributes={"run_id": run.run_id, "identity": identity},
    )
    published = {name: asked.plan.values[name] for name in space.names}
    cast = caster(asked.given)
    points = [{**published, **point} for point in read_points(options.points, space, cast)] if options.points else []
    if options.n_trials is not None and 1 + len(points) > options.n_trials:
        raise InputError(f"n_trials={options.n_trials} leaves no room for {len(points)} points and the published one.")
    room = WARM if options.n_trials is None else options.n_trials - 1 - len(points)
    earlier = [{**published, **point} for point in _earlier(storage, options.warm_start, space)][: max(0, room)]
    for source, some in (("published", [published]), ("point", points), ("warm start", earlier)):
        enqueue(study, space, some, source)
    return study


def _earlier(storage: RDBStorage, warm_start: str | None, space: SearchSpace) -> list[Point]:
    """The best trials of earlier studies, as far as they set what is searched now."""
    points = []
    for name in words(warm_start):
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError as error:
            searches = [s for s in optuna.get_all_study_summaries(storage) if "identity" in s.user_attrs]
            known = ", ".join(study.study_name for study in searches) or "none"
            raise InputError(f"warm_start={name}: no such study in this storage; it has {known}.") from error
        ended = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
        sign = -1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1
        for trial in sorted(ended, key=lambda trial: sign * trial.values[0])[:WARM]:
            values = trial.user_attrs.get("values", {})
            points.append({key: value for key, value in values.items() if key in space.names})
    return points


def _identity(asked: Request, prepared: Prepared) -> dict[str, Any]:
    """What must be the same for trials to be compared."""
    return {
        **asked.plan.identity,
        "objective": asked.objectives,
        "space": {**asked.space.open, **asked.space.fixed},
        "corpus": prepare.corpus_digest(prepare.split_table(prepared)),
        "split_digest": prepared.split.digest,
        "features_digest": prepared.features.config.digest,
    }


def _finish(
    common: Search, options: SearchOptions, study: optuna.Study, storage: RDBStorage, url: str, worker: str
) -> str:
    """Shares the last trainings with other workers; one of them logs the report."""
    best = final.best_trial(study)
    configurations = {
        "published": {name: common.plan.values[name] for name in common.space.names},
        "best": best.user_attrs["values"],
    }
    seeds, names = options.seed_list(), common.objectives

    def write_study(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
        report.write_study(folder, study, names, common.given)
        return report.numbers(study), {"best_trial_run_id": best.user_attrs["run_id"]}

    with exclusive(url, common.name):
        _log_once(common, study, "logged_study", digest([len(study.trials), best.number]), write_study)
        last = final.queue(storage, common.name, seeds, configurations)
    engine.work(last.study, url, lambda trial: final.run_final(common, trial), last.is_left, worker=worker)
    table = final.comparison(last.study, seeds, configurations)
    text = report.describe(study, names, table)

    def write_comparison(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
        table.to_csv(folder / "comparison.csv", index=False)
        return report.summaries(table), {"mlflow.note.content": text}

    with exclusive(url, common.name):
        _log_once(common, study, "logged_comparison", digest(text), write_comparison)
    others.end(common.parent.run_id)
    return text


def _log_once(common: Search, study: optuna.Study, what: str, state: str, write: Write) -> None:
    """Logs to the parent run what another worker has not logged; call it inside of `exclusive`."""
    if study.user_attrs.get(what) == state:
        return
    with tempfile.TemporaryDirectory() as folder:
        metrics, tags = write(Path(folder))
        others.log(common.parent.run_id, metrics=metrics, tags=tags, folder=Path(folder))
    study.set_user_attr(what, state)
