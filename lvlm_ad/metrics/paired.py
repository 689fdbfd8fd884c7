"""The interval of a difference of two methods where it comes from resamples, and where categories are a sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from lvlm_ad.metrics.auroc_intervals import FEWEST_CATEGORIES
from lvlm_ad.metrics.differences import shrunk_correlation, square_and_add
from lvlm_ad.metrics.estimates import estimate_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.auroc_intervals import Interval
    from lvlm_ad.metrics.estimates import Estimate

__all__ = ["difference_over_categories", "resampled_difference"]


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
    half = float(student.ppf(0.975, values.size - 1) * values.std(ddof=1)) / math.sqrt(values.size)
    mean = math.fsum(values) / values.size
    return max(min(mean - half, interval[0]), -1.0), min(max(mean + half, interval[1]), 1.0)
