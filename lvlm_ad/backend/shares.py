"""How long a machine worked on each of several questions that it answers at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

__all__ = ["SharedTime"]


class SharedTime:
    """Divides the time in which questions are under way among them, at each moment equally.

    The shares of all questions add up to the time in which any was under way. Used by many threads.

    Args:
        clock: returns the time in seconds.

    Example:
        >>> times = iter([0.0, 2.0, 3.0, 4.0])
        >>> shared = SharedTime(lambda: next(times))
        >>> with shared.question() as first:  # from 0 to 4
        ...     with shared.question() as second:  # from 2 to 3
        ...         pass
        >>> first(), second()
        (3.5, 0.5)
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._under_way, self._since = 0, 0.0
        # The share so far of a question under way from the beginning; any other's is the difference of two values.
        self._given = 0.0

    @property
    def under_way(self) -> int:
        """How many questions are under way."""
        return self._under_way

    @contextmanager
    def question(self) -> Iterator[Callable[[], float]]:
        """Count a question as under way; yields a function that returns its share once it is answered."""
        begun = self._change(1)
        ended = begun
        try:
            yield lambda: ended - begun
        finally:
            ended = self._change(-1)

    def _change(self, by: int) -> float:
        with self._lock:
            now = self._clock()
            if self._under_way:
                self._given += (now - self._since) / self._under_way
            self._since = now
            self._under_way += by
            return self._given
