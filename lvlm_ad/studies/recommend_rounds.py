"""The rounds of a recommendation: whom to ask about how many images, within the budget, until one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import ConfigError, LvlmAdError
from lvlm_ad.evaluate.bench_series import BenchSeries
from lvlm_ad.leaderboard import usd
from lvlm_ad.log import Progress, event
from lvlm_ad.metrics.elimination import Race, ScoreTable, after_round, critical_z
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.studies.condition import Condition, StudyDesign
from lvlm_ad.studies.costs import costs_of
from lvlm_ad.studies.images import StudyImages, choose_images
from lvlm_ad.studies.readings import Readings
from lvlm_ad.studies.runner import forecast_study, run_study

if TYPE_CHECKING:
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.studies.recommend_candidates import Candidate
    from lvlm_ad.studies.recommend_record import Stop
    from lvlm_ad.workers import Workers

__all__ = ["Rounds", "design_of", "round_sizes", "score_table", "unasked"]

_FIRST = 20
"""Images of the first round: with fewer no difference can be sure, see ``lvlm_ad.metrics.ranks.z0_max``."""

_OF_CATEGORY = 4
"""Images of each category in the first round: two of a class, without which it has no interval."""

_FEWEST_ANSWERED = 0.5
"""A candidate that answers a smaller fraction of the images is asked no further."""


def round_sizes(images: int, categories: int) -> list[int]:
    """Return how many images have been asked about after each round: twice as many in each, and all in the last.

    Args:
        images: how many there are, 2 or more.
        categories: of how many categories they are.

    Example:
        >>> round_sizes(100, 1), round_sizes(83, 15)
        ([20, 40, 100], [83])
    """
    sizes = [max(_FIRST, _OF_CATEGORY * categories)]
    while sizes[-1] * 2 < images:
        sizes.append(sizes[-1] * 2)
    # A last round of a few more images would spend a share of the error for nothing.
    return [*sizes[:-1], images] if sizes[-1] * 1.5 > images else [*sizes, images]


def design_of(
    name: str, config: RunConfig, images: StudyImages, size: int, candidates: Sequence[Candidate]
) -> StudyDesign:
    """Return the study of one round: some candidates, asked about the first images of the study's order.

    Args:
        name: the study's name.
        config: the data set and what all candidates share.
        images: all labelled images.
        size: how many of them the round asks about.
        candidates: one or more; the first one is the base.

    Raises:
        ConfigError: the name is no plain name of a folder, or two candidates have the same name.
    """
    if size < len(images.dataset):
        images = StudyImages(choose_images(images.dataset, size, config.seed), whole=False, available=images.available)
    conditions = [
        Condition(one.name, "candidate", one.words, one.settings, one.method, one.model) for one in candidates
    ]
    conditions[0] = replace(conditions[0], factor="")
    return StudyDesign(name, replace(config, models=[candidates[0].model]), images, tuple(conditions))


def score_table(images: StudyImages, readings: Mapping[int, Readings], candidates: int) -> ScoreTable:
    """Return the scores of some images.

    Args:
        images: n images.
        readings: number of the candidate -> its answers; candidates that were not asked are left out.
        candidates: J, how many candidates there are.

    Returns:
        Scores in 0..1, ``(J, n)``; NaN where a candidate was not asked, or has no usable answer.
    """
    samples = list(images.dataset)
    scores = np.full((candidates, len(samples)), np.nan)
    for candidate, answers in readings.items():
        known = dict(zip(answers.ids, answers.scores[:, 0].tolist(), strict=True))
        scores[candidate] = [known.get(sample.id, np.nan) for sample in samples]
    return ScoreTable(
        np.array([sample.label for sample in samples], dtype=np.bool_),
        np.array([sample.category for sample in samples]),
        scores,
        numbers_of_parts([f"{sample.category}/{sample.part}" if sample.part else "" for sample in samples]),
    )


@dataclass
class Rounds:
    """Asks round after round.

    Attributes:
        name: the study's name.
        config: the data set and what all candidates share; ``max_cost`` is the budget.
        images: all labelled images.
        candidates: two or more.
        margin: differences up to this do not matter, in 0..1.
        progress: receives reports.
        workers: see ``bench``.
        race: what is known so far.
        table: the scores of the last round's images.
        readings: candidate -> its last answers.
        lost: candidate -> the round in which it failed, and why.
        sizes: the images of each round so far.
        left: the candidates that remained after each round.
        spent: USD, also on candidates that failed, and before an interruption; of answers whose cost is known.
        is_spent_known: whether that is the cost of all answers.
    """

    name: str
    config: RunConfig
    images: StudyImages
    candidates: Sequence[Candidate]
    margin: float
    progress: Progress
    workers: Workers | None
    race: Race = field(init=False)
    table: ScoreTable = field(init=False)
    readings: dict[int, Readings] = field(default_factory=dict)
    lost: dict[int, tuple[int, str]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    left: list[tuple[int, ...]] = field(default_factory=list)
    spent: float = 0.0
    is_spent_known: bool = True

    def __post_init__(self) -> None:
        """Start with nothing known."""
        self.race = Race.start(len(self.candidates))

    @property
    def budget(self) -> float:
        """USD that may still be spent."""
        return (self.config.max_cost or 0.0) - self.spent

    @property
    def prices(self) -> list[float | None]:
        """What an image costs with each candidate; None if unknown."""
        costs = {one: costs_of(of)["usd"].mean(0).value for one, of in self.readings.items()}
        return [costs.get(one) for one in range(len(self.candidates))]

    def run(self) -> Stop:
        """Ask until the rule decides, or the budget or the images are used up; return why it ended.

        Raises:
            ConfigError: the first round costs more than the budget, or no candidate could be asked.
            KeyboardInterrupt: Ctrl-C in the first round, of which nothing can be said yet.
        """
        with BenchSeries.started(self.config, self.workers, self.progress.note) as series:
            return self._run(series)

    def _run(self, series: BenchSeries) -> Stop:
        planned = round_sizes(len(self.images.dataset), len(self.images.dataset.categories))
        self._learn_prices(planned[0], series)
        z = critical_z(len(self.candidates), len(planned))
        for size in planned:
            try:
                affordable = self._affordable(size)
                if affordable is None:
                    return "budget"
                self._ask(affordable, series)
            except KeyboardInterrupt:
                if not self.sizes:
                    raise
                return "interrupted"
            self.race = after_round(self.race, self.table, self.prices, self.margin, z)
            self.left.append(self.race.left)
            left = ", ".join(self.candidates[one].name for one in self.race.left)
            stopped = any(map(unasked, self.readings.values()))
            asked = f"{affordable} images, not all of them asked about" if stopped else f"{affordable} images"
            self.progress.note(f"Round {len(self.sizes)}, {asked}: still compared: {left}.")
            spent = self.spent if self.is_spent_known else None
            event("round", study=self.name, images=affordable, left=left, spent=spent)
            if len(self.race.left) == 1 or all(self.race.loss(one) <= self.margin for one in self.race.left):
                return "decided"
            if affordable < size or stopped:
                return "budget"
        return "images"

    def _learn_prices(self, size: int, series: BenchSeries) -> None:
        """Ask a few of the first round's images where nothing says what an image costs: later forecasts go by them.

        Otherwise the first candidate might spend the whole budget, and the others could not be asked.
        """
        forecasts = forecast_study(self._design(size, self.candidates), self.progress, self.workers)
        for one, (_, found) in zip(self.candidates, forecasts, strict=True):
            if found["cost_usd"] is None:
                # A candidate that fails is dropped, with its reason, in the first round.
                with suppress(LvlmAdError):
                    run_study(self._design(min(_OF_CATEGORY, size), [one]), self.progress, self.workers, series)
                self.spent, self.is_spent_known = series.spent, series.is_spent_known

    def _design(self, size: int, candidates: Sequence[Candidate]) -> StudyDesign:
        return design_of(self.name, self.config, self.images, size, candidates)

    def _affordable(self, size: int) -> int | None:
        """Return how many images the next round may have; None if the budget allows no further one."""
        before = self.sizes[-1] if self.sizes else 0
        left = [self.candidates[one] for one in self.race.left]
        design = self._design(size, left)
        costs = [found["cost_usd"] for _, found in forecast_study(design, self.progress, self.workers)]
        price = sum(cost or 0.0 for cost in costs)
        if price <= self.budget:
            return size
        if not before:
            spent = f", of which {usd(self.spent)} were spent to learn what an image costs" if self.spent else ""
            raise ConfigError(
                f"The first round asks {len(left)} candidates about {size} images for about {usd(price)} USD, more "
                f"than the budget of {usd(self.config.max_cost)} USD{spent}. Raise --budget, or name fewer or cheaper "
                "models."
            )
        more = int((size - before) * max(self.budget, 0.0) / price)
        return before + more if more >= _OF_CATEGORY else None

    def _ask(self, size: int, series: BenchSeries) -> None:
        """Ask every remaining candidate, and drop one that fails.

        Raises:
            ConfigError: all fail.
        """
        found: dict[int, Readings] = {}
        for one in self.race.left:
            design = self._design(size, [self.candidates[one]])
            try:
                found[one] = Readings.of(run_study(design, self.progress, self.workers, series))
            except LvlmAdError as error:
                self._lose(one, str(error))
                continue
            finally:
                self.spent, self.is_spent_known = series.spent, series.is_spent_known
            if (why := _unusable(found[one])) is not None:
                self._lose(one, why)
        self.readings |= found
        self.sizes.append(size)
        if not self.race.left:
            raise ConfigError(f"No candidate is left to ask. {'; '.join(why for _, why in self.lost.values())}")
        shown = self._design(size, self.candidates[:1]).images
        self.table = score_table(shown, self.readings, len(self.candidates))

    def _lose(self, candidate: int, why: str) -> None:
        self.lost[candidate] = len(self.sizes) + 1, why
        self.race = self.race.without(candidate)
        self.progress.note(f"{self.candidates[candidate].name} is asked no further: {why}")


def unasked(readings: Readings) -> int:
    """Return how many images the budget left unasked."""
    return sum(one.status == "unasked" for one in readings.records[0])


def _unusable(readings: Readings) -> str | None:
    """Return why a candidate cannot be compared; None if it can. What the budget left unasked does not count."""
    records = [one for one in readings.records[0] if one.status != "unasked"]
    answered = sum(one.usable for one in records)
    if answered >= _FEWEST_ANSWERED * len(records):
        return None
    return f"{answered} of {len(records)} images have a usable answer, fewer than half"
