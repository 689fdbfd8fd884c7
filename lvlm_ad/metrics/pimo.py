"""AUPIMO: the pixel recall of each anomalous image where false positives are rare, exactly.

Bertoldo et al., BMVC 2024 (arXiv 2401.01984). F(t) is the mean, over normal images, of the fraction of their pixels
that score t or more; T(t) is the fraction of the pixels in an anomalous image's mask that do. AUPIMO of this image is
the mean of T over ln F between two bounds, 1e-5 and 1e-4 as published. The curve has a point at every distinct score
with F > 0, is straight in ln F between points, and is interpolated at the bounds. If the smallest F above 0 exceeds the
lower bound, the metric is undefined: there are too few normal pixels, or too few distinct scores, as in most maps of
region scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.checks import map_pairs
from lvlm_ad.metrics.named import at_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistogram

__all__ = ["AUPIMO_BOUNDS", "Aupimo", "aupimo", "aupimo_from_histograms"]

AUPIMO_BOUNDS = (1e-5, 1e-4)
"""The published bounds of the false-positive rate."""

_ROUNDING = 1e-12
"""A rate that exceeds a bound by a smaller fraction counts as equal to it."""


class _Counted(NamedTuple):
    """Pixels by score."""

    scores: NDArray[Any]
    """Ascending."""
    reaching: NDArray[np.int64]
    """How many pixels have each of these scores or a higher one."""
    area: int
    """How many pixels there are, those with lower scores included."""

    def count_above(self, thresholds: NDArray[Any], side: Literal["left", "right"] = "left") -> NDArray[np.int64]:
        """Return how many pixels score at least each threshold; with ``side="right"``, how many score more."""
        return np.append(self.reaching, 0)[np.searchsorted(self.scores, thresholds, side=side)]


@dataclass(frozen=True, slots=True)
class Aupimo:
    """AUPIMO of one category.

    Attributes:
        value: the mean over anomalous images; None where undefined.
        per_image: ``(n,)``, AUPIMO of each image; None for normal ones, and for all where undefined.
        bounds: the lower and the upper bound of the false-positive rate.
        lowest_rate: the smallest false-positive rate above 0; None without a normal image.
        reason: why ``value`` is None, else empty.

    Example:
        >>> aupimo([np.eye(2)], [np.eye(2)]).reason
        'no image is normal'
    """

    value: float | None
    per_image: tuple[float | None, ...]
    bounds: tuple[float, float]
    lowest_rate: float | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The metric's name with its bounds."""
        return at_limit("aupimo", *self.bounds)


def aupimo(
    masks: Iterable[NDArray[Any]] | NDArray[Any],
    maps: Iterable[NDArray[Any]] | NDArray[Any],
    bounds: tuple[float, float] = AUPIMO_BOUNDS,
) -> Aupimo:
    """Compute AUPIMO of anomaly maps.

    Kept in memory are the scores inside masks and, of each normal image, the highest scores: 3 % of them with 300
    images and the published bounds; all of them if ``masks`` has no length.

    Args:
        masks: n arrays ``(H, W)``, anomalous where not 0; an image without such a pixel is normal.
        maps: as many arrays of the same sizes, finite, higher is more anomalous.
        bounds: the bounds of the false-positive rate, 0 < lower < upper <= 1.

    Raises:
        MetricError: numbers or shapes differ, a score is not a finite number, or the bounds are out of range.

    Example:
        >>> normal, map_ = np.linspace(0, 0.5, 100).reshape(10, 10), np.linspace(0, 1, 100).reshape(10, 10)
        >>> found = aupimo([normal * 0, map_ > 0.47], [normal, map_], bounds=(0.01, 0.1))
        >>> found.name, [None if one is None else round(one, 3) for one in found.per_image]
        ('aupimo@0.01..0.1', [None, 0.973])
    """
    # Scores matter where the mean rate is below the upper bound, so the image's own rate is below n times that bound.
    share = len(masks) * bounds[1] if isinstance(masks, Sized) else 1.0
    images = []
    for scores, mask in map_pairs(masks, maps):
        normal = not mask.any()
        values = scores.ravel() if normal else scores[mask]
        kept = np.sort(_highest(values, share) if normal else values)
        images.append((normal, _Counted(kept, np.arange(kept.size, 0, -1, dtype=np.int64), values.size)))
    return _aupimo(images, bounds)


