"""Metrics of anomaly maps: from pixel arrays, from counts in cells, or from score histograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.curves import Steps, ap, aupro, aupro_rescaled, auroc, f1_max, steps_of
from lvlm_ad.metrics.histograms import CellCounts, ScoreHistogram, ScoreHistograms, histogram_of_cells
from lvlm_ad.metrics.image import as_truth, check_scores
from lvlm_ad.metrics.own_maps import PooledMaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PixelMetrics",
    "pixel_metrics",
    "pixel_metrics_from_counts",
    "pixel_metrics_from_histograms",
    "pixel_metrics_of_steps",
]

_IN_MEMORY = (np.ndarray, list, tuple)
_NEED_NORMAL = ("auroc", "aupro", "aupro_rescaled", "lowest_fraction")


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

    Beside arrays, lists and tuples this takes about 100 MB, or a 16th of the scores, and 70 bytes for each anomalous
    pixel. Other iterables are read once; their scores stay in memory up to a gigabyte, then in a temporary file.

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
    copy = not (isinstance(masks, _IN_MEMORY) and isinstance(maps, _IN_MEMORY))
    pooled = PooledMaps()
    for index, (mask, one) in enumerate(zip_longest(masks, maps)):
        if mask is None or one is None:
            raise MetricError(f"There are more {'maps' if mask is None else 'masks'}; each map needs one mask.")
        truth, scores = as_truth(mask, "a mask"), np.asarray(one)
        if truth.ndim != 2 or scores.shape != truth.shape or not truth.size:  # noqa: PLR2004 - rows and columns
            raise MetricError(
                f"Image {index}: mask of shape {truth.shape}, map of shape {scores.shape}; both must be (H, W)."
            )
        check_scores(scores, f"the scores of image {index}")
        pooled.add(scores, truth, copy=copy)
    if not len(pooled):
        raise MetricError("There are no images to measure.")
    return pixel_metrics_of_steps(pooled.merge(fpr_limit).steps, fpr_limit)


def _check_limit(fpr_limit: float) -> None:
    if not 0 < fpr_limit <= 1:
        raise MetricError(f"The limit of the false-positive rate must be in (0, 1], not {fpr_limit!r}.")


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
        check_scores(values, f"the scores of image {index}")
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
    arrays = ScoreHistograms.of(histograms).arrays
    overlap = arrays["overlap"] / max(1, int(arrays["n_regions"].sum()))
    steps = steps_of(arrays["scores"], arrays["anomalous"], arrays["normal"], overlap, fpr_limit)
    return pixel_metrics_of_steps(steps, fpr_limit)


def pixel_metrics_of_steps(steps: Steps, fpr_limit: float) -> PixelMetrics:
    """Compute the metrics from the counts at each threshold."""
    if not steps.n_positives:
        undefined = dict.fromkeys(("ap", "f1_max", *_NEED_NORMAL), "no pixel is anomalous")
        return PixelMetrics(fpr_limit=fpr_limit, undefined=undefined)
    f1, index = f1_max(steps)
    of_positives = {"ap": float(ap(steps)), "f1_max": float(f1), "f1_threshold": float(steps.scores[index])}
    if not steps.n_negatives:
        undefined = dict.fromkeys(_NEED_NORMAL, "no pixel is normal")
        return PixelMetrics(**of_positives, fpr_limit=fpr_limit, undefined=undefined)
    observed = steps.n_below_limit > 0
    reason = "no false-positive rate between 0 and the limit is observed"
    return PixelMetrics(
        **of_positives,
        auroc=float(auroc(steps)),
        aupro=float(aupro(steps, fpr_limit)),
        aupro_rescaled=float(aupro_rescaled(steps)) if observed else None,
        lowest_fraction=steps.n_lowest / steps.n_negatives,
        fpr_limit=fpr_limit,
        undefined={} if observed else {"aupro_rescaled": reason},
    )
