"""The Pareto front of quality over cost: the rows that no other row dominates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from lvlm_ad.metrics.ranks import difference_and_variance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from lvlm_ad.metrics.intervals import Interval

__all__ = ["front", "front_probability", "possible_front", "step_curve", "surely_dominated", "usd_per_point"]

CHANCE = 0.5
"""The image AUROC of a guess."""


def front(quality: ArrayLike, costs: ArrayLike) -> list[bool | None]:
    """Return which rows are on the Pareto front: no other row dominates them.

    A row dominates another one if its quality is the same or higher, every cost the same or lower, and one of these
    is not the same. Equal rows do not dominate each other.

    Args:
        quality: ``(J,)``, higher is better; NaN or None where unknown.
        costs: ``(J,)`` or ``(J, C)``, one or several costs, lower is better; NaN or None where unknown.

    Returns:
        For each row whether it is on the front; None if its quality or one of its costs is unknown.

    Example:
        >>> front([0.9, 0.9, 0.8], [1.0, 2.0, None])
        [True, False, None]
    """
    good = np.array(quality, dtype=np.float64)
    prices = np.array(costs, dtype=np.float64)
    prices = prices.reshape(good.size, -1) if prices.size else np.zeros((good.size, 0))
    known = ~(np.isnan(good) | np.isnan(prices).any(axis=1))
    result: list[bool | None] = []
    # A comparison with NaN is false, so rows with unknown numbers dominate nothing.
    for value, price, is_known in zip(good, prices, known, strict=True):
        as_good = (good >= value) & (prices <= price).all(axis=1)
        better = (good > value) | (prices < price).any(axis=1)
        result.append(not (as_good & better & known).any() if is_known else None)
    return result


def step_curve(quality: ArrayLike, cost: ArrayLike) -> list[tuple[float, float]]:
    """Return the best quality that each cost buys: the corners of a curve that only rises.

    Args:
        quality: ``(J,)``, higher is better; NaN or None where unknown.
        cost: ``(J,)``; NaN or None where unknown. Rows with an unknown number are left out.

    Returns:
        Cost and quality of each corner, both rising; empty without a row.

    Example:
        >>> step_curve([0.9, 0.7, 0.8, 0.95], [2.0, 1.0, 3.0, 2.0])
        [(1.0, 0.7), (2.0, 0.95)]
    """
    corners: list[tuple[float, float]] = []
    values = np.array([cost, quality], dtype=np.float64).T
    for price, own in sorted(values[~np.isnan(values).any(axis=1)].tolist(), key=lambda row: (row[0], -row[1])):
        if not corners or own > corners[-1][1]:
            corners.append((price, own))
    return corners


def usd_per_point(usd: float | None, auroc: float | None, interval: Interval | None) -> float | None:
    """Return what each percentage point of image AUROC above chance (0.5) costs.

    Args:
        usd: cost, in all or of an image; None if unknown.
        auroc: image AUROC, in 0..1; None if undefined.
        interval: its 95 % interval; None if there is none.

    Returns:
        None if the cost is unknown, and unless the interval lies above chance: dividing by a difference that may be 0
        means nothing.

    Example:
        >>> round(usd_per_point(0.8, 0.9, (0.8, 0.95)), 3), usd_per_point(0.8, 0.55, (0.45, 0.65))
        (0.02, None)
    """
    if usd is None or auroc is None or interval is None or interval[0] <= CHANCE:
        return None
    return usd / (100 * (auroc - CHANCE))


def possible_front(better: NDArray[np.bool_], costs: ArrayLike) -> list[bool | None]:
    """Return which rows may be on the front of quality over cost: no row is surely better and costs no more.

    Costs are compared image by image: a row costs no more if the 95 % interval of the mean difference, Student's of
    paired differences, lies at or below 0, or if every image costs the same.

    Args:
        better: bool ``(J, J)``, whether row i is surely better than row j, see ``ranks.surely_better``.
        costs: ``(J, n)``, of each row and image, the same images for all; NaN where unknown.

    Returns:
        For each row whether it may be on the front; None if one of its costs is unknown.

    Example:
        >>> better = np.array([[False, True, True], [False, False, False], [False, False, False]])
        >>> possible_front(better, [[1.0, 1.0], [1.0, 1.0], [0.5, 1.5]])  # the third may be cheaper
        [True, False, True]
    """
    table = np.array(costs, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(table).any(axis=1))
    means, n = table[known].mean(axis=1), table.shape[1]
    dominated = np.zeros(known.size, dtype=np.bool_)
    if n > 1:  # the costs of one image say nothing about others
        deviations = (table[known] - means[:, None]) / math.sqrt(n * (n - 1))
        differences = difference_and_variance(means, deviations)
        dominated = surely_dominated(better[np.ix_(known, known)], *differences, float(stdtrit(n - 1, 0.975)))
    result: list[bool | None] = [None] * len(table)
    for at, is_dominated in zip(known, dominated, strict=True):
        result[at] = not is_dominated
    return result


def surely_dominated(
    better: NDArray[np.bool_], difference: NDArray[Any], variance: NDArray[Any], quantile: float
) -> NDArray[np.bool_]:
    """Return for each row whether some row is surely better and, by the interval of their costs, costs no more.

    Args:
        better: bool ``(J, J)``, whether row i is surely better than row j.
        difference: ``(J, J)``, cost of row i minus cost of row j.
        variance: ``(J, J)``, of the difference; 0 where both always cost the same.
        quantile: of the interval, in standard deviations.

    Returns:
        bool ``(J,)``.

    Example:
        >>> better, variance = np.array([[False, True], [False, False]]), np.full((2, 2), 0.01)
        >>> [surely_dominated(better, np.array([[0, -d], [d, 0]]), variance, 1.96).tolist() for d in (0.1, 0.3)]
        [[False, False], [False, True]]
    """
    costs_no_more = difference + quantile * np.sqrt(variance) <= 0
    return np.asarray((better & costs_no_more).any(axis=0))


def front_probability(draws: ArrayLike, cost: ArrayLike) -> NDArray[np.float64]:
    """Return the fraction of bootstrap samples in which each row is on the front of quality over one cost.

    Args:
        draws: ``(R, J)``, the rows' quality in each bootstrap sample of the images; all rows share the samples.
        cost: ``(J,)``, known for all rows.

    Returns:
        ``(J,)``. Below 0.05 a row is off the front; from 0.05 to 0.95 it may be on it.

    Example:
        >>> front_probability([[0.9, 0.8], [0.7, 0.8]], [1.0, 2.0]).tolist()
        [1.0, 0.5]
    """
    quality, price = np.asarray(draws, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    order = np.argsort(price)
    prices, starts, step = np.unique(price[order], return_index=True, return_inverse=True)
    # The best of each price, and the best of all that cost less.
    best = np.maximum.reduceat(quality[:, order], starts, axis=1)
    cheaper = np.full((len(quality), prices.size), -np.inf)
    cheaper[:, 1:] = np.maximum.accumulate(best, axis=1)[:, :-1]
    on_front = (quality[:, order] == best[:, step]) & (quality[:, order] > cheaper[:, step])
    probability = np.empty(price.size)
    probability[order] = on_front.mean(axis=0)
    return probability
