"""The exact core: every metric from integer counts at the distinct scores of positives.

A threshold t predicts positive what scores t or more; t runs over every distinct score, and all that share a score
enter at once. Between two scores of positives only negatives enter: there precision and F1 fall and the curves run
flat, so counts at the positives' scores decide every metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Steps", "summed_weights"]

_SAFE = 2**62
"""Sums of products below this cannot overflow int64."""


def summed_weights(place: NDArray[np.intp], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Add up weights by place; float64 ``(size,)``."""
    return np.bincount(place, weights=weights, minlength=size).astype(np.float64, copy=False)


@dataclass(frozen=True, eq=False)
class Steps:
    """Counts at the S distinct scores of positives, highest score first.

    Attributes:
        scores: ``(S,)``, descending.
        positives: int64 ``(S,)``, positives with exactly this score.
        above: int64 ``(S,)``, negatives that score higher.
        reached: int64 ``(S,)``, negatives that score this or higher.
        n_negatives: all negatives.
        overlap: float64 ``(S,)``, what the positives of each score add to the mean overlap of the ground-truth regions;
            sums to 1. None where there are no regions.
    """

    scores: NDArray[Any]
    positives: NDArray[np.int64]
    above: NDArray[np.int64]
    reached: NDArray[np.int64]
    n_negatives: int
    overlap: NDArray[np.float64] | None = None

    @property
    def n_positives(self) -> int:
        """All positives."""
        return int(self.positives.sum())

    def auroc(self) -> float:
        """Mann-Whitney with half credit for ties; an integer numerator, so that the result is correctly rounded."""
        beaten = 2 * self.n_negatives - self.above - self.reached
        total = 2 * self.n_positives * self.n_negatives
        if total < _SAFE:
            return int(self.positives @ beaten) / total
        return sum(int(p) * int(b) for p, b in zip(self.positives, beaten, strict=True)) / total

    def ap(self) -> float:
        """Average precision: the sum over distinct scores of recall gained times precision, not interpolated."""
        found = np.cumsum(self.positives)
        return float(np.sum(self.positives * (found / (found + self.reached))) / self.n_positives)

    def f1_max(self) -> tuple[float, float]:
        """Return the highest F1, 2 TP / (P + TP + FP), and the largest score at which it is reached."""
        found = np.cumsum(self.positives)
        f1 = 2 * found / (self.n_positives + found + self.reached)
        best = int(np.argmax(f1))
        return float(f1[best]), float(self.scores[best])

    def aupro(self, limit: float) -> float:
        """Return the area under the per-region overlap up to a false-positive rate, divided by it.

        Bergmann et al., IJCV 129:1038-1059 (2021); ties are straight segments, the last segment is cut at the limit.
        """
        return self._overlap_area(limit * self.n_negatives) / (limit * self.n_negatives)

    def aupro_up_to(self, false_positives: int) -> float:
        """Return the area up to a number of false positives, divided by it: the rescaled value of published code."""
        return self._overlap_area(float(false_positives)) / false_positives

    def _overlap_area(self, end: float) -> float:
        """Integrate the overlap over the number of false positives from 0 to ``end``."""
        if self.overlap is None:
            raise ValueError("Steps without regions have no overlap.")
        after = np.cumsum(self.overlap)
        before = np.concatenate(([0.0], after[:-1]))
        start, stop = self.above.astype(np.float64), self.reached.astype(np.float64)
        # Where positives and negatives share a score, the curve is a slope from (above, before) to (reached, after).
        run = np.clip(np.minimum(stop, end) - start, 0.0, None)
        width = stop - start
        share = np.divide(run, width, out=np.zeros_like(run), where=width > 0)
        slopes = run * (before + share * (after - before) / 2)
        # From there to the next positives' score it runs flat.
        following = np.concatenate((start[1:], [float(self.n_negatives)]))
        flats = np.clip(np.minimum(following, end) - stop, 0.0, None) * after
        return float(np.sum(slopes) + np.sum(flats))
