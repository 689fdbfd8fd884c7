"""The same question asked several times: how often a decision flips, and how far scores spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import fdtri

from lvlm_ad.metrics.stability.measured import (
    FEW_IMAGES,
    SAME,
    Measured,
    as_table,
    mean_from_first,
    wilson,
    within_squares,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Answering", "Repeats", "answering", "flip_rates", "icc", "repeats"]

_NO_IMAGE = "no image has two answers"


@dataclass(frozen=True, slots=True)
class Repeats:
    """How far a model repeats itself on the same images.

    Attributes:
        threshold: an answer calls an image anomalous if its score is at least this.
        images: n, those with two answers or more; the others do not enter.
        answers: R, the most answers of an image.
        flip_rate: the probability that two answers of one image disagree, in 0..1.
        unstable_fraction: images whose answers do not all agree, in 0..1; it grows with R. None without an image.
        within_sd: the standard deviation of an image's scores around its own mean; None without an image.
        icc: see ``icc``.
    """

    threshold: float
    images: int
    answers: int
    flip_rate: Measured
    unstable_fraction: float | None
    within_sd: float | None
    icc: Measured


def repeats(scores: ArrayLike, threshold: float) -> Repeats:
    """Compute how often decisions flip and how far scores spread between repeats.

    The flip rate is the mean of ``flip_rates`` over images. Its interval is Wilson's with the number of independent
    images that would vary as much as the mean does.

    Args:
        scores: ``(n, R)``, the image score of each answer; NaN or None where one is missing. Answers must come from
            questions that were really asked again, not from a store.
        threshold: an answer calls an image anomalous if its score is at least this.

    Returns:
        Flip rate, fraction and standard deviation are exactly 0.0 for a model that repeats itself; without values
        where no image has two answers.

    Raises:
        MetricError: ``scores`` are not such a table.

    Example:
        >>> found = repeats([[0.9, 0.4], [0.1, 0.1], [0.8, 0.8], [0.2, 0.2]], threshold=0.5)
        >>> found.flip_rate.value, found.unstable_fraction, round(found.within_sd, 3)
        (0.25, 0.25, 0.177)
    """
    table = as_table(scores, "scores")
    table = table[np.count_nonzero(~np.isnan(table), axis=1) > 1]
    if not len(table):
        nothing = Measured(None, None, _NO_IMAGE)
        return Repeats(threshold, 0, 0, nothing, None, None, nothing)
    counts = np.count_nonzero(~np.isnan(table), axis=1)
    flips = flip_rates(table, threshold)
    squares, freedom = within_squares(table)
    return Repeats(
        threshold,
        len(table),
        int(counts.max()),
        _flip_rate(flips, counts),
        float(np.mean(flips > 0)),
        math.sqrt(squares.sum() / freedom.sum()),
        icc(table),
    )


@dataclass(frozen=True, slots=True)
class Answering:
    """How often a model answers about an image one time and not another: refused, unreadable, cut off or failed.

    Attributes:
        images: those that were asked about twice or more.
        times: how often an image was asked about at most.
        always: images with a usable answer every time.
        sometimes: images with a usable answer one time and without one another time.
        rate: ``sometimes`` over ``images``; like ``unstable_fraction`` it grows with ``times``. Wilson's interval.
    """

    images: int
    times: int
    always: int
    sometimes: int
    rate: Measured


def answering(answered: ArrayLike, asked: ArrayLike) -> Answering:
    """Count the images that are answered one time and not another.

    Args:
        answered: bool ``(n, R)``, whether each question has a usable answer.
        asked: bool ``(n, R)``, whether it was asked.

    Returns:
        Without a rate if no image was asked about twice.

    Example:
        >>> found = answering([[True, False], [True, True], [False, False], [True, False]],
        ...                   [[True, True], [True, True], [True, True], [True, False]])
        >>> found.images, found.always, found.sometimes, [round(end, 2) for end in found.rate.interval]
        (3, 1, 1, [0.06, 0.79])
    """
    was_asked = np.asarray(asked, dtype=np.bool_)
    times = was_asked.sum(axis=1)
    twice = times > 1
    counts = (np.asarray(answered, dtype=np.bool_) & was_asked).sum(axis=1)[twice]
    times = times[twice]
    images = int(twice.sum())
    if not images:
        return Answering(0, 0, 0, 0, Measured(None, None, "no image was asked about twice"))
    sometimes = int(((counts > 0) & (counts < times)).sum())
    rate = sometimes / images
    return Answering(
        images, int(times.max()), int((counts == times).sum()), sometimes, Measured(rate, wilson(rate, images))
    )


def flip_rates(table: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Return which fraction of the pairs of answers about each image disagree.

    Of R answers, c of which call the image anomalous, the fraction is 2 c (R - c) / (R (R - 1)).

    Args:
        table: ``(n, R)``, scores; NaN where an answer is missing.
        threshold: an answer calls an image anomalous if its score is at least this.

    Returns:
        float64 ``(n,)`` in 0..1; NaN for fewer than two answers.

    Example:
        >>> flip_rates(np.array([[0.9, 0.4, 0.1], [0.9, 0.8, np.nan], [0.9, np.nan, np.nan]]), 0.5).round(3).tolist()
        [0.667, 0.0, nan]
    """
    counts = np.count_nonzero(~np.isnan(table), axis=1)
    alarms = np.count_nonzero(table >= threshold, axis=1)  # a comparison with NaN is false
    pairs = counts * (counts - 1)
    rates = np.full(counts.size, np.nan)
    return np.asarray(np.divide(2.0 * alarms * (counts - alarms), pairs, out=rates, where=pairs > 0))


