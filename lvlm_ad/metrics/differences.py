"""The difference of two methods on the same images: its 95 % interval, its p-value, and many p-values at once.

Every interval is the square-and-add of the two methods' own intervals (Zou and Donner, Stat. Med. 27:1693-1702, 2008),
with the correlation of the two metrics over the images that both saw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, stdtrit

from lvlm_ad.metrics.curves import placements
from lvlm_ad.metrics.estimates import Estimate, estimate_mean
from lvlm_ad.metrics.intervals import (
    FEWEST_CATEGORIES,
    Z,
    auroc_interval,
    class_sizes,
    clustered_covariance,
    delong_covariance,
    mean_auroc_interval,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from lvlm_ad.metrics.intervals import Interval

__all__ = [
    "PairedDifference",
    "difference_over_categories",
    "holm",
    "mean_auroc_difference",
    "p_value",
    "resampled_difference",
    "shrunk_correlation",
    "square_and_add",
]


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The first method's metric minus the second's.

    Attributes:
        difference: in -1..1; None where neither is defined.
        correlation: of the two metrics, as far as the images can show it; 0.0 where there is no interval.
        interval: 95 %, in -1..1; None where one of the methods has none.
    """

    difference: float | None
    correlation: float
    interval: Interval | None


def mean_auroc_difference(
    labels: Sequence[NDArray[np.bool_]],
    first: Sequence[NDArray[Any]],
    second: Sequence[NDArray[Any]],
    objects: Sequence[NDArray[np.intp] | None] = (),
) -> PairedDifference:
    """Compare two methods' mean image AUROC over the same images of the same categories.

    The correlation is that of DeLong's components (Biometrics 44:837-845, 1988), summed over categories.

    Args:
        labels: of each of K categories bool ``(n,)``, True if anomalous. A category with only one class is left out.
        first: of each category ``(n,)``, finite scores.
        second: of each category ``(n,)``, the other method's scores.
        objects: of each category, see ``CategoryImages``; empty: each image is by itself.

    Returns:
        The difference of the means. It has no interval if a category has one image of a class.

    Example:
        >>> labels, good = np.arange(8) < 4, np.array([0.9, 0.8, 0.9, 0.7, 0.1, 0.0, 0.2, 0.1])
        >>> found = mean_auroc_difference([labels] * 15, [good] * 15, [np.full(8, 0.5)] * 15)
        >>> found.difference, [round(end, 2) for end in found.interval]
        (0.5, [0.39, 0.61])
    """
    kept = [at for at, one in enumerate(labels) if one.any() and not one.all()]
    if not kept:
        return PairedDifference(None, 0.0, None)
    kinds = [np.asarray(labels[at], dtype=np.bool_) for at in kept]
    scores = [[np.asarray(method[at]) for at in kept] for method in (first, second)]
    parts = [objects[at] if objects else None for at in kept]
    aurocs = [[auroc_interval(*one) for one in zip(kinds, method, parts, strict=True)] for method in scores]
    means = [math.fsum(one.auroc or 0.0 for one in method) / len(kept) for method in aurocs]
    sizes = [class_sizes(*one) for one in zip(kinds, parts, strict=True)]
    by_class = [one for one, _ in sizes], [one for _, one in sizes]
    intervals = [
        mean_auroc_interval([one.auroc or 0.0 for one in method], *by_class, [one.factor for one in method])
        for method in aurocs
    ]
    if intervals[0] is None or intervals[1] is None:
        return PairedDifference(means[0] - means[1], 0.0, None)
    variances = [math.fsum(one.delong_variance or 0.0 for one in method) for method in aurocs]
    components = [[placements(*one) for one in zip(kinds, method, strict=True)] for method in scores]
    covariance = math.fsum(
        delong_covariance(kind, one, other) if part is None else clustered_covariance(kind, one, other, part)
        for kind, one, other, part in zip(kinds, *components, parts, strict=True)
    )
    images = sum(map(min, sizes))
    correlation = shrunk_correlation(covariance, variances[0], variances[1], images)
    interval = square_and_add(means[0], intervals[0], means[1], intervals[1], correlation)
    return PairedDifference(means[0] - means[1], correlation, interval)


