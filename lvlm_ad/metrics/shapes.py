"""Metrics of shapes: how well the places that an answer names overlap the defects.

The field reports them for boxes: the mean IoU over anomalous images, the fraction of images that reach an IoU, false
alarms on normal images; and for points how many lie in a defect, and how many defects hold one. The scores of shapes
do not enter, except that a shape with score 0 counts as not named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from scipy.special import betaincinv

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.differences import shrunk_correlation, square_and_add
from lvlm_ad.metrics.histograms import components
from lvlm_ad.metrics.intervals import mover_mean
from lvlm_ad.metrics.resampled_intervals import kish

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.intervals import Interval
    from lvlm_ad.regions.shapes import Point

__all__ = [
    "POINT_METRICS",
    "SHAPE_METRICS",
    "ShapeEstimate",
    "ShapeMetrics",
    "bounded_interval",
    "mean_of_shapes",
    "ratio_estimate",
    "shape_difference",
    "shape_measures",
    "shape_metrics",
]

SHAPE_METRICS: Mapping[str, str] = {
    "miou_box": "mIoU (boxes)",
    "miou_mask": "mIoU (masks)",
    "acc_box_10": "ACC@0.1 (boxes)",
    "acc_box_30": "ACC@0.3 (boxes)",
    "acc_box_50": "ACC@0.5 (boxes)",
    "acc_mask_10": "ACC@0.1 (masks)",
    "acc_mask_30": "ACC@0.3 (masks)",
    "acc_mask_50": "ACC@0.5 (masks)",
    "false_alarms": "False alarms",
}
"""The metrics of every kind of shape and their titles, in the order of tables. Fewer false alarms are better."""

POINT_METRICS: Mapping[str, str] = {"point_hit": "Point hits", "found": "Defects found"}
"""Further metrics of points, and their titles."""


def shape_measures(
    union: NDArray[np.bool_], mask: NDArray[Any], points: Sequence[Point] | None = None
) -> dict[str, float]:
    """Measure the places that an answer names in one image.

    Args:
        union: bool ``(H, W)``, the pixels of all shapes with a score above 0.
        mask: ``(H, W)``, anomalous where not 0.
        points: the shapes themselves, where a method answers in points, those with score 0 left out; else None.

    Returns:
        Of a normal image "false_alarm": 1.0 if there is a pixel in the union, else 0.0. Of an anomalous one "iou_box",
        the IoU of the union with the bounding boxes of the 8-connected components of the mask, and "iou_mask", the IoU
        with the mask. With points also their number "n_places", the number of components "n_components", the fraction
        of components that hold a point "found", and, if there is a point, the fraction of points in the mask
        "point_hit".

    Raises:
        MetricError: the sizes differ.

    Example:
        >>> import numpy as np
        >>> mask = np.array([[0, 1, 1, 0], [0, 1, 0, 0]])
        >>> shape_measures(np.array([[0, 1, 1, 1], [0, 1, 1, 0]]) > 0, mask)
        {'iou_box': 0.8, 'iou_mask': 0.6}
    """
    truth = np.asarray(mask) != 0
    if union.shape != truth.shape or truth.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise MetricError(f"Places of shape {union.shape} and a mask of shape {truth.shape}: both must be (H, W).")
    if not truth.any():
        return {"false_alarm": float(union.any())}
    labels, count = components(truth)
    boxes = np.zeros_like(truth)
    for window in ndimage.find_objects(labels):
        boxes[window] = True
    measures = {"iou_box": _iou(union, boxes), "iou_mask": _iou(union, truth)}
    if points is None:
        return measures
    pixels = [one.pixel(*truth.shape) for one in points]
    hits = [int(labels[pixel]) for pixel in pixels if labels[pixel]]
    measures |= {"n_places": float(len(points)), "n_components": float(count), "found": len(set(hits)) / count}
    return measures | ({"point_hit": len(hits) / len(points)} if points else {})


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(one & other)) / int(np.count_nonzero(one | other))


@dataclass(frozen=True, slots=True, eq=False)
class ShapeEstimate:
    """A metric of shapes in one category, and how sure it is.

    Attributes:
        value: in 0..1.
        interval: 95 %.
        images: how many images it averages; with weights, Kish's effective number.
        influence: float64 ``(n,)``, by how much each image of the category moves the value; 0 where it has no part.
    """

    value: float
    interval: Interval
    images: float
    influence: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShapeMetrics:
    """The metrics of a category's images.

    Attributes:
        estimates: metric -> its estimate, where it is defined.
        undefined: metric -> why it is not.
    """

    estimates: Mapping[str, ShapeEstimate]
    undefined: Mapping[str, str]


def shape_metrics(measures: Sequence[Mapping[str, float]], *, points: bool = False) -> ShapeMetrics:
    """Compute the metrics of a category.

    "miou_box" and "miou_mask" are means over anomalous images, "acc_box_30" is the fraction of them with an IoU of 0.3
    or more, and "false_alarms" the fraction of normal images with a place. "point_hit" is the fraction of all points in
    anomalous images that lie in a mask, and "found" the fraction of all components with a point in them.

    Args:
        measures: of each image, what ``shape_measures`` returned; empty where the ground truth is unknown.
        points: whether ``POINT_METRICS`` are computed, too.

    Example:
        >>> found = shape_metrics([{"iou_box": 0.5, "iou_mask": 0.25}, {"iou_box": 0.0, "iou_mask": 0.0}])
        >>> found.estimates["miou_box"].value, found.estimates["acc_box_50"].value, found.undefined["false_alarms"]
        (0.25, 0.5, 'no image is normal')
    """
    known = all(measures)
    anomalous = "no image is anomalous" if known else "no ground truth shows a defect"
    columns: dict[str, tuple[NDArray[np.float64], NDArray[np.float64] | None, str]] = {}
    for kind in ("box", "mask"):
        iou = _column(measures, f"iou_{kind}")
        columns[f"miou_{kind}"] = iou, None, anomalous
        for percent in (10, 30, 50):
            reached = np.where(np.isnan(iou), np.nan, iou >= percent / 100)
            columns[f"acc_{kind}_{percent}"] = reached, None, anomalous
    columns["false_alarms"] = _column(measures, "false_alarm"), None, "no image is normal"
    if points:
        columns["point_hit"] = _column(measures, "point_hit"), _column(measures, "n_places"), "no answer has a point"
        columns["found"] = _column(measures, "found"), _column(measures, "n_components"), anomalous
    names = [*SHAPE_METRICS, *(POINT_METRICS if points else ())]
    defined = {name: ratio_estimate(*columns[name][:2]) for name in names if not np.isnan(columns[name][0]).all()}
    return ShapeMetrics(defined, {name: columns[name][2] for name in names if name not in defined})


def _column(measures: Sequence[Mapping[str, float]], name: str) -> NDArray[np.float64]:
    return np.array([one.get(name, np.nan) for one in measures], dtype=np.float64)


def ratio_estimate(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> ShapeEstimate:
    """Average numbers in 0..1 with weights; the interval is that of ``bounded_interval``.

    Args:
        values: ``(n,)``, NaN of an image that has no part; at least one is a number.
        weights: ``(n,)``, the weight of each image, above 0 where it has a value; None: all alike.

    Example:
        >>> found = ratio_estimate(np.array([1.0, np.nan, 0.5]), np.array([1.0, 0.0, 3.0]))
        >>> found.value, [round(end, 3) for end in found.interval], found.influence.tolist()
        (0.625, [0.145, 0.955], [0.09375, 0.0, -0.09375])
    """
    has = ~np.isnan(values)
    own = np.ones(int(has.sum())) if weights is None else weights[has]
    value = math.fsum(own * values[has]) / math.fsum(own)
    influence = np.zeros(values.size)
    influence[has] = own * (values[has] - value) / math.fsum(own)
    return ShapeEstimate(value, bounded_interval(values[has], own), kish(own), influence)


def bounded_interval(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Interval:
    """Compute the 95 % interval of a mean of numbers in [0, 1], whatever their distribution.

    Gaffke's bound (Math. Methods Stat. 14:451-467, 2005; Learned-Miller and Thomas, arXiv 1905.06208): a quantile of
    the mean with random weights, from Dirichlet(1, ..., 1), after one more number was added: 1 for the upper end, 0 for
    the lower. The quantile is taken from the beta distribution with the same mean and variance. For numbers that are
    all 0 or 1 this is exactly the interval of Clopper and Pearson.

    Args:
        values: ``(n,)``, one or more.
        weights: ``(n,)``, above 0, the weight of each; unequal weights are those of a ratio of two sums.

    Example:
        >>> [round(end, 3) for end in bounded_interval(np.array([0.0, 1.0, 1.0, 1.0]), np.ones(4))]
        [0.194, 0.994]
        >>> [round(end, 3) for end in bounded_interval(np.array([0.6, 0.7, 0.8, 0.7]), np.ones(4))]
        [0.327, 0.859]
    """
    value = math.fsum(weights * values) / math.fsum(weights)
    low, high = (_quantile(level, np.append(values, end), weights) for level, end in ((0.025, 0.0), (0.975, 1.0)))
    return min(low, value), max(high, value)


def _quantile(level: float, values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return a quantile of the mean of values with random weights; the last value has the others' mean weight."""
    if values.min() == values.max():
        return float(values[0])
    heavy = np.append(weights, weights.mean())
    shares = heavy / heavy.sum()
    mean = float(shares @ values)
    # The variance of a mean with Dirichlet weights; with unequal weights, that of the linearised ratio.
    variance = float(shares**2 @ (values - mean) ** 2) * values.size / (values.size + 1)
    precision = mean * (1 - mean) / variance - 1
    return float(betaincinv(mean * precision, (1 - mean) * precision, level))


