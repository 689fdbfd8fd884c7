"""A number with its 95 % interval, and how the intervals of stability are made: the jackknife and Student's t."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.intervals import Interval, Z

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ALIKE",
    "FEW_IMAGES",
    "SAME",
    "Measured",
    "as_table",
    "jackknife",
    "jackknife_of_variance",
    "mean_from_first",
    "pooled_variances",
    "student",
    "wilson",
    "within_squares",
]

SAME = 1e-12
"""Values that differ by less are the same: sums in another order differ by rounding."""

ALIKE = "all images alike"
FEW_IMAGES = "fewer than 2 images"


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and how sure it is.

    Attributes:
        value: the number; None where it is undefined.
        interval: 95 %, over the choice of images; None where there is none.
        reason: in words, why there is no value or no interval.
    """

    value: float | None
    interval: Interval | None = None
    reason: str = ""

    @property
    def shown(self) -> float | None:
        """Return the number as tables show a variance: an estimate below 0 as 0."""
        return None if self.value is None else max(self.value, 0.0)


def as_table(values: ArrayLike, name: str, dimensions: int = 2) -> NDArray[np.float64]:
    """Return values as float64; None and NaN stand for a missing answer.

    Args:
        values: numbers.
        name: what they are, for a message, such as "scores".
        dimensions: how many the array must have.

    Returns:
        float64 of the shape of ``values``, a copy; NaN where an answer is missing.

    Raises:
        MetricError: the values are not numbers, have another number of dimensions, or one is infinite.

    Example:
        >>> as_table([[0.5, None]], "scores").tolist()
        [[0.5, nan]]
    """
    try:
        table = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MetricError(f"The {name} are not an array of numbers: {error}.") from error
    if table.ndim != dimensions:
        raise MetricError(f"The {name} have the shape {table.shape}; they need {dimensions} dimensions.")
    if np.isinf(table).any():
        at = np.argwhere(np.isinf(table))[0]
        raise MetricError(f"Among the {name} is an infinite value, at index {at.tolist()}.")
    return table


