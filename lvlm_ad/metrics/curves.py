"""AUROC, AP, F1-max and AUPRO: one implementation of each, for images, pixels and bootstrap resamples.

A threshold t predicts "anomalous" where the score is t or more. It takes every distinct score, from the highest down,
and all samples with the same score enter at once. Between two scores of positives only negatives enter: there precision
and F1 fall and the curves run flat, so the counts at the scores of positives decide every metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Steps",
    "ap",
    "aupro",
    "aupro_rescaled",
    "auroc",
    "f1_max",
    "false_positives_below",
    "placements",
    "steps_of",
]

_AT_ONCE = 1 << 17
"""Thresholds that are worked on at once, so that intermediate arrays stay small."""

_INT64_SAFE = 2**62
"""Sums of products below this cannot overflow int64."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Counts at the S distinct scores of positives, highest score first.

    Of one test set, the arrays are ``(S,)`` and counts are integers. Of R resamples, they are ``(R, S)``, counts are
    floats, and ``n_negatives`` is ``(R,)``.

    Attributes:
        scores: ``(S,)``, the scores.
        positives: positives with exactly this score.
        above: negatives with a higher score.
        reached: negatives with this score or a higher one.
        n_negatives: all negatives.
        overlap: what the positives of this score add to the mean overlap of the ground-truth regions; sums to 1. None
            for image scores, which have no regions.
        n_lowest: negatives with the lowest score of all samples.
        n_below_limit: the largest number of false positives that some threshold gives below the limit of AUPRO.
    """

    scores: NDArray[Any]
    positives: NDArray[Any]
    above: NDArray[Any]
    reached: NDArray[Any]
    n_negatives: Any
    overlap: NDArray[np.float64] | None = None
    n_lowest: int = 0
    n_below_limit: int = 0

    @property
    def n_positives(self) -> Any:
        """All positives."""
        total = self.positives.sum(axis=-1)
        return int(total) if self.positives.ndim == 1 else total


def steps_of(
    scores: NDArray[Any],
    positives: NDArray[Any],
    negatives: NDArray[Any],
    overlap: NDArray[np.float64] | None = None,
    fpr_limit: float = 0.3,
) -> Steps:
    """Count the thresholds of a score histogram; equal scores may occur several times, in any order.

    Args:
        scores: ``(n,)``.
        positives: ``(n,)``, how many positives have each score.
        negatives: ``(n,)``, how many negatives.
        overlap: ``(n,)``, what these positives add to the mean overlap of the ground-truth regions.
        fpr_limit: for ``Steps.n_below_limit``.
    """
    # A score that no sample has is no threshold.
    used = (positives > 0) | (negatives > 0)
    levels, place = np.unique(scores[used], return_inverse=True)
    counted, normal = np.zeros((2, levels.size), dtype=np.int64)
    np.add.at(counted, place, positives[used])
    np.add.at(normal, place, negatives[used])
    total = int(normal.sum())
    reached = total - np.concatenate(([0], np.cumsum(normal)))
    below = reached[reached <= false_positives_below(fpr_limit, total)]
    at = np.flatnonzero(counted)[::-1]
    return Steps(
        scores=levels[at],
        positives=counted[at],
        above=reached[at + 1],
        reached=reached[at],
        n_negatives=total,
        overlap=None if overlap is None else np.bincount(place, overlap[used], levels.size)[at].astype(np.float64),
        n_lowest=int(normal[0]) if levels.size else 0,
        n_below_limit=int(below.max(initial=0)),
    )


def false_positives_below(fpr_limit: float, n_negatives: int) -> int:
    """Return how many false positives lie below a false-positive rate, at most."""
    return math.ceil(fpr_limit * n_negatives) - 1


def auroc(steps: Steps) -> Any:
    """Compute the area under the ROC curve: Mann-Whitney with half credit for ties.

    For one test set the numerator is an integer, so the result is correctly rounded.
    """
    exact = isinstance(steps.n_negatives, int)
    twice_pairs = 2 * steps.n_positives * steps.n_negatives
    twice_won: Any = 0
    for part in _parts(steps):
        twice = 2 * np.asarray(steps.n_negatives)[..., None] - steps.above[..., part] - steps.reached[..., part]
        positives = steps.positives[..., part]
        if exact and twice_pairs >= _INT64_SAFE:
            twice, positives = twice.astype(object), positives.astype(object)
        won = (positives * twice).sum(axis=-1)
        twice_won += int(won) if exact else won
    return twice_won / twice_pairs


def ap(steps: Steps) -> Any:
    """Compute average precision: the sum over thresholds of the recall gained times precision, not interpolated."""
    total: Any = 0.0
    for part, true_positives in _true_positives(steps):
        predicted = true_positives + steps.reached[..., part]
        precision = np.divide(true_positives, predicted, out=np.zeros_like(predicted, np.float64), where=predicted > 0)
        total += (steps.positives[..., part] * precision).sum(axis=-1)
    return total / steps.n_positives


def f1_max(steps: Steps) -> tuple[Any, Any]:
    """Compute the highest F1, 2 TP / (P + TP + FP); returns it and the index of the largest score that reaches it."""
    highest: Any = -1.0
    index: Any = 0
    n_positives = np.asarray(steps.n_positives)[..., None]
    for part, true_positives in _true_positives(steps):
        f1 = 2 * true_positives / (n_positives + true_positives + steps.reached[..., part])
        at = f1.argmax(axis=-1)
        best = np.take_along_axis(f1, at[..., None], axis=-1)[..., 0]
        index = np.where(best > highest, part.start + at, index)
        highest = np.maximum(highest, best)
    return highest, index


def aupro(steps: Steps, fpr_limit: float) -> Any:
    """Compute AUPRO: the area under the per-region overlap up to a false-positive rate, divided by that rate.

    Bergmann et al., IJCV 129:1038-1059 (2021). Ties are straight segments; the last segment is cut at the limit.
    """
    end = fpr_limit * steps.n_negatives
    return np.minimum(_overlap_area(steps, end) / end, 1.0)  # sums of rounded parts may exceed 1


def aupro_rescaled(steps: Steps) -> Any:
    """Compute AUPRO as much published code does: up to the largest false-positive rate seen below the limit."""
    return np.minimum(_overlap_area(steps, steps.n_below_limit) / steps.n_below_limit, 1.0)


def _overlap_area(steps: Steps, end: Any) -> Any:
    """Integrate the mean overlap over the number of false positives, from 0 to ``end``."""
    if steps.overlap is None:
        raise ValueError("Steps without regions have no overlap.")
    end = np.asarray(end, dtype=np.float64)[..., None]
    area: Any = 0.0
    for part in _parts(steps):
        start, stop = (counts[..., part].astype(np.float64) for counts in (steps.above, steps.reached))
        # The overlap gained at a score rises along the score's own negatives (half of their width counts) and then
        # stays to the end (all of it counts).
        rise = np.clip(np.minimum(stop, end) - start, 0.0, None)
        width = stop - start
        share = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
        areas = steps.overlap[..., part] * (share * rise / 2 + np.clip(end - stop, 0.0, None))
        # One test set is added up in order, as version 0.1.0 did: its numbers stay the same to the last digit.
        area += float(areas.cumsum()[-1]) if areas.ndim == 1 else areas.sum(axis=-1)
    return area


def _parts(steps: Steps) -> Iterator[slice]:
    """Cut the thresholds into parts."""
    return (slice(start, start + _AT_ONCE) for start in range(0, steps.positives.shape[-1], _AT_ONCE))


def _true_positives(steps: Steps) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Give each part, and how many positives have each of its scores or a higher one."""
    before: Any = 0
    for part in _parts(steps):
        true_positives = before + steps.positives[..., part].cumsum(axis=-1)
        before = true_positives[..., -1:]
        yield part, true_positives


def placements(labels: NDArray[np.bool_], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each image the fraction of the other class's images that it is ranked correctly against.

    Ties count half. The mean over either class is the AUROC.

    Args:
        labels: bool ``(n,)``, True if anomalous; both classes occur.
        scores: ``(n,)``, finite.
    """
    fractions = np.empty(labels.size)
    for kind, sign in ((True, 1), (False, -1)):
        own, other = sign * scores[labels == kind], np.sort(sign * scores[labels != kind])
        twice_won = np.searchsorted(other, own, side="left") + np.searchsorted(other, own, side="right")
        fractions[labels == kind] = twice_won / (2 * other.size)
    return fractions
