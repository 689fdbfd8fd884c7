"""Resampled values of a number, and what follows from them: its interval, and whether it differs from 0.

Resamples tell how far a number spreads. A difference is taken as normal with that spread. A metric lies in 0..1, often
near 1, and is taken as normal on the scale of log odds. Among the usual ways these covered the truth best in simulated
test sets of 40 to 300 images (docs/metrics.md). Plain percentiles would do for AUROC; the highest F1 over all
thresholds is optimistic, on a resample even more, and there they miss the truth in one case of four.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtri

from lvlm_ad.metrics.delong import two_sided

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BootstrapSamples", "mean_of", "mean_over_drawn"]

_MISSING = 0.05
"""More undefined resamples than this fraction, and there is no interval."""


@dataclass(frozen=True, eq=False)
class BootstrapSamples:
    """A number and its resampled values.

    Attributes:
        point: the number.
        values: float64 ``(R,)``, what it is on resamples; NaN where undefined.
        edge: of a metric half of the least that it can lie below 1; None: a difference, in -1..1.
    """

    point: float
    values: NDArray[np.float64]
    edge: float | None = None

    def minus(self, other: BootstrapSamples) -> BootstrapSamples:
        """Return the difference to another metric of the same resamples of the same images."""
        return BootstrapSamples(self.point - other.point, self.values - other.values)

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return the interval; None where more than one resample in twenty is undefined."""
        values = self._defined()
        if values is None:
            return None
        width = float(ndtri((1 + level) / 2))
        if self.edge is None or not np.ptp(values):
            half = width * float(values.std()) if np.ptp(values) else 0.0
            return max(self.point - half, -1.0), min(self.point + half, 1.0)
        odds = logit(np.clip([self.point, *values], self.edge, 1 - self.edge))
        half = width * float(odds[1:].std())
        # What lies at the edge itself has no odds; the number is within its interval all the same.
        return min(float(expit(odds[0] - half)), self.point), max(float(expit(odds[0] + half)), self.point)

    def p_value(self) -> float | None:
        """Return the two-sided p-value of a difference being 0; None without interval, and if all resamples agree."""
        values = self._defined()
        if values is None:
            return None
        return two_sided(self.point, float(values.var()) if np.ptp(values) else 0.0)

    def _defined(self) -> NDArray[np.float64] | None:
        values = self.values[~np.isnan(self.values)]
        return values if values.size and values.size >= (1 - _MISSING) * self.values.size else None


def mean_of(categories: Sequence[BootstrapSamples]) -> BootstrapSamples:
    """Return the mean over categories, which are fixed; their images are drawn independently."""
    point = math.fsum(one.point for one in categories) / len(categories)
    return BootstrapSamples(point, np.stack([one.values for one in categories]).mean(axis=0), _edge_of_mean(categories))


def mean_over_drawn(categories: Sequence[BootstrapSamples], generator: np.random.Generator) -> BootstrapSamples:
    """Return the mean over categories where each resample draws its categories, too, as many as there are.

    It varies with the kinds of objects, not only with the images of those at hand.
    """
    values = np.stack([one.values for one in categories])
    drawn = np.take_along_axis(values, generator.integers(0, len(values), size=values.shape), axis=0)
    return BootstrapSamples(mean_of(categories).point, drawn.mean(axis=0), _edge_of_mean(categories))


def _edge_of_mean(categories: Sequence[BootstrapSamples]) -> float | None:
    edges = [one.edge for one in categories if one.edge is not None]
    return min(edges) / len(edges) if edges else None
