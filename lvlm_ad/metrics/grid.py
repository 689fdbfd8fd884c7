"""F1 at 21 fixed thresholds, for comparison with published numbers only.

ADer (zhangzjn/ADer, util/metric.py) scales all scores of a category to 0..1. It takes the best F1 at 21 thresholds 0.05
apart, and the mean F1 at seven thresholds 0.1 apart. A single very high score squeezes all others together and changes
these values, so do not rank by them: ``pixel_f1_max`` is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.metrics.checks import map_pairs
from lvlm_ad.metrics.named import NamedMetrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistogram

__all__ = ["f1_grid", "f1_grid_from_histograms"]

_GRIDS = {"f1_grid21": np.arange(21) / 20, "f1_mean_0.2_0.8_0.1": np.arange(2, 9) / 10}
"""Thresholds of the maximum, and of the mean."""


def f1_grid(masks: Sequence[NDArray[Any]] | NDArray[Any], maps: Sequence[NDArray[Any]] | NDArray[Any]) -> NamedMetrics:
    """Compute F1 on ADer's grids of thresholds.

    Args:
        masks: n arrays ``(H, W)``, anomalous where not 0; gone through once.
        maps: as many arrays of the same sizes, finite; gone through twice.

    Returns:
        "f1_grid21", the highest F1 at the scaled thresholds 0, 0.05 .. 1, and "f1_mean_0.2_0.8_0.1", the mean at 0.2,
        0.3 .. 0.8. A pixel is positive strictly above a threshold. None where no pixel is anomalous, or all scores are
        equal.

    Raises:
        MetricError: numbers or shapes differ, or a score is not a finite number.

    Example:
        >>> f1_grid(np.array([[[0, 1, 1]]]), np.array([[[0.0, 0.5, 1.0]]])).values["f1_grid21"]
        1.0
    """
    ends = [(float(one.min()), float(one.max())) for one in map(np.asarray, maps)]
    low, high = min(end for end, _ in ends), max(end for _, end in ends)
    pixels = (
        (scores.astype(np.float64).ravel(), (~mask).ravel().astype(np.int64), mask.ravel().astype(np.int64))
        for scores, mask in map_pairs(masks, maps)
    )
    return _on_grids(pixels, low, high)


def f1_grid_from_histograms(histograms: Sequence[ScoreHistogram]) -> NamedMetrics:
    """Compute what ``f1_grid`` gives for the maps that the histograms were counted from, as exactly as they are.

    Example:
        >>> from lvlm_ad.metrics import count_cells
        >>> from lvlm_ad.metrics.histograms import histogram_of_cells
        >>> counts = count_cells(np.array([[0, 0, 1]]), np.array([[0, 0, 1]]))
        >>> f1_grid_from_histograms([histogram_of_cells(counts, np.array([0.2, 0.7]))]).values["f1_grid21"]
        1.0
    """
    low, high = min(one.scores[0] for one in histograms), max(one.scores[-1] for one in histograms)
    return _on_grids(((one.scores, one.normal, one.anomalous) for one in histograms), float(low), float(high))


def _on_grids(pixels: Any, low: float, high: float) -> NamedMetrics:
    """Count the pixels of all images above each threshold; ``pixels`` yields scores, normal and anomalous counts."""
    if low == high:
        return NamedMetrics.without(list(_GRIDS), "all scores are equal")
    edges = np.unique(np.concatenate(list(_GRIDS.values())))
    counts = np.zeros((2, edges.size + 1), dtype=np.int64)
    for scores, normal, anomalous in pixels:
        # How many thresholds a score exceeds.
        exceeded = np.searchsorted(edges, (scores - low) / (high - low), side="left")
        for row, own in zip(counts, (normal, anomalous), strict=True):
            np.add.at(row, exceeded, own)
    false, hits = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    if not hits[0]:
        return NamedMetrics.without(list(_GRIDS), "no pixel is anomalous")
    f1 = 2 * hits[1:] / (hits[0] + hits[1:] + false[1:])
    best, mean = (f1[np.searchsorted(edges, grid)] for grid in _GRIDS.values())
    return NamedMetrics(dict(zip(_GRIDS, (float(best.max()), float(mean.mean())), strict=True)))