def mean_of_shapes(categories: Sequence[ShapeEstimate]) -> tuple[float, Interval]:
    """Return a metric's mean over categories and its 95 % interval, by square-and-add; see ``mover_mean``."""
    values = [one.value for one in categories]
    return math.fsum(values) / len(values), mover_mean(values, [one.interval for one in categories])


def shape_difference(first: Sequence[ShapeEstimate], second: Sequence[ShapeEstimate]) -> tuple[float, Interval]:
    """Compare two methods' mean of a metric over the same images of the same categories.

    The interval is the square-and-add of the two means' intervals (Zou and Donner, Stat. Med. 27:1693-1702, 2008), with
    the correlation of the two means over the images.

    Args:
        first: the first method's estimate of each category, one or more.
        second: the other's, of the same categories.

    Returns:
        The first mean minus the second, and its 95 % interval, in -1..1.
    """
    (one, one_interval), (other, other_interval) = mean_of_shapes(first), mean_of_shapes(second)
    pairs = [(ours.influence, theirs.influence) for ours, theirs in zip(first, second, strict=True)]
    covariance, *variances = (
        math.fsum(float(a @ b) for a, b in chosen)
        for chosen in (pairs, [(ours, ours) for ours, _ in pairs], [(theirs, theirs) for _, theirs in pairs])
    )
    images = min(math.fsum(estimate.images for estimate in method) for method in (first, second))
    correlation = shrunk_correlation(covariance, variances[0], variances[1], images)
    return one - other, square_and_add(one, one_interval, other, other_interval, correlation)
