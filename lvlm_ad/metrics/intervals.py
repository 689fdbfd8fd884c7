"""How sure a metric is: its interval, the interval of a mean over categories, and whether a difference is 0.

Bootstrap resamples show how far a number spreads. A difference is taken as normal with that spread. A metric lies in
0..1, often near 1, and is taken as normal on the scale of log odds. Among the usual rules these covered the truth best
in simulated test sets of 40 to 300 images (docs/metrics.md): plain percentiles of F1-max, which is optimistic on a
resample, miss the truth in one case of four.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.resampling import Pool, draw_weights, pool_images, pool_pixels, resampled, seeded_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistograms

__all__ = [
    "BootstrapSamples",
    "CategoryImages",
    "DeLong",
    "bootstrap",
    "delong",
    "mean_delong",
    "mean_intervals",
    "mean_of",
    "mean_of_resampled_categories",
    "metrics_from_counts",
    "placements",
]

_MOST_UNDEFINED = 0.05
"""With a larger fraction of undefined resamples there is no interval."""

_AT_ONCE = 1_000_000
"""Weights that exist at once: 8 MB, and twice as much again while they are drawn and multiplied."""


@dataclass(frozen=True, eq=False)
class BootstrapSamples:
    """A number and its values on bootstrap resamples.

    Attributes:
        point: the number.
        values: float64 ``(R,)``, its values on resamples; NaN where undefined.
        edge: of a metric: half of the smallest distance below 1 that it can have; None for a difference, in -1..1.
    """

    point: float
    values: NDArray[np.float64]
    edge: float | None = None

    def minus(self, other: BootstrapSamples) -> BootstrapSamples:
        """Return the difference to another metric on the same resamples of the same images."""
        return BootstrapSamples(self.point - other.point, self.values - other.values)

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return the interval; None where more than one resample in twenty is undefined."""
        values = self._defined()
        if values is None:
            return None
        quantile = float(ndtri((1 + level) / 2))
        if self.edge is None or not np.ptp(values):
            half = quantile * float(values.std()) if np.ptp(values) else 0.0
            return max(self.point - half, -1.0), min(self.point + half, 1.0)
        # Continuity correction: 0 and 1 have no finite log odds.
        odds = logit(np.clip([self.point, *values], self.edge, 1 - self.edge))
        half = quantile * float(odds[1:].std())
        # The correction must not move the number out of its own interval.
        return min(float(expit(odds[0] - half)), self.point), max(float(expit(odds[0] + half)), self.point)

    def p_value(self) -> float | None:
        """Return the two-sided p-value of a difference being 0; None without interval, and if all resamples agree."""
        values = self._defined()
        if values is None:
            return None
        return _p_value(self.point, float(values.var()) if np.ptp(values) else 0.0)

    def _defined(self) -> NDArray[np.float64] | None:
        values = self.values[~np.isnan(self.values)]
        enough = values.size and values.size >= (1 - _MOST_UNDEFINED) * self.values.size
        return values if enough else None


@dataclass(frozen=True, eq=False)
class CategoryImages:
    """What the metrics of a category need of its images.

    Attributes:
        labels: bool ``(n,)``, True if anomalous.
        scores: float64 ``(n,)``, image scores.
        histograms: pixels of each image; None where not every image has ground truth.
    """

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    histograms: ScoreHistograms | None

    def pools(self) -> dict[str, Pool]:
        """Return the counts that are resampled, of "image" scores and of "pixel" scores."""
        pixels = {} if self.histograms is None else {"pixel": pool_pixels(self.histograms)}
        return {"image": pool_images(self.labels, self.scores), **pixels}


def metrics_from_counts(images: CategoryImages, fpr_limit: float = 0.3) -> dict[str, float | None]:
    """Return the metrics of the images themselves, ``image_auroc`` and so on; None where undefined."""
    metrics = _metrics(images.pools(), np.ones((1, images.labels.size)), fpr_limit)
    return {name: None if np.isnan(values[0]) else float(values[0]) for name, values in metrics.items()}


