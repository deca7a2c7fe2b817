"""A search from its settings to its report: what the verb calls, and what several workers do at the same time."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage

from ...data import prepare
from ...data.options import field_names
from ...data.prepare import Prepared
from ...errors import InputError
from ...tracking import others, reading
from ...tracking.runs import Run
from .. import engine
from ..engine import digest, exclusive, open_storage, storage_url
from ..plan import TrainingPlan, loose_plan, loose_plan_and, read_config, refuse_unused
from . import final, objectives, report
from .options import SearchOptions
from .space import Cast, Point, SearchSpace, make_space, read_points
from .study import SeededSampler, enqueue, make_pruner, open_study, work
from .trial import Search, run_trial

logger = logging.getLogger(__name__)
# Best trials that are taken over from an earlier study.
WARM = 5
Write = Callable[[Path], tuple[dict[str, float], dict[str, str]]]


@dataclasses.dataclass(frozen=True)
class Request:
    """What a user asked for.

    given: parameters of a training that flags and the configuration file set; plan: all of them, which is the
    published configuration unless `given` says otherwise.
    """

    options: SearchOptions
    given: Mapping[str, Any]
    plan: TrainingPlan
    space: SearchSpace
    objectives: list[str]

    @property
    def params(self) -> dict[str, Any]:
        """What the parent run logs."""
        return {**self.plan.values, **dataclasses.asdict(self.options)}


def request(flags: Mapping[str, Any]) -> Request:
    """Checks everything that can be checked before audio is read.

    Raises:
        InputError: An unknown name, or a value that makes no sense.
    """
    if flags.get("resume"):
        raise InputError("search takes no resume=; the same command, or its study_name, goes on with a study.")
    plan, options = loose_plan_and(flags, SearchOptions)
    own, config = field_names(SearchOptions), plan.sources.config
    given = {**(read_config(config) if config else {}), **flags}
    given = {name: plan.values[name] for name in given if name not in (*own, "config")}
    plan = loose_plan(given)
    names = objectives.parse(options.objective)
    if not objectives.prunable(names) and options.pruner != "none":
        if "pruner" in flags:
            raise InputError(f"pruner={options.pruner} needs one objective that is known after each epoch.")
        logger.info("No trial is pruned: that needs one objective that is known after each epoch.")
        options = dataclasses.replace(options, pruner="none")
    fixed_by_flags = set(flags) - set(own)
    cast = _caster(given)
    space = make_space(plan.system, options.space, dict.fromkeys(fixed_by_flags), cast)
    fixed = loose_plan({**given, **space.fixed})
    refuse_unused(fixed, but=space.open)
    space = space.without([name for name, option in fixed.unused.items() if option not in space.open])
    return Request(options, given, plan, space, names)


def _caster(given: Mapping[str, Any]) -> Cast:
    def cast(name: str, value: Any) -> Any:
        return loose_plan({**given, name: value}).values[name]

    return cast


def search(asked: Request, prepared: Prepared, run: Run) -> str:
    """Starts, joins or goes on with a study, and ends it: trials, trainings over seeds, report.

    Returns:
        What the report says, in Markdown.
    """
    options = asked.options
    url = storage_url(options.storage)
    storage = open_storage(url, max_retry=options.max_retry, heartbeat=options.heartbeat)
    identity = _identity(asked, prepared)
    name = options.study_name or f"{asked.plan.model}-{digest(identity)}"
    with exclusive(url, name):
        study = _start(asked, storage, name, identity, run)
    common = Search(
        name=name,
        given=asked.given,
        plan=asked.plan,
        prepared=prepared,
        space=asked.space,
        objectives=asked.objectives,
        prunes=options.pruner != "none",
        parent=_parent(study, run),
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
    cast = _caster(asked.given)
    points = [{**published, **point} for point in read_points(options.points, space, cast)] if options.points else []
    if options.n_trials is not None and 1 + len(points) > options.n_trials:
        raise InputError(f"n_trials={options.n_trials} leaves no room for {len(points)} points and the published one.")
    room = WARM if options.n_trials is None else options.n_trials - 1 - len(points)
    earlier = [{**published, **point} for point in _earlier(storage, options.warm_start, space)][: max(0, room)]
    enqueue(study, space, [published], "published")
    enqueue(study, space, points, "point")
    enqueue(study, space, earlier, "warm start")
    return study


def _earlier(storage: RDBStorage, warm_start: str | None, space: SearchSpace) -> list[Point]:
    """The best trials of earlier studies, as far as they set what is searched now."""
    points = []
    for name in [word.strip() for word in (warm_start or "").split(",") if word.strip()]:
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError as error:
            known = ", ".join(study.study_name for study in optuna.get_all_study_summaries(storage)) or "none"
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


def _parent(study: optuna.Study, run: Run) -> Run:
    """The run of whoever started the study: all trials stand below it."""
    run_id = study.user_attrs["run_id"]
    if run_id == run.run_id:
        return run
    return Run(reading.read(run_id).run_id)


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
