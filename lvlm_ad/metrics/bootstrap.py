"""How sure a metric is: its interval, the interval of a mean over categories, and whether a difference is 0.

Bootstrap resamples show how far a number spreads. A difference is taken as normal with that spread. A metric lies in
0..1, often near 1, and is taken as normal on the scale of log odds. Among the usual rules these covered the truth best
in simulated test sets of 40 to 300 images (docs/metrics.md): plain percentiles of F1-max, which is optimistic on a
resample, miss the truth in one case of four.

An image that a resample draws twice counts twice. So the metrics of a resample follow from weighted sums of the images'
counts, and the sums of many resamples are one matrix product.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.special import expit, logit, ndtri

from lvlm_ad.metrics.curves import Steps, ap, aupro, auroc, f1_max, p_value_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistograms

__all__ = [
    "BootstrapSamples",
    "CategoryImages",
    "bootstrap",
    "draw_weights",
    "mean_intervals",
    "mean_of",
    "mean_of_resampled_categories",
    "metrics_from_counts",
    "pool_images",
    "pool_pixels",
    "resampled",
    "seeded_generator",
]

_MOST_UNDEFINED = 0.05
"""With a larger fraction of undefined resamples there is no interval."""

_WEIGHTS_AT_ONCE = 1_000_000
"""Weights that exist at once: 8 MB, and twice as much again while they are drawn and multiplied."""

_COUNTS_AT_ONCE = 500_000
"""Numbers in one table of resamples by scores (4 MB); about a dozen tables exist at once."""


@dataclass(frozen=True, eq=False)
class CategoryImages:
    """What the metrics of a category need of its images.

    Attributes:
        labels: bool ``(n,)``, True if anomalous.
        scores: float64 ``(n,)``, image scores.
        histograms: pixels of each image, without those whose ground truth is unknown; None: no pixel metrics.
        fpr_limit: the false-positive rate up to which AUPRO is integrated.
    """

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    histograms: ScoreHistograms | None
    fpr_limit: float = 0.3


@dataclass(frozen=True, eq=False)
class Pool:
    """Each image's counts at the S distinct scores of the category's positives, highest score first.

    Attributes:
        scores: ``(S,)``, the scores.
        positives: sparse ``(n, S)``, positives of image i with exactly score s.
        equal: sparse ``(n, S)``, negatives with exactly score s.
        between: sparse ``(n, S + 1)``, negatives above score s and below the one before; the last column: below all.
        overlap: sparse ``(n, S)``, for each ground-truth region of image i the fraction of it with exactly score s,
            summed over its regions; None where there are no regions.
        n_regions: float64 ``(n,)``, ground-truth regions of image i.
    """

    scores: NDArray[Any]
    positives: sparse.csr_array
    equal: sparse.csr_array
    between: sparse.csr_array
    overlap: sparse.csr_array | None = None
    n_regions: NDArray[np.float64] | None = None


def pool_images(labels: NDArray[np.bool_], scores: NDArray[Any]) -> Pool:
    """Pool image scores: each image is one positive or one negative."""
    return _pool(np.arange(labels.size), labels.size, scores, (~labels).astype(float), labels.astype(float))


def pool_pixels(histograms: ScoreHistograms) -> Pool:
    """Pool the pixels of a category's images, without those whose ground truth is unknown."""
    arrays = histograms.arrays
    image = np.repeat(np.arange(len(histograms)), np.maximum(arrays["lengths"], 0))
    columns = (arrays[name].astype(np.float64) for name in ("scores", "normal", "anomalous", "overlap", "n_regions"))
    return _pool(image, len(histograms), *columns)


def _pool(
    image: NDArray[np.intp],
    n_images: int,
    scores: NDArray[Any],
    normal: NDArray[np.float64],
    anomalous: NDArray[np.float64],
    overlap: NDArray[np.float64] | None = None,
    n_regions: NDArray[np.float64] | None = None,
) -> Pool:
    """Sort entries (image, score, counts) into the columns of the positives' scores."""
    levels = np.unique(scores[anomalous > 0])
    # How many levels are not above a score, and how many are below it: where they differ, the score is a level.
    reached, below = (np.searchsorted(levels, scores, side=side) for side in ("right", "left"))
    on_level = reached > below
    column = levels.size - reached

    def table(values: NDArray[np.float64], chosen: NDArray[np.bool_], n_columns: int) -> sparse.csr_array:
        kept = chosen & (values > 0)
        return sparse.csr_array((values[kept], (image[kept], column[kept])), shape=(n_images, n_columns))

    return Pool(
        scores=levels[::-1],
        positives=table(anomalous, on_level, levels.size),
        equal=table(normal, on_level, levels.size),
        between=table(normal, ~on_level, levels.size + 1),
        overlap=None if overlap is None else table(overlap, on_level, levels.size),
        n_regions=n_regions,
    )


