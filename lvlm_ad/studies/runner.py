"""Runs the conditions of a study one after the other, each as a bench."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, LvlmAdError
from lvlm_ad.evaluate.bench import bench_plan, forecast_plan
from lvlm_ad.evaluate.bench_series import BenchSeries
from lvlm_ad.log import Progress, event
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.evaluate import Plan
    from lvlm_ad.runs import Run
    from lvlm_ad.studies.condition import Condition, StudyDesign
    from lvlm_ad.workers import Workers

__all__ = ["Result", "StudyResults", "forecast_study", "run_study", "study_progress"]


@dataclass(frozen=True)
class Result:
    """What became of a condition.

    Attributes:
        condition: the condition.
        plan: what its bench measured.
        run: its run; None if there is none.
        problem: why there is no run, or one of stored answers only; else empty.
    """

    condition: Condition
    plan: Plan
    run: Run | None
    problem: str = ""


_INTERRUPTED = "interrupted"

_MOST_NAMES = 3
"""Conditions without answers that a verdict names."""


@dataclass(frozen=True)
class StudyResults:
    """What became of a study.

    Attributes:
        design: the study.
        results: of each condition, in order.
        spent: USD that this command spent, on earlier studies of its series, too; stored answers cost nothing. None:
            the cost of an answer is unknown.
        interrupted: whether Ctrl-C ended it; conditions after that have no run.
    """

    design: StudyDesign
    results: tuple[Result, ...]
    spent: float | None = 0.0
    interrupted: bool = False

    @property
    def lacking(self) -> list[str]:
        """What was not, or not wholly, asked, or failed: names of conditions, or their number if they are many."""
        names = [
            one.condition.name
            for one in self.results
            if one.run is None or any(record.status in UNANSWERED for record in one.run.predictions)
        ]
        return [f"{len(names)} of {len(self.results)} conditions"] if len(names) > _MOST_NAMES else names

    def of_factor(self, factor: str) -> list[Result]:
        """Return the results of a factor's conditions that have a run; ``""``: of the base."""
        return [one for one in self.results if one.condition.factor == factor and one.run is not None]


def run_study(
    design: StudyDesign,
    progress: Progress | None = None,
    workers: Workers | None = None,
    series: BenchSeries | None = None,
    known: Iterable[str] = (),
) -> StudyResults:
    """Run the conditions of a study in their order.

    Stored answers are never asked for again, so the same study continues after an interruption. A model is built once
    for all conditions that ask it with the same options. ``max_cost`` limits what the whole study costs: once it is
    reached, later conditions use stored answers only; so do after Ctrl-C the one that was interrupted and those that
    are ``known``. If a condition fails, or after Ctrl-C, the results say so.

    Args:
        design: the study.
        progress: receives reports on how far it has come.
        workers: see ``bench``.
        series: the benches that these are a part of, which share ``max_cost``; None: the study's own.
        known: names of conditions with stored answers, which count also after Ctrl-C in an earlier condition.

    Raises:
        ConfigError: a condition has a wrong name or setting, or measures the same as another one.
        LvlmAdError: the base failed, so nothing can be said; every answer so far is kept.
        KeyboardInterrupt: Ctrl-C during the base, likewise.
    """
    reports = study_progress(progress)
    plans = [design.plan_of(condition) for condition in design.conditions]
    results: list[Result] = []
    stored = frozenset[str]()
    own = BenchSeries.started(design.config_of(design.conditions[0]), workers, reports.note)
    with own if series is None else nullcontext(series) as benches:
        pending, begun = deque(zip(design.conditions, plans, strict=True)), ""
        while pending:
            condition, plan = pending[0]
            if benches.ended and condition.name not in stored:
                problem = _INTERRUPTED if condition.name == begun else f"{_INTERRUPTED} before it began"
                result = Result(condition, plan, None, problem)
            else:
                begun, reports.stage = condition.name, f"{len(results) + 1}/{len(plans)} {condition.name}"
                try:
                    result = _measured(condition, plan, reports, workers, benches)
                except KeyboardInterrupt:
                    if condition.is_base:
                        raise
                    # What is stored still counts; after a second Ctrl-C that is left, too.
                    left = () if benches.ended else (condition.name, *known)
                    stored, benches.ended = frozenset(left), f"not asked: {_INTERRUPTED}"
                    continue
            pending.popleft()
            _refuse_twin(result, results)
            results.append(result)
            event("condition", study=design.name, condition=condition.name, problem=result.problem)
        spent = benches.spent if benches.is_spent_known else None
        return StudyResults(design, tuple(results), spent, interrupted=bool(benches.ended))


