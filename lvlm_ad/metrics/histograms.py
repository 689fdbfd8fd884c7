"""Score histograms: how many normal and anomalous pixels of an image have each score.

Every pixel metric follows from the histograms of a category's images, and so does the metric of any bootstrap resample
of them. A histogram takes kilobytes where a map takes megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lvlm_ad.errors import MetricError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.cells import CellCounts

__all__ = ["ScoreHistogram", "ScoreHistograms", "histogram_of_cells"]

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
        return cls(
            scores=scores[used].astype(np.float64),
            normal=normal[used].astype(np.int64),
            anomalous=anomalous[used].astype(np.int64),
            overlap=overlap[used].astype(np.float64),
            n_regions=n_regions,
        )


def histogram_of_cells(counts: CellCounts, scores: NDArray[Any]) -> ScoreHistogram:
    """Count a map that is constant on cells.

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
    return ScoreHistogram.of(levels, normal, anomalous, overlap, counts.n_components)


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

    @classmethod
    def joined(cls, parts: Iterable[ScoreHistograms]) -> ScoreHistograms:
        """Join joint histograms, in order."""
        listed = [part.arrays for part in (cls.of(()), *parts)]
        return cls({name: np.concatenate([one[name] for one in listed]) for name in (*_PER_SCORE, *_PER_IMAGE)})

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> ScoreHistograms:
        """Return the histograms of some images, in the order of ``indices``."""
        return self.of([self[int(index)] for index in indices])

    @property
    def complete(self) -> bool:
        """Whether each image has ground truth."""
        return bool((self.arrays["lengths"] >= 0).all())

    def _check(self) -> None:
        """Raise MetricError unless the arrays can be the counts of images: they may come from a stranger's file."""
        lengths, regions = self.arrays["lengths"], self.arrays["n_regions"]
        dtypes = {**_PER_SCORE, **_PER_IMAGE}
        if any(self.arrays[name].dtype.kind != np.dtype(dtype).kind for name, dtype in dtypes.items()):
            raise MetricError("The score histograms are of the wrong kind of number.")
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
        scores, normal, anomalous, overlap = (self.arrays[name][end - length : end] for name in _PER_SCORE)
        return ScoreHistogram(scores, normal, anomalous, overlap, int(self.arrays["n_regions"][index]))
