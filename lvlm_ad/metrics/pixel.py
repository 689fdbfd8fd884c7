"""Metrics of anomaly maps, from pixel arrays."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.curves import Steps
from lvlm_ad.metrics.image import check_real, truth_of
from lvlm_ad.metrics.ranking import Growing, pieces_of, rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PixelMetrics", "check_limit", "components", "from_steps", "pixel_metrics"]

_HELD = (Sequence, np.ndarray)
_NONE = object()

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
    """Compute the metrics of anomaly maps, exactly, from the sorted scores of normal pixels.

    Sequences and arrays are passed over several times and sorted a range of scores at a time; beside them this takes
    about 64 MB, or a 16th of the scores, and 50 bytes for each anomalous pixel. Other iterables are read once, and the
    scores of normal pixels are held in one buffer.

    Args:
        masks: n arrays ``(H, W)``, or one ``(n, H, W)``; a pixel is anomalous where it is not 0. Sizes may differ.
        maps: as many arrays of the same sizes, real numbers, higher is more anomalous; compared in their own dtype.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

    Raises:
        MetricError: there are no images, numbers or shapes differ, scores are no real numbers, one is NaN or infinite
            (the image is named), or the limit is out of range.
    """
    check_limit(fpr_limit)
    held = isinstance(masks, _HELD) and isinstance(maps, _HELD)
    kept = Growing()
    anomalous, weights = Growing(), Growing()
    n_images = n_normal = n_regions = 0
    for truth, values in _checked(masks, maps):
        inside = values[truth]
        n_images += 1
        n_normal += truth.size - inside.size
        anomalous.add(inside)
        if inside.size:
            labels, count = components(truth)
            region = labels[truth]
            weights.add(1.0 / np.bincount(region)[region])
            n_regions += count
        if not held:
            kept.add(values[~truth])
    if not n_images:
        raise MetricError("There are no images to measure.")
    if not n_regions:
        return from_steps(None, fpr_limit, below=0, lowest=0)
    ascending, counts, overlap = _levels(anomalous.values, weights.values)
    overlap /= n_regions
    del anomalous, weights

    def parts() -> Iterator[NDArray[Any]]:
        return (values[~truth] for truth, values in _pairs(masks, maps))

    pieces = pieces_of(parts, n_normal, ascending.dtype) if held else [(kept.sorted(), 1)]
    ranks = rank(ascending, pieces, n_normal, allowed=math.ceil(fpr_limit * n_normal) - 1)
    steps = Steps(
        scores=ascending[::-1],
        positives=counts[::-1],
        above=(n_normal - ranks.upto)[::-1],
        reached=(n_normal - ranks.below)[::-1],
        n_negatives=n_normal,
        overlap=overlap[::-1],
    )
    shared = ranks.minimum is not None and ranks.minimum <= ascending[0]
    return from_steps(steps, fpr_limit, below=ranks.fitting, lowest=ranks.lowest if shared else 0)


def _pairs(masks: Iterable[Any], maps: Iterable[Any]) -> Iterator[tuple[NDArray[np.bool_], NDArray[Any]]]:
    """Give masks and maps together; half precision as single, which sorts faster and compares alike.

    Raises:
        MetricError: there are more of one than of the other.
    """
    for mask, one in zip_longest(masks, maps, fillvalue=_NONE):
        if mask is _NONE or one is _NONE:
            raise MetricError(f"There are more {'maps' if mask is _NONE else 'masks'}; they must be as many.")
        truth, values = truth_of(mask, "a mask"), np.asarray(one)
        yield truth, values.astype(np.float32) if values.dtype == np.float16 else values


def _checked(masks: Iterable[Any], maps: Iterable[Any]) -> Iterator[tuple[NDArray[np.bool_], NDArray[Any]]]:
    """Give what ``_pairs`` gives, unless something is wrong with it."""
    for index, (truth, values) in enumerate(_pairs(masks, maps)):
        if truth.ndim != 2 or values.shape != truth.shape:  # noqa: PLR2004 - rows and columns
            raise MetricError(
                f"Image {index}: mask of shape {truth.shape}, map of shape {values.shape}; both must be (H, W)."
            )
        check_real(values, f"the map of image {index}")
        if not np.isfinite(values).all():
            raise MetricError(f"The map of image {index} holds NaN or infinite scores.")
        yield truth, values


def _levels(
    scores: NDArray[Any], shares: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Put equal scores together: the distinct ones ascending, how often each occurs, and what their shares sum to."""
    order = np.argsort(scores)
    ascending = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1])))
    counts = np.diff(starts, append=scores.size).astype(np.int64, copy=False)
    return ascending[starts], counts, np.add.reduceat(shares[order], starts)


def check_limit(fpr_limit: Any) -> None:
    """Raise MetricError unless a false-positive rate is a number in (0, 1]."""
    if not isinstance(fpr_limit, numbers.Real) or not 0 < float(fpr_limit) <= 1:
        raise MetricError(f"The limit of the false-positive rate must be in (0, 1], not {fpr_limit!r}.")


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label the 8-connected regions of a ground-truth mask, 1..K; 0 is normal."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    return np.asarray(labels, dtype=np.int32), int(count)


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
