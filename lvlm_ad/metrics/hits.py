"""Hits: which defects the places named in an answer touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.histograms import components
from lvlm_ad.metrics.stability.measured import Measured, as_table, wilson

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["DefectHits", "defect_hits", "hit_rate"]


@dataclass(frozen=True, eq=False)
class DefectHits:
    """The defects of one image, K of them: the 8-connected components of its mask.

    Attributes:
        shares: float64 ``(K,)``, how much of the image each covers, in 0..1.
        hit: bool ``(K,)``, whether a named place touches it.
        false_share: the fraction of normal pixels that named places cover; None if no pixel is normal.
    """

    shares: NDArray[np.float64]
    hit: NDArray[np.bool_]
    false_share: float | None


def defect_hits(named: NDArray[np.bool_], mask: NDArray[Any]) -> DefectHits:
    """Find out which defects of an image are hit: at least one of their pixels lies in a named place.

    That is the rule by which "found" of ``shape_measures`` counts points. An answer that names the whole image hits
    every defect, so read the hits together with ``false_share``.

    Args:
        named: bool ``(H, W)``, the pixels of all places with a score above 0.
        mask: ``(H, W)``, anomalous where not 0.

    Returns:
        K is 0 for a good image.

    Raises:
        MetricError: the sizes differ.

    Example:
        >>> found = defect_hits(np.array([[True, True, False, False]]), np.array([[0, 1, 0, 1]]))
        >>> found.hit.tolist(), found.shares.tolist(), found.false_share
        ([True, False], [0.25, 0.25], 0.5)
    """
    truth = np.asarray(mask) != 0
    if named.shape != truth.shape:
        raise MetricError(f"Places of shape {named.shape} and a mask of shape {truth.shape}: both must be (H, W).")
    labels, count = components(truth)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    hit = np.bincount(labels[named], minlength=count + 1)[1:] > 0
    normal = truth.size - int(areas.sum())
    false = int(np.count_nonzero(named & ~truth))
    return DefectHits(areas / truth.size, hit, false / normal if normal else None)


def hit_rate(hits: ArrayLike, defects: ArrayLike) -> Measured:
    """Compute which fraction of all defects is hit, with Wilson's interval.

    Defects of one image are not independent, so the interval takes an effective number of defects: that of independent
    ones for which the rate would vary as much (variance of a ratio over images; Cochran, Sampling Techniques, 1977,
    section 6.3); where all are hit, or none, the number of images.

    Args:
        hits: ``(n,)``, how many defects of each image are hit.
        defects: ``(n,)``, how many it has; images without any do not count.

    Returns:
        Without a value where there is no defect.

    Raises:
        MetricError: the two have different sizes, or an image has more hits than defects.

    Example:
        >>> found = hit_rate([1, 0, 2, 0], [1, 1, 2, 0])
        >>> found.value, [round(end, 2) for end in found.interval]
        (0.75, [0.22, 0.97])
    """
    found, total = as_table(hits, "hits", 1), as_table(defects, "defects", 1)
    if found.shape != total.shape or (found > total).any():
        raise MetricError(
            "hits and defects must be given for the same images, and no image has more hits than defects."
        )
    found, total = found[total > 0], total[total > 0]
    if not total.size:
        return Measured(None, None, "no defect has this size")
    rate = float(found.sum() / total.sum())
    images = total.size
    effective = float(images)
    if 0 < rate < 1 and images > 1:
        variance = images / (images - 1) * float(((found - rate * total) ** 2).sum()) / float(total.sum()) ** 2
        # An effective number above the number of defects is sampling noise, so it is capped.
        effective = min(rate * (1 - rate) / variance, float(total.sum())) if variance else effective
    return Measured(rate, wilson(rate, effective))
