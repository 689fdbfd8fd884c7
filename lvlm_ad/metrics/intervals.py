"""95 % intervals of image AUROC, and of means over categories, in closed form.

An interval lies in 0..1, contains its number and never has zero width: a perfect value on few images is not certain.
``resampled_intervals`` has those of other metrics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from lvlm_ad.metrics.curves import auroc, placements, steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "FEWEST_CATEGORIES",
    "FEWEST_IMAGES",
    "AurocInterval",
    "Interval",
    "Z",
    "auroc_interval",
    "class_sizes",
    "delong_covariance",
    "mean_auroc_interval",
    "mover_mean",
    "over_categories",
]

Interval = tuple[float, float]
"""The lower and the upper end."""

Z = float(ndtri(0.975))

FEWEST_IMAGES = 2
"""With fewer images of a class in a category there is no interval."""

FEWEST_CATEGORIES = 3
"""With fewer categories there is no interval for other categories."""

_SAME = 1e-12
"""Values that differ by less are the same: sums in another order differ by rounding."""

_LEAST_FACTOR = 0.001

_TRUSTED_FROM = 20
"""With so many images of a class or fewer, a factor below 1 counts as 1."""

_SHIFT = 40.0
"""A shift of log odds that takes every AUROC to 0 or 1."""


@dataclass(frozen=True, slots=True)
class AurocInterval:
    """An image AUROC and how sure it is.

    Attributes:
        auroc: in 0..1; None where a class is missing.
        v5: the variance of Hanley and McNeil at ``auroc``, as in Newcombe's method 5; None without an AUROC.
        delong_variance: DeLong's variance of the AUROC; None with fewer than two images of a class.
        factor: the estimated variance divided by ``v5``.
        interval: 95 %; None with fewer than two images of a class.
        bound_at_extreme: at AUROC 1, an interval that is valid for every distribution of the scores cannot start above
            this; at AUROC 0, it cannot end below 1 minus this. None at any other AUROC.
    """

    auroc: float | None
    v5: float | None
    delong_variance: float | None
    factor: float
    interval: Interval | None
    bound_at_extreme: float | None


def auroc_interval(
    labels: NDArray[np.bool_], scores: NDArray[Any], objects: NDArray[np.intp] | None = None
) -> AurocInterval:
    """Compute a category's image AUROC and its 95 % interval.

    Newcombe's method 5 (Stat. Med. 25:559-573, 2006) inverts a test with the variance of Hanley and McNeil (Radiology
    143:29-36, 1982). Here that variance is multiplied by a factor: DeLong's variance (Biometrics 44:837-845, 1988) over
    it. A factor below 1 is moved towards 1 on few images, and is 1 with 20 or fewer of a class.

    Args:
        labels: bool ``(n,)``, True if anomalous.
        scores: ``(n,)``, finite; higher is more anomalous.
        objects: ``(n,)``, numbers from 0 of the objects that the images show, where they are not independent. The
            variance is then Obuchowski's (Biometrics 53:567-578, 1997), and objects are counted in the place of images.

    Example:
        >>> result = auroc_interval(np.array([True, True, False, False]), np.array([0.9, 0.8, 0.1, 0.0]))
        >>> result.auroc, [round(end, 3) for end in result.interval], round(result.bound_at_extreme, 3)
        (1.0, [0.386, 1.0], 0.158)
    """
    labels, scores = np.asarray(labels, dtype=np.bool_), np.asarray(scores)
    defective, good = class_sizes(labels, objects)
    fewest = min(defective, good)
    if not fewest:
        return AurocInterval(None, None, None, 1.0, None, None)
    value = float(auroc(steps_of(scores, labels, ~labels)))
    v5 = float(_hanley_mcneil(value, 1 - value, defective, good))
    extreme = value in {0.0, 1.0}
    bound = 0.025 ** (1 / fewest) if extreme else None
    if fewest < FEWEST_IMAGES:
        return AurocInterval(value, v5, None, 1.0, None, bound)
    placed = placements(labels, scores)
    if objects is None:
        variance = delong_covariance(labels, placed, placed)
    else:
        variance = max(0.0, clustered_covariance(labels, placed, placed, objects))
    factor = 1.0 if extreme else max(variance / v5, _LEAST_FACTOR)
    if factor < 1:
        factor **= max(0.0, 1 - _TRUSTED_FROM / fewest)
    interval = mean_auroc_interval([value], [defective], [good], [factor])
    return AurocInterval(value, v5, variance, factor, interval, bound)


def class_sizes(labels: NDArray[np.bool_], objects: NDArray[np.intp] | None = None) -> tuple[int, int]:
    """Return how many defective and good images there are, or of how many objects there are such images.

    Example:
        >>> labels = np.array([True, True, False])
        >>> class_sizes(labels), class_sizes(labels, np.array([0, 0, 0]))
        ((2, 1), (1, 1))
    """
    if objects is None:
        return int(np.count_nonzero(labels)), int(np.count_nonzero(~labels))
    return np.unique(objects[labels]).size, np.unique(objects[~labels]).size


def clustered_covariance(
    labels: NDArray[np.bool_], first: NDArray[np.float64], second: NDArray[np.float64], objects: NDArray[np.intp]
) -> float:
    """Return Obuchowski's covariance of two AUROCs (Biometrics 53:567-578, 1997); see ``delong_covariance``.

    Args:
        labels: bool ``(n,)``.
        first: ``(n,)``, ``placements`` of the first scores.
        second: ``(n,)``, those of the second.
        objects: ``(n,)``, see ``auroc_interval``; of objects with one image each the value is DeLong's.
    """
    sums, scales = [], []
    for kind in (labels, ~labels):
        away = [np.where(kind, one - one[kind].mean(), 0.0) / np.count_nonzero(kind) for one in (first, second)]
        sums.append([np.bincount(objects, one) for one in away])
        scales.append(np.unique(objects[kind]).size / (np.unique(objects[kind]).size - 1))
    within = sum(scale * float(one @ other) for scale, (one, other) in zip(scales, sums, strict=True))
    (bad, other_bad), (good, other_good) = sums
    return within + bad.size / (bad.size - 1) * float(bad @ other_good + good @ other_bad)


def mean_auroc_interval(
    auroc: Sequence[float], defective: Sequence[int], good: Sequence[int], factor: Sequence[float]
) -> Interval | None:
    """Compute the 95 % interval of the mean image AUROC over fixed categories, as of a single one.

    The test that Newcombe's method 5 inverts, along one line: all categories' log odds are shifted by the same amount.

    Args:
        auroc: ``(K,)``, each category's image AUROC.
        defective: ``(K,)``, its defective images.
        good: ``(K,)``, its good images.
        factor: ``(K,)``, ``AurocInterval.factor``.

    Returns:
        The interval; None without a category, or if one has fewer than two images of a class.

    Example:
        >>> [round(end, 3) for end in mean_auroc_interval([1.0] * 15, [2] * 15, [2] * 15, [1.0] * 15)]
        [0.909, 1.0]
    """
    values = np.asarray(auroc, dtype=np.float64)
    kinds = np.asarray(defective, dtype=np.float64), np.asarray(good, dtype=np.float64)
    if not values.size or min(one.min() for one in kinds) < FEWEST_IMAGES:
        return None
    variances = (*kinds, np.asarray(factor, dtype=np.float64))
    mean = math.fsum(values) / values.size
    # Swapping the classes turns an AUROC into 1 minus itself, and the lower end into the upper one.
    return min(_lower(values, *variances), mean), max(1 - _lower(1 - values, *variances), mean)


def _lower(
    values: NDArray[np.float64], defective: NDArray[np.float64], good: NDArray[np.float64], factor: NDArray[np.float64]
) -> float:
    """Return the mean AUROC, at most the observed one, that a test does just not reject."""
    if not values.any():
        return 0.0
    fewest = np.minimum(defective, good)
    odds = logit((fewest * values + 1) / (fewest + 2))
    from_one = float(np.mean(1 - values))

    def below(shift: float) -> float:
        """Return how far the shifted mean lies below the observed one."""
        return float(expit(-(odds + shift)).mean()) - from_one

    def beyond(shift: float) -> float:
        """Return how much farther that is than the test allows."""
        up, down = expit(odds + shift), expit(-(odds + shift))
        variance = float((factor * _hanley_mcneil(up, down, defective, good)).sum()) / values.size**2
        return below(shift) - Z * math.sqrt(variance)

    # At a mean of 1 no shift gives the observed mean, and _SHIFT comes as near as can be.
    observed = _root(below, _SHIFT) if from_one else _SHIFT
    return float(expit(odds + _root(beyond, observed)).mean())


def _root(function: Any, stop: float) -> float:
    from scipy.optimize import brentq  # noqa: PLC0415 - slow to import, and workers that divide need none

    return float(brentq(function, -_SHIFT, stop, xtol=1e-13))


def _hanley_mcneil(value: Any, from_one: Any, defective: Any, good: Any) -> Any:
    """Return the variance of an AUROC, each class as large as both on average; ``from_one``: 1 minus the AUROC."""
    others = (defective + good) / 2 - 1
    pairs = from_one / (1 + from_one) + value / (1 + value)
    return value * from_one * (1 + others * pairs) / (defective * good)


def over_categories(values: Sequence[float], edge: float) -> Interval | None:
    """Compute the 95 % interval of a mean over categories that stand for other kinds of objects.

    It is Student's interval on log odds. The spread of the categories' values holds the noise of their images already.

    Args:
        values: ``(K,)``, a metric of each category.
        edge: the mean counts as at least this, and at most 1 minus this.

    Returns:
        The interval; None for fewer than three categories, or if all have the same value.

    Example:
        >>> [round(end, 3) for end in over_categories([0.9, 0.8, 0.95, 0.7], edge=0.001)]
        [0.585, 0.95]
    """
    if len(values) < FEWEST_CATEGORIES or np.ptp(values) < _SAME:
        return None
    mean = math.fsum(values) / len(values)
    centre = min(max(mean, edge), 1 - edge)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, 0.975)) * error / (centre * (1 - centre))
    return min(float(expit(logit(centre) - half)), mean), max(float(expit(logit(centre) + half)), mean)


def delong_covariance(labels: NDArray[np.bool_], first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return DeLong's covariance of two AUROCs on the same images (Biometrics 44:837-845, 1988).

    Args:
        labels: bool ``(n,)``, at least two images of each class.
        first: ``(n,)``, ``placements`` of the first scores.
        second: ``(n,)``, those of the second; with the same as ``first`` it is the variance.
    """
    kinds = (labels, ~labels)
    return math.fsum(float(np.cov(first[kind], second[kind])[0, 1]) / np.count_nonzero(kind) for kind in kinds)


def mover_mean(points: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Compute the interval of a mean of independent categories by square-and-add.

    Zou and Donner, Stat. Med. 27:1693-1702 (2008).

    Args:
        points: ``(K,)``, a metric of each category.
        intervals: ``(K, 2)``, its interval, which contains it.

    Example:
        >>> [round(end, 3) for end in mover_mean([0.8, 0.6], [(0.7, 0.9), (0.5, 0.8)])]
        [0.629, 0.812]
    """
    values, ends = np.asarray(points, dtype=np.float64), np.asarray(intervals, dtype=np.float64)
    down, up = (float(np.linalg.norm(ends[:, end] - values)) / values.size for end in (0, 1))
    mean = math.fsum(values) / values.size
    return max(mean - down, 0.0), min(mean + up, 1.0)
