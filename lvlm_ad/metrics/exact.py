"""The exact metrics of image scores, and of anomaly maps: from pixels, counts in cells, or score histograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.curves import Steps, ap, aupro, aupro_rescaled, auroc, f1_max, steps_of
from lvlm_ad.metrics.histograms import CellCounts, ScoreHistogram, ScoreHistograms, histogram_of_cells
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
    truth, values = _as_truth(labels, "the labels"), _as_array(scores, "the image scores")
    if truth.ndim != 1 or values.shape != truth.shape:
        raise MetricError(f"Labels of shape {truth.shape} and scores of shape {values.shape}: both must be (n,).")
    if not truth.size:
        raise MetricError("There are no images to measure.")
    _check_scores(values, "the image scores")
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


def pixel_metrics(
    masks: Iterable[NDArray[Any]] | NDArray[Any], maps: Iterable[NDArray[Any]] | NDArray[Any], fpr_limit: float = 0.3
) -> PixelMetrics:
    """Compute the metrics of anomaly maps, exactly.

    For arrays, lists and tuples this takes about 100 MB of extra memory, or a 16th of the scores, and 70 bytes for each
    anomalous pixel. Other iterables are read once; up to a gigabyte of their scores stays in memory, the rest goes to a
    temporary file.

    Args:
        masks: n arrays ``(H, W)``, or one ``(n, H, W)``; a pixel is anomalous where it is not 0. Sizes may differ.
        maps: as many arrays of the same sizes, real numbers, higher is more anomalous; compared in their own dtype.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

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
    _check_limit(fpr_limit)
    in_memory = isinstance(masks, _IN_MEMORY) and isinstance(maps, _IN_MEMORY)
    pooled = PooledMaps(keep="originals" if in_memory else "copies")
    for index, (mask, one) in enumerate(zip_longest(masks, maps)):
        if mask is None or one is None:
            raise MetricError(f"There are more {'maps' if mask is None else 'masks'}; each map needs one mask.")
        truth, scores = _as_truth(mask, "a mask"), np.asarray(one)
        if truth.ndim != 2 or scores.shape != truth.shape or not truth.size:  # noqa: PLR2004 - rows and columns
            raise MetricError(
                f"Image {index}: mask of shape {truth.shape}, map of shape {scores.shape}; both must be (H, W)."
            )
        _check_scores(scores, f"the scores of image {index}")
        pooled.add(scores, truth)
    if not len(pooled):
        raise MetricError("There are no images to measure.")
    return pixel_metrics_of_steps(pooled.merge(fpr_limit)[0], fpr_limit)


def pixel_metrics_from_counts(
    counts: Sequence[CellCounts], scores: Sequence[NDArray[Any]], fpr_limit: float = 0.3
) -> PixelMetrics:
    """Compute what ``pixel_metrics`` gives for maps that are constant on cells.

    Args:
        counts: the ground truth of each image, counted in its cells.
        scores: ``(C,)`` for each image, the score of each cell; compared as float64.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

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
        _check_scores(values, f"the scores of image {index}")
        histograms.append(histogram_of_cells(count, values))
    return pixel_metrics_from_histograms(histograms, fpr_limit)


def pixel_metrics_from_histograms(
    histograms: ScoreHistograms | Sequence[ScoreHistogram], fpr_limit: float = 0.3
) -> PixelMetrics:
    """Compute what ``pixel_metrics`` gives for the maps that the histograms were counted from.

    Raises:
        MetricError: there are no images, or the limit is out of range.
    """
    _check_limit(fpr_limit)
    if not len(histograms):
        raise MetricError("There are no images to measure.")
    return pixel_metrics_of_steps(ScoreHistograms.of(histograms).steps(fpr_limit), fpr_limit)


def pixel_metrics_of_steps(steps: Steps, fpr_limit: float = 0.3) -> PixelMetrics:
    """Compute the metrics from the counts at each threshold."""
    values = _of_thresholds(steps, "pixel", ("aupro", "aupro_rescaled", "lowest_fraction"))
    if not steps.n_positives or not steps.n_negatives:
        return PixelMetrics(**values, fpr_limit=fpr_limit)
    values |= {"aupro": float(aupro(steps, fpr_limit)), "lowest_fraction": steps.n_lowest / steps.n_negatives}
    if steps.n_below_limit:
        values["aupro_rescaled"] = float(aupro_rescaled(steps))
    else:
        values["undefined"] = {"aupro_rescaled": "no false-positive rate between 0 and the limit is observed"}
    return PixelMetrics(**values, fpr_limit=fpr_limit)


def _of_thresholds(steps: Steps, unit: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """Compute what images and pixels have in common, and say why it, or one of the others, is undefined."""
    if not steps.n_positives:
        return {"undefined": dict.fromkeys(("auroc", "ap", "f1_max", *others), f"no {unit} is anomalous")}
    f1, index = f1_max(steps)
    values = {"ap": float(ap(steps)), "f1_max": float(f1), "f1_threshold": float(steps.scores[index])}
    if not steps.n_negatives:
        return {**values, "undefined": dict.fromkeys(("auroc", *others), f"no {unit} is normal")}
    return {**values, "auroc": float(auroc(steps)), "undefined": {}}


def _check_limit(fpr_limit: float) -> None:
    if not 0 < fpr_limit <= 1:
        raise MetricError(f"The limit of the false-positive rate must be in (0, 1], not {fpr_limit!r}.")


def _as_truth(values: Any, name: str) -> NDArray[np.bool_]:
    """Return ground truth as booleans: True where it is not 0; MetricError unless all values are real numbers."""
    truth = _as_array(values, name)
    if truth.dtype == np.bool_:
        return truth
    if truth.dtype.kind not in "iuf":
        raise MetricError(f"The dtype of {name} is {truth.dtype}; ground truth must be boolean or numeric.")
    if np.isnan(truth).any():
        raise MetricError(f"There is NaN among {name}; ground truth is 0 (normal) or any other number (anomalous).")
    return np.asarray(truth != 0, dtype=np.bool_)


def _check_scores(scores: NDArray[Any], name: str) -> None:
    """Raise MetricError unless scores are finite real numbers."""
    if scores.dtype.kind not in "biuf":
        raise MetricError(f"The dtype of {name} is {scores.dtype}; scores must be real numbers.")
    finite = np.isfinite(scores)
    if not finite.all():
        at = np.argwhere(~finite)[0]
        raise MetricError(f"Among {name} is {scores[tuple(at)]}, at index {at.tolist()}; scores must be finite.")


def _as_array(values: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise MetricError(f"{name.capitalize()} are not an array of numbers: {error}.") from error
