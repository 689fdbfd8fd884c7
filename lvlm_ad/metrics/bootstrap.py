"""Resamples of a category's images, and the metrics on them: how far a number spreads.

An image that a resample draws twice counts twice. So the metrics of a resample follow from weighted sums of the images'
counts, and the sums of many resamples are one matrix product.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from lvlm_ad.metrics.curves import Steps, ap, aupro, auroc, f1_max
from lvlm_ad.metrics.named import at_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistograms

__all__ = [
    "END_WEIGHT",
    "CategoryImages",
    "bootstrap",
    "draw_weights",
    "metrics_from_counts",
    "object_strata",
    "pool_images",
    "pool_pixels",
    "resampled",
    "seeded_generator",
    "smoothed_bootstrap",
]

_WEIGHTS_AT_ONCE = 1_000_000
"""Weights that exist at once: 8 MB, and twice as much again while they are drawn and multiplied."""

_COUNTS_AT_ONCE = 500_000
"""Numbers in one table of resamples by scores (4 MB); about a dozen tables exist at once."""

END_WEIGHT = 0.4
"""The weight of an image beyond all scores, in images.

In simulations with scores in tenths, 0.5 leaves the interval of AP too short near 1: of 20 good and 20 defective images
at AUROC 0.99 it covers 76 %, with 0.4 more than 93 % (docs/metrics.md).
"""


@dataclass(frozen=True, eq=False)
class CategoryImages:
    """What the metrics of a category need of its images.

    Attributes:
        labels: bool ``(n,)``, True if anomalous.
        scores: float64 ``(n,)``, image scores.
        histograms: pixels of each image, without those whose ground truth is unknown; None: no pixel metrics.
        fpr_limit: the false-positive rate up to which AUPRO is integrated.
        limits: further such rates, whose AUPRO is "pixel_aupro@0.05" and so on.
        objects: ``(n,)``, the number of the object that each image shows, from 0 without a gap. Images of one object
            are not independent, so whole objects are drawn. None: each image is drawn by itself.
    """

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    histograms: ScoreHistograms | None
    fpr_limit: float = 0.3
    limits: tuple[float, ...] = ()
    objects: NDArray[np.intp] | None = None


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


def draw_weights(
    strata: NDArray[Any], resamples: int, generator: np.random.Generator, objects: NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    """Draw resamples with replacement, each with as many images of each class as the test set.

    Args:
        strata: ``(n,)``, the class of each image: True if anomalous, or the number of its group, 0 if good.
        resamples: R.
        generator: random numbers.
        objects: ``(n,)``, see ``CategoryImages``. Whole objects are then drawn, as many of each class as there are; the
            class of an object is the highest of its images.

    Returns:
        float64 ``(resamples, n)``: how often each image is drawn.
    """
    if objects is not None:
        return draw_weights(object_strata(strata, objects), resamples, generator)[:, objects]
    weights = np.zeros((resamples, strata.size))
    for stratum in (np.flatnonzero(strata == one) for one in np.unique(strata)[::-1]):
        equal = np.full(stratum.size, 1 / stratum.size)
        weights[:, stratum] = generator.multinomial(stratum.size, equal, size=resamples)
    return weights


def object_strata(strata: NDArray[Any], objects: NDArray[np.intp]) -> NDArray[Any]:
    """Return the class of each object, the highest of its images'; objects are numbered from 0 without a gap.

    Example:
        >>> object_strata(np.array([False, True, False]), np.array([0, 0, 1])).tolist()
        [True, False]
    """
    highest = np.zeros(objects.max(initial=-1) + 1, dtype=strata.dtype)
    np.maximum.at(highest, objects, strata)
    return highest


def resampled(
    pool: Pool, weights: NDArray[np.float64], fpr_limit: float = 0.3, limits: Sequence[float] = ()
) -> dict[str, NDArray[np.float64]]:
    """Compute every metric of every resample.

    Args:
        pool: the counts.
        weights: float64 ``(R, n)``, how often each image counts.
        fpr_limit: for AUPRO.
        limits: for AUPRO at further limits.

    Returns:
        "auroc", "ap", "f1_max" and, where there are regions, "aupro", "aupro@0.05" and so on: float64 ``(R,)``, NaN
        where a resample has no positives, or no negatives where they are needed.
    """
    n_levels = pool.scores.size
    if not n_levels:
        further = [at_limit("aupro", limit) for limit in limits]
        names = ("auroc", "ap", "f1_max", *(() if pool.overlap is None else ("aupro", *further)))
        return {name: np.full(len(weights), np.nan) for name in names}
    step = max(1, _COUNTS_AT_ONCE // n_levels)
    parts = [_metrics(pool, weights[at : at + step], fpr_limit, limits) for at in range(0, len(weights), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _metrics(
    pool: Pool, weights: NDArray[np.float64], fpr_limit: float, limits: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
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
        if overlap is None:
            return metrics
        further = {at_limit("aupro", limit): aupro(steps, limit) for limit in limits}
        return {**metrics, "aupro": aupro(steps, fpr_limit), **further}


def _pools(images: CategoryImages) -> dict[str, Pool]:
    pixels = {} if images.histograms is None else {"pixel": pool_pixels(images.histograms)}
    return {"image": pool_images(images.labels, images.scores), **pixels}


def _named(
    pools: Mapping[str, Pool], weights: NDArray[np.float64], images: CategoryImages
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of resamples under their names, "image_auroc" and so on."""
    return {
        f"{kind}_{name}": values
        for kind, pool in pools.items()
        for name, values in resampled(pool, weights, images.fpr_limit, images.limits).items()
    }


