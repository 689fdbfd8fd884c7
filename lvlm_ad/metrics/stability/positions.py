"""Numbers of regions: whether a region is named more often for the number that it has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.bootstrap import seeded_generator
from lvlm_ad.metrics.ranks import RESAMPLES, Rows, critical_value, difference_and_variance
from lvlm_ad.metrics.stability.measured import ALIKE, SAME, Measured, jackknife
from lvlm_ad.metrics.stability.position_effects import effects_of_sides, two_way_effects

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PositionBias", "position_bias"]

SHUFFLES = 999
"""How often the answers of each image are shuffled for the p-value."""

_LEVEL = 0.05
"""With a p-value above it, the interval of the range holds 0."""

_ROUNDING = 1e-9
"""Ranges that differ by less are equal."""

_NEVER_CHANGES = "numbers never change, so number and position are the same"
_NOT_COMPARED = "too few numberings: not all numbers were on regions that had others, too"


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Whether naming depends on the number of a region, its pixels being the same.

    Attributes:
        numbers: ``(Q,)``, the numbers that occur, ascending.
        frequency: of each number, how often a region with it is named, in 0..1.
        effect: of each number, how much more often a region is named with it than the same region is on average. Too
            small where a region does not have every number equally often; see ``adjusted``.
        range: largest minus smallest effect, of the numbers that two images or more have; above 0 by chance alone, so
            judge it by ``p_value``.
        slope: change of the frequency from one number to the next, within regions.
        p_value: the probability of such a range or a larger one if numbers do not matter; None with a reason in
            ``slope`` if numbers never change.
        images: those with an answer.
        adjusted: of each number, its effect beside that of the region, by least squares: unbiased also under few
            numberings, and equal to ``effect`` if every region has every number equally often. See
            ``two_way_effects``. None with a reason if numbers cannot be compared.
        adjusted_range: largest minus smallest of these, as ``range``; judge it by ``adjusted_p_value``.
        adjusted_p_value: as ``p_value``, of ``adjusted_range``, from the same shuffles; None where that is undefined.
    """

    numbers: tuple[int, ...]
    frequency: tuple[float, ...]
    effect: tuple[Measured, ...]
    range: Measured
    slope: Measured
    p_value: float | None
    images: int
    adjusted: tuple[Measured, ...]
    adjusted_range: Measured
    adjusted_p_value: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """One image with P answers; Q numbers occur in all images together.

    Attributes:
        number_index: ``(regions, P)``, the index of each region's number among all that occur.
        differences: ``(regions, P)``, 1.0 where the answer names the region and 0.0 elsewhere, minus the same of the
            first answer: exactly 0.0 where answers agree.
        named: ``(Q,)``, how often a region with each number is named.
        seen: ``(Q,)``, how often a region has each number.
        regions: ``(Q,)``, regions that ever have it.
        effect: ``(Q,)``, the sum over these regions of (how often the region is named with the number) minus (how often
            it is named under all numbers), both in 0..1.
        slope: numerator and denominator of the slope.
    """

    number_index: NDArray[np.intp]
    differences: NDArray[np.float64]
    named: NDArray[np.float64]
    seen: NDArray[np.float64]
    regions: NDArray[np.float64]
    effect: NDArray[np.float64]
    slope: NDArray[np.float64]


