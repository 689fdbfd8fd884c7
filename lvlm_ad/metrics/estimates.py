"""Metrics with their intervals: of a category, and of the mean over categories; where there is none, the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import listed
from lvlm_ad.metrics.bootstrap import CategoryImages, bootstrap, smoothed_bootstrap
from lvlm_ad.metrics.intervals import (
    Interval,
    auroc_interval,
    class_sizes,
    mean_auroc_interval,
    mover_mean,
    over_categories,
)
from lvlm_ad.metrics.named import at_limit
from lvlm_ad.metrics.resampled_intervals import (
    FEWEST_DEFECTIVE,
    FEWEST_EFFECTIVE,
    MOST_UNDEFINED,
    kish,
    pixel_interval,
    pixel_mean,
    smoothed_interval,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FEW_CATEGORIES",
    "FEW_IMAGES",
    "Estimate",
    "estimate_category",
    "estimate_from_draws",
    "estimate_mean",
    "estimate_smoothed",
    "in_objects",
    "interval_over_categories",
]

FEW_IMAGES = 5
"""With fewer images of a class, or fewer effective images with a defect, even AUROC 1 does not exclude chance."""

FEW_CATEGORIES = 5
"""With fewer, an interval over categories is itself uncertain."""

_NAMED = 5
"""Categories that a reason names."""

_TAIL = 0.025
"""The probability beyond each end of an interval."""

_EDGE = 1e-6
"""A mean over kinds of objects counts as at least this far from 0 and 1."""

_TOO_FEW_IMAGES = "fewer than 2 good or 2 defective images"
_NO_COUNTS = "the run has no pixel counts"
_TOO_FEW_DEFECTIVE = f"fewer than {FEWEST_DEFECTIVE} images with a defect"
_ONE_IMAGE = "one image has most of the {}"
_NOT_RESAMPLED = "measured with --resamples 0"
_UNDEFINED = "undefined in more than one resample of 20"
_ALIKE = "all resamples alike"


@dataclass(frozen=True, eq=False)
class Estimate:
    """A metric of a category, or its mean over categories, and how sure it is.

    Attributes:
        value: the metric, in 0..1.
        interval: 95 %; None where there is none.
        reason: why there is none.
        few_images: whether there are so few images that even a perfect value does not exclude chance.
        bound_at_extreme: of image AUROC 1, the smallest true AUROC that no valid interval can exclude; of AUROC 0 the
            largest; None at any other value.
        images: the images of the rarer class; of pixel metrics the effective number of images with a defect.
        sizes: defective and good images.
        factor: of image AUROC, see ``AurocInterval``.
        optimism: of image AP and F1-max, see ``smoothed_interval``.
        draws: float64 ``(R,)``, the metric on resamples of the images; None without resamples.
    """

    value: float
    interval: Interval | None = None
    reason: str = ""
    few_images: bool = False
    bound_at_extreme: float | None = None
    images: float = 0.0
    sizes: tuple[int, int] = (0, 0)
    factor: float = 1.0
    optimism: float = 0.0
    draws: NDArray[np.float64] | None = None


def estimate_category(
    images: CategoryImages, points: Mapping[str, Any], resamples: int, category: str = ""
) -> dict[str, Estimate]:
    """Compute the intervals of a category's metrics.

    Args:
        images: the images.
        points: each metric's exact value, under its name, "image_auroc" and so on; None where undefined.
        resamples: how many resamples are drawn. With 0, only image AUROC has an interval: it needs none.
        category: its name; resamples of the same category and labels are the same for every method.

    Returns:
        For each metric that has a value, its estimate.

    Example:
        >>> images = CategoryImages(np.arange(10) < 5, np.arange(10)[::-1] / 10, None)
        >>> found = estimate_category(images, {"image_auroc": 1.0, "image_ap": 1.0}, resamples=0)
        >>> [round(end, 3) for end in found["image_auroc"].interval], found["image_ap"].reason
        ([0.643, 1.0], 'measured with --resamples 0')
    """
    sizes = class_sizes(images.labels, images.objects)
    draws = bootstrap(images, points, resamples, category) if resamples else {}
    smoothed = {}
    if resamples and min(sizes) > 1 and not points.keys().isdisjoint(("image_ap", "image_f1_max")):
        smoothed = smoothed_bootstrap(images, resamples, category)
    estimates = {}
    for name in ("image_auroc", "image_ap", "image_f1_max"):
        if points.get(name) is not None:
            one = Estimate(points[name], images=min(sizes), sizes=sizes, draws=draws.get(name))
            metric = name.removeprefix("image_")
            estimates[name] = _auroc(one, images) if metric == "auroc" else estimate_smoothed(one, metric, smoothed)
    further = [at_limit("pixel_aupro", limit) for limit in images.limits]
    for name in ("pixel_auroc", "pixel_ap", "pixel_f1_max", "pixel_aupro", *further):
        if points.get(name) is not None:
            one = Estimate(points[name], sizes=sizes, draws=draws.get(name))
            estimates[name] = _pixel(one, name, images)
    if images.objects is not None:
        estimates = {name: in_objects(one) for name, one in estimates.items()}
    return {name: _with_few(one) for name, one in estimates.items()}


def in_objects(one: Estimate) -> Estimate:
    """Give the reason why there is no interval in objects, where these are counted in place of images.

    Example:
        >>> in_objects(Estimate(0.5, reason="fewer than 3 images with a defect")).reason
        'fewer than 3 objects with a defect'
    """
    return replace(one, reason=one.reason.replace("image", "object"))


def _with_few(one: Estimate) -> Estimate:
    return replace(one, few_images=one.interval is not None and one.images < FEW_IMAGES)


def _auroc(one: Estimate, images: CategoryImages) -> Estimate:
    found = auroc_interval(images.labels, images.scores, images.objects)
    reason = "" if found.interval else _TOO_FEW_IMAGES
    bound = _bound(one.value, [min(one.sizes)])
    return replace(one, interval=found.interval, reason=reason, factor=found.factor, bound_at_extreme=bound)


def _bound(value: float, images: Sequence[float]) -> float | None:
    """Return the true AUROC, or mean of AUROCs, that an observed 0 or 1 cannot exclude.

    True AUROCs t of categories with k images give 1 everywhere with a probability of up to the product of all t^k. Of
    those for which it is 2.5 %, the ones in proportion to k, at most 1, have the smallest mean.
    """
    if value not in {0.0, 1.0}:
        return None
    from scipy.optimize import brentq  # noqa: PLC0415 - slow to import, and rarely needed

    sizes = np.asarray(images, dtype=np.float64)

    def beyond(slope: float) -> float:
        return float(sizes @ np.log(np.minimum(slope * sizes, 1))) - math.log(_TAIL)

    least = 0.5 * _TAIL ** (1 / sizes.sum()) / sizes.max()
    slope = float(brentq(beyond, least, 1 / sizes.min(), xtol=1e-15))
    limit = float(np.minimum(slope * sizes, 1).mean())
    return limit if value else 1 - limit


def estimate_smoothed(one: Estimate, metric: str, smoothed: Mapping[str, NDArray[np.float64]]) -> Estimate:
    """Add the interval of image AP or F1, from smoothed resamples.

    Args:
        one: the metric, its values on plain resamples, and the sizes of the classes.
        metric: "ap" or "f1_max".
        smoothed: metric -> its values on smoothed resamples; empty: there are none.
    """
    if min(one.sizes) < 2:  # noqa: PLR2004 - as of image AUROC
        return replace(one, reason=_TOO_FEW_IMAGES)
    if not smoothed or one.draws is None:
        return replace(one, reason=_NOT_RESAMPLED)
    interval, optimism = smoothed_interval(metric, one.value, smoothed[metric], one.draws, one.sizes[0])
    return replace(one, interval=interval, reason="" if interval else _ALIKE, optimism=optimism)


def _pixel(one: Estimate, name: str, images: CategoryImages) -> Estimate:
    histograms = images.histograms
    if histograms is None:
        return replace(one, reason=_NO_COUNTS)
    if name.startswith("pixel_aupro"):
        weights, counted = histograms.arrays["n_regions"], "defects"
    else:
        image = np.repeat(np.arange(len(histograms)), np.maximum(histograms.arrays["lengths"], 0))
        weights, counted = np.bincount(image, histograms.arrays["anomalous"], len(histograms)), "defect pixels"
    if images.objects is not None:
        weights = np.bincount(images.objects, weights)
    return estimate_from_draws(one, weights, counted)


def estimate_from_draws(one: Estimate, weights: NDArray[Any], counted: str) -> Estimate:
    """Add the interval of a metric of pixels, from its draws.

    Args:
        one: the metric and its values on resamples.
        weights: ``(m,)``, how many defects, or defect pixels, each image or object has.
        counted: what ``weights`` counts, for the reason: "defects".
    """
    if np.count_nonzero(weights) < FEWEST_DEFECTIVE:
        return replace(one, reason=_TOO_FEW_DEFECTIVE)
    if kish(weights) < FEWEST_EFFECTIVE:
        return replace(one, reason=_ONE_IMAGE.format(counted))
    if one.draws is None:
        return replace(one, reason=_NOT_RESAMPLED)
    effective, interval = pixel_interval(one.value, one.draws, weights)
    alike = _UNDEFINED if np.isnan(one.draws).mean() > MOST_UNDEFINED else _ALIKE
    return replace(one, interval=interval, reason="" if interval else alike, images=effective)


def estimate_mean(metric: str, categories: Mapping[str, Estimate]) -> Estimate:
    """Compute the interval of a metric's mean over fixed categories.

    Args:
        metric: its name, "image_auroc" and so on.
        categories: category -> its estimate, for each category that the mean covers; one or more.

    Returns:
        The mean. It has no interval where a category has none; of a single category it is the category's own.
    """
    estimates = list(categories.values())
    if len(estimates) == 1:
        return estimates[0]
    value = float(np.mean([one.value for one in estimates]))
    images = sum(one.images for one in estimates)
    without = [category for category, one in categories.items() if one.interval is None]
    if without:
        where = f"no interval in {len(without)} of {len(estimates)} categories ({listed(without, _NAMED)})"
        where = "no category has an interval" if len(without) == len(estimates) else where
        return Estimate(value, reason=f"{where}: {categories[without[0]].reason}", images=images)
    mean = Estimate(value, images=images)
    if metric in {"image_auroc", "sample_auroc"}:
        defective, good = zip(*(one.sizes for one in estimates), strict=True)
        values, factors = zip(*((one.value, one.factor) for one in estimates), strict=True)
        interval = mean_auroc_interval(values, defective, good, factors)
        mean = replace(mean, interval=interval, bound_at_extreme=_bound(value, [one.images for one in estimates]))
    elif metric.startswith(("image", "classf1")):
        mean = replace(mean, interval=_mean_of_smoothed(estimates))
    else:
        draws = np.stack([one.draws for one in estimates if one.draws is not None])
        interval, freedom = pixel_mean([one.value for one in estimates], draws, [one.images for one in estimates])
        mean = replace(mean, interval=interval, reason="" if interval else _ALIKE, images=freedom + 1)
    if mean.interval:
        mean = replace(mean, interval=(min(mean.interval[0], value), max(mean.interval[1], value)))
    return _with_few(mean)


def _mean_of_smoothed(estimates: list[Estimate]) -> Interval:
    """Combine the intervals without the optimism, which is not noise, and subtract it once."""
    optimism = math.fsum(one.optimism for one in estimates) / len(estimates)
    ends = [(one.interval[0] + one.optimism, one.interval[1]) for one in estimates if one.interval is not None]
    low, high = mover_mean([one.value for one in estimates], ends)
    return max(low - optimism, 0.0), high


def interval_over_categories(mean: Estimate, categories: Mapping[str, Estimate]) -> Interval | None:
    """Return an interval of a mean that also stands for other kinds of objects.

    It spans the interval over fixed categories and that of ``over_categories``.

    Args:
        mean: ``estimate_mean`` of the categories.
        categories: category -> its estimate.

    Returns:
        The interval; None without an interval of the mean, for fewer than three categories, or if all have the same
        value.
    """
    wider = over_categories([one.value for one in categories.values()], _EDGE)
    if wider is None or mean.interval is None:
        return None
    return min(wider[0], mean.interval[0]), max(wider[1], mean.interval[1])
