"""The exact core: every metric from integer counts at the distinct scores of positives.

A threshold t predicts positive what scores t or more; t runs over every distinct score, and all that share a score
enter at once. Between two scores of positives only negatives enter: there precision and F1 fall and the curves run
flat, so counts at the positives' scores decide every metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Steps", "overlap_run", "summed_weights"]

_AT_ONCE = 1 << 17
"""Scores that are worked on at once."""

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
        total = self.n_positives * self.n_negatives
        beaten = 0
        for part in self._parts():
            twice = 2 * self.n_negatives - self.above[part] - self.reached[part]
            if 2 * total < _SAFE:
                beaten += int(self.positives[part] @ twice)
            else:
                beaten += sum(int(p) * int(b) for p, b in zip(self.positives[part], twice, strict=True))
        return beaten / (2 * total)

    def ap(self) -> float:
        """Average precision: the sum over distinct scores of recall gained times precision, not interpolated."""
        gained = [
            float(np.sum(self.positives[part] * (found / (found + self.reached[part]))))
            for part, found in self._found()
        ]
        return math.fsum(gained) / self.n_positives

    def f1_max(self) -> tuple[float, float]:
        """Return the highest F1, 2 TP / (P + TP + FP), and the largest score at which it is reached."""
        highest, at = -1.0, 0
        for part, found in self._found():
            f1 = 2 * found / (self.n_positives + found + self.reached[part])
            best = int(np.argmax(f1))
            if f1[best] > highest:
                highest, at = float(f1[best]), part.start + best
        return highest, float(self.scores[at])

    def aupro(self, limit: float) -> float:
        """Return the area under the per-region overlap up to a false-positive rate, divided by it.

        Bergmann et al., IJCV 129:1038-1059 (2021); ties are straight segments, the last segment is cut at the limit.
        """
        return self._overlap_area(limit * self.n_negatives) / (limit * self.n_negatives)

    def aupro_up_to(self, false_positives: int) -> float:
        """Return the area up to a number of false positives, divided by it: the rescaled value of published code."""
        return self._overlap_area(float(false_positives)) / false_positives

    def _overlap_area(self, end: float) -> float:
        """Integrate the overlap over the number of false positives from 0 to ``end``.

        What a score adds to the overlap counts from there to the end: on a slope while the score's own negatives enter,
        wholly behind them.
        """
        if self.overlap is None:
            raise ValueError("Steps without regions have no overlap.")
        return math.fsum(
            float(self.overlap[part] @ overlap_run(self.above[part], self.reached[part], end)) for part in self._parts()
        )

    def _parts(self) -> Iterator[slice]:
        """Cut the scores into parts: what is computed on the way then takes little memory."""
        return (slice(start, start + _AT_ONCE) for start in range(0, self.positives.size, _AT_ONCE))

    def _found(self) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """Give each part, and how many positives score as high as each of its scores or higher."""
        before = 0
        for part in self._parts():
            found = before + np.cumsum(self.positives[part])
            before = int(found[-1])
            yield part, found


def overlap_run(above: NDArray[Any], reached: NDArray[Any], end: Any) -> NDArray[np.float64]:
    """Return over how many false positives what a score adds to the overlap counts, on the slope by half.

    Args:
        above: negatives that score higher.
        reached: negatives that score this or higher; of the same shape.
        end: how far the curve is integrated; a number, or of a shape that goes with the others.
    """
    start, stop = above.astype(np.float64), reached.astype(np.float64)
    run = np.clip(np.minimum(stop, end) - start, 0.0, None)
    width = stop - start
    share = np.divide(run, width, out=np.zeros_like(run), where=width > 0)
    return np.asarray(share * run / 2 + np.clip(end - stop, 0.0, None))
