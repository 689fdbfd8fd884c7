"""Which rows of a table surely differ, and the range of ranks that each row may have.

All rows are measured on the same images, so their differences are paired: an image that is hard for every row makes
none of them worse than another. Many pairs are tested at once, so a difference must be larger than in a single test.
Ranges follow Mogstad, Romano, Shaikh and Wilhelm, Rev. Econ. Stud. 91:476-518 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from lvlm_ad.metrics.bootstrap import seeded_generator
from lvlm_ad.metrics.curves import placements
from lvlm_ad.metrics.differences import holm
from lvlm_ad.metrics.intervals import Z, class_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "RESAMPLES",
    "Pairs",
    "Rows",
    "auroc_rows",
    "better_than",
    "compare_pairs",
    "critical_value",
    "difference_and_variance",
    "max_t_critical",
    "rank_ranges",
    "resampled_rows",
    "surely_better",
    "z0_max",
]

RESAMPLES = 1000
"""Draws of all rows together, from which the critical value is read."""

_LEVEL = 0.05
"""The probability that any pair of equal rows is separated."""

_MOST_ROWS = 2000
"""With more rows the largest of all differences takes minutes; Holm's procedure, a little more careful, seconds."""

_STEPS = 4
"""How often the critical value is lowered, at most; stopping early finds less but is never wrong."""

_ROUNDING = 1e-12
"""Relative error of a variance or difference that is 0."""


