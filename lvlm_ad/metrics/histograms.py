"""Score histograms: how many normal and anomalous pixels of an image have each score.

Every pixel metric follows from the histograms of a category's images, and so does the metric of any bootstrap resample
of them. A histogram takes kilobytes where a map takes megabytes. For a map that is constant on cells it comes from the
ground truth counted in these cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.curves import Steps, steps_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CellCounts", "ScoreHistogram", "ScoreHistograms", "components", "count_cells", "histogram_of_cells"]

_PER_SCORE: Mapping[str, type[Any]] = {
    "scores": np.float64,
    "normal": np.int64,
    "anomalous": np.int64,
    "overlap": np.float64,
}
"""Arrays with an entry for each score of each image."""

_PER_IMAGE: Mapping[str, type[Any]] = {"lengths": np.int64, "n_regions": np.int64}
"""Arrays with an entry for each image."""

_MOST_PIXELS = 1 << 40
"""Of an image; the sum over a million images still fits int64."""


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

    Example:
        >>> import numpy as np
        >>> counts = count_cells(np.array([[0, 0, 1]]), np.array([[0, 255, 255]]))
        >>> counts.component_sizes
        array([2])
    """

    normal: NDArray[np.int64]
    cell: NDArray[np.int32]
    component: NDArray[np.int32]
    pixels: NDArray[np.int64]
    n_components: int

    @property
    def component_sizes(self) -> NDArray[np.int64]:
        """Pixels of each component, int64 ``(K,)``."""
        return _summed(self.component, self.pixels, self.n_components)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays to store."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

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

    Example:
        >>> import numpy as np
        >>> counts = count_cells(np.array([[0, 0, 1]]), np.array([[0, 255, 255]]))
        >>> counts.normal, counts.cell, counts.pixels
        (array([1, 0]), array([0, 1], dtype=int32), array([1, 1]))
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
    labels, n_components = components(truth)
    pair = cells[truth].astype(np.int64) * n_components + labels[truth] - 1
    pairs, pixels = np.unique(pair, return_counts=True)
    cell, component = np.divmod(pairs, max(n_components, 1))
    return CellCounts(
        normal=np.bincount(cells.ravel(), minlength=total) - np.bincount(cells[truth], minlength=total),
        cell=cell.astype(np.int32),
        component=component.astype(np.int32),
        pixels=pixels.astype(np.int64),
        n_components=n_components,
    )


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the 8-connected regions of a mask 1..K, 0 where it is normal; returns the numbers and K."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    if not mask.any():
        return labels, 0
    # Defects are small: the part of the image that holds them is labelled, in the same order.
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    labels[part], count = ndimage.label(mask[part], structure=np.ones((3, 3), dtype=np.int8))
    return labels, int(count)


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """One image's pixels by score; k distinct scores, ascending.

    Attributes:
        scores: float64 ``(k,)``.
        normal: int64 ``(k,)``, normal pixels with exactly this score.
        anomalous: int64 ``(k,)``, anomalous pixels with exactly this score.
        overlap: float64 ``(k,)``, the fraction of each ground-truth region that has this score, summed over regions.
        n_regions: 8-connected regions of the mask.
    """

    scores: NDArray[np.float64]
    normal: NDArray[np.int64]
    anomalous: NDArray[np.int64]
    overlap: NDArray[np.float64]
    n_regions: int

    @classmethod
    def of(
        cls,
        scores: NDArray[Any],
        normal: NDArray[Any],
        anomalous: NDArray[Any],
        overlap: NDArray[Any],
        n_regions: int,
    ) -> ScoreHistogram:
        """Make a histogram; scores that no pixel has are left out."""
        used = (normal > 0) | (anomalous > 0)
        return cls(scores[used].astype(np.float64), normal[used], anomalous[used], overlap[used], n_regions)


def histogram_of_cells(counts: CellCounts, scores: NDArray[Any]) -> ScoreHistogram:
    """Count a map that is constant on cells.

    Args:
        counts: the ground truth, counted in the cells.
        scores: ``(C,)``, the score of each cell, finite.
    """
    levels, place = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    inside = place[counts.cell]
    normal = _summed(place, counts.normal, levels.size)
    anomalous = _summed(inside, counts.pixels, levels.size)
    overlap = np.bincount(inside, counts.pixels / counts.component_sizes[counts.component], levels.size)
    return ScoreHistogram.of(levels, normal, anomalous, overlap, counts.n_components)