def _measured(
    condition: Condition, plan: Plan, reports: _StudyProgress, workers: Workers | None, benches: BenchSeries
) -> Result:
    """Run the bench of a condition; after Ctrl-C with stored answers alone.

    Raises:
        LvlmAdError: the base failed.
        KeyboardInterrupt: Ctrl-C.
    """
    benches.keep_only(plan.models)
    if benches.ended:
        plan = replace(plan, config=replace(plan.config, batch=False, retry_failed=False))
    try:
        run = bench_plan(plan, reports, workers, benches)[0]
    except LvlmAdError as error:
        if condition.is_base:
            raise
        reports.note(f"{condition.name} failed: {error}")
        return Result(condition, plan, None, str(error))
    unasked = sum(record.status == "unasked" for record in run.predictions)
    if not benches.ended or not unasked:
        return Result(condition, plan, run)
    return Result(condition, plan, run if unasked < len(run.predictions) else None, _INTERRUPTED)


def forecast_study(
    design: StudyDesign, progress: Progress | None = None, workers: Workers | None = None
) -> list[tuple[Condition, dict[str, Any]]]:
    """Estimate what each condition would ask and cost, without asking; no key is needed.

    Args:
        design: the study.
        progress: receives reports.
        workers: see ``bench``.

    Returns:
        Each condition with what ``lvlm_ad.evaluate.forecast.forecast`` returns for it.

    Raises:
        ConfigError: a condition has a wrong name or setting.
        PluginError: a model or a method cannot be loaded.
        DataError: the images cannot be read.
    """
    reports = study_progress(progress)
    plans = [design.plan_of(condition) for condition in design.conditions]
    forecasts = []
    for condition, plan in zip(design.conditions, plans, strict=True):
        reports.stage = condition.name
        forecasts.append((condition, forecast_plan(plan, reports, workers)[0]))
    return forecasts


def _refuse_twin(result: Result, earlier: Sequence[Result]) -> None:
    """Refuse a condition whose run is that of an earlier one: nothing was varied."""
    if result.run is None:
        return
    twin = next((one for one in earlier if one.run is not None and one.run.dir == result.run.dir), None)
    if twin is not None:
        raise ConfigError(
            f"The conditions {twin.condition.name} and {result.condition.name} ask exactly the same; remove one."
        )


def study_progress(progress: Progress | None) -> _StudyProgress:
    """Return reports that name the condition, and show each note once, also if several studies share the reports."""
    return progress if isinstance(progress, _StudyProgress) else _StudyProgress(progress or Progress())


class _StudyProgress(Progress):
    """Names the condition in each report, and shows a note only once.

    Attributes:
        stage: the condition that runs now.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown, self._noted, self.stage = shown, set[str](), ""

    def start(self, stage: str, total: int) -> None:
        self._shown.start(f"{self.stage}, {stage}", total)

    def advance(self, steps: int = 1, *, failed: bool = False, stored: bool = False, cost: float | None = 0.0) -> None:
        self._shown.advance(steps, failed=failed, stored=stored, cost=cost)

    def finish(self) -> None:
        self._shown.finish()

    def at(self, stage: str, done: int, total: int) -> None:
        self._shown.at(f"{self.stage}, {stage}", done, total)

    def doing(self, what: str, text: str) -> None:
        self._shown.doing(what, text)

    def note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._shown.note(text)