def seeded_generator(*names: Any) -> np.random.Generator:
    """Return a random generator that depends on names alone: two runs then draw the same resamples."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def draw_weights(labels: NDArray[np.bool_], resamples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw resamples with replacement, each with as many good and as many defective images as the test set.

    Returns:
        float64 ``(resamples, n)``: how often each image is drawn.
    """
    weights = np.zeros((resamples, labels.size))
    for stratum in (np.flatnonzero(labels), np.flatnonzero(~labels)):
        if stratum.size:
            equal = np.full(stratum.size, 1 / stratum.size)
            weights[:, stratum] = generator.multinomial(stratum.size, equal, size=resamples)
    return weights


def resampled(pool: Pool, weights: NDArray[np.float64], fpr_limit: float = 0.3) -> dict[str, NDArray[np.float64]]:
    """Compute every metric of every resample.

    Args:
        pool: the counts.
        weights: float64 ``(R, n)``, how often each image counts.
        fpr_limit: for AUPRO.

    Returns:
        "auroc", "ap", "f1_max" and, where there are regions, "aupro": float64 ``(R,)``, NaN where a resample has no
        positives, or no negatives where they are needed.
    """
    n_levels = pool.scores.size
    if not n_levels:
        names = ("auroc", "ap", "f1_max", *(() if pool.overlap is None else ("aupro",)))
        return {name: np.full(len(weights), np.nan) for name in names}
    step = max(1, _COUNTS_AT_ONCE // n_levels)
    parts = [_metrics(pool, weights[at : at + step], fpr_limit) for at in range(0, len(weights), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _metrics(pool: Pool, weights: NDArray[np.float64], fpr_limit: float) -> dict[str, NDArray[np.float64]]:
    """Add up the counts of each resample's images, and compute the metrics."""
    positives, equal, between = (weights @ table for table in (pool.positives, pool.equal, pool.between))
    above = between[:, :-1].cumsum(axis=1)
    above[:, 1:] += equal[:, :-1].cumsum(axis=1)
    overlap = None
    with np.errstate(divide="ignore", invalid="ignore"):
        if pool.overlap is not None and pool.n_regions is not None:
            overlap = (weights @ pool.overlap) / (weights @ pool.n_regions)[:, None]
        n_negatives = between.sum(axis=1) + equal.sum(axis=1)
        steps = Steps(pool.scores, positives, above, above + equal, n_negatives, overlap)
        f1 = np.where(steps.n_positives == 0, np.nan, f1_max(steps)[0])
        metrics = {"auroc": auroc(steps), "ap": ap(steps), "f1_max": f1}
        return metrics if overlap is None else {**metrics, "aupro": aupro(steps, fpr_limit)}


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
        return p_value_of(self.point, float(values.var()) if np.ptp(values) else 0.0)

    def _defined(self) -> NDArray[np.float64] | None:
        values = self.values[~np.isnan(self.values)]
        enough = values.size and values.size >= (1 - _MOST_UNDEFINED) * self.values.size
        return values if enough else None


def _pools(images: CategoryImages) -> dict[str, Pool]:
    pixels = {} if images.histograms is None else {"pixel": pool_pixels(images.histograms)}
    return {"image": pool_images(images.labels, images.scores), **pixels}


def _named(pools: Mapping[str, Pool], weights: NDArray[np.float64], fpr_limit: float) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of resamples under their names, "image_auroc" and so on."""
    return {
        f"{kind}_{name}": values
        for kind, pool in pools.items()
        for name, values in resampled(pool, weights, fpr_limit).items()
    }


def metrics_from_counts(images: CategoryImages) -> dict[str, float | None]:
    """Return the metrics of the images themselves, ``image_auroc`` and so on; None where undefined."""
    metrics = _named(_pools(images), np.ones((1, images.labels.size)), images.fpr_limit)
    return {name: None if np.isnan(values[0]) else float(values[0]) for name, values in metrics.items()}


def bootstrap(
    images: CategoryImages, points: Mapping[str, Any], resamples: int, *names: Any
) -> dict[str, BootstrapSamples]:
    """Compute the metrics on bootstrap resamples of the images, stratified by label.

    Args:
        images: the images.
        points: each metric's exact value. Own maps are counted at few thresholds; the values on resamples are shifted
            by what that misses.
        resamples: R, 1 or more.
        names: with the same names and labels the resamples are the same for every method.

    Returns:
        For each metric whose exact value is defined, its R values. Nothing where there is only one image of a kind:
        every resample would draw it.
    """
    labels = images.labels
    if 1 in (np.count_nonzero(labels), np.count_nonzero(~labels)):
        return {}
    generator = seeded_generator("images", *names, labels.astype(int).tolist())
    step = max(1, _WEIGHTS_AT_ONCE // max(1, labels.size))
    pools = _pools(images)
    counted = _named(pools, np.ones((1, labels.size)), images.fpr_limit)
    parts = [
        _named(pools, draw_weights(labels, min(step, resamples - start), generator), images.fpr_limit)
        for start in range(0, resamples, step)
    ]
    samples = {}
    for name, (of_counts,) in counted.items():
        point = points.get(name)
        if point is not None and not np.isnan(of_counts):
            values = np.clip(np.concatenate([part[name] for part in parts]) + (point - float(of_counts)), 0.0, 1.0)
            samples[name] = BootstrapSamples(point, values, _edge(name, images))
    return samples


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
