"""The exact metrics of image scores, and of anomaly maps: from pixels, counts in cells, or score histograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.checks import as_array, as_truth, check_limit, check_scores, map_pairs
from lvlm_ad.metrics.curves import Steps, ap, aupro, aupro_rescaled, auroc, f1_max, steps_of
from lvlm_ad.metrics.histograms import CellCounts, ScoreHistogram, ScoreHistograms, histogram_of_cells
from lvlm_ad.metrics.named import overlap_at_limits
from lvlm_ad.metrics.own_maps import PooledMaps

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ImageMetrics",
    "PixelMetrics",
    "image_metrics",
    "pixel_metrics",
    "pixel_metrics_from_counts",
    "pixel_metrics_from_histograms",
    "pixel_metrics_of_steps",
]

_IN_MEMORY = (np.ndarray, list, tuple)


@dataclass(frozen=True, slots=True)
class ImageMetrics:
    """Metrics of one category's image scores; None where undefined.

    Attributes:
        auroc: area under the ROC curve.
        ap: average precision.
        f1_max: the highest F1 over all thresholds.
        f1_threshold: the largest score at which it is reached.
        undefined: metric -> why it is None.

    Example:
        >>> image_metrics([1, 1], [0.2, 0.9]).undefined
        {'auroc': 'no image is normal'}
    """

    auroc: float | None = None
    ap: float | None = None
    f1_max: float | None = None
    f1_threshold: float | None = None
    undefined: Mapping[str, str] = field(default_factory=dict)


def image_metrics(labels: Sequence[Any] | ArrayLike, scores: Sequence[Any] | ArrayLike) -> ImageMetrics:
    """Compute the metrics of image scores.

    Args:
        labels: ``(n,)``, non-zero if anomalous.
        scores: ``(n,)``, higher is more anomalous; compared in their own dtype.

    Raises:
        MetricError: there are no images, the lengths differ, labels or scores are not real numbers, or one is NaN or
            infinite (its index is named).

    Example:
        >>> metrics = image_metrics([0, 0, 1, 1], [0.1, 0.5, 0.4, 0.9])
        >>> metrics.auroc, round(metrics.ap, 3), metrics.f1_max, metrics.f1_threshold
        (0.75, 0.833, 0.8, 0.4)
    """
    truth, values = as_truth(labels, "the labels"), as_array(scores, "the image scores")
    if truth.ndim != 1 or values.shape != truth.shape:
        raise MetricError(f"Labels of shape {truth.shape} and scores of shape {values.shape}: both must be (n,).")
    if not truth.size:
        raise MetricError("There are no images to measure.")
    check_scores(values, "the image scores")
    return ImageMetrics(**_of_thresholds(steps_of(values, truth, ~truth), "image"))


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """Metrics of one category's anomaly maps, all pixels of all its images pooled; None where undefined.

    Attributes:
        auroc: area under the ROC curve.
        ap: average precision.
        f1_max: the highest F1 over all thresholds.
        aupro: area under the per-region overlap up to ``fpr_limit``, divided by it.
        f1_threshold: the largest score at which the highest F1 is reached.
        aupro_rescaled: as much of the literature computes it: the area up to the largest false-positive rate observed
            below the limit, divided by that rate. For comparison with published tables only.
        lowest_fraction: the fraction of normal pixels that have the lowest score of all.
        fpr_limit: the limit.
        undefined: metric -> why it is None.
        aupro_at: AUPRO at further limits, by name: "aupro@0.05".

    Example:
        >>> pixel_metrics(np.zeros((1, 2, 2), bool), np.full((1, 2, 2), 0.5)).undefined["aupro"]
        'no pixel is anomalous'
    """

    auroc: float | None = None
    ap: float | None = None
    f1_max: float | None = None
    aupro: float | None = None
    f1_threshold: float | None = None
    aupro_rescaled: float | None = None
    lowest_fraction: float | None = None
    fpr_limit: float = 0.3
    undefined: Mapping[str, str] = field(default_factory=dict)
    aupro_at: Mapping[str, float | None] = field(default_factory=dict)


def pixel_metrics(
    masks: Iterable[NDArray[Any]] | NDArray[Any],
    maps: Iterable[NDArray[Any]] | NDArray[Any],
    fpr_limit: float = 0.3,
    limits: Sequence[float] = (),
) -> PixelMetrics:
    """Compute the metrics of anomaly maps, exactly.

    For arrays, lists and tuples this takes about 100 MB of extra memory, or a 16th of the scores, and 70 bytes for each
    anomalous pixel. Other iterables are read once; up to a gigabyte of their scores stays in memory, the rest goes to a
    temporary file.

    Args:
        masks: n arrays ``(H, W)``, or one ``(n, H, W)``; a pixel is anomalous where it is not 0. Sizes may differ.
        maps: as many arrays of the same sizes, real numbers, higher is more anomalous; compared in their own dtype.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].
        limits: further such rates, for ``aupro_at``; they cost next to nothing.

    Raises:
        MetricError: there are no images, numbers or shapes differ, scores are not real numbers, one is NaN or infinite
            (the image is named), or the limit is out of range.
        RunError: the temporary file cannot be written.

    Example:
        >>> import numpy as np
        >>> mask = np.array([[0, 0, 0], [0, 1, 1]])
        >>> metrics = pixel_metrics([mask], [np.array([[0.1, 0.1, 0.6], [0.2, 0.5, 0.9]])])
        >>> metrics.auroc, metrics.f1_max, round(metrics.aupro, 3)
        (0.875, 0.8, 0.583)
    """
    check_limit(fpr_limit)
    in_memory = isinstance(masks, _IN_MEMORY) and isinstance(maps, _IN_MEMORY)
    pooled = PooledMaps(keep="originals" if in_memory else "copies")
    for scores, truth in map_pairs(masks, maps):
        pooled.add(scores, truth)
    if not len(pooled):
        raise MetricError("There are no images to measure.")
    return pixel_metrics_of_steps(pooled.merge(fpr_limit)[0], fpr_limit, limits)


def pixel_metrics_from_counts(
    counts: Sequence[CellCounts],
    scores: Sequence[NDArray[Any]],
    fpr_limit: float = 0.3,
    limits: Sequence[float] = (),
) -> PixelMetrics:
    """Compute what ``pixel_metrics`` gives for maps that are constant on cells.

    Args:
        counts: the ground truth of each image, counted in its cells.
        scores: ``(C,)`` for each image, the score of each cell; compared as float64.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].
        limits: further such rates, for ``aupro_at``; they cost next to nothing.

    Raises:
        MetricError: there are no images, numbers differ, scores are not real numbers, one is NaN or infinite (the image
            is named), or the limit is out of range.

    Example:
        >>> import numpy as np
        >>> from lvlm_ad.metrics import count_cells
        >>> counts = count_cells(np.array([[0, 0, 1, 1]]), np.array([[0, 0, 1, 0]]))
        >>> round(pixel_metrics_from_counts([counts], [np.array([0.2, 0.7])]).auroc, 3)
        0.833
    """
    if len(counts) != len(scores):
        raise MetricError(f"There are counts of {len(counts)} images and scores of {len(scores)}; both must be equal.")
    histograms = []
    for index, (count, one) in enumerate(zip(counts, scores, strict=True)):
        values = np.asarray(one)
        if values.shape != count.normal.shape:
            raise MetricError(f"Image {index} has {count.normal.size} cells and scores of shape {values.shape}.")
        check_scores(values, f"the scores of image {index}")
        histograms.append(histogram_of_cells(count, values))
    return pixel_metrics_from_histograms(histograms, fpr_limit, limits)


def pixel_metrics_from_histograms(
    histograms: ScoreHistograms | Sequence[ScoreHistogram], fpr_limit: float = 0.3, limits: Sequence[float] = ()
) -> PixelMetrics:
    """Compute what ``pixel_metrics`` gives for the maps that the histograms were counted from.

    Raises:
        MetricError: there are no images, or the limit is out of range.
    """
    check_limit(fpr_limit)
    if not len(histograms):
        raise MetricError("There are no images to measure.")
    return pixel_metrics_of_steps(ScoreHistograms.of(histograms).steps(fpr_limit), fpr_limit, limits)


def pixel_metrics_of_steps(steps: Steps, fpr_limit: float = 0.3, limits: Sequence[float] = ()) -> PixelMetrics:
    """Compute the metrics from the counts at each threshold."""
    values = _of_thresholds(steps, "pixel", ("aupro", "aupro_rescaled", "lowest_fraction"))
    if steps.n_positives and steps.n_negatives:
        values |= {"aupro": float(aupro(steps, fpr_limit)), "lowest_fraction": steps.n_lowest / steps.n_negatives}
        if steps.n_below_limit:
            values["aupro_rescaled"] = float(aupro_rescaled(steps))
        else:
            values["undefined"] = {"aupro_rescaled": "no false-positive rate between 0 and the limit is observed"}
    further = overlap_at_limits("aupro", steps, limits)
    values["undefined"] = {**values["undefined"], **further.undefined}
    return PixelMetrics(**values, fpr_limit=fpr_limit, aupro_at=further.values)


def _of_thresholds(steps: Steps, unit: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """Compute what images and pixels have in common, and say why it, or one of the others, is undefined."""
    if not steps.n_positives:
        return {"undefined": dict.fromkeys(("auroc", "ap", "f1_max", *others), f"no {unit} is anomalous")}
    f1, index = f1_max(steps)
    values = {"ap": float(ap(steps)), "f1_max": float(f1), "f1_threshold": float(steps.scores[index])}
    if not steps.n_negatives:
        return {**values, "undefined": dict.fromkeys(("auroc", *others), f"no {unit} is normal")}
    return {**values, "auroc": float(auroc(steps)), "undefined": {}}
