"""Where anomalous samples stand among normal ones, whose scores come in sorted pieces: no piece need hold all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["Growing", "Piece", "Ranks", "pieces_of", "rank"]

PIECE_BYTES = 64e6
"""What one piece of sorted scores may take; more where there would be more pieces than ``_MOST_PASSES``."""

_MOST_PASSES = 16
"""Passes over the scores: each may read them from disk."""

_SAMPLE = 100_000
"""Scores that the borders of pieces are chosen by."""

Piece = tuple["NDArray[Any]", int]
"""Ascending scores, and how often each occurs; every piece lies above the one before."""


class Growing:
    """An array that grows in place: what it holds is never held twice.

    Args:
        dtype: of the numbers, to begin with; later that which holds all that is added.
        expected: how many there may be.
    """

    def __init__(self, dtype: DTypeLike = np.bool_, expected: int = 0) -> None:
        self._values = np.empty(expected, dtype)
        self._size = 0

    @property
    def values(self) -> NDArray[Any]:
        """What was added; to be let go before more is."""
        return self._values[: self._size]

    def add(self, part: NDArray[Any]) -> None:
        """Append numbers."""
        dtype = np.result_type(self._values.dtype, part.dtype)
        if dtype != self._values.dtype:
            self._values = self._values.astype(dtype)
        end = self._size + part.size
        if end > self._values.size:
            self._values.resize(max(end, self._values.size * 5 // 4), refcheck=False)
        self._values[self._size : end] = part
        self._size = end

    def clear(self) -> None:
        """Begin anew, in the same memory."""
        self._size = 0

    def sorted(self) -> NDArray[Any]:
        """Sort in place and return what is there."""
        self.values.sort()
        return self.values


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the S distinct scores of positives stand among the negatives.

    Attributes:
        below: int64 ``(S,)``, negatives that score lower.
        upto: int64 ``(S,)``, negatives that score this or lower.
        total: all negatives.
        fitting: the largest number of negatives, not more than were allowed, that score above some score or all.
        lowest: how many negatives have the lowest score of all negatives.
        minimum: that score; None without negatives.
    """

    below: NDArray[np.int64]
    upto: NDArray[np.int64]
    total: int
    fitting: int
    lowest: int
    minimum: Any


def rank(ascending: NDArray[Any], pieces: Iterable[Piece], total: int, allowed: int) -> Ranks:
    """Find places among negatives.

    Args:
        ascending: ``(S,)``, distinct scores of positives.
        pieces: the negatives, lowest piece first.
        total: how many negatives there are.
        allowed: how many of them a threshold may reach, for ``Ranks.fitting``; from -1.
    """
    below, upto = np.zeros((2, ascending.size), dtype=np.int64)
    before, lowest, minimum = 0, 0, None
    # The lowest threshold that reaches no more than allowed lies just above this place.
    place = total - 1 - allowed
    fitting = total if place < 0 else 0
    for piece, times in pieces:
        if not piece.size or not times:
            continue
        if minimum is None:
            minimum, lowest = piece[0], times * int(np.searchsorted(piece, piece[0], side="right"))
        start = np.searchsorted(ascending, piece[0], side="left")
        stop = np.searchsorted(ascending, piece[-1], side="right")
        within = ascending[start:stop]
        below[start:stop] += times * np.searchsorted(piece, within, side="left")
        upto[start:stop] += times * np.searchsorted(piece, within, side="right")
        # What lies above a piece lies above all of it.
        below[stop:] += times * piece.size
        upto[stop:] += times * piece.size
        if before <= place < before + times * piece.size:
            score = piece[(place - before) // times]
            fitting = total - before - times * int(np.searchsorted(piece, score, side="right"))
        before += times * piece.size
    return Ranks(below, upto, total, fitting, lowest, minimum)


def pieces_of(parts: Callable[[], Iterator[NDArray[Any]]], total: int, dtype: np.dtype[Any]) -> Iterator[Piece]:
    """Sort scores that are held elsewhere, a range of them at a time: more passes over them, less memory.

    Args:
        parts: gives all scores in parts, as often as it is called.
        total: how many they are.
        dtype: what they are compared in.
    """
    wanted = min(_MOST_PASSES, int(np.ceil(total * dtype.itemsize / PIECE_BYTES)))
    borders = _borders(parts, total, wanted, dtype) if wanted > 1 else np.empty(0, dtype)
    # Twice a fair share to begin with: memory is taken only where it is written.
    buffer = Growing(dtype, min(total, 2 * total // max(1, wanted)))
    low = None
    for high in (*borders, None):
        buffer.clear()
        at_low = 0
        for part in parts():
            inside = np.ones(part.shape, dtype=np.bool_) if low is None else part > low
            if high is not None:
                inside &= part < high
            buffer.add(part[inside])
            if low is not None:
                at_low += int(np.count_nonzero(part == low))
        if low is not None:
            # A score that many share is counted, not held.
            yield np.array([low], dtype), at_low
        yield buffer.sorted(), 1
        low = high


def _borders(
    parts: Callable[[], Iterator[NDArray[Any]]], total: int, wanted: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Choose scores that cut a sample into as many ranges as are wanted."""
    step = max(1, total // _SAMPLE)
    # A copy: a view would hold the whole part.
    sample = np.sort(np.concatenate([part[::step].astype(dtype) for part in parts()]))
    return np.unique(sample[np.linspace(0, sample.size - 1, wanted + 1).astype(int)[1:-1]])
