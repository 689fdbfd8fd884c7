"""Decides when the next question may be sent: finds the endpoint's own concurrency, and keeps its limits per minute.

A status 429 comes here twice: ``hold`` sends nothing until the wait that the endpoint asked for is over, and ``leave``
with "crowded" lowers the number of questions under way. ``asker`` then asks the question again.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvlm_ad.backend import Limits

__all__ = ["Pass", "RateLimiter", "Signal", "StoppedError"]

_WINDOW = 60.0
"""Seconds over which limits per minute are kept."""
_LONG_WAIT = 5.0
"""Seconds of waiting that are worth a note to the user."""
_QUIET_ROUNDS = 20
"""Rounds without trouble after which a limit that was too high once is tried again."""

Signal = Literal["answered", "crowded", "failed"]
"""How a question ended: ``answered`` lets the limit grow, ``crowded`` lowers it, ``failed`` leaves it."""


class StoppedError(Exception):
    """No question may be sent any more: the run is ending."""


@dataclass(slots=True)
class Pass:
    """Permission for one question to be under way.

    Attributes:
        reductions: how often the concurrency had been lowered when it was sent.
        entry: its [time, tokens] in the log of the last minute; its time is -inf once it is older.
    """

    reductions: int
    entry: list[float]


@dataclass(order=True, slots=True)
class _Waiter:
    rank: tuple[bool, int]
    """Questions that are asked again go first, then by age."""
    tokens: float = field(compare=False)
    event: threading.Event = field(compare=False, default_factory=threading.Event)


class RateLimiter:
    """Lets questions through, one pass each. Used by many threads.

    Args:
        start: questions under way at once, at first.
        most: never more than this.
        limits: limits per minute; what the user gives comes before what the endpoint announces.
        clock: seconds; for tests.
        waits: is called with the seconds for which nothing will be sent, if they are many, at most once a minute.

    Example:
        >>> limiter = RateLimiter(start=2, most=8)
        >>> permission = limiter.enter()
        >>> limiter.under_way
        1
        >>> limiter.leave(permission, "answered")
    """

    def __init__(
        self,
        start: int,
        most: int,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = monotonic,
        waits: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._clock, self._waits, self._noted = clock, waits, -inf
        self._concurrency = _Concurrency(start, most, clock)
        self._minute = _Minute(limits)
        self._lock = threading.Lock()
        self._queue: list[_Waiter] = []
        self._number = self._under_way = 0
        self._not_before = -inf
        self._stopped = False

    @property
    def limit(self) -> int:
        """How many questions may be under way now."""
        return self._concurrency.limit

    @property
    def under_way(self) -> int:
        """How many questions are under way now."""
        return self._under_way

    def enter(self, tokens: float = 0.0, *, again: bool = False) -> Pass:
        """Wait until a question may be sent.

        Args:
            tokens: how many it may use; once answers have come, the mean of what they used counts instead.
            again: whether it was turned away or failed before; such questions go first.

        Raises:
            StoppedError: ``stop`` was called.
        """
        with self._lock:
            self._number += 1
            me = _Waiter((not again, self._number), tokens)
            heapq.heappush(self._queue, me)
        while True:
            with self._lock:
                if self._stopped:
                    raise StoppedError
                delay = self._delay(me.tokens) if self._queue[0] is me else None
                if delay == 0:
                    heapq.heappop(self._queue)
                    self._under_way += 1
                    self._wake()
                    return Pass(self._concurrency.reductions, self._minute.add(self._clock(), me.tokens))
                me.event.clear()
                note = delay is not None and delay > _LONG_WAIT and self._clock() - self._noted > _WINDOW
                if note:
                    self._noted = self._clock()
            if note and delay is not None:
                self._waits(delay)
            me.event.wait(delay)

    def leave(self, mine: Pass, signal: Signal, *, tokens: float | None = None, limits: Limits | None = None) -> None:
        """Give a pass back.

        Args:
            mine: the pass.
            signal: how the question ended.
            tokens: how many it used, None if unknown.
            limits: what the endpoint announced.
        """
        with self._lock:
            self._under_way -= 1
            if tokens is not None:
                self._minute.correct(mine.entry, tokens)
            if limits is not None:
                self._minute.announce(limits)
            self._concurrency.ended(signal, mine.reductions, contended=bool(self._queue))
            self._wake()

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def stop(self) -> None:
        """Send nothing any more; all that wait get a ``StoppedError``."""
        with self._lock:
            self._stopped = True
            for waiter in self._queue:
                waiter.event.set()

    def _wake(self) -> None:
        if self._queue:
            self._queue[0].event.set()

    def _delay(self, tokens: float) -> float | None:
        """Return the seconds until the next may be sent; None: not before another has ended."""
        if self._under_way >= self.limit:
            return None
        now = self._clock()
        return max(self._not_before - now, 0) or self._minute.delay(tokens, now)


class _Minute:
    """Counts the questions and tokens of the last minute."""

    def __init__(self, limits: Limits | None) -> None:
        self._requests = (limits.requests_per_minute if limits else None) or inf
        self._tokens = (limits.tokens_per_minute if limits else None) or inf
        self._user_gave = (self._requests < inf, self._tokens < inf)
        self._log: deque[list[float]] = deque()
        self._sum = 0.0
        self._used, self._answers = 0.0, 0

    def add(self, now: float, tokens: float) -> list[float]:
        """Count a question that is sent now; return its entry."""
        entry = [now, self._expected(tokens)]
        self._log.append(entry)
        self._sum += entry[1]
        return entry

    def correct(self, entry: list[float], tokens: float) -> None:
        """Replace the expected tokens of a question by those it used."""
        self._used, self._answers = self._used + tokens, self._answers + 1
        if entry[0] > -inf:
            self._sum += tokens - entry[1]
            entry[1] = tokens

    def announce(self, limits: Limits) -> None:
        """Keep limits that the endpoint announces, where the user gave none."""
        if limits.requests_per_minute and not self._user_gave[0]:
            self._requests = limits.requests_per_minute
        if limits.tokens_per_minute and not self._user_gave[1]:
            self._tokens = limits.tokens_per_minute

    def delay(self, tokens: float, now: float) -> float:
        """Return the seconds until a question of so many tokens may be sent."""
        while self._log and self._log[0][0] <= now - _WINDOW:
            old = self._log.popleft()
            self._sum -= old[1]
            old[0] = -inf
        # A question above the whole limit is sent alone rather than never.
        too_many = self._log and self._sum + self._expected(tokens) > self._tokens
        full = len(self._log) >= self._requests or too_many
        return max(self._log[0][0] + _WINDOW - now, 0.001) if full else 0.0

    def _expected(self, tokens: float) -> float:
        return self._used / self._answers if self._answers else tokens


class _Concurrency:
    """The limit on questions under way; docs/asking.md describes how it changes. Not safe for threads by itself."""

    def __init__(self, start: int, most: int, clock: Callable[[], float]) -> None:
        self.limit = min(start, most)
        self.reductions = 0
        """How often the limit was lowered because a question was turned away."""
        self._most, self._clock = most, clock
        self._doubling = True
        self._served = 0
        """The limit that last served a whole round."""
        self._too_high: float = inf
        self._quiet_rounds = 0
        self._before, self._rate_before, self._doubts = 0, 0.0, 0
        """The limit before it was raised, its answers per second, and the rounds since that were hardly faster."""
        self._begin_round()

    def ended(self, signal: Signal, reductions: int, *, contended: bool) -> None:
        """Learn from a question that has ended.

        Args:
            signal: how.
            reductions: how often the limit had been lowered when it was sent.
            contended: whether others wait; if none does, the limit does not decide how fast answers come.
        """
        self._contended &= contended
        if signal == "answered":
            self._answers += 1
            # The first round is compared with nothing, so half of it is enough.
            half = self._doubling and self._served == 0
            if self._answers < (self.limit / 2 if half else self.limit):
                return
            if self._contended:
                self._end_round()
        elif signal == "crowded" and reductions == self.reductions:
            self._reduce()
        self._begin_round()

    def _begin_round(self) -> None:
        self._answers, self._round_began, self._contended = 0, self._clock(), True

    def _set(self, limit: int) -> None:
        self.limit, self._before, self._doubts = limit, 0, 0

    def _end_round(self) -> None:
        rate = self._answers / max(self._clock() - self._round_began, 1e-9)
        if self._before and rate < self._rate_before * (1 + (self.limit / self._before - 1) / 4):
            # Not even a quarter of the gain that so many more should bring: the endpoint only queues them. One slow
            # round may be chance, two are not.
            self._doubts += 1
            if self._doubts > 1:
                self._too_high, self._doubling = self._before + 1, False
                self._set(self._before)
            return
        self._served = self.limit
        self._quiet_rounds += 1
        if self._quiet_rounds > _QUIET_ROUNDS:
            self._too_high, self._quiet_rounds = inf, 0
        limit = self.limit
        self._set(self._raised())
        if self.limit > limit:
            self._before, self._rate_before = limit, rate

    def _raised(self) -> int:
        limit = self.limit
        raised = min(limit + (limit if self._doubling else max(1, limit // 4)), self._most)
        if self._too_high == inf:
            return raised
        half_way = int(limit + self._too_high) // 2
        return min(raised, half_way) if half_way - limit >= limit / 10 else limit

    def _reduce(self) -> None:
        self.reductions += 1
        self._doubling, self._too_high, self._quiet_rounds = False, self.limit, 0
        if 0 < self._served < self.limit:
            self._set(self._served)
        else:
            self._served = 0
            self._set(max(1, self.limit * 4 // 5))