def resampled_difference(
    metric: str, first: Mapping[str, Estimate], second: Mapping[str, Estimate]
) -> tuple[Interval | None, str]:
    """Compare two methods' mean of a metric other than image AUROC over the same images of the same categories.

    The interval is the square-and-add of the two means' intervals, with the correlation of their values on the same
    resamples.

    Args:
        metric: its name, "image_ap" and so on.
        first: category -> the first method's estimate; one or more.
        second: the same categories -> the other method's, from the same resamples.

    Returns:
        The 95 % interval, in -1..1; or None and the reason, where one of the methods has no interval.
    """
    means = estimate_mean(metric, first), estimate_mean(metric, second)
    one, other = (mean.interval for mean in means)
    if one is None or other is None:
        return None, next(mean.reason for mean in means if mean.interval is None)
    draws = np.stack([_mean_draws(first), _mean_draws(second)])
    covariance = np.cov(draws[:, ~np.isnan(draws).any(axis=0)])
    images = min(mean.images for mean in means)
    correlation = shrunk_correlation(covariance[0, 1], covariance[0, 0], covariance[1, 1], images)
    return square_and_add(means[0].value, one, means[1].value, other, correlation), ""


def _mean_draws(categories: Mapping[str, Estimate]) -> NDArray[np.float64]:
    draws = [one.draws for one in categories.values() if one.draws is not None]
    return np.asarray(np.mean(draws, axis=0))


def difference_over_categories(differences: Sequence[float], interval: Interval) -> Interval | None:
    """Return the interval of a mean difference that also stands for other kinds of objects.

    It spans the interval over fixed categories and Student's interval of the categories' differences, whose spread
    holds the noise of their images already.

    Args:
        differences: ``(K,)``, of each category.
        interval: of their mean, the categories being fixed.

    Returns:
        In -1..1; None for fewer than three categories, or if all differences are the same.

    Example:
        >>> [round(end, 3) for end in difference_over_categories([0.1, 0.2, 0.15, 0.05], (0.05, 0.2))]
        [0.022, 0.228]
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < FEWEST_CATEGORIES or np.ptp(values) < 1e-12:  # noqa: PLR2004 - rounding
        return None
    half = float(stdtrit(values.size - 1, 0.975) * values.std(ddof=1)) / math.sqrt(values.size)
    mean = math.fsum(values) / values.size
    return max(min(mean - half, interval[0]), -1.0), min(max(mean + half, interval[1]), 1.0)


def shrunk_correlation(covariance: float, first: float, second: float, images: float) -> float:
    """Return the correlation of two metrics on n images of the rarer class, times 1 - 2/n.

    Few images give a chance correlation, and one that is too high would make the interval too narrow.

    Args:
        covariance: of the two metrics.
        first: the first one's variance.
        second: the other's.
        images: n, 0 or more; of a mean the sum over its categories.

    Returns:
        In -1..1; 0.0 where a variance is 0.

    Example:
        >>> shrunk_correlation(0.5, 1.0, 1.0, 4), shrunk_correlation(0.0, 0.0, 1.0, 4)
        (0.25, 0.0)
    """
    if first <= 0 or second <= 0 or images <= 2:  # noqa: PLR2004 - two images always agree
        return 0.0
    return min(max(covariance / math.sqrt(first * second), -1.0), 1.0) * (1 - 2 / images)


def square_and_add(
    first: float, first_interval: Interval, second: float, second_interval: Interval, correlation: float
) -> Interval:
    """Return the interval of a difference by square-and-add of the two intervals' distances from value to end.

    Zou and Donner, Stat. Med. 27:1693-1702 (2008), equation for correlated estimates.

    Args:
        first: a metric, in 0..1.
        first_interval: its interval, which contains it.
        second: another method's.
        second_interval: its interval.
        correlation: of the two, in -1..1.

    Returns:
        In -1..1; it contains the difference.

    Example:
        >>> [round(end, 3) for end in square_and_add(0.8, (0.7, 0.9), 0.5, (0.4, 0.6), 0.0)]
        [0.159, 0.441]
    """
    difference = first - second
    arms = [
        math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))
        for one, other in (
            (first - first_interval[0], second_interval[1] - second),
            (first_interval[1] - first, second - second_interval[0]),
        )
    ]
    return max(difference - arms[0], -1.0), min(difference + arms[1], 1.0)


def p_value(difference: float, interval: Interval) -> float:
    """Return the two-sided p-value of no difference.

    The end of the interval that lies towards 0 is 1.96 standard errors away, and the difference is taken as normal. So
    the p-value is below 0.05 exactly when the interval excludes 0.

    Example:
        >>> round(p_value(0.2, (0.0, 0.5)), 3), p_value(0.0, (-0.1, 0.1))
        (0.05, 1.0)
    """
    if not difference:
        return 1.0
    arm = difference - interval[0] if difference > 0 else interval[1] - difference
    return float(2 * ndtr(-Z * abs(difference) / arm)) if arm > 0 else 0.0


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust the p-values of several tests: the probability of any false positive among them stays below the level.

    Holm, Scand. J. Stat. 6:65-70 (1979).

    Args:
        p_values: ``(n,)``, in 0..1.

    Returns:
        float64 ``(n,)``, in the same order.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