def mean_from_first(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Return the mean over an axis, without rounding where all values are equal.

    The plain mean of 0.1, 0.1 and 0.1 is not 0.1 in floating point, so a model that always gives the same answer would
    seem to vary.

    Args:
        values: float64, with one value or more along the axis.
        axis: the axis that the mean is taken over.

    Returns:
        float64, of the shape of ``values`` without the axis.

    Example:
        >>> float(np.mean([0.1, 0.1, 0.1])), float(mean_from_first(np.array([0.1, 0.1, 0.1])))
        (0.10000000000000002, 0.1)
    """
    first = np.take(values, [0], axis=axis)
    return np.asarray(np.take(first, 0, axis=axis) + (values - first).mean(axis=axis))


def student(values: NDArray[np.float64]) -> Measured:
    """Return the mean of independent values with Student's interval.

    Args:
        values: ``(n,)``, one of each image.

    Returns:
        Without a value for n = 0; without an interval for n = 1, or where all values are alike.

    Example:
        >>> found = student(np.array([0.1, 0.2, 0.3]))
        >>> round(found.value, 3), [round(end, 3) for end in found.interval]
        (0.2, [-0.048, 0.448])
    """
    if not values.size:
        return Measured(None, None, "no image has an answer to each")
    mean = float(mean_from_first(values))
    if values.size == 1:
        return Measured(mean, None, FEW_IMAGES)
    if np.ptp(values) < SAME:
        return Measured(mean, None, ALIKE)
    half = float(stdtrit(values.size - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Measured(mean, (mean - half, mean + half))


def jackknife(value: float, without: NDArray[np.float64]) -> Measured:
    """Return a number with the jackknife's interval over images.

    Tukey's jackknife: the variance is (n - 1)/n times the sum of squared deviations of the numbers that result without
    each image in turn (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11); Student's t with
    n - 1 degrees of freedom.

    Args:
        value: the number from all n images.
        without: ``(n,)``, the number without each image; NaN where it is then undefined.

    Returns:
        Without an interval for n below 2, if a number without an image is undefined, or if all of them are alike.

    Example:
        >>> values = np.array([0.1, 0.2, 0.3])
        >>> [round(end, 3) for end in jackknife(0.2, (values.sum() - values) / 2).interval]  # of a mean: Student's
        [-0.048, 0.448]
    """
    n = without.size
    if n < 2:  # noqa: PLR2004 - one image has no spread
        return Measured(value, None, FEW_IMAGES)
    if np.isnan(without).any():
        return Measured(value, None, "undefined without one of the images")
    if np.ptp(without) < SAME * max(1.0, abs(value)):
        return Measured(value, None, ALIKE)
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt((n - 1) * float(without.var()))
    return Measured(value, (value - half, value + half))


def jackknife_of_variance(value: float, without: NDArray[np.float64]) -> Measured:
    """Return a variance with the jackknife's interval on its cube root, on which it is nearly normal.

    The scale is that of Wilson and Hilferty (Proc. Natl. Acad. Sci. 17:684-688, 1931). Unlike the logarithm it also
    takes estimates near 0 and below.

    Args:
        value: the variance from all images.
        without: ``(n,)``, the variance without each image.

    Returns:
        The interval does not reach below 0, unless the estimate does.

    Example:
        >>> found = jackknife_of_variance(2.0, np.array([2.0, 2.25, 1.75, 2.0]))
        >>> [round(end, 2) for end in found.interval]  # the plain jackknife's: 1.03 to 2.97
        [1.17, 3.15]
    """
    roots = jackknife(float(np.cbrt(value)), np.cbrt(without))
    if roots.interval is None:
        return Measured(value, None, roots.reason)
    low, high = (end**3 for end in roots.interval)
    return Measured(value, (max(low, min(value, 0.0)), high))


def wilson(fraction: float, n: float) -> Interval:
    """Return Wilson's interval of a fraction (J. Am. Stat. Assoc. 22:209-212, 1927); n need not be whole.

    Args:
        fraction: in 0..1.
        n: how many independent trials it comes from, above 0.

    Returns:
        Both ends of the 95 % interval, in 0..1; the fraction lies between them.

    Example:
        >>> [round(end, 3) for end in wilson(0.0, 4)]
        [0.0, 0.49]
    """
    centre = fraction + Z**2 / (2 * n)
    half = Z * math.sqrt(fraction * (1 - fraction) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return min(max((centre - half) / scale, 0.0), fraction), max(min((centre + half) / scale, 1.0), fraction)


def within_squares(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each image's sum of squared deviations from its own mean, and its degrees of freedom.

    Args:
        values: ``(n, R)``, NaN where an answer is missing.

    Returns:
        Two arrays float64 ``(n,)``: sums of squares, exactly 0.0 where all answers are equal; and the number of answers
        minus 1, 0.0 without an answer.

    Example:
        >>> [part.tolist() for part in within_squares(np.array([[0.1, 0.1, 0.1], [0.0, 1.0, np.nan]]))]
        [[0.0, 0.5], [2.0, 1.0]]
    """
    answered = ~np.isnan(values)
    first = np.take_along_axis(values, answered.argmax(axis=1)[:, None], axis=1)
    deviations = np.where(answered, values - first, 0.0)
    counts = answered.sum(axis=1)
    means = deviations.sum(axis=1) / np.maximum(counts, 1)
    squares = np.where(answered, deviations - means[:, None], 0.0) ** 2
    return squares.sum(axis=1), np.maximum(counts - 1.0, 0.0)


def pooled_variances(squares: NDArray[np.float64], freedom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance within images, pooled over all images, and over all but one, for each image (the jackknife).

    Args:
        squares: ``(n,)``, see ``within_squares``.
        freedom: ``(n,)``, likewise.

    Returns:
        float64 ``(1 + n,)``, of all images first, then without each; NaN where no degree of freedom is left.

    Example:
        >>> pooled_variances(np.array([0.5, 1.5]), np.array([1.0, 1.0])).tolist()
        [1.0, 1.5, 0.5]
    """
    # Rounding may take a sum of squares minus one of them below 0.
    remaining = np.maximum(np.append(squares.sum(), squares.sum() - squares), 0.0)
    free = np.append(freedom.sum(), freedom.sum() - freedom)
    return np.asarray(np.divide(remaining, free, out=np.full(free.size, np.nan), where=free > 0))