@dataclass(frozen=True, eq=False)
class Rows:
    """J rows measured on the same images of K categories.

    Attributes:
        values: float64 ``(J, K)``, the metric of each row in each category, in 0..1.
        deviations: float64 ``(J, N)``, whose products, summed over N, are the covariances of the rows' means.
        draws: float32 ``(J, R)``, means of the rows around 0 that vary together as the true ones do.
        sizes: the number of defective and of good images of each category.
        freedom: degrees of freedom of the variances.
    """

    values: NDArray[np.float64]
    deviations: NDArray[np.float64]
    draws: NDArray[np.float32]
    sizes: Sequence[tuple[int, int]]
    freedom: float


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of J rows: row i minus row j, float64 ``(J, J)`` each.

    Attributes:
        difference: of their means over categories, in -1..1.
        variance: of the difference.
        z: the difference by its standard deviation; infinite for a difference without variance.
        z0: the same with a variance that assumes that the rows are equal, so that it is never 0 without reason.
    """

    difference: NDArray[np.float64]
    variance: NDArray[np.float64]
    z: NDArray[np.float64]
    z0: NDArray[np.float64]


def auroc_rows(
    categories: Sequence[tuple[NDArray[np.bool_], NDArray[Any]]],
    resamples: int = RESAMPLES,
    objects: Sequence[NDArray[np.intp] | None] = (),
) -> Rows:
    """Prepare the comparison of image AUROCs.

    An image's deviation is its placement, the fraction of the other class's images that it is ranked correctly against,
    minus the mean placement of its class (DeLong, DeLong and Clarke-Pearson, Biometrics 44:837-845, 1988). Draws are
    the deviations weighted by normal numbers that all rows share, so they have exactly the estimated covariance.

    Args:
        categories: labels, bool ``(n,)``, True if anomalous, at least two of each class; and scores ``(J, n)``.
        resamples: R, how many draws are made.
        objects: of each category, see ``CategoryImages``; deviations are then of objects (Obuchowski, Biometrics
            53:567-578, 1997). Empty: each image is by itself.

    Example:
        >>> rows = auroc_rows([(np.array([True, True, False, False]), np.array([[0.9, 0.8, 0.1, 0.1], [0.5] * 4]))])
        >>> rows.values.tolist(), z0_max(rows.sizes)
        ([[1.0], [0.5]], 1.0)
    """
    values = np.empty((len(categories[0][1]), len(categories)))
    parts: list[NDArray[np.float64]] = []
    sizes = []
    for number, (labels, scores) in enumerate(categories):
        placed = np.stack([placements(labels, one) for one in scores])
        values[:, number] = placed[:, labels].mean(axis=1)
        of = objects[number] if objects else None
        sizes.append(class_sizes(labels, of))
        for kind, n_objects in zip((labels, ~labels), sizes[-1], strict=True):
            size = int(np.count_nonzero(kind))
            placed[:, kind] -= placed[:, kind].mean(axis=1, keepdims=True)
            placed[:, kind] /= size * math.sqrt((n_objects - 1) / n_objects) * len(categories)
        parts.append(placed if of is None else np.stack([np.bincount(of, one) for one in placed]))
    deviations: NDArray[np.float64] = np.concatenate(parts, axis=1)
    # The images' order must not matter: each gets its numbers by what it does to all rows together.
    squares, sums = np.einsum("jn,jn->n", deviations, deviations), deviations.sum(axis=0)
    deviations = deviations[:, np.lexsort((squares.round(9), sums.round(9)))]
    shared = seeded_generator("ranks").standard_normal((deviations.shape[1], resamples), dtype=np.float32)
    draws = deviations.astype(np.float32) @ shared
    freedom = sum(min(size) - 1 for size in sizes)
    return Rows(values, deviations, draws, sizes, freedom)


def resampled_rows(
    values: NDArray[np.float64],
    draws: Sequence[NDArray[np.floating[Any]]],
    sizes: Sequence[tuple[int, int]],
    effective: Sequence[float],
) -> Rows:
    """Prepare the comparison of any other metric from resamples that all rows share.

    Args:
        values: ``(J, K)``, the metric of each row in each category.
        draws: for each category ``(J, R)``, the metric on the same R resamples of the images.
        sizes: the number of defective and of good images of each category.
        effective: for each category, how many images of equal weight say as much as its images do, above 1.
    """
    mean: NDArray[np.float64] = np.zeros_like(draws[0], dtype=np.float64)
    for own, count in zip(draws, effective, strict=True):
        mean += (own - own.mean(axis=1, keepdims=True)) * (math.sqrt(count / (count - 1)) / len(draws))
    deviations = mean / math.sqrt(mean.shape[1])
    return Rows(values, deviations, mean.astype(np.float32), sizes, sum(effective) - len(effective))


def difference_and_variance(
    means: NDArray[np.float64], deviations: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the difference of every pair of means, ``(J, J)``, and its variance, exactly 0 where it is none.

    Args:
        means: ``(J,)``.
        deviations: ``(J, N)``, whose products, summed over N, are the covariances of the means.
    """
    difference = np.subtract.outer(means, means)
    difference[np.abs(difference) <= _ROUNDING * np.abs(means).max(initial=0.0)] = 0.0
    variance = deviations @ deviations.T
    own = variance.diagonal().copy()
    variance *= -2
    variance += own
    variance += own[:, None]
    variance[variance <= _ROUNDING * np.maximum(own, own[:, None])] = 0.0
    return difference, variance


def compare_pairs(rows: Rows) -> Pairs:
    """Compare every pair of rows.

    Example:
        >>> labels, scores = np.array([True, True, False, False]), np.array([[0.9, 0.8, 0.1, 0.1], [0.5] * 4])
        >>> pairs = compare_pairs(auroc_rows([(labels, scores)]))
        >>> pairs.z[0, 1].item(), pairs.z0[0, 1].item()  # no variance, but two images of a class tell nothing apart
        (inf, 1.0)
    """
    difference, variance = difference_and_variance(rows.values.mean(axis=1), rows.deviations)
    # If the rows are equal, a pair's images differ by as much as the pair's difference in each category.
    assumed = variance.copy()
    for own, (defective, good) in zip(rows.values.T, rows.sizes, strict=True):
        apart = np.subtract.outer(own, own)
        apart *= apart
        apart *= (1 / defective + 1 / good) / len(rows.sizes) ** 2
        assumed += apart
    return Pairs(difference, variance, _ratio(difference, variance), _ratio(difference, assumed))