def _highest(values: NDArray[Any], share: float) -> NDArray[Any]:
    """Return the highest scores, at least a share of all; of equal scores, all or none."""
    rank = math.ceil(share * values.size) + 1
    if rank >= values.size:
        return values
    last = np.partition(values, values.size - rank)[values.size - rank]
    return np.asarray(values[values >= last])


def aupimo_from_histograms(histograms: Sequence[ScoreHistogram], bounds: tuple[float, float] = AUPIMO_BOUNDS) -> Aupimo:
    """Compute what ``aupimo`` gives for the maps that the histograms were counted from, as exactly as they are.

    Args:
        histograms: n; an image without a region is normal.
        bounds: as of ``aupimo``.

    Raises:
        MetricError: the bounds are out of range.

    Example:
        >>> from lvlm_ad.metrics import count_cells
        >>> from lvlm_ad.metrics.histograms import histogram_of_cells
        >>> cells, masks = np.array([[0, 0, 0, 1]]), np.array([[[0, 0, 0, 0]], [[0, 0, 0, 1]]])
        >>> maps = [histogram_of_cells(count_cells(cells, mask), np.array([0.2, 0.7])) for mask in masks]
        >>> aupimo_from_histograms(maps).reason
        'the smallest false-positive rate above 0 is 0.25, above the lower bound 1e-05'
    """
    images = []
    for one in histograms:
        normal = one.n_regions == 0
        reaching = (one.normal if normal else one.anomalous)[::-1].cumsum()[::-1]
        images.append((normal, _Counted(one.scores, reaching, int(reaching[0]))))
    return _aupimo(images, bounds)


def _aupimo(images: Sequence[tuple[bool, _Counted]], bounds: tuple[float, float]) -> Aupimo:
    """Compute the metric from each image's pixels: all of a normal image, those in the mask of an anomalous one."""
    lower, upper = bounds
    if not 0 < lower < upper <= 1:
        raise MetricError(f"The bounds of AUPIMO must be 0 < lower < upper <= 1, not {lower!r} and {upper!r}.")
    normal = [counted for is_normal, counted in images if is_normal]
    nothing = (None,) * len(images)
    if not normal:
        return Aupimo(None, nothing, bounds, reason="no image is normal")
    levels, rates = _rates(normal, upper)
    lowest = float(rates[0])
    if len(normal) == len(images):
        return Aupimo(None, nothing, bounds, lowest, "no image is anomalous")
    if lowest > lower * (1 + _ROUNDING):
        reason = f"the smallest false-positive rate above 0 is {lowest:.6g}, above the lower bound {lower:g}"
        return Aupimo(None, nothing, bounds, lowest, reason)
    # Each segment ends at a score of normal pixels. At its start the pixels above this score count, at its end those
    # with this score, too; scores that only anomalous pixels have change T, but not F.
    ends = np.log(rates)
    left, right = np.maximum(ends[:-1], math.log(lower)), np.minimum(ends[1:], math.log(upper))
    crossed = np.flatnonzero(right > left)
    low, high, left, right = ends[crossed], ends[crossed + 1], left[crossed], right[crossed]
    middle = ((left - low) + (right - low)) / (high - low) / 2
    per_image: list[float | None] = []
    for is_normal, counted in images:
        if is_normal:
            per_image.append(None)
            continue
        above, reached = (counted.count_above(levels[crossed + 1], side) / counted.area for side in ("right", "left"))
        area = math.fsum((above + (reached - above) * middle) * (right - left))
        per_image.append(min(area / math.log(upper / lower), 1.0))  # sums of rounded parts may exceed 1
    values = [one for one in per_image if one is not None]
    return Aupimo(math.fsum(values) / len(values), tuple(per_image), bounds, lowest)


def _rates(normal: Sequence[_Counted], upper: float) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the scores of normal pixels, highest first, and the mean rate at each, until one reaches ``upper``."""
    levels = np.unique(np.concatenate([one.scores for one in normal]))[::-1]
    rates = np.zeros(levels.size)
    # Pixels are added as integers for each size of image, so with one size the rates are rounded only once.
    for area in {one.area for one in normal}:
        rates += sum(one.count_above(levels) for one in normal if one.area == area) / (area * len(normal))
    end = int(np.argmax(rates >= upper * (1 - _ROUNDING))) + 1
    return levels[:end], rates[:end]
