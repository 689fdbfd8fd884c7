"""What remains of an image for the pixel metrics: how many pixels of each kind have each score.

From the histograms of a category's images every pixel metric follows, of the category and of any resample of its images;
they are a few kilobytes where maps are megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.pixel import components
from lvlm_ad.metrics.ranking import Growing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.counts import CellCounts

__all__ = [
    "GrowingHistograms",
    "ScoreHistogram",
    "ScoreHistograms",
    "grid_of",
    "histogram_of_cells",
    "histogram_of_map",
]

THRESHOLDS = 256
"""Of the grid on which dense maps are counted."""

_JOINED: Mapping[str, type[Any]] = {
    "scores": np.float64,
    "normal": np.int64,
    "anomalous": np.int64,
    "overlap": np.float64,
}
"""What a histogram holds at each of its scores."""

_COUNTED: Mapping[str, type[Any]] = {"lengths": np.int64, "n_regions": np.int64}
"""What is held of each image."""

_SAMPLE = 2_000_000
"""Pixels of a category that the grid is chosen by."""

_MOST_PIXELS = 1 << 40
"""Of an image; so many of a million images can still be added up."""

_LOWEST_RATE = 1e-6
"""The grid's highest threshold among normal pixels leaves this fraction of them above it."""


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
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


def histogram_of_cells(counts: CellCounts, scores: NDArray[Any]) -> ScoreHistogram:
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


def histogram_of_map(scores: NDArray[Any], mask: NDArray[np.bool_], grid: NDArray[Any]) -> ScoreHistogram:
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
) -> ScoreHistogram:
    """Leave out scores that no pixel has."""
    some = (normal > 0) | (anomalous > 0)
    whole = normal[some].astype(np.int64), anomalous[some].astype(np.int64)
    return ScoreHistogram(levels[some], *whole, overlap[some].astype(np.float64), n_regions)


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
    # Copies: a view would hold all pixels of its map.
    outside = [one[~mask][::step].copy() for one, mask in zip(maps, masks, strict=True)]
    rates = np.geomspace(_LOWEST_RATE, 1.0, half)
    chosen = [np.array([min(one.min() for one in maps)])]
    for scores, shares in ((inside, np.linspace(0, 1, half)), (outside, 1 - rates)):
        joined = np.concatenate(scores)
        if joined.size:
            # Scores that occur, so that few distinct ones stay what they are.
            chosen.append(np.quantile(joined, shares, method="inverted_cdf"))
    return np.unique(np.concatenate(chosen))


class ScoreHistograms(Sequence[ScoreHistogram | None]):
    """The histograms of many images, joined: 32 bytes a score, where arrays of their own take half a kilobyte an image.

    Args:
        arrays: "scores", "normal", "anomalous" and "overlap" of all images, one after the other; "lengths", the number
            of scores of each, -1 for an image without ground truth; "n_regions" of each.

    Raises:
        MetricError: the arrays do not fit together, or hold what no count can be.

    Attributes:
        arrays: the same, to be stored.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = {name: arrays[name] for name in (*_JOINED, *_COUNTED)}
        self._check()
        self._ends = np.maximum(self.arrays["lengths"], 0).cumsum()

    @classmethod
    def of(cls, histograms: Iterable[ScoreHistogram | None]) -> ScoreHistograms:
        """Join histograms; None is an image without ground truth."""
        if isinstance(histograms, ScoreHistograms):
            return histograms
        growing = GrowingHistograms()
        for one in histograms:
            growing.add(one)
        return growing.histograms()

    @classmethod
    def joined(cls, parts: Iterable[ScoreHistograms]) -> ScoreHistograms:
        """Join what is joined already, in order; parts that nobody else holds are let go one by one."""
        growing = GrowingHistograms()
        for part in parts:
            growing.extend(part)
        return growing.histograms()

    def take(self, places: Sequence[int] | NDArray[np.intp]) -> ScoreHistograms:
        """Return the histograms at some places, in that order."""
        lengths = self.arrays["lengths"][places]
        kept = np.maximum(lengths, 0)
        # Entry by entry: where the image's begin, and the how many-th of them it is.
        begins = np.repeat(self._ends[places] - kept, kept)
        entries = begins + np.arange(begins.size) - np.repeat(kept.cumsum() - kept, kept)
        columns = {name: self.arrays[name][entries] for name in _JOINED}
        return ScoreHistograms({**columns, "lengths": lengths, "n_regions": self.arrays["n_regions"][places]})

    @property
    def complete(self) -> bool:
        """Whether each image has ground truth."""
        return bool((self.arrays["lengths"] >= 0).all())

    def _check(self) -> None:
        lengths, regions = self.arrays["lengths"], self.arrays["n_regions"]
        if any(self.arrays[name].dtype.kind != np.dtype(_JOINED.get(name, np.int64)).kind for name in self.arrays):
            raise MetricError("The histograms are of the wrong kind of number.")
        total = int(np.maximum(lengths, 0).sum())
        if regions.shape != lengths.shape or any(self.arrays[name].shape != (total,) for name in _JOINED):
            raise MetricError("The histograms do not fit together.")
        counts = (self.arrays["normal"], self.arrays["anomalous"], self.arrays["overlap"], regions)
        within = all(((one >= 0) & (one <= _MOST_PIXELS)).all() for one in counts)
        if not within or not np.isfinite(self.arrays["scores"]).all() or not ((lengths == -1) | (lengths > 0)).all():
            raise MetricError("The histograms hold scores or counts that cannot be.")
        anomalous = np.zeros(lengths.size, dtype=np.int64)
        some = lengths > 0
        if total:
            anomalous[some] = np.add.reduceat(self.arrays["anomalous"], lengths[some].cumsum() - lengths[some])
        # A region has a pixel at least, and an anomalous pixel lies in one.
        if (regions > anomalous).any() or ((regions == 0) != (anomalous == 0)).any():
            raise MetricError("The histograms hold regions that do not fit their pixels.")

    def __len__(self) -> int:
        return int(self._ends.size)

    @overload
    def __getitem__(self, index: int) -> ScoreHistogram | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[ScoreHistogram | None]: ...
    def __getitem__(self, index: int | slice) -> ScoreHistogram | list[ScoreHistogram | None] | None:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        length, end = int(self.arrays["lengths"][index]), int(self._ends[index])
        if length < 0:
            return None
        scores, normal, anomalous, overlap = (self.arrays[name][end - length : end] for name in _JOINED)
        return ScoreHistogram(scores, normal, anomalous, overlap, int(self.arrays["n_regions"][index]))


class GrowingHistograms:
    """Joins histograms while they come in."""

    def __init__(self) -> None:
        self._columns = {name: Growing(dtype) for name, dtype in (*_JOINED.items(), *_COUNTED.items())}

    def add(self, histogram: ScoreHistogram | None) -> None:
        """Add the histogram of one more image; None: it has no ground truth."""
        self._columns["lengths"].add(np.array([-1 if histogram is None else histogram.scores.size]))
        self._columns["n_regions"].add(np.array([0 if histogram is None else histogram.n_regions]))
        if histogram is not None:
            for name in _JOINED:
                self._columns[name].add(getattr(histogram, name))

    def extend(self, histograms: ScoreHistograms) -> None:
        """Add histograms."""
        for name, column in self._columns.items():
            column.add(histograms.arrays[name])

    def histograms(self) -> ScoreHistograms:
        """Return all that was added; no more is to be added then."""
        return ScoreHistograms({name: column.values for name, column in self._columns.items()})