def _flip_rate(flips: NDArray[np.float64], counts: NDArray[np.intp]) -> Measured:
    n = flips.size
    rate = float(flips.mean())
    variance = float(flips.var(ddof=1)) if n > 1 else 0.0
    # An effective number of images above the number of pairs is sampling noise, so it is capped.
    pairs = float((counts * (counts - 1) / 2).sum())
    effective = min(rate * (1 - rate) * n / variance, pairs) if variance > SAME and 0 < rate < 1 else n
    return Measured(rate, wilson(rate, effective))


def icc(scores: ArrayLike) -> Measured:
    """Compute the intraclass correlation ICC(1): which part of the variance of scores lies between images.

    It is high also where only defective and good images differ, so give it within each label too. The interval is the
    exact one of normal scores, from the F distribution (Shrout and Fleiss, Psychol. Bull. 86:420-428, 1979; McGraw and
    Wong, Psychol. Methods 1:30-46, 1996).

    Args:
        scores: ``(n, R)``, NaN or None where an answer is missing. Images with fewer than two answers do not enter.

    Returns:
        In -1/(R - 1)..1: exactly 1 with the interval (1, 1) for a model that repeats itself and gives images different
        scores. Without a value for fewer than two images, if the images have different numbers of answers, or if all
        scores are equal.

    Raises:
        MetricError: ``scores`` are not such a table.

    Example:
        >>> found = icc([[0.9, 0.8], [0.1, 0.2], [0.5, 0.5]])
        >>> round(found.value, 3), [round(end, 3) for end in found.interval]
        (0.973, [0.642, 0.999])
    """
    table = as_table(scores, "scores")
    counts = np.count_nonzero(~np.isnan(table), axis=1)
    table, counts = table[counts > 1], counts[counts > 1]
    if len(table) < 2:  # noqa: PLR2004 - one image has no other to differ from
        return Measured(None, None, FEW_IMAGES)
    if np.ptp(counts):
        return Measured(None, None, "images have different numbers of answers")
    n, answers = len(table), int(counts[0])
    table = table[~np.isnan(table)].reshape(n, answers)
    within = float(within_squares(table)[0].sum()) / (n * (answers - 1))
    between = answers * float(within_squares(mean_from_first(table)[None])[0][0]) / (n - 1)
    if not within:
        return Measured(1.0, (1.0, 1.0)) if between else Measured(None, None, "all scores are equal")
    value = (between - within) / (between + (answers - 1) * within)
    if not between:
        return Measured(value, None, "all images have the same mean")
    ratio, freedom = between / within, (n - 1, n * (answers - 1))
    low, high = ratio / fdtri(*freedom, 0.975), ratio * fdtri(*freedom[::-1], 0.975)
    return Measured(value, (float((low - 1) / (low + answers - 1)), float((high - 1) / (high + answers - 1))))