def position_bias(numbers: Iterable[ArrayLike], named: Iterable[ArrayLike], seed: int = 0) -> PositionBias:
    """Compute whether regions are named by their number, from the same images asked under several numberings.

    Only this design separates the number from the position in the image: objects and defects lie somewhere, so a slope
    under one numbering shows nothing. The tests shuffle an image's answers among its numberings; they are exact, also
    where the regions of one answer depend on each other.

    Intervals of effects and slope: the jackknife over images. That of a range is from the differences of all pairs of
    effects, since a jackknife of the range itself misses a true range of 0; it contains 0 where the p-value of the
    range is above 0.05.

    Args:
        numbers: of each image ``(regions, P)``, the number of each region under each of P numberings. Images may have
            other numbers of regions and numberings.
        named: of each image ``(regions, P)``, 1 or True where the answer names the region; NaN in a column whose answer
            is missing.
        seed: of the shuffles.

    Raises:
        MetricError: the two have other shapes, a column is partly missing, or no image has an answer.

    Example:
        >>> numbering = [[1, 2], [2, 1]]  # two regions that change their numbers
        >>> found = position_bias([numbering] * 3, [[[1, 0], [0, 1]]] * 3)  # whichever is number 1 is named
        >>> found.frequency, [one.value for one in found.effect], found.range.value, found.slope.value
        ((1.0, 0.0), [0.5, -0.5], 1.0, -1.0)
    """
    pairs = [_answered(at, *one) for at, one in enumerate(zip(numbers, named, strict=True))]
    pairs = _in_order([(own, marked) for own, marked in pairs if own.size])
    if not pairs:
        raise MetricError("No image has an answer, so nothing is known about numbers; ask again what is missing.")
    levels = np.unique(np.concatenate([own.ravel() for own, _ in pairs]))
    images = [_sums(np.searchsorted(levels, own), marked, levels) for own, marked in pairs]
    frequency = np.sum([one.named for one in images], axis=0) / np.sum([one.seen for one in images], axis=0)
    changes = any(one.slope[1] > 0 for one in images)
    effect, extent = _effects(images)
    adjusted, adjusted_extent = _adjusted(images, levels.size)
    p_value, adjusted_p_value = _p_values(extent, adjusted_extent, images, seed) if changes else (None, None)
    return PositionBias(
        tuple(levels.tolist()),
        tuple(frequency.tolist()),
        effect,
        _with_zero(extent, p_value),
        _slope(images) if changes else Measured(None, None, _NEVER_CHANGES),
        p_value,
        len(images),
        adjusted,
        _with_zero(adjusted_extent, adjusted_p_value),
        adjusted_p_value,
    )


def _with_zero(extent: Measured, p_value: float | None) -> Measured:
    """Let the interval of a range hold 0 where the test does not exclude that numbers do not matter."""
    if extent.interval is None or p_value is None or p_value <= _LEVEL:
        return extent
    return replace(extent, interval=(0.0, extent.interval[1]))


