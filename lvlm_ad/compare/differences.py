"""Differences of two runs' metrics, with intervals and p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.metrics.differences import difference_over_categories, mean_auroc_difference, p_value, resampled_difference
from lvlm_ad.metrics.estimates import estimate_mean

if TYPE_CHECKING:
    from lvlm_ad.metrics.bootstrap import CategoryImages
    from lvlm_ad.metrics.estimates import Estimate
    from lvlm_ad.metrics.intervals import Interval
    from lvlm_ad.metrics.shapes import ShapeEstimate

__all__ = ["Difference", "MeasuredCategory", "Pair", "difference_of", "p_text"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first run's metric minus the second's; fractions in 0..1.

    Attributes:
        first: the first run's metric; None if undefined.
        second: the second run's.
        difference: None if either is undefined.
        interval: 95 %, of paired differences on the same images; None where there is none.
        reason: why there is no interval.
        p_value: two-sided, of no difference; below 0.05 exactly if the interval excludes 0; None without an interval.
        p_adjusted: the same by Holm's method over all categories, or over all runs that the first is compared with.
        interval_over_categories: of a mean: for other kinds of objects, too; otherwise None.
    """

    first: float | None
    second: float | None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    reason: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None
    interval_over_categories: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class MeasuredCategory:
    """A category of one run."""

    indices: list[int]
    """Where its measured images are among the run's predictions."""
    images: CategoryImages
    metrics: Mapping[str, Any]
    """Its entry in metrics.json."""
    estimates: Mapping[str, Estimate]
    """Metric -> how sure it is."""
    shapes: Mapping[str, ShapeEstimate] = field(default_factory=dict)
    """Metric of shapes -> its value and how sure it is."""


Pair = tuple[Mapping[str, MeasuredCategory], Mapping[str, MeasuredCategory]]
"""The categories of both runs."""


def difference_of(metric: str, pair: Pair, names: Sequence[str], same: str) -> Difference:
    """Compare a metric's mean over the categories in which both runs have it.

    Args:
        metric: its name, "image_auroc" and so on.
        pair: the categories of both runs.
        names: the categories to average; one: compare its own values.
        same: not empty if the runs are one and the same; then there is no doubt that the difference is 0.
    """
    both = [name for name in names if all(of[name].metrics.get(metric) is not None for of in pair)]
    if not both:
        # A single category may have a value in one of the runs.
        alone = [of[names[0]].metrics.get(metric) if len(names) == 1 else None for of in pair]
        return Difference(alone[0], alone[1])
    values = [[float(of[name].metrics[metric]) for name in both] for of in pair]
    first, second = (float(np.mean(of)) for of in values)
    if same:
        return Difference(first, second, 0.0, (0.0, 0.0), p_value=1.0)
    interval, reason = _interval(metric, pair, both)
    if interval is None:
        return Difference(first, second, first - second, reason=reason)
    wider = difference_over_categories(np.subtract(values[0], values[1]).tolist(), interval)
    value = p_value(first - second, interval)
    return Difference(first, second, first - second, interval, "", value, interval_over_categories=wider)


def _interval(metric: str, pair: Pair, names: Sequence[str]) -> tuple[Interval | None, str]:
    """Return the interval of a difference, or None and the reason."""
    estimates = [{name: of[name].estimates[metric] for name in names} for of in pair]
    if metric != "image_auroc":
        return resampled_difference(metric, *estimates)
    ours, theirs = ([of[name].images for name in names] for of in pair)
    found = mean_auroc_difference(
        [one.labels for one in ours],
        [one.scores for one in ours],
        [one.scores for one in theirs],
        [one.objects for one in ours],
    )
    return found.interval, "" if found.interval else estimate_mean(metric, estimates[0]).reason


def p_text(value: float | None) -> str:
    """Write a p-value with three digits; a dash if there is none.

    Example:
        >>> p_text(0.0123), p_text(0.0)
        ('0.012', '< 0.001')
    """
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"  # noqa: PLR2004 - three digits