def _summed(places: NDArray[Any], counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Add up counts by their place, in integers."""
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, places, counts)
    return sums


class ScoreHistograms(Sequence[ScoreHistogram | None]):
    """The histograms of many images in joint arrays, as ``pixels.npz`` stores them; None: no ground truth.

    Args:
        arrays: "scores", "normal", "anomalous" and "overlap" of all images, one after the other; "lengths", the number
            of scores of each image, -1 for an image without ground truth; "n_regions" of each image.

    Raises:
        MetricError: the arrays do not fit together, or hold impossible counts.

    Attributes:
        arrays: the same, to be stored.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = {name: arrays[name] for name in (*_PER_SCORE, *_PER_IMAGE)}
        self._check()
        self._ends = np.maximum(self.arrays["lengths"], 0).cumsum()

    @classmethod
    def of(cls, histograms: Iterable[ScoreHistogram | None]) -> ScoreHistograms:
        """Join the histograms of images."""
        if isinstance(histograms, ScoreHistograms):
            return histograms
        images = list(histograms)
        counted = [one for one in images if one is not None]
        columns = {name: [getattr(one, name) for one in counted] for name in _PER_SCORE}
        arrays = {
            name: np.concatenate(columns[name], dtype=dtype) if counted else np.empty(0, dtype)
            for name, dtype in _PER_SCORE.items()
        }
        lengths = [-1 if one is None else one.scores.size for one in images]
        regions = [0 if one is None else one.n_regions for one in images]
        return cls({**arrays, "lengths": np.array(lengths, np.int64), "n_regions": np.array(regions, np.int64)})

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> ScoreHistograms:
        """Return the histograms of some images, in the order of ``indices``."""
        return self.of([self[int(index)] for index in indices])

    def steps(self, fpr_limit: float = 0.3) -> Steps:
        """Count the thresholds of all images together."""
        overlap = self.arrays["overlap"] / max(1, int(self.arrays["n_regions"].sum()))
        scores, anomalous, normal = (self.arrays[name] for name in ("scores", "anomalous", "normal"))
        return steps_of(scores, anomalous, normal, overlap, fpr_limit)

    @property
    def n_known(self) -> int:
        """How many images have ground truth."""
        return int(np.count_nonzero(self.arrays["lengths"] >= 0))

    @property
    def measurable(self) -> bool:
        """Whether pixel metrics mean anything: all ground truth is known, or some known ground truth has a defect."""
        return self.n_known == len(self) or bool(self.arrays["n_regions"].any())

    def _check(self) -> None:
        """Raise MetricError unless the arrays can be the counts of images: they may come from a stranger's file."""
        lengths, regions = self.arrays["lengths"], self.arrays["n_regions"]
        dtypes = {**_PER_SCORE, **_PER_IMAGE}
        if any(self.arrays[name].dtype.kind != np.dtype(dtype).kind for name, dtype in dtypes.items()):
            raise MetricError("The score histograms are of the wrong kind of number.")
        if lengths.ndim != 1 or lengths.max(initial=0) > self.arrays["scores"].size:
            raise MetricError("The arrays of the score histograms do not fit together.")
        total = int(np.maximum(lengths, 0).sum())
        if regions.shape != lengths.shape or any(self.arrays[name].shape != (total,) for name in _PER_SCORE):
            raise MetricError("The arrays of the score histograms do not fit together.")
        counts = (self.arrays["normal"], self.arrays["anomalous"], self.arrays["overlap"], regions)
        possible = all(((one >= 0) & (one <= _MOST_PIXELS)).all() for one in counts)
        if not possible or not np.isfinite(self.arrays["scores"]).all() or not ((lengths == -1) | (lengths > 0)).all():
            raise MetricError("The score histograms hold impossible scores or counts.")
        anomalous = np.zeros(lengths.size, dtype=np.int64)
        some = lengths > 0
        if total:
            anomalous[some] = np.add.reduceat(self.arrays["anomalous"], lengths[some].cumsum() - lengths[some])
        # A region has at least one pixel, and each anomalous pixel lies in a region.
        if (regions > anomalous).any() or ((regions == 0) != (anomalous == 0)).any():
            raise MetricError("The score histograms hold regions that do not fit their pixels.")

    def __len__(self) -> int:
        return int(self._ends.size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(len(self))[index]]
        length, end = int(self.arrays["lengths"][index]), int(self._ends[index])
        if length < 0:
            return None
        scores, normal, anomalous, overlap = (self.arrays[name][end - length : end] for name in _PER_SCORE)
        return ScoreHistogram(scores, normal, anomalous, overlap, int(self.arrays["n_regions"][index]))
