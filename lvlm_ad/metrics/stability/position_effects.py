"""Effects of numbers and of regions at once, by least squares: unbiased also under few numberings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["effects_of_sides", "two_way_effects"]


def two_way_effects(
    places: Sequence[NDArray[np.intp]], named: Sequence[NDArray[np.float64]], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit naming = effect of the region + effect of its number, from all images and without each in turn.

    A region's own mean contains the effects of its numbers, so the plain difference, naming with a number minus the
    region's mean, is biased towards 0 under few numberings. Least squares compares numbers on the same regions instead.
    If every region has every number equally often, both are the same. (Two-way layout without interaction: Scheffe, The
    Analysis of Variance, 1959, chapter 4.)

    Args:
        places: of each of n images int ``(regions, P)``, the index in 0..size-1 of each region's number.
        named: likewise, 1.0 where the answer names the region; a constant may be taken off each region.
        size: Q, how many numbers there are.

    Returns:
        float64 ``(Q,)``, the effects, whose mean over all answers and regions is 0; and ``(n, Q)``, the same without
        each image. NaN for a number that no image has; all are NaN if the numbers fall into groups that share no
        region.

    Example:
        >>> regions, numberings = np.arange(3)[:, None], np.array([0, 1])
        >>> place = (regions + numberings) % 3  # three regions under two of the three numberings
        >>> two_way_effects([place], [(place == 2).astype(float)], 3)[0].round(3).tolist()  # number 3 is always named
        [-0.333, -0.333, 0.667]
    """
    parts = [(*_normal_matrix(one, size), _side(one, marked, size)) for one, marked in zip(places, named, strict=True)]
    matrix, seen, side = (np.sum([one[at] for one in parts], axis=0) for at in range(3))
    without = [_solved(matrix - own, side - right, seen - times) for own, times, right in parts]
    return _solved(matrix, side, seen), np.array(without)


def effects_of_sides(sides: NDArray[np.float64], places: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
    """Return the effects for several right-hand sides of the normal equations, such as those of shuffled answers.

    Args:
        sides: float64 ``(S, Q)``: of each number how many regions are named with it, minus what is expected if each
            region is named as often as it is on average.
        places: see ``two_way_effects``.

    Returns:
        float64 ``(S, Q)``, as the first result of ``two_way_effects``.
    """
    parts = [_normal_matrix(one, sides.shape[1]) for one in places]
    matrix, seen = (np.sum([one[at] for one in parts], axis=0) for at in (0, 1))
    return _solved(matrix, sides, seen)


def _normal_matrix(place: NDArray[np.intp], size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix of an image's normal equations, its regions eliminated, and how often each number occurs."""
    times = (place[:, :, None] == np.arange(size)).sum(axis=1).astype(np.float64)
    seen = times.sum(axis=0)
    return np.diag(seen) - times.T @ times / place.shape[1], seen


def _side(place: NDArray[np.intp], named: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the right-hand side of an image's normal equations."""
    has = (place[:, :, None] == np.arange(size)).astype(np.float64)
    return np.asarray(np.tensordot(has, named, axes=((0, 1), (0, 1))) - has.sum(axis=1).T @ named.mean(axis=1))


def _solved(matrix: NDArray[np.float64], right: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve for the effects of the numbers that occur; ``right`` is ``(Q,)``, or ``(S, Q)`` for several at once."""
    result, present = np.full(right.shape, np.nan), np.flatnonzero(seen > 0)
    matrix = matrix[np.ix_(present, present)]
    # A sum minus one image's part may be rounding instead of 0.
    if not present.size or connected_components(np.abs(matrix) > 1e-9, directed=False)[0] > 1:  # noqa: PLR2004
        return result
    # Only differences are determined; adding a constant to all entries chooses the solution whose sum is 0.
    effects = np.linalg.solve(matrix + 1.0, right[..., present].T).T
    result[..., present] = effects - np.average(effects, weights=seen[present], axis=-1)[..., None]
    return result