def bootstrap(
    images: CategoryImages, points: Mapping[str, Any], resamples: int, *names: Any, fpr_limit: float = 0.3
) -> dict[str, BootstrapSamples]:
    """Compute the metrics on bootstrap resamples of the images, stratified by label.

    Args:
        images: the images.
        points: each metric's exact value. Own maps are counted at few thresholds; the values on resamples are shifted
            by what that misses.
        resamples: R, 1 or more.
        names: what the resamples are drawn by; with the same names and labels they are the same for every method.
        fpr_limit: for AUPRO.

    Returns:
        For each metric whose exact value is defined, its R values. Nothing where there is only one image of a kind:
        every resample would draw it.
    """
    labels = images.labels
    if 1 in (np.count_nonzero(labels), np.count_nonzero(~labels)):
        return {}
    generator = seeded_generator("images", *names, labels.astype(int).tolist())
    step = max(1, _AT_ONCE // max(1, labels.size))
    pools = images.pools()
    counted = _metrics(pools, np.ones((1, labels.size)), fpr_limit)
    parts = [
        _metrics(pools, draw_weights(labels, min(step, resamples - start), generator), fpr_limit)
        for start in range(0, resamples, step)
    ]
    samples = {}
    for name, (of_counts,) in counted.items():
        point = points.get(name)
        if point is not None and not np.isnan(of_counts):
            values = np.clip(np.concatenate([part[name] for part in parts]) + (point - float(of_counts)), 0.0, 1.0)
            samples[name] = BootstrapSamples(point, values, _edge(name, images))
    return samples


def _metrics(
    pools: Mapping[str, Pool], weights: NDArray[np.float64], fpr_limit: float
) -> dict[str, NDArray[np.float64]]:
    return {
        f"{kind}_{name}": values
        for kind, pool in pools.items()
        for name, values in resampled(pool, weights, fpr_limit).items()
    }


def _edge(name: str, images: CategoryImages) -> float:
    """Return half of the metric's loss when a single normal sample scores just above a single anomalous one."""
    kind, _, metric = name.partition("_")
    if kind == "pixel" and images.histograms is not None:
        anomalous, normal = (int(images.histograms.arrays[column].sum()) for column in ("anomalous", "normal"))
    else:
        anomalous, normal = int(images.labels.sum()), int((~images.labels).sum())
    parts = {"ap": anomalous * (anomalous + 1), "f1_max": 2 * anomalous + 1}.get(metric, anomalous * normal)
    return 0.5 / max(2, parts)


def mean_of(categories: Sequence[BootstrapSamples]) -> BootstrapSamples:
    """Return the mean over categories; the categories are fixed, their images are drawn independently."""
    point = math.fsum(one.point for one in categories) / len(categories)
    edges = [one.edge for one in categories if one.edge is not None]
    values = np.stack([one.values for one in categories]).mean(axis=0)
    return BootstrapSamples(point, values, min(edges) / len(edges) if edges else None)


def mean_of_resampled_categories(categories: Sequence[BootstrapSamples], names: Iterable[str]) -> BootstrapSamples:
    """Return the mean over categories where each resample draws its categories, too, as many as there are.

    It varies with the kinds of objects, not only with the images of those at hand.

    Args:
        categories: of each category.
        names: of all categories; with the same names, the same ones are drawn for every metric and method.
    """
    values = np.stack([one.values for one in categories])
    drawn = seeded_generator("categories", list(names)).integers(0, len(values), size=values.shape)
    return replace(mean_of(categories), values=np.take_along_axis(values, drawn, axis=0).mean(axis=0))


def mean_intervals(samples: Mapping[str, Mapping[str, BootstrapSamples]]) -> dict[str, dict[str, list[float]]]:
    """Return the intervals of the means over categories.

    Args:
        samples: category -> metric -> its values on resamples.

    Returns:
        "interval", the categories being fixed: metric -> [low, high]; and, if there are several categories,
        "interval_over_categories", the categories being drawn, too.
    """
    intervals: dict[str, dict[str, list[float]]] = {"interval": {}}
    if len(samples) > 1:
        intervals["interval_over_categories"] = {}
    for metric in dict.fromkeys(metric for one in samples.values() for metric in one):
        table = [one[metric] for one in samples.values() if metric in one]
        means = {"interval": mean_of(table), "interval_over_categories": mean_of_resampled_categories(table, samples)}
        for kind, by_metric in intervals.items():
            ends = means[kind].interval()
            if ends is not None:
                by_metric[metric] = list(ends)
    return intervals


@dataclass(frozen=True, slots=True)
class DeLong:
    """A difference of two AUROCs.

    Attributes:
        difference: the first minus the second.
        variance: of the difference; None with fewer than two images of a kind.
        p_value: two-sided, that there is no difference; None without a variance, and for a difference of variance 0.
    """

    difference: float
    variance: float | None
    p_value: float | None


def placements(labels: NDArray[np.bool_], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each image the fraction of the other kind's images that it is ranked correctly against.

    Ties count half. The mean over either kind is the AUROC.

    Args:
        labels: bool ``(n,)``, True if anomalous; both kinds occur.
        scores: ``(n,)``, finite.
    """
    fractions = np.empty(labels.size)
    for kind, sign in ((True, 1), (False, -1)):
        own, other = sign * scores[labels == kind], np.sort(sign * scores[labels != kind])
        twice_won = np.searchsorted(other, own, side="left") + np.searchsorted(other, own, side="right")
        fractions[labels == kind] = twice_won / (2 * other.size)
    return fractions


def delong(labels: NDArray[np.bool_], first: NDArray[Any], second: NDArray[Any]) -> DeLong:
    """Compare the AUROCs of two scores of the same images.

    Args:
        labels: bool ``(n,)``, True if anomalous.
        first: ``(n,)``, finite scores.
        second: ``(n,)``, the other scores.

    Raises:
        MetricError: one of the kinds does not occur.
    """
    if labels.all() or not labels.any():
        raise MetricError("AUROC needs anomalous and normal images.")
    apart = placements(labels, first) - placements(labels, second)
    difference = float(apart[labels].mean())
    kinds = (apart[labels], apart[~labels])
    if min(one.size for one in kinds) < 2:  # noqa: PLR2004 - one image has no variance
        return DeLong(difference, None, None)
    variance = float(sum(one.var(ddof=1) / one.size for one in kinds))
    return DeLong(difference, variance, _p_value(difference, variance))


def _p_value(difference: float, variance: float) -> float | None:
    """Return the p-value of a normal difference: without variance 1 if it is 0, else None."""
    if variance == 0:
        return None if difference else 1.0
    return float(2 * ndtr(-abs(difference) / math.sqrt(variance)))


def mean_delong(tests: Sequence[DeLong]) -> DeLong | None:
    """Test the mean over categories, whose images are independent; None without a category."""
    if not tests:
        return None
    difference = float(np.mean([one.difference for one in tests]))
    variances = [one.variance for one in tests if one.variance is not None]
    if len(variances) < len(tests):
        return DeLong(difference, None, None)
    variance = math.fsum(variances) / len(tests) ** 2
    return DeLong(difference, variance, _p_value(difference, variance))