def _answered(at: int, numbers: Any, named: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return one image's numbers and namings, without missing answers."""
    own, marked = np.asarray(numbers), np.asarray(named, dtype=np.float64)
    if own.ndim != 2 or own.shape != marked.shape:  # noqa: PLR2004 - regions and numberings
        raise MetricError(
            f"Image {at}: numbers of shape {own.shape}, namings of shape {marked.shape}; both must be (regions, P)."
        )
    missing = np.isnan(marked)
    if (missing.any(axis=0) != missing.all(axis=0)).any():
        raise MetricError(f"Image {at}: an answer has NaN for some regions only; a missing answer has it for all.")
    answered = ~missing.any(axis=0)
    return own[:, answered].astype(np.int64), (marked[:, answered] > 0).astype(np.float64)


def _in_order(
    pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Sort regions within images, and images: which shuffle an image gets must not depend on the order they came in."""
    orders = [np.lexsort([*marked.T, *own.T]) for own, marked in pairs]
    in_order = [(own[order], marked[order]) for (own, marked), order in zip(pairs, orders, strict=True)]
    return sorted(in_order, key=lambda pair: (pair[0].tobytes(), pair[1].tobytes()))


def _sums(number_index: NDArray[np.intp], named: NDArray[np.float64], levels: NDArray[np.int64]) -> _Image:
    """Sum over one image."""
    shares, times = _shares(number_index, levels.size)
    ever = (times > 0).astype(np.float64)
    answers, differences = np.arange(named.shape[1]), named - named[:, :1]
    effect = _crossed(differences, shares)[answers, answers].sum(axis=0) - differences.mean(axis=1) @ ever
    steps = levels[number_index] - levels[number_index].mean(axis=1, keepdims=True)
    slope = np.array([(steps * (differences - differences.mean(axis=1, keepdims=True))).sum(), (steps**2).sum()])
    named_at = np.asarray(np.bincount(number_index.ravel(), named.ravel(), levels.size), dtype=np.float64)
    return _Image(number_index, differences, named_at, times.sum(axis=0), ever.sum(axis=0), effect, slope)


def _shares(number_index: NDArray[np.intp], size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each answer's share in the answers with its number, ``(regions, P, Q)``, and how many these are."""
    has = (number_index[:, :, None] == np.arange(size)).astype(np.float64)
    times = has.sum(axis=1)
    return has / np.maximum(times, 1)[:, None, :], times


def _crossed(differences: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(P, P, Q)``: the weighted namings with each number if the answer p had been given to the numbering p'.

    Args:
        differences: see ``_Image``.
        weights: ``(regions, P, Q)``, above 0 only for the number that a region has under a numbering.
    """
    return np.asarray(np.tensordot(differences, weights, axes=(0, 0)))


def _effects(images: Sequence[_Image]) -> tuple[tuple[Measured, ...], Measured]:
    """Return the effect of each number, and their range."""
    sums, regions = np.array([one.effect for one in images]), np.array([one.regions for one in images])
    total = sums.sum(axis=0) / regions.sum(axis=0)
    # A number that only one image has is undefined without it.
    others = regions.sum(axis=0) - regions
    without = np.divide(sums.sum(axis=0) - sums, others, out=np.full(sums.shape, np.nan), where=others > 0)
    effects = [jackknife(float(value), each) for value, each in zip(total, without.T, strict=True)]
    shared = _shared(images)
    return tuple(effects), _range(total[shared], without[:, shared])


def _adjusted(images: Sequence[_Image], size: int) -> tuple[tuple[Measured, ...], Measured]:
    """Return the effect of each number beside that of the region, and their range."""
    total, without = two_way_effects([one.number_index for one in images], [one.differences for one in images], size)
    if np.isnan(total).any():
        nothing = Measured(None, None, _NOT_COMPARED)
        return (nothing,) * size, nothing
    shared = _shared(images)
    effects = tuple(jackknife(float(value), each) for value, each in zip(total, without.T, strict=True))
    return effects, _range(total[shared], without[:, shared])


def _shared(images: Sequence[_Image]) -> NDArray[np.bool_]:
    """Return which numbers enter the range: what one image alone has says little, and nothing about other images."""
    several = np.sum([one.regions > 0 for one in images], axis=0) > 1
    return np.asarray(several if several.any() else np.ones_like(several))


def _range(effects: NDArray[np.float64], without: NDArray[np.float64]) -> Measured:
    """Return the range of effects; its interval is from the differences of all pairs.

    The range is the largest difference, so it is at most as large as the upper end of any interval that holds the
    largest true one, and at least as large as each lower end of intervals that hold together.
    """
    value, n = float(np.ptp(effects)), len(without)
    plain = jackknife(value, np.ptp(without, axis=1))
    if n < 2 or np.isnan(without).any():  # noqa: PLR2004 - one image has no spread
        return plain
    deviations = (without - without.mean(axis=0)).T * math.sqrt((n - 1) / n)
    draws = deviations.astype(np.float32) @ seeded_generator("range").standard_normal((n, RESAMPLES), dtype=np.float32)
    rows = Rows(effects[:, None], deviations, draws, [], n - 1)
    difference, variance = difference_and_variance(effects, deviations)
    spread = np.sqrt(variance)
    low = max(0.0, float((difference - critical_value(rows, variance) * spread).max()))
    high = float((difference + stdtrit(n - 1, 0.975) * spread).max())
    return Measured(value, (low, high)) if high - low > SAME else Measured(value, None, ALIKE)


def _slope(images: Sequence[_Image]) -> Measured:
    parts = np.array([one.slope for one in images])
    others = parts.sum(axis=0) - parts
    without = np.divide(others[:, 0], others[:, 1], out=np.full(len(parts), np.nan), where=others[:, 1] > 0)
    return jackknife(float(np.divide(*parts.sum(axis=0))), without)


def _p_values(extent: Measured, adjusted: Measured, images: Sequence[_Image], seed: int) -> tuple[float, float | None]:
    """Return the p-values of both ranges: the share of shuffles with such a range, the observed one being one of them.

    A shuffle gives an image's answers to other numberings of it, so that a region's mean does not change.
    """
    draw = np.random.default_rng(seed)
    regions = np.sum([one.regions for one in images], axis=0)
    sums, sides = np.zeros((SHUFFLES, regions.size)), np.zeros((SHUFFLES, regions.size))
    for one in images:
        shares, times = _shares(one.number_index, regions.size)
        means = one.differences.mean(axis=1)
        answers = np.arange(len(one.differences.T))
        orders = draw.permuted(np.tile(answers, (SHUFFLES, 1)), axis=1)
        sums += _crossed(one.differences, shares)[answers, orders].sum(axis=1) - means @ (times > 0)
        counts = shares * times[:, None, :]
        sides += _crossed(one.differences, counts)[answers, orders].sum(axis=1) - means @ times
    shared = _shared(images)
    plain = _share_as_large(np.ptp((sums / regions)[:, shared], axis=1), extent.value or 0.0)
    if adjusted.value is None:
        return plain, None
    effects = effects_of_sides(sides, [one.number_index for one in images])
    return plain, _share_as_large(np.ptp(effects[:, shared], axis=1), adjusted.value)


def _share_as_large(ranges: NDArray[np.float64], observed: float) -> float:
    return float(1 + np.count_nonzero(ranges >= observed - _ROUNDING)) / (SHUFFLES + 1)
