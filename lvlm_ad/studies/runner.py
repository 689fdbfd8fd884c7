"""Runs the conditions of a study one after the other, each as a bench."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, LvlmAdError
from lvlm_ad.evaluate.bench import bench_plan, forecast_plan
from lvlm_ad.evaluate.bench_series import BenchSeries
from lvlm_ad.log import Progress, event

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
        problem: why there is no run; else empty.
    """

    condition: Condition
    plan: Plan
    run: Run | None
    problem: str = ""


_MOST_NAMES = 3
"""Conditions without answers that a verdict names."""


@dataclass(frozen=True)
class StudyResults:
    """What became of a study.

    Attributes:
        design: the study.
        results: of each condition, in order.
        spent: USD that it cost now, with what its series cost before; stored answers cost nothing. None: the cost of
            an answer is unknown.
        interrupted: whether Ctrl-C ended it; conditions after that have no run.
    """

    design: StudyDesign
    results: tuple[Result, ...]
    spent: float | None = 0.0
    interrupted: bool = False

    @property
    def lacking(self) -> list[str]:
        """What was not, or not wholly, asked: names of conditions, or their number if they are many."""
        names = [
            one.condition.name
            for one in self.results
            if one.run is None or any(record.status == "unasked" for record in one.run.predictions)
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
) -> StudyResults:
    """Run the conditions of a study in their order.

    Stored answers are never asked for again, so the same study continues after an interruption. A model is built once
    for all conditions that ask it with the same options. ``max_cost`` limits what the whole study costs: once it is
    reached, later conditions use stored answers only. If a condition fails, or after Ctrl-C, the results say so.

    Args:
        design: the study.
        progress: receives reports on how far it has come.
        workers: see ``bench``.
        series: the benches that these are a part of, which share ``max_cost``; None: the study's own.

    Raises:
        ConfigError: a condition has a wrong name or setting, or measures the same as another one.
        LvlmAdError: the base failed, so nothing can be said; every answer so far is kept.
        KeyboardInterrupt: Ctrl-C during the base, likewise.
    """
    reports = study_progress(progress)
    plans = [design.plan_of(condition) for condition in design.conditions]
    results: list[Result] = []
    interrupted = False
    own = BenchSeries.started(design.config_of(design.conditions[0]), workers, reports.note)
    with own if series is None else nullcontext(series) as benches:
        for index, (condition, plan) in enumerate(zip(design.conditions, plans, strict=True)):
            if interrupted:
                results.append(Result(condition, plan, None, "interrupted before it began"))
                continue
            reports.stage = f"{index + 1}/{len(plans)} {condition.name}"
            benches.keep_only(plan.models)
            try:
                result = Result(condition, plan, bench_plan(plan, reports, workers, benches)[0])
            except KeyboardInterrupt:
                if condition.is_base:
                    raise
                interrupted = True
                result = Result(condition, plan, None, "interrupted")
            except LvlmAdError as error:
                if condition.is_base:
                    raise
                reports.note(f"{condition.name} failed: {error}")
                result = Result(condition, plan, None, str(error))
            _refuse_twin(result, results)
            results.append(result)
            event("condition", study=design.name, condition=condition.name, problem=result.problem)
        spent = benches.spent if benches.is_spent_known else None
        return StudyResults(design, tuple(results), spent, interrupted)


def forecast_study(
    design: StudyDesign, progress: Progress | None = None, workers: Workers | None = None
) -> list[tuple[Condition, dict[str, Any]]]:
    """Estimate what each condition would ask and cost, without asking; no key is needed.

    Returns:
        Each condition with what ``lvlm_ad.evaluate.forecast.forecast`` returns for it.
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
    """Return reports that name the condition, and show a note only once in all studies that they are given to."""
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