def _ratio(difference: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide differences by their standard deviations; 0 stays 0."""
    ratio = np.zeros_like(difference)
    with np.errstate(divide="ignore"):
        return np.divide(difference, np.sqrt(variance), out=ratio, where=difference != 0)


def z0_max(sizes: Sequence[tuple[int, int]]) -> float:
    """Return the largest z0 that two rows can have: it needs every image to speak for the same row.

    At 1.96 or less no two rows can be separated on these images, however different they are.

    Args:
        sizes: the number of defective and of good images of each category, at least one of each class.

    Example:
        >>> z0_max([(2, 2)]), z0_max([(8, 8)])
        (1.0, 2.0)
    """
    return len(sizes) / math.sqrt(sum(1 / defective + 1 / good for defective, good in sizes))


def max_t_critical(draws: NDArray[np.float32], variance: NDArray[np.float64]) -> float:
    """Return how large the largest z of all pairs is in 95 % of the draws, at least 1.96.

    Of independent rows it is the quantile of the studentised range over the root of 2.

    Args:
        draws: float32 ``(J, R)``, means of the rows around 0.
        variance: ``(J, J)``, of the differences; pairs without variance are left out.
    """
    scale: NDArray[np.float32] = np.zeros(variance.shape, dtype=np.float32)
    np.divide(1, np.sqrt(variance), out=scale, where=variance > 0, casting="same_kind")
    largest = np.zeros(draws.shape[1], dtype=np.float32)
    for row in range(len(draws) - 1):
        apart = draws[row + 1 :] - draws[row]
        np.abs(apart, out=apart)
        apart *= scale[row, row + 1 :, None]
        np.maximum(largest, apart.max(axis=0), out=largest)
    return max(float(np.quantile(largest, 1 - _LEVEL)), Z)


def critical_value(rows: Rows, variance: NDArray[np.float64]) -> float:
    """Return the z above which a pair of rows differs; larger with few images, whose variances are uncertain.

    Args:
        rows: the rows.
        variance: ``(J, J)``, of the differences that are still in question; 0 for all others.
    """
    tail = _LEVEL / (len(rows.values) * (len(rows.values) - 1))
    widened = stdtrit(rows.freedom, tail) / ndtri(tail)
    return float(max_t_critical(rows.draws, variance) * widened)


def surely_better(rows: Rows) -> NDArray[np.bool_]:
    """Return for every pair whether row i is surely better than row j, bool ``(J, J)``.

    The probability that any two equal rows are separated is at most 5 %. Once pairs are separated, the others need
    a smaller z, since fewer are in question (Romano and Wolf, J. Am. Stat. Assoc. 100:94-108, 2005).
    """
    pairs = compare_pairs(rows)
    if len(rows.values) > _MOST_ROWS:
        upper = np.triu_indices(len(rows.values), 1)
        sure = np.zeros(pairs.z.shape, dtype=np.bool_)
        sure[upper] = holm(2 * stdtr(rows.freedom, -np.abs(pairs.z[upper]))) < _LEVEL
        return (sure | sure.T) & (pairs.z0 > Z)
    better = np.zeros(pairs.z.shape, dtype=np.bool_)
    for _ in range(_STEPS):
        in_question = np.where(better | better.T, 0.0, pairs.variance)
        before, better = better, better_than(pairs, critical_value(rows, in_question))
        if (before == better).all():
            break
    return better


def better_than(pairs: Pairs, critical: float) -> NDArray[np.bool_]:
    """Return for every pair whether row i is better than row j by more than the critical value, bool ``(J, J)``."""
    return (pairs.z > critical) & (pairs.z0 > Z)


def rank_ranges(better: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the lowest and the highest rank that each row may have.

    With a probability of 95 % or more, the true ranks of all rows are within their ranges.

    Args:
        better: bool ``(J, J)``, whether row i is surely better than row j.

    Returns:
        ``(J, 2)``, from 1 to J.

    Example:
        >>> rank_ranges(np.array([[False, False, True], [False, False, False], [False, False, False]])).tolist()
        [[1, 2], [1, 3], [2, 3]]
    """
    return np.stack([1 + better.sum(axis=0), len(better) - better.sum(axis=1)], axis=1)
