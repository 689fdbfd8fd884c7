"""One factor at a time: how much variance its levels add to that of repeats of the same question."""

from __future__ import annotations

import math
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
    pooled_variances,
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
        total: the variance within an image over the factor's levels, each asked once; it includes that of
            repeats.
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

    Intervals of variances: the jackknife over images, of repeat and total on the cube root, of share on the logarithm
    of total over repeat, since share = 1 - repeat/total (the logarithm: Miller, Ann. Math. Stat. 39:567-582, 1968).

    Args:
        base_repeats: ``(n, R)``, scores of the base, asked R times; NaN or None where an answer is missing.
        levels: ``(n, L)``, scores of the same images at each level, asked once.

    Returns:
        Variances and shifts are exactly 0.0 for a model that gives an image the same score always.

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
    repeat, total, excess, share = _variances(base, table)
    complete = table[~np.isnan(table).any(axis=1)]
    means = mean_from_first(complete, axis=0) if len(complete) else np.empty(0)
    deviations = means - means[:1]
    return OneFactor(
        repeat,
        total,
        excess,
        share,
        tuple(means.tolist()),
        float(deviations.var(ddof=1)) if means.size > 1 else None,
        tuple(_shift(base, level) for level in table.T),
    )


def _variances(base: NDArray[np.float64], levels: NDArray[np.float64]) -> tuple[Measured, Measured, Measured, Measured]:
    """Return repeat, total, excess and share."""
    repeat, total = (pooled_variances(*within_squares(one)) for one in (base, levels))
    used = np.append(True, ~(np.isnan(base).all(axis=1) & np.isnan(levels).all(axis=1)))
    repeat, total = repeat[used], total[used]
    no_repeat = "no image was asked the base twice" if np.isnan(repeat[0]) else ""
    no_total = "no image was asked at two levels" if np.isnan(total[0]) else ""
    excess, neither = total - repeat, no_total or no_repeat
    return (
        Measured(None, None, no_repeat) if no_repeat else jackknife_of_variance(float(repeat[0]), repeat[1:]),
        Measured(None, None, no_total) if no_total else jackknife_of_variance(float(total[0]), total[1:]),
        Measured(None, None, neither) if neither else jackknife(float(excess[0]), excess[1:]),
        Measured(None, None, neither) if neither else _share(repeat, total),
    )


def _share(repeat: NDArray[np.float64], total: NDArray[np.float64]) -> Measured:
    """Return which part of a level's variance the factor adds; the interval is the jackknife's on log(total/repeat)."""
    shown = max(float(total[0] - repeat[0]), 0.0)
    if not repeat[0] + shown:
        return Measured(None, None, "no answer varies")
    value = shown / (float(repeat[0]) + shown)
    if not min(repeat.min(), total.min()) > 0:
        return Measured(value, None, "answers vary on too few images")
    logs = np.log(total / repeat)
    found = jackknife(float(logs[0]), logs[1:])
    if found.interval is None:
        return Measured(value, None, found.reason)
    low, high = (max(0.0, -math.expm1(-end)) for end in found.interval)
    return Measured(value, (low, high)) if high > 0 else Measured(value, None, "levels vary less than repeats")


def _shift(base: NDArray[np.float64], level: NDArray[np.float64]) -> Measured:
    """Return the shift of a level against the mean of the base; from differences, so equal scores give exactly 0."""
    differences = level[:, None] - base
    answered = ~np.isnan(differences)
    counts = answered.sum(axis=1)
    first = np.take_along_axis(differences, answered.argmax(axis=1)[:, None], axis=1)
    mean = first[:, 0] + np.where(answered, differences - first, 0.0).sum(axis=1) / np.maximum(counts, 1)
    return paired_shift(mean, np.zeros(len(mean)))