def metrics_from_counts(images: CategoryImages) -> dict[str, float | None]:
    """Return the metrics of the images themselves, ``image_auroc`` and so on; None where undefined."""
    metrics = _named(_pools(images), np.ones((1, images.labels.size)), images)
    return {name: None if np.isnan(values[0]) else float(values[0]) for name, values in metrics.items()}


def bootstrap(
    images: CategoryImages, points: Mapping[str, Any], resamples: int, *names: Any
) -> dict[str, NDArray[np.float64]]:
    """Compute the metrics on bootstrap resamples of the images, stratified by label.

    Args:
        images: the images.
        points: each metric's exact value. Own maps are counted at few thresholds; the values on resamples are shifted
            by what that misses.
        resamples: R, 1 or more.
        names: with the same names and labels the resamples are the same for every method.

    Returns:
        For each metric whose exact value is defined, its values: float64 ``(R,)``, NaN where undefined.
    """
    labels = images.labels
    generator = seeded_generator("images", *names, labels.astype(int).tolist(), *_seed(images))
    pools = _pools(images)
    counted = _named(pools, np.ones((1, labels.size)), images)
    parts = [
        _named(pools, draw_weights(labels, count, generator, images.objects), images)
        for count in _portions(resamples, labels.size)
    ]
    samples = {}
    for name, (of_counts,) in counted.items():
        point = points.get(name)
        if point is not None and not np.isnan(of_counts):
            values = np.concatenate([part[name] for part in parts]) + (point - float(of_counts))
            samples[name] = np.clip(values, 0.0, 1.0)
    return samples


def smoothed_bootstrap(images: CategoryImages, resamples: int, *names: Any) -> dict[str, NDArray[np.float64]]:
    """Compute image AP and F1-max on smoothed resamples, in which an image that was never drawn may occur.

    Each class gets two more images, one scored below and one above all others. Every image has a random weight, from
    Gamma(1), or Gamma(``END_WEIGHT``) for those at the ends: the Bayesian bootstrap (Rubin, Ann. Stat. 9:130-134, 1981)
    with a prior that expects scores beyond the ones seen. So a perfect value on few images is not certain.

    Args:
        images: the images.
        resamples: R, 1 or more.
        names: with the same names and labels the weights are the same for every method.

    Returns:
        "ap" and "f1_max": float64 ``(R,)``.
    """
    labels = np.concatenate([images.labels, [True, True, False, False]])
    scores = np.concatenate([images.scores, [-np.inf, np.inf, -np.inf, np.inf]])
    objects = np.arange(images.labels.size) if images.objects is None else images.objects
    n_objects = int(objects.max(initial=-1)) + 1
    objects = np.concatenate([objects, n_objects + np.arange(4)])
    shapes = np.concatenate([np.ones(n_objects), np.full(4, END_WEIGHT)])
    generator = seeded_generator("smoothed", *names, images.labels.astype(int).tolist(), *_seed(images))
    pool = pool_images(labels, scores)
    parts = [
        resampled(pool, generator.standard_gamma(shapes, size=(count, shapes.size))[:, objects])
        for count in _portions(resamples, labels.size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("ap", "f1_max")}


def _seed(images: CategoryImages) -> list[Any]:
    """Return what the random numbers depend on besides names and labels."""
    return [] if images.objects is None else [images.objects.tolist()]


def _portions(resamples: int, n_images: int) -> Iterator[int]:
    """Split resamples so that the weights of one portion fit in memory."""
    step = max(1, _WEIGHTS_AT_ONCE // max(1, n_images))
    return (min(step, resamples - start) for start in range(0, resamples, step))
