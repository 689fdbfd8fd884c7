"""Metrics of anomaly maps, from pixel arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.image import check_real, steps_of_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.curves import Steps

__all__ = ["PixelMetrics", "check_limit", "components", "from_steps", "pixel_metrics"]

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
    masks: Sequence[NDArray[Any]] | NDArray[Any], maps: Sequence[NDArray[Any]] | NDArray[Any], fpr_limit: float = 0.3
) -> PixelMetrics:
    """Compute the metrics of anomaly maps, exactly, with one sort of the normal pixels' scores.

    Args:
        masks: n arrays ``(H, W)``, or one ``(n, H, W)``; a pixel is anomalous where it is not 0. Sizes may differ.
        maps: as many arrays of the same sizes, real numbers, higher is more anomalous; compared in their own dtype.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

    Raises:
        MetricError: there are no images, numbers or shapes differ, scores are no real numbers, one is NaN or infinite
            (the image is named), or the limit is out of range.
    """
    check_limit(fpr_limit)
    if len(masks) != len(maps):
        raise MetricError(f"There are {len(masks)} masks and {len(maps)} maps; they must be as many.")
    if not len(masks):
        raise MetricError("There are no images to measure.")
    truths = [np.asarray(mask) != 0 for mask in masks]
    values = [np.asarray(one) for one in maps]
    for index, (truth, one) in enumerate(zip(truths, values, strict=True)):
        if truth.ndim != 2 or one.shape != truth.shape:  # noqa: PLR2004 - rows and columns
            raise MetricError(
                f"Image {index}: mask of shape {truth.shape}, map of shape {one.shape}; both must be (H, W)."
            )
        check_real(one, f"the map of image {index}")
        if not np.isfinite(one).all():
            raise MetricError(f"The map of image {index} holds NaN or infinite scores.")
    sizes = [int(truth.sum()) for truth in truths]
    normal = np.empty(sum(t.size for t in truths) - sum(sizes), dtype=np.result_type(*values))
    end = 0
    for truth, one in zip(truths, values, strict=True):
        outside = one[~truth]
        normal[end : end + outside.size] = outside
        end += outside.size
    anomalous = np.concatenate([one[truth] for truth, one in zip(truths, values, strict=True)])
    if not anomalous.size:
        return from_steps(None, fpr_limit, below=0, lowest=0)
    weights, n_regions = _weights(truths)
    steps = steps_of_samples(anomalous, normal, weights / n_regions)
    lowest = anomalous.min() if not normal.size else min(anomalous.min(), normal[0])
    return from_steps(
        steps,
        fpr_limit,
        below=_below(normal, fpr_limit),
        lowest=int(np.searchsorted(normal, lowest, side="right")),
    )


def check_limit(fpr_limit: float) -> None:
    """Raise MetricError unless a false-positive rate is in (0, 1]."""
    if not 0 < fpr_limit <= 1:
        raise MetricError(f"The limit of the false-positive rate must be in (0, 1], not {fpr_limit}.")


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label the 8-connected regions of a ground-truth mask, 1..K; 0 is normal."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    return np.asarray(labels, dtype=np.int32), int(count)


def _weights(truths: Sequence[NDArray[np.bool_]]) -> tuple[NDArray[np.float64], int]:
    """Return 1 / size of its region for each anomalous pixel, and how many regions there are."""
    weights, total = [], 0
    for truth in truths:
        if truth.any():
            labels, count = components(truth)
            inside = labels[truth]
            weights.append(1.0 / np.bincount(inside)[inside])
            total += count
    return np.concatenate(weights), total


def _below(ascending: NDArray[Any], limit: float) -> int:
    """Return the largest number of false positives, below the limit, that some threshold gives."""
    allowed = math.ceil(limit * ascending.size) - 1
    if allowed < 0:
        return 0
    if allowed >= ascending.size:
        return int(ascending.size)
    # One more than allowed would need this score; only what scores higher fits.
    return int(ascending.size - np.searchsorted(ascending, ascending[ascending.size - 1 - allowed], side="right"))


def from_steps(steps: Steps | None, fpr_limit: float, *, below: int, lowest: int) -> PixelMetrics:
    """Compute the metrics from counts.

    Args:
        steps: the counts; None: there is no anomalous pixel.
        fpr_limit: the limit for AUPRO.
        below: the largest number of false positives below the limit that some threshold gives.
        lowest: how many normal pixels have the lowest score.
    """
    if steps is None:
        return PixelMetrics(
            fpr_limit=fpr_limit, undefined=dict.fromkeys(("ap", "f1_max", *_NEED_NORMAL), "no pixel is anomalous")
        )
    f1, threshold = steps.f1_max()
    if not steps.n_negatives:
        reason = dict.fromkeys(_NEED_NORMAL, "no pixel is normal")
        return PixelMetrics(ap=steps.ap(), f1_max=f1, f1_threshold=threshold, fpr_limit=fpr_limit, undefined=reason)
    return PixelMetrics(
        auroc=steps.auroc(),
        ap=steps.ap(),
        f1_max=f1,
        aupro=steps.aupro(fpr_limit),
        f1_threshold=threshold,
        aupro_rescaled=steps.aupro_up_to(below) if below else None,
        lowest_fraction=lowest / steps.n_negatives,
        fpr_limit=fpr_limit,
        undefined={} if below else {"aupro_rescaled": "no false-positive rate between 0 and the limit is observed"},
    )
