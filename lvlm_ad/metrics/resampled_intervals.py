"""95 % intervals of AP, F1-max and pixel metrics: normal, or Student's, on log odds of resamples.

An interval lies in 0..1 and contains its number. ``bootstrap`` draws the resamples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, stdtrit

from lvlm_ad.metrics.intervals import Z

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from lvlm_ad.metrics.intervals import Interval

__all__ = [
    "FEWEST_DEFECTIVE",
    "FEWEST_EFFECTIVE",
    "MOST_UNDEFINED",
    "kish",
    "pixel_interval",
    "pixel_mean",
    "smoothed_interval",
]

FEWEST_DEFECTIVE = 3
"""With fewer images that hold a defect there is no interval of pixel metrics."""

FEWEST_EFFECTIVE = 2.0
"""Nor with fewer effective images."""

MOST_UNDEFINED = 0.05
"""With a larger fraction of undefined resamples there is no interval."""

_NEAR = 1e-6
"""Nearer to 0 and 1 log odds are too large; their spread is approximated linearly instead."""

_SAME = 1e-12
"""Values that differ by less are the same: sums in another order differ by rounding."""


def smoothed_interval(
    metric: str, point: float, smoothed: ArrayLike, plain: ArrayLike, defective: int
) -> tuple[Interval | None, float]:
    """Compute the 95 % interval of a category's image AP or F1-max.

    Args:
        metric: "ap" or "f1_max".
        point: the metric.
        smoothed: ``(R,)``, the metric on smoothed resamples (``bootstrap.smoothed_bootstrap``).
        plain: ``(S,)``, the metric on resamples with replacement, stratified by label.
        defective: m, the defective images.

    Returns:
        The interval, None if all smoothed resamples agree; and the optimism, by how much ``plain`` exceeds the metric
        on average. F1-max is a maximum: on few images it exceeds what it is on many, so the interval reaches lower by
        the optimism.
    """
    steps = {"ap": defective * (defective + 1), "f1_max": 2 * defective + 1}[metric]
    edge = 0.5 / steps
    optimism = max(0.0, float(np.asarray(plain, dtype=np.float64).mean()) - point)
    odds = logit(np.clip(smoothed, 1e-9, 1 - 1e-9))
    if np.ptp(odds) < _SAME:
        return None, optimism
    centre, half = float(logit(min(max(point, edge), 1 - edge))), Z * float(odds.std())
    low, high = min(float(expit(centre - half)), point) - optimism, max(float(expit(centre + half)), point)
    return (max(low, 0.0), high), optimism


def kish(weights: ArrayLike) -> float:
    """Return how many equally heavy images vary as much as images of these weights: Kish's effective sample size.

    Kish, Survey Sampling (1965). 0.0 without a weight above 0.

    Example:
        >>> kish([5, 5, 5]), round(kish([100, 5, 5]), 2)
        (3.0, 1.2)
    """
    values = np.asarray(weights, dtype=np.float64)
    return float(values.sum() ** 2 / (values**2).sum()) if values.any() else 0.0


def pixel_interval(point: float, draws: ArrayLike, weights: ArrayLike) -> tuple[float, Interval | None]:
    """Compute the 95 % interval of a category's pixel metric: images, not pixels, are the sample.

    Args:
        point: the metric.
        draws: ``(R,)``, the metric on resamples of the images; NaN where undefined.
        weights: ``(m,)``, how much each image's defect weighs: its pixels, or for AUPRO its regions.

    Returns:
        The effective number of images with a defect (Kish), at least 2; and the interval. It is None with fewer than
        three images that have a defect or two effective ones, if more than one resample in twenty is undefined, and if
        all resamples agree.
    """
    effective = kish(weights)
    floored = max(FEWEST_EFFECTIVE, effective)
    if np.count_nonzero(weights) < FEWEST_DEFECTIVE or effective < FEWEST_EFFECTIVE:
        return floored, None
    return floored, pixel_mean([point], np.asarray(draws)[None], [floored])[0]


def pixel_mean(
    points: Sequence[float], draws: ArrayLike, n_effective: Sequence[float]
) -> tuple[Interval | None, float]:
    """Compute the 95 % interval of the mean of a pixel metric over fixed categories.

    Args:
        points: ``(K,)``, the metric of each category.
        draws: ``(K, R)``, the metric on resamples of its images; NaN where undefined.
        n_effective: ``(K,)``, its effective number of images, 2 or more.

    Returns:
        The interval, None if more than one resample in twenty is undefined or all agree; and its degrees of freedom,
        those of Satterthwaite (Biometrics 2:110-114, 1946).
    """
    values = np.asarray(draws, dtype=np.float64)
    defined = [row[~np.isnan(row)] for row in values]
    images = np.asarray(n_effective, dtype=np.float64)
    if np.isnan(values).mean(axis=1).max() > MOST_UNDEFINED or max(map(np.ptp, defined)) < _SAME:
        return None, math.nan
    # Categories vary independently, so the values on undefined resamples may be those on any others.
    values = np.stack([np.resize(row, values.shape[1]) for row in defined])
    counted = values.var(axis=1)
    variances = counted * images / (images - 1)
    freedom = float(variances.sum() ** 2 / (variances**2 / (images - 1)).sum())
    point = math.fsum(points) / len(points)
    centre, spread = _on_log_odds(point, values.mean(axis=0))
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(variances.sum() / counted.sum()) * spread
    return (min(float(expit(centre - half)), point), max(float(expit(centre + half)), point)), freedom


def _on_log_odds(point: float, draws: NDArray[np.float64]) -> tuple[float, Any]:
    """Return a number and the standard deviation of its resamples on the scale of log odds."""
    if min(point, draws.min()) < _NEAR or max(point, draws.max()) > 1 - _NEAR:
        near = min(max(point, 0.001), 0.999)
        return float(logit(near)), draws.std() / (near * (1 - near))
    return float(logit(point)), logit(draws).std()
