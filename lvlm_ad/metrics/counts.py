"""Metrics of maps that are constant on cells, from pixel counts per (cell, ground-truth component); no pixel array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.curves import Steps, summed_weights
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.image import check_real
from lvlm_ad.metrics.pixel import PixelMetrics, check_limit, components, from_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CellCounts", "count_cells", "pixel_metrics_from_counts", "pixel_metrics_from_histograms"]


@dataclass(frozen=True, eq=False)
class CellCounts:
    """One image's ground truth, counted in its C cells.

    The N triples (cell, component, pixels) say how many pixels of a component lie in a cell; absent pairs have none.

    Attributes:
        normal: int64 ``(C,)``, normal pixels of each cell.
        cell: int32 ``(N,)``, 0..C-1.
        component: int32 ``(N,)``, 0..K-1.
        pixels: int64 ``(N,)``, 1 or more.
        n_components: K, the 8-connected regions of the mask.
    """

    normal: NDArray[np.int64]
    cell: NDArray[np.int32]
    component: NDArray[np.int32]
    pixels: NDArray[np.int64]
    n_components: int

    @property
    def component_sizes(self) -> NDArray[np.int64]:
        """Pixels of each component, int64 ``(K,)``."""
        sizes = np.zeros(self.n_components, dtype=np.int64)
        np.add.at(sizes, self.component, self.pixels)
        return sizes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays to store."""
        return {
            "normal": self.normal,
            "cell": self.cell,
            "component": self.component,
            "pixels": self.pixels,
            "n_components": np.array(self.n_components, dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> CellCounts:
        """Rebuild counts from ``to_arrays``."""
        triples = {name: arrays[name] for name in ("normal", "cell", "component", "pixels")}
        return cls(**triples, n_components=int(arrays["n_components"]))


def count_cells(cells: NDArray[Any], mask: NDArray[Any], n_cells: int | None = None) -> CellCounts:
    """Count a ground truth in cells.

    Args:
        cells: integers ``(H, W)``, the cell of each pixel, 0..C-1.
        mask: ``(H, W)``, anomalous where not 0.
        n_cells: C; None: one more than the highest cell.

    Raises:
        MetricError: the shapes differ, or cells are not integers 0..C-1.
    """
    truth, cells = np.asarray(mask) != 0, np.asarray(cells)
    if cells.shape != truth.shape or truth.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise MetricError(f"Cells of shape {cells.shape} and a mask of shape {truth.shape}: both must be (H, W).")
    if cells.dtype.kind not in "iu":
        raise MetricError(f"Cells must be integers, not {cells.dtype}.")
    lowest, highest = (int(cells.min()), int(cells.max())) if cells.size else (0, -1)
    total = highest + 1 if n_cells is None else n_cells
    if lowest < 0 or highest >= total:
        raise MetricError(f"Cells are numbered {lowest}..{highest}; they must lie in 0..{total - 1}.")
    normal = np.bincount(cells[~truth], minlength=total).astype(np.int64)
    labels, count = components(truth)
    pair = cells[truth].astype(np.int64) * count + labels[truth] - 1
    pairs, pixels = np.unique(pair, return_counts=True)
    cell, component = np.divmod(pairs, max(count, 1))
    return CellCounts(
        normal=normal,
        cell=cell.astype(np.int32),
        component=component.astype(np.int32),
        pixels=pixels.astype(np.int64),
        n_components=count,
    )


def pixel_metrics_from_counts(
    counts: Sequence[CellCounts], scores: Sequence[NDArray[Any]], fpr_limit: float = 0.3
) -> PixelMetrics:
    """Compute what ``pixel_metrics`` gives for the painted maps.

    Args:
        counts: of each image.
        scores: ``(C,)`` for each image, the score of each cell; compared in their own dtype.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

    Raises:
        MetricError: there are no images, numbers differ, scores are no real numbers, one is NaN or infinite (the image
            is named), or the limit is out of range.
    """
    check_limit(fpr_limit)
    if len(counts) != len(scores):
        raise MetricError(
            f"There are counts of {len(counts)} images and scores of {len(scores)}; they must be as many."
        )
    if not counts:
        raise MetricError("There are no images to measure.")
    values = [np.asarray(one) for one in scores]
    for index, (count, one) in enumerate(zip(counts, values, strict=True)):
        if one.shape != count.normal.shape:
            raise MetricError(f"Image {index} has {count.normal.size} cells and scores of shape {one.shape}.")
        check_real(one, f"the scores of image {index}")
        if not np.isfinite(one).all():
            raise MetricError(f"The scores of image {index} hold NaN or infinite values.")
    levels, normal = _merged(np.concatenate(values), np.concatenate([count.normal for count in counts]))
    # Only cells with pixels count: a score that no pixel has is no threshold, and no lowest score.
    occupied = np.concatenate([one[_occupied(count)] for count, one in zip(counts, values, strict=True)])
    found = _Pooled(
        levels,
        normal,
        inside=np.concatenate([one[count.cell] for count, one in zip(counts, values, strict=True)]),
        pixels=np.concatenate([count.pixels for count in counts]),
        shares=np.concatenate([count.pixels / count.component_sizes[count.component] for count in counts]),
        n_regions=sum(count.n_components for count in counts),
        lowest=int(normal[levels == occupied.min()].sum()) if occupied.size else 0,
    )
    return found.metrics(fpr_limit)


def pixel_metrics_from_histograms(
    histograms: ScoreHistograms | Sequence[ScoreHistogram], fpr_limit: float = 0.3
) -> PixelMetrics:
    """Compute what ``pixel_metrics`` gives for maps of which histograms are left: exactly, if the histograms are exact.

    Args:
        histograms: of each image; all have ground truth.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

    Raises:
        MetricError: there are no images, or the limit is out of range.
    """
    check_limit(fpr_limit)
    if not len(histograms):
        raise MetricError("There are no images to measure.")
    arrays = ScoreHistograms.of(histograms).arrays
    levels, merged = _merged(arrays["scores"], arrays["normal"])
    some = arrays["anomalous"] > 0
    found = _Pooled(
        levels,
        merged,
        inside=arrays["scores"][some],
        pixels=arrays["anomalous"][some],
        shares=arrays["overlap"][some],
        n_regions=int(arrays["n_regions"].sum()),
        lowest=int(merged[0]) if levels.size else 0,
    )
    return found.metrics(fpr_limit)


@dataclass(frozen=True, eq=False)
class _Pooled:
    """The pixels of all images by score.

    Attributes:
        levels: the distinct scores, ascending.
        normal: normal pixels of each level.
        inside: scores of anomalous pixels.
        pixels: how many have each of these.
        shares: and which fraction of their ground-truth regions they are, added up.
        n_regions: ground-truth regions.
        lowest: normal pixels with the lowest score of all.
    """

    levels: NDArray[Any]
    normal: NDArray[np.int64]
    inside: NDArray[Any]
    pixels: NDArray[np.int64]
    shares: NDArray[np.float64]
    n_regions: int
    lowest: int

    def metrics(self, fpr_limit: float) -> PixelMetrics:
        if not self.n_regions:
            return from_steps(None, fpr_limit, below=0, lowest=self.lowest)
        ascending, place = np.unique(self.inside, return_inverse=True)
        positives = np.zeros(ascending.size, dtype=np.int64)
        np.add.at(positives, place, self.pixels)
        reached_from_below = np.concatenate(([0], np.cumsum(self.normal)))
        total = int(reached_from_below[-1])
        steps = Steps(
            scores=ascending[::-1],
            positives=positives[::-1],
            above=total - reached_from_below[np.searchsorted(self.levels, ascending, side="right")][::-1],
            reached=total - reached_from_below[np.searchsorted(self.levels, ascending, side="left")][::-1],
            n_negatives=total,
            overlap=summed_weights(place, self.shares / self.n_regions, ascending.size)[::-1],
        )
        false_positives = total - reached_from_below
        fitting = false_positives[false_positives < fpr_limit * total]
        return from_steps(steps, fpr_limit, below=int(fitting.max(initial=0)), lowest=self.lowest)


def _merged(scores: NDArray[Any], pixels: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Add up the pixels of equal scores; returns the distinct scores, ascending, and their pixels."""
    levels, place = np.unique(scores, return_inverse=True)
    summed = np.zeros(levels.size, dtype=np.int64)
    np.add.at(summed, place, pixels)
    return levels, summed


def _occupied(count: CellCounts) -> NDArray[np.bool_]:
    """Say which cells have pixels at all."""
    occupied = count.normal > 0
    occupied[count.cell] = True
    return occupied
