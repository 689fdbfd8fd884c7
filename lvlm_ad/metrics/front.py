"""Which rows are worth their cost: no other row is as good, as cheap, and better in one of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["certainly_dominated", "front", "front_probability"]


def front(quality: ArrayLike, costs: ArrayLike) -> list[bool | None]:
    """Return which rows no other row dominates: none is as good, as cheap in every cost, and better in one of these.

    Equal rows do not dominate each other.

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
    dear = np.array(costs, dtype=np.float64)
    dear = dear.reshape(good.size, -1) if dear.size else np.zeros((good.size, 0))
    known = ~(np.isnan(good) | np.isnan(dear).any(axis=1))
    result: list[bool | None] = []
    # A comparison with NaN is false, so rows with unknown numbers dominate nothing.
    for own, price, is_known in zip(good, dear, known, strict=True):
        as_good = (good >= own) & (dear <= price).all(axis=1)
        better = (good > own) | (dear < price).any(axis=1)
        result.append(not (as_good & better & known).any() if is_known else None)
    return result


def certainly_dominated(
    better: NDArray[np.bool_], difference: NDArray[Any], variance: NDArray[Any], quantile: float
) -> NDArray[np.bool_]:
    """Return for each row whether some row is certainly better and, by the interval of their costs, never dearer.

    Args:
        better: bool ``(J, J)``, whether row i is certainly better than row j.
        difference: ``(J, J)``, cost of row i minus cost of row j.
        variance: ``(J, J)``, of the difference; 0 where both always cost the same.
        quantile: of the interval, in standard deviations.
    """
    never_dearer = difference + quantile * np.sqrt(variance) <= 0
    return np.asarray((better & never_dearer).any(axis=0))


def front_probability(draws: ArrayLike, cost: ArrayLike) -> NDArray[np.float64]:
    """Return the fraction of draws in which each row is on the front of quality over one cost.

    Args:
        draws: ``(R, J)``, the rows' quality in each draw, shared by all rows.
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
