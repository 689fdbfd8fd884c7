"""Finds how many questions at once bring the most answers, so that neither user nor preset needs to know."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Literal

__all__ = ["Concurrency", "Signal"]

Signal = Literal["answered", "crowded", "failed"]
"""How a question ended: ``answered`` lets the limit grow, ``crowded`` lowers it, ``failed`` leaves it."""

_QUIET_ROUNDS = 20
"""Rounds without trouble after which a limit that was too high once is tried again."""


class Concurrency:
    """The limit on questions under way. Not safe for threads by itself.

    A round is as many answers as the limit; the first round is half as many. After a round without trouble the limit is
    doubled or, once it has been too high, raised by a quarter, at most half-way to the limit that was too high. A
    question that is turned away takes it back to the limit that last served a whole round or, if it is there already,
    lowers it by a fifth; all questions sent before count as one. It also goes back when more at once bring no faster
    answers. Failures of the server leave it.

    Args:
        start: the first limit.
        most: the highest limit.
        clock: seconds.

    Attributes:
        reductions: how often the limit was lowered because a question was turned away.
    """

    def __init__(self, start: int, most: int, clock: Callable[[], float]) -> None:
        self._most, self._clock = most, clock
        # Where the limit is, and where it is going to.
        self._settled = self._target = min(start, most)
        self._step_began, self._step_seconds = 0.0, 0.0
        self._doubling = True
        self._served = 0
        """The limit that last served a whole round."""
        self._too_high: float = inf
        self._before, self._rate_before, self._doubts = 0, 0.0, 0
        self._quiet_rounds = 0
        self.reductions = 0
        self._begin_round()

    @property
    def limit(self) -> int:
        """How many questions may be under way now.

        A higher limit is reached gradually, in a third of the time of a round: if it is too high, few questions have
        been sent when the first one is turned away.
        """
        if self._target == self._settled:
            return self._settled
        part = (self._clock() - self._step_began) / self._step_seconds
        return min(self._target, self._settled + int((self._target - self._settled) * part))

    def delay(self, under_way: int, now: float) -> float | None:
        """Return the seconds until the limit allows one more; None: not before another has ended."""
        if under_way < self.limit:
            return 0
        if under_way >= self._target:
            return None
        share = (under_way + 1 - self._settled) / (self._target - self._settled)
        return max(self._step_began + share * self._step_seconds - now, 0.001)

    def ended(self, signal: Signal, reductions: int, *, contended: bool) -> None:
        """Learn from a question that has ended.

        Args:
            signal: how.
            reductions: how often the limit had been lowered when it was sent.
            contended: whether others wait; if none does, the limit does not decide how fast answers come.
        """
        self._contended &= contended
        if signal == "crowded":
            self._turned_away(reductions)
        elif signal == "failed":
            self._begin_round()
        else:
            self._answered()

    def _begin_round(self) -> None:
        self._round, self._round_began, self._contended = 0, self._clock(), True

    def _settle(self, limit: int) -> None:
        self._settled = self._target = limit
        self._before, self._doubts = 0, 0

    def _answered(self) -> None:
        if self._settled < self._target:
            if self._clock() >= self._step_began + self._step_seconds:
                self._settled = self._target
                self._begin_round()
            return
        self._round += 1
        # The first round is compared with nothing, so half of it is enough.
        first = self._doubling and self._served == 0
        if self._round < (self._settled / 2 if first else self._settled):
            return
        if self._contended:
            self._end_round(max(self._clock() - self._round_began, 1e-9))
        self._begin_round()

    def _end_round(self, seconds: float) -> None:
        limit, rate = self._settled, self._round / seconds
        if self._before and rate < self._rate_before * (1 + (limit / self._before - 1) / 4):
            # Not even a quarter of the gain that so many more should bring: the endpoint only queues them. One slow
            # round may be chance, two are not.
            self._doubts += 1
            if self._doubts > 1:
                self._too_high, self._doubling = self._before + 1, False
                self._settle(self._before)
            return
        self._served = limit
        self._quiet_rounds += 1
        if self._quiet_rounds > _QUIET_ROUNDS:
            self._too_high, self._quiet_rounds = inf, 0
        self._settle(limit)
        wider = self._wider(limit)
        if wider > limit:
            self._before, self._rate_before = limit, rate
            self._target, self._step_began, self._step_seconds = wider, self._clock(), seconds / 3

    def _wider(self, limit: int) -> int:
        wider = min(limit + (limit if self._doubling else max(1, limit // 4)), self._most)
        if self._too_high == inf:
            return wider
        half_way = int(limit + self._too_high) // 2
        return min(wider, half_way) if half_way - limit >= limit / 10 else limit

    def _turned_away(self, reductions: int) -> None:
        if reductions == self.reductions:
            self.reductions += 1
            limit = self.limit
            self._doubling, self._too_high, self._quiet_rounds = False, limit, 0
            if 0 < self._served < limit:
                self._settle(self._served)
            else:
                self._served = 0
                self._settle(max(1, limit * 4 // 5))
        self._begin_round()
