"""One factor at a time: what its levels add to the variance of merely asking twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability.measured import (
    Measured,
    as_table,
    jackknife,
    jackknife_of_variance,
    mean_from_first,
    within_squares,
)
from lvlm_ad.metrics.stability.shifts import paired_shift

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["OneFactor", "one_factor"]


@dataclass(frozen=True, slots=True)
class OneFactor:
    """What a factor, such as the wording, does to the scores of the same images.

    Attributes:
        repeat: the variance within an image when the base is repeated.
        total: the variance within an image over the factor's levels, each asked once; it holds that of repeats.
        excess: total minus repeat, what the factor adds; may be below 0, tables show ``shown``.
        share: shown excess / (repeat + shown excess), in 0..1.
        level_means: the mean score at each level, over images with every level; empty without such an image.
        shift_variance: the variance of ``level_means``; None for fewer than two levels.
        shifts: of each level the mean shift against the base, see ``paired_shift``.
    """

    repeat: Measured
    total: Measured
    excess: Measured
    share: Measured
    level_means: tuple[float, ...]
    shift_variance: float | None
    shifts: tuple[Measured, ...]


def one_factor(base_repeats: ArrayLike, levels: ArrayLike) -> OneFactor:
    """Compare the spread over a factor's levels with that over repeats of the base.

    Intervals of variances: the jackknife over images, of repeat and total on the logarithm.

    Args:
        base_repeats: ``(n, R)``, scores of the base, asked R times; NaN or None where an answer is missing.
        levels: ``(n, L)``, scores of the same images at each level, asked once.

    Returns:
        Exactly 0.0 everywhere for a model that gives an image the same score always.

    Raises:
        MetricError: the two are not such tables of the same images.

    Example:
        >>> found = one_factor([[0.5, 0.5], [0.2, 0.4]], [[0.5, 0.9], [0.3, 0.7]])
        >>> round(found.repeat.value, 3), round(found.total.value, 3), round(found.share.value, 3)
        (0.01, 0.08, 0.875)
    """
    base, table = as_table(base_repeats, "repeats of the base"), as_table(levels, "levels")
    if len(base) != len(table):
        raise MetricError(f"The base has {len(base)} images and the levels {len(table)}; they must be the same images.")
    parts = (*within_squares(base), *within_squares(table))
    estimates = _estimates(*(part.sum() for part in parts))
    without = _estimates(*(part.sum() - part for part in parts))
    used = (parts[1] > 0) | (parts[3] > 0)
    no_repeat = "" if parts[1].any() else "no image was asked the base twice"
    no_levels = "" if parts[3].any() else "no image was asked at two levels"
    reasons = (no_repeat, no_levels, no_levels or no_repeat, no_levels or no_repeat or "no answer varies")
    scales = (jackknife_of_variance, jackknife_of_variance, jackknife, jackknife)
    repeat, total, excess, share = (
        Measured(None, None, reason) if np.isnan(estimate) else scale(float(estimate), each[used])
        for scale, estimate, each, reason in zip(scales, estimates, without, reasons, strict=True)
    )
    complete = table[~np.isnan(table).any(axis=1)]
    means = mean_from_first(complete, axis=0) if len(complete) else np.empty(0)
    away = means - means[:1]
    return OneFactor(
        repeat,
        total,
        excess,
        share,
        tuple(means.tolist()),
        float(away.var(ddof=1)) if means.size > 1 else None,
        tuple(_shift(base, level) for level in table.T),
    )


def _estimates(
    squares: NDArray[np.float64],
    freedom: NDArray[np.float64],
    level_squares: NDArray[np.float64],
    level_freedom: NDArray[np.float64],
) -> tuple[NDArray[np.float64], ...]:
    """Return repeat, total, excess and share; NaN where one is undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        repeat, total = np.divide(squares, freedom), np.divide(level_squares, level_freedom)
        excess = total - repeat
        shown = np.maximum(excess, 0.0)
        return repeat, total, excess, np.divide(shown, repeat + shown)


def _shift(base: NDArray[np.float64], level: NDArray[np.float64]) -> Measured:
    """Return the shift of a level against the mean of the base; differences first, so that none is exactly 0."""
    apart = level[:, None] - base
    there = ~np.isnan(apart)
    counts = there.sum(axis=1)
    first = np.take_along_axis(apart, there.argmax(axis=1)[:, None], axis=1)
    mean = first[:, 0] + np.where(there, apart - first, 0.0).sum(axis=1) / np.maximum(counts, 1)
    return paired_shift(mean, np.zeros(len(mean)))
