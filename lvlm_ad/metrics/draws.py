"""Resampled values of a number, and what follows from them: its interval, and whether it differs from 0.

Intervals are bias-corrected and accelerated (Efron, JASA 82:171-185, 1987). Plain percentiles would do for AUROC; the
highest F1 over all thresholds is optimistic, the more so on a resample, and there they miss the truth too often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Draws", "influence_of", "mean_of", "mean_over_drawn"]

_MISSING = 0.05
"""More undefined resamples than this fraction, and there is no interval."""


@dataclass(frozen=True, eq=False)
class Draws:
    """A number and its resampled values.

    Attributes:
        point: the number.
        values: float64 ``(R,)``, what it is on resamples; NaN where undefined.
        influence: float64 ``(n,)``, how each image pulls at it; only their skewness counts.
    """

    point: float
    values: NDArray[np.float64]
    influence: NDArray[np.float64]

    def minus(self, other: Draws) -> Draws:
        """Return the difference to another number of the same resamples of the same images."""
        return Draws(self.point - other.point, self.values - other.values, self.influence - other.influence)

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return the interval; None where more than one resample in twenty is undefined."""
        values = self._defined()
        if values is None:
            return None
        bias, acceleration = self._bias(values), self._acceleration()
        ends = []
        for tail in ((1 - level) / 2, (1 + level) / 2):
            step = bias + float(norm.ppf(tail))
            # Beyond the pole there is nothing but the outermost value.
            share = norm.cdf(bias + step / (1 - acceleration * step)) if acceleration * step < 1 else float(step > 0)
            ends.append(float(np.quantile(values, share)))
        return ends[0], ends[1]

    def p_value(self) -> float | None:
        """Return the two-sided p-value that the number is 0: the level at which the interval just holds it.

        None where there is no interval. Never below what R resamples can tell, 2 / (R + 1).
        """
        values = self._defined()
        if values is None:
            return None
        bias = self._bias(values)
        step = float(norm.ppf(_share_below(values, 0.0))) - bias
        scale = max(1 + self._acceleration() * step, 1e-6)
        tail = float(norm.cdf(step / scale - bias))
        return max(min(1.0, 2 * min(tail, 1 - tail)), 2 / (values.size + 1))

    def _defined(self) -> NDArray[np.float64] | None:
        values = self.values[~np.isnan(self.values)]
        return values if values.size and values.size >= (1 - _MISSING) * self.values.size else None

    def _bias(self, values: NDArray[np.float64]) -> float:
        return float(norm.ppf(_share_below(values, self.point)))

    def _acceleration(self) -> float:
        squares = float((self.influence**2).sum())
        return float((self.influence**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0


def _share_below(values: NDArray[np.float64], point: float) -> float:
    """Return which share of the values lies below a number, equal ones counting half; neither 0 nor 1.

    Two sums of the same summands may differ by a last digit: that is equal.
    """
    near = np.isclose(values, point, rtol=0, atol=1e-12)
    share = (np.count_nonzero((values < point) & ~near) + np.count_nonzero(near) / 2) / values.size
    least = 1 / (values.size + 1)
    return min(max(float(share), least), 1 - least)


def influence_of(left_out: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each image's influence on a number, from its values with each image left out.

    Good and defective images are samples of their own (Davison and Hinkley, Bootstrap Methods, 1997, section 3.2.1).

    Args:
        left_out: float64 ``(n,)``, NaN where undefined.
        labels: bool ``(n,)``, True if anomalous.

    Returns:
        float64 ``(n,)``; zeros if leaving out some image makes the number undefined.
    """
    influence = np.zeros(labels.size)
    if np.isnan(left_out).any():
        return influence
    for kind in (True, False):
        own = left_out[labels == kind]
        if own.size:
            influence[labels == kind] = (own.mean() - own) * (own.size - 1) / own.size
    return influence


def mean_of(categories: Sequence[Draws]) -> Draws:
    """Return the mean over categories, which are fixed; their images are drawn independently."""
    count = len(categories)
    return Draws(
        math.fsum(one.point for one in categories) / count,
        np.stack([one.values for one in categories]).mean(axis=0),
        np.concatenate([one.influence for one in categories]) / count,
    )


def mean_over_drawn(categories: Sequence[Draws], generator: np.random.Generator) -> Draws:
    """Return the mean over categories where each resample draws its categories, too, as many as there are.

    It varies with the kinds of objects, not only with the images of those at hand.
    """
    values = np.stack([one.values for one in categories])
    drawn = np.take_along_axis(values, generator.integers(0, len(values), size=values.shape), axis=0)
    points = np.array([one.point for one in categories])
    return Draws(float(points.mean()), drawn.mean(axis=0), (points - points.mean()) / points.size)
