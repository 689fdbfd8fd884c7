"""What an image costs under the conditions of a study: USD, seconds, tokens; unknown where it is unknown, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.metrics.stability import paired_shift
from lvlm_ad.metrics.stability.measured import student
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.runs import PredictionRecord
    from lvlm_ad.studies.readings import Readings

__all__ = ["NO_PRICE", "Costs", "costs_of"]

NO_PRICE = "the model has no price: set price_input and price_output"
"""Why an amount is unknown."""

_UNASKED = "no image was asked about"


@dataclass(frozen=True, eq=False)
class Costs:
    """One kind of cost of every image under every condition.

    Attributes:
        values: float64 ``(n, C)``; NaN where an image was not asked about, or where the cost is unknown.
        reasons: of each condition why its cost is unknown; empty where it is known.
    """

    values: NDArray[np.float64]
    reasons: tuple[str, ...]

    def mean(self, column: int) -> Number:
        """Return the mean over the images that were asked about, with Student's interval.

        Args:
            column: the condition.

        Returns:
            In the unit of ``values``; without a value, but with the reason, where the cost is unknown.

        Example:
            >>> Costs(np.array([[0.01], [0.02], [np.nan]]), ("",)).mean(0).value
            0.015
        """
        if self.reasons[column]:
            return Number(value=None, reason=self.reasons[column])
        return Number.of(student(self._known(column)))

    def quantile(self, column: int, fraction: float) -> float | None:
        """Return a quantile over the images that were asked about.

        Args:
            column: the condition.
            fraction: which quantile, in 0..1; 0.5 is the median.

        Returns:
            In the unit of ``values``, between two images by linear interpolation; None where the cost is unknown.

        Example:
            >>> Costs(np.array([[1.0], [2.0], [4.0]]), ("",)).quantile(0, 0.5)
            2.0
        """
        return None if self.reasons[column] else float(np.quantile(self._known(column), fraction))

    def difference(self, first: int, second: int, images: NDArray[np.intp]) -> Number:
        """Return the mean cost of an image under the first condition minus that under the second.

        Args:
            first: a condition.
            second: another one.
            images: intp, the images to compare; those without a known cost under one of the two are left out.

        Returns:
            With Student's interval of paired differences; without a value where one of the costs is unknown.

        Example:
            >>> Costs(np.array([[1.0, 0.5], [2.0, 1.0]]), ("", "")).difference(0, 1, np.array([0, 1])).value
            0.75
        """
        if reason := self.reasons[first] or self.reasons[second]:
            return Number(value=None, reason=reason)
        return Number.of(paired_shift(self.values[images, first], self.values[images, second]))

    def paired(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """Return the costs of the images that have one under all conditions whose cost is known.

        Args:
            columns: the conditions.

        Returns:
            float64 ``(len(columns), images)``; NaN for a condition whose cost is unknown.

        Example:
            >>> Costs(np.array([[1.0, 0.5], [2.0, np.nan]]), ("", "")).paired([0, 1]).tolist()
            [[1.0], [0.5]]
        """
        table = self.values[:, list(columns)].T.copy()
        known = np.array([not self.reasons[one] for one in columns], dtype=np.bool_)
        table[~known] = np.nan
        return table[:, ~np.isnan(table[known]).any(axis=0)]

    def _known(self, column: int) -> NDArray[np.float64]:
        own = self.values[:, column]
        return own[~np.isnan(own)]


def costs_of(readings: Readings) -> dict[str, Costs]:
    """Return the costs of each image under each condition.

    A question that failed without an answer has 0 USD and 0 tokens: no cost of it is known.

    Args:
        readings: the answers, n images under C conditions.

    Returns:
        "usd": USD of all answers about an image, also of those that were refused or could not be read; "seconds": the
        sum over an image's answers, whether or not these were asked at the same time; "tokens": those of questions and
        answers. The values of each are float64 ``(n, C)``.

    Example, with the results of a study::

        costs_of(Readings.of(run_study(design)))["usd"].mean(0)
    """
    asked = np.array([[_is_asked(one) for one in row] for row in zip(*readings.records, strict=True)])
    failed = np.array([[_is_lost(one) for one in row] for row in zip(*readings.records, strict=True)])
    usd = np.where(failed, 0.0, readings.costs)
    tokens = np.where(failed, 0.0, readings.input_tokens + readings.output_tokens)
    columns = range(len(readings.runs))
    return {
        "usd": _costs(usd, asked, [_why_no_usd(readings, one) for one in columns], "an answer came without its cost"),
        "seconds": _costs(readings.seconds, asked & ~np.isnan(readings.seconds), [""] * len(columns), ""),
        "tokens": _costs(tokens, asked, [""] * len(columns), "an answer came without its number of tokens"),
    }


def _costs(values: NDArray[np.float64], asked: NDArray[np.bool_], reasons: Sequence[str], unknown: str) -> Costs:
    values = np.where(asked, values, np.nan)
    found = []
    for column, reason in enumerate(reasons):
        own = values[asked[:, column], column]
        found.append(reason or (unknown if np.isnan(own).any() else "" if own.size else _UNASKED))
    return Costs(values, tuple(found))


def _why_no_usd(readings: Readings, column: int) -> str:
    """Return why a condition's cost in USD is unknown."""
    model = readings.results[column].plan.models[0]
    price = model.preset.price
    if not price.known:
        return NO_PRICE
    if price.free and price.price_per_hour is None and not model.plugin.billed:
        return "the model runs on this machine, whose price is unknown: set price_per_hour"
    return ""


def _is_asked(record: PredictionRecord) -> bool:
    return record.status != "unasked"


def _is_lost(record: PredictionRecord) -> bool:
    """Whether an image was asked about without any answer."""
    return record.status == "failed" and not record.steps
