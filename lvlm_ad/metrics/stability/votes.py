"""The AUROC of the mean or median of several answers, and its spread over single answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import stdtrit

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.checks import as_truth
from lvlm_ad.metrics.curves import placements
from lvlm_ad.metrics.stability.measured import ALIKE, SAME, Measured, as_table, mean_from_first

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["AurocSpread", "Vote", "auroc_spread", "votes"]

MOST_SUBSETS = 1000
"""With more subsets of the answers, so many of them are drawn."""

_NO_CLASS = "answers of one class are missing in some of the subsets"


@dataclass(frozen=True, slots=True)
class AurocSpread:
    """Image AUROC from repeat to repeat: the noise of asking, not of the choice of images.

    Attributes:
        each: ``(R,)``, the AUROC of each repeat; empty if a class is missing.
        sd: their standard deviation, divisor R - 1; None with fewer than two repeats.
        range: largest minus smallest; None likewise.
        images: defective and good images that every repeat answered; the others do not enter.
    """

    each: tuple[float, ...]
    sd: float | None
    range: float | None
    images: tuple[int, int]


def auroc_spread(labels: ArrayLike, scores: ArrayLike) -> AurocSpread:
    """Compute the spread of image AUROC over repeats.

    Args:
        labels: ``(n,)``, not 0 if anomalous.
        scores: ``(n, R)``, the score of each image in each repeat; NaN or None where an answer is missing.

    Returns:
        Exactly 0.0 for a model that repeats itself.

    Raises:
        MetricError: the two do not belong together or are not such arrays.

    Example:
        >>> found = auroc_spread([1, 1, 0, 0], [[0.9, 0.9], [0.8, 0.1], [0.2, 0.2], [0.1, 0.1]])
        >>> found.each, found.range
        ((1.0, 0.625), 0.375)
    """
    truth, table = _checked(labels, scores)
    complete = ~np.isnan(table).any(axis=1)
    truth, table = truth[complete], table[complete]
    sizes = int(np.count_nonzero(truth)), int(np.count_nonzero(~truth))
    if not min(sizes):
        return AurocSpread((), None, None, sizes)
    each = np.array([placements(truth, one)[truth].mean() for one in table.T])
    if each.size < 2:  # noqa: PLR2004 - one repeat has no spread
        return AurocSpread(tuple(each.tolist()), None, None, sizes)
    return AurocSpread(tuple(each.tolist()), float((each - each[0]).std(ddof=1)), float(np.ptp(each)), sizes)


@dataclass(frozen=True, slots=True)
class Vote:
    """What asking k times and taking the mean or median gives.

    Attributes:
        k: how many answers are combined; the price is k times that of one, if each costs the same.
        auroc: g(k), image AUROC averaged over subsets of k answers; None if a class is missing.
        gain: g(k) - g(1); None if either is.
        subsets: how many subsets were averaged.
        one_subset: whether k = K: all answers are combined, so ``auroc`` is a single value, not a mean over subsets.
    """

    k: int
    auroc: float | None
    gain: Measured
    subsets: int
    one_subset: bool


def votes(
    labels: ArrayLike, scores: ArrayLike, how: Literal["mean", "median"] = "mean", digits: int | None = 12
) -> tuple[Vote, ...]:
    """Compute from K answers an image what asking k times would give, for each k from 1 to K.

    g(k) is the mean over all subsets of k answers of the AUROC of their mean or median: a U-statistic (Hoeffding, Ann.
    Math. Stat. 19:293-325, 1948), unbiased for asking k times. With more than 1,000 subsets, 1,000 are drawn with a
    fixed seed. The interval of the gain is the jackknife's over the images of each class, less what an image of one
    class together with one of the other adds: the jackknife counts it once for each class.

    Args:
        labels: ``(n,)``, not 0 if anomalous.
        scores: ``(n, K)``, in 0..1; NaN or None where an answer is missing. Of a subset the answers that are there are
            combined; an image without any of them is left out of this subset.
        how: "mean" or "median"; the median of an even number is the mean of the middle two.
        digits: combined scores are compared after rounding to so many digits. Without it, None, the means 0.15 of
            0.1 and 0.2 and of 0.0 and 0.3 would not tie, because floating point gives 0.15000000000000002 for one.

    Returns:
        Of each k from 1 to K, ascending.

    Raises:
        MetricError: labels and scores do not belong together or are not such arrays.

    Example:
        >>> found = votes([1, 1, 0, 0], [[0.9, 0.4], [0.4, 0.9], [0.5, 0.1], [0.1, 0.5]])
        >>> [one.auroc for one in found], found[1].gain.value, found[1].one_subset
        ([0.75, 1.0], 0.25, True)
    """
    truth, table = _checked(labels, scores)
    answered = ~np.isnan(table).all(axis=1)
    truth, table = truth[answered], table[answered]
    repeats = table.shape[1]
    results: list[Vote] = []
    single, single_pairs = np.empty(0), np.empty(0)
    for k in range(1, repeats + 1):
        subsets = list(_subsets(repeats, k))
        combined = [_combined(table[:, subset], how, digits) for subset in subsets]
        value, without = _mean_auroc(truth, combined)
        if value is None:
            results.append(Vote(k, None, Measured(None, None, _NO_CLASS), len(subsets), k == repeats))
            continue
        pairs = _pairs(truth, combined)
        single, single_pairs = (without, pairs) if k == 1 else (single, single_pairs)
        first = value if k == 1 else results[0].auroc
        gain = Measured(None, None, _NO_CLASS)
        if first is not None:
            gain = _gain(truth, value - first, without - single, pairs - single_pairs)
        results.append(Vote(k, value, gain, len(subsets), k == repeats))
    return tuple(results)


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth, table = as_truth(labels, "the labels"), as_table(scores, "scores")
    if truth.shape != table.shape[:1] or not table.shape[1]:
        raise MetricError(
            f"Labels of shape {truth.shape} and scores of shape {table.shape}; they must be (n,) and (n, R)."
        )
    return truth, table


def _subsets(repeats: int, k: int) -> Iterator[list[int]]:
    """Yield every subset of k answers, or a fixed draw of them."""
    if math.comb(repeats, k) <= MOST_SUBSETS:
        yield from map(list, combinations(range(repeats), k))
        return
    draw = np.random.default_rng(0)
    for _ in range(MOST_SUBSETS):
        yield sorted(draw.choice(repeats, k, replace=False).tolist())


def _combined(answers: NDArray[np.float64], how: str, digits: int | None) -> NDArray[np.float64]:
    """Return one score an image from several answers, NaN where there is none."""
    result = np.full(len(answers), np.nan)
    some = ~np.isnan(answers).all(axis=1)
    take = np.nanmean if how == "mean" else np.nanmedian
    result[some] = take(answers[some], axis=1)
    return result if digits is None else result.round(digits)


def _mean_auroc(
    labels: NDArray[np.bool_], subsets: list[NDArray[np.float64]]
) -> tuple[float | None, NDArray[np.float64]]:
    """Return the mean AUROC over subsets, and the same without each image; NaN where that is undefined."""
    values, without = [], []
    for scores in subsets:
        answered = ~np.isnan(scores)
        truth = labels[answered]
        if truth.all() or not truth.any():
            return None, np.full(labels.size, np.nan)
        placed = placements(truth, scores[answered])
        value = placed[truth].mean()
        # Without an image, its class's mean placement lacks its own; the AUROC is that mean.
        sizes = np.where(truth, np.count_nonzero(truth), np.count_nonzero(~truth))
        each = np.full(labels.size, value)
        each[answered] = np.divide(sizes * value - placed, sizes - 1, out=np.full(truth.size, np.nan), where=sizes > 1)
        values.append(value)
        without.append(each)
    return float(mean_from_first(np.array(values))), mean_from_first(np.array(without), axis=0)


def _pairs(labels: NDArray[np.bool_], subsets: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return in how many of the subsets each defective image has the higher score than each good one, ties as half.

    Float64 ``(defective, good)`` in 0..1; NaN for two images that no subset has both of.
    """
    wins, seen = (np.zeros((np.count_nonzero(labels), np.count_nonzero(~labels))) for _ in range(2))
    for scores in subsets:
        above = scores[labels][:, None] - scores[~labels]
        seen += ~np.isnan(above)
        wins += (above > 0) + (above == 0) / 2
    return np.asarray(np.divide(wins, seen, out=np.full(wins.shape, np.nan), where=seen > 0))


def _gain(
    labels: NDArray[np.bool_], value: float, without: NDArray[np.float64], pairs: NDArray[np.float64]
) -> Measured:
    """Return a gain with its interval: the jackknife's, each class a sample of its own, without what it counts twice.

    What pairs add to the variance is their interaction's mean square over their number, as in a two-way layout.
    """
    if np.isnan(without).any():
        return Measured(value, None, "fewer than 2 images of a class")
    if np.ptp(without) < SAME:
        return Measured(value, None, ALIKE)
    kinds = [without[labels], without[~labels]]
    parts = [(one.size - 1) * one.var() for one in kinds]
    freedom = sum(parts) ** 2 / sum(part**2 / (one.size - 1) for part, one in zip(parts, kinds, strict=True))
    rows, columns = np.nanmean(pairs, axis=1, keepdims=True), np.nanmean(pairs, axis=0)
    interaction = float(np.nansum((pairs - rows - columns + np.nanmean(pairs)) ** 2))
    twice = interaction / math.prod(one.size - 1 for one in kinds) / math.prod(one.size for one in kinds)
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(max(sum(parts) - twice, twice))
    return Measured(value, (max(value - half, -1.0), min(value + half, 1.0)))
