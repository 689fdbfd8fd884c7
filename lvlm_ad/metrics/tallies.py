"""What remains of an image for the pixel metrics: how many pixels of each kind have each score.

From the tallies of a category's images every pixel metric follows, of the category and of any resample of its images;
they are a few kilobytes where maps are megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.pixel import components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.counts import CellCounts

__all__ = ["PixelTally", "from_arrays", "grid_of", "tally_cells", "tally_map", "to_arrays"]

THRESHOLDS = 256
"""Of the grid on which dense maps are counted."""

_SAMPLE = 2_000_000
"""Pixels of a category that the grid is chosen by."""

_LOWEST_RATE = 1e-6
"""The grid's highest threshold among normal pixels leaves this fraction of them above it."""


@dataclass(frozen=True, eq=False)
class PixelTally:
    """One image's pixels by score; k distinct scores, ascending.

    Attributes:
        scores: float64 ``(k,)``.
        normal: int64 ``(k,)``, normal pixels with exactly this score.
        anomalous: int64 ``(k,)``, anomalous ones.
        overlap: float64 ``(k,)``, the fraction of each ground-truth region that has this score, added up over regions.
        n_regions: 8-connected regions of the mask.
    """

    scores: NDArray[np.float64]
    normal: NDArray[np.int64]
    anomalous: NDArray[np.int64]
    overlap: NDArray[np.float64]
    n_regions: int


def tally_cells(counts: CellCounts, scores: NDArray[Any]) -> PixelTally:
    """Tally a map that is constant on cells; exact.

    Args:
        counts: the ground truth, counted in the cells.
        scores: ``(C,)``, the score of each cell, finite.
    """
    levels, place = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    normal, anomalous = np.zeros((2, levels.size), dtype=np.int64)
    np.add.at(normal, place, counts.normal)
    inside = place[counts.cell]
    np.add.at(anomalous, inside, counts.pixels)
    overlap = np.bincount(inside, counts.pixels / counts.component_sizes[counts.component], levels.size)
    return _kept(levels, normal, anomalous, overlap, counts.n_components)


def tally_map(scores: NDArray[Any], mask: NDArray[np.bool_], grid: NDArray[Any]) -> PixelTally:
    """Tally a dense map on a grid: a pixel has the score of the highest threshold that it reaches.

    Args:
        scores: ``(H, W)``, finite, none below the lowest threshold.
        mask: bool ``(H, W)``.
        grid: ``(G,)``, ascending thresholds.
    """
    # Halving the grid eight times is quicker than sorting the pixels.
    place = np.searchsorted(grid, scores.ravel(), side="right").reshape(mask.shape) - 1
    normal = np.bincount(place[~mask], minlength=grid.size)
    labels, n_regions = components(mask)
    inside, region = place[mask], labels[mask]
    anomalous = np.bincount(inside, minlength=grid.size)
    overlap = np.bincount(inside, 1.0 / np.bincount(region)[region] if region.size else None, grid.size)
    return _kept(np.asarray(grid, dtype=np.float64), normal, anomalous, overlap, n_regions)


def _kept(
    levels: NDArray[np.float64],
    normal: NDArray[Any],
    anomalous: NDArray[Any],
    overlap: NDArray[Any],
    n_regions: int,
) -> PixelTally:
    """Leave out scores that no pixel has."""
    some = (normal > 0) | (anomalous > 0)
    whole = normal[some].astype(np.int64), anomalous[some].astype(np.int64)
    return PixelTally(levels[some], *whole, overlap[some].astype(np.float64), n_regions)


def grid_of(maps: Sequence[NDArray[Any]], masks: Sequence[NDArray[np.bool_]]) -> NDArray[Any]:
    """Choose the thresholds on which a category's dense maps are counted.

    Half are quantiles of the anomalous pixels' scores. Half are of the normal ones', at false-positive rates that fall
    by a constant factor: precision is decided where few normal pixels score high.

    Args:
        maps: ``(H, W)`` each, finite.
        masks: bool ``(H, W)`` each.

    Returns:
        ``(G,)``, ascending and distinct, in the maps' dtype; the first is the lowest score. G is at most
        ``THRESHOLDS``.
    """
    pixels = sum(one.size for one in maps)
    step = max(1, pixels // _SAMPLE)
    half = (THRESHOLDS - 1) // 2
    inside = [one[mask] for one, mask in zip(maps, masks, strict=True)]
    outside = [one[~mask][::step] for one, mask in zip(maps, masks, strict=True)]
    rates = np.geomspace(_LOWEST_RATE, 1.0, half)
    chosen = [np.array([min(one.min() for one in maps)])]
    for scores, shares in ((inside, np.linspace(0, 1, half)), (outside, 1 - rates)):
        joined = np.concatenate(scores)
        if joined.size:
            # Scores that occur, so that few distinct ones stay what they are.
            chosen.append(np.quantile(joined, shares, method="inverted_cdf"))
    return np.unique(np.concatenate(chosen))


def to_arrays(tallies: Sequence[PixelTally | None]) -> dict[str, NDArray[Any]]:
    """Return plain arrays to store, one tally after the other; None is an image without ground truth."""
    some = [one for one in tallies if one is not None]
    lengths = [-1 if one is None else one.scores.size for one in tallies]
    joined = {
        name: np.concatenate([np.empty(0, dtype), *(getattr(one, name) for one in some)])
        for name, dtype in (("scores", "f8"), ("normal", "i8"), ("anomalous", "i8"), ("overlap", "f8"))
    }
    regions = [0 if one is None else one.n_regions for one in tallies]
    return {**joined, "lengths": np.array(lengths, dtype=np.int64), "n_regions": np.array(regions, dtype=np.int64)}


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> list[PixelTally | None]:
    """Rebuild tallies from ``to_arrays``.

    Raises:
        MetricError: the arrays do not fit together, or hold what no count can be.
    """
    names = ("scores", "normal", "anomalous", "overlap")
    lengths, regions = arrays["lengths"], arrays["n_regions"]
    kinds = {"scores": "f", "overlap": "f"}
    if any(arrays[name].dtype.kind != kinds.get(name, "i") for name in (*names, "lengths", "n_regions")):
        raise MetricError("The tallies are of the wrong kind of number.")
    ends = np.maximum(lengths, 0).cumsum()
    total = int(ends[-1]) if ends.size else 0
    if regions.shape != lengths.shape or any(arrays[name].shape != (total,) for name in names):
        raise MetricError("The tallies do not fit together.")
    counts = (arrays["normal"], arrays["anomalous"], arrays["overlap"], regions)
    if not np.isfinite(arrays["scores"]).all() or any(not (one >= 0).all() for one in counts):
        raise MetricError("The tallies hold scores or counts that cannot be.")
    found: list[PixelTally | None] = []
    for length, end, count in zip(lengths.tolist(), ends.tolist(), regions.tolist(), strict=True):
        part = slice(end - length, end)
        scores, normal, anomalous, overlap = (arrays[name][part] for name in names)
        found.append(None if length < 0 else PixelTally(scores, normal, anomalous, overlap, count))
    return found
