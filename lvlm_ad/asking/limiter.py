"""Decides when the next question may go: finds out how many the endpoint takes at once, and keeps its limits a minute.

The number under way grows while that makes answers come faster and shrinks when questions are turned away, so that
neither the user nor a preset needs to know the endpoint's limit.
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

Signal = Literal["answered", "crowded", "failed"]
"""How a question ended, for the limit: ``answered`` lets it grow, ``crowded`` shrinks it, ``failed`` holds it."""

_WINDOW = 60.0
"""Seconds over which limits a minute are kept."""
_WORTH_TELLING = 5.0
"""Seconds of waiting from which the user is told."""
_PATIENCE = 20
"""Rounds without trouble after which a limit once found too high is tried again."""


class StoppedError(Exception):
    """No question may go any more: the run is ending."""


@dataclass(slots=True)
class Pass:
    """Leave for one question to be under way.

    Attributes:
        shrinks: how often the limit had shrunk when it went.
        entry: its line in the log of the last minute; its time is -inf once it is older.
    """

    shrinks: int
    entry: list[float]


@dataclass(order=True, slots=True)
class _Waiter:
    rank: tuple[bool, int]
    """Questions that are asked again go first, then by age."""
    tokens: float = field(compare=False)
    event: threading.Event = field(compare=False, default_factory=threading.Event)


class RateLimiter:
    """Lets questions through, one pass each. Used from many threads.

    The limit begins at ``start``. A round is as many answers as the limit, the first one half as many. After a round
    without trouble the limit is doubled or, once it has ever been too high, raised by a quarter. It stays below a limit
    at which questions were turned away or answers came no faster, and tries that again only after twenty quiet rounds.
    When a question is turned away it goes back to the limit that last served a whole round or, being there, shrinks by
    a fifth; all that were sent before a shrink count as one. Failures of the server hold it.

    Args:
        start: questions under way at once, at first.
        most: never more than this.
        limits: limits a minute; what the user gives comes before what the endpoint announces.
        clock: seconds; for tests.
        waits: is told, at most once a minute, for how many seconds nothing will go; short waits are not told.
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
        # Where the limit stands, and where it is on its way to.
        self._settled = self._target = min(start, most)
        self._step_began, self._step_seconds = 0.0, 0.0
        self._most = most
        self._clock = clock
        self._waits, self._told = waits, -inf
        self._requests_a_minute = (limits.requests_per_minute if limits else None) or inf
        self._tokens_a_minute = (limits.tokens_per_minute if limits else None) or inf
        self._given = (self._requests_a_minute < inf, self._tokens_a_minute < inf)
        self._lock = threading.Lock()
        self._queue: list[_Waiter] = []
        self._number = 0
        self._under_way = 0
        self._stopped = False
        self._not_before = -inf
        # The starts of the last minute, each [time, tokens], and the sum of those tokens.
        self._log: deque[list[float]] = deque()
        self._logged_tokens = 0.0
        self._fast = True
        self._good = 0
        self._bad: float = inf
        self._settle(self._settled)
        self._quiet_rounds = 0
        self._shrinks = 0
        self._begin_round()

    @property
    def limit(self) -> int:
        """How many questions may be under way now.

        A wider limit is reached step by step in a third of the time of a round: if it is too wide, few have gone when
        the first is turned away.
        """
        if self._target == self._settled:
            return self._settled
        part = (self._clock() - self._step_began) / self._step_seconds
        return min(self._target, self._settled + int((self._target - self._settled) * part))

    @property
    def under_way(self) -> int:
        """How many questions are under way now."""
        return self._under_way

    def enter(self, tokens: float = 0.0, *, again: bool = False) -> Pass:
        """Wait until a question may go.

        Args:
            tokens: what it is thought to use.
            again: whether it was turned away or failed before; such go first.

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
                delay: float | None = None
                if self._queue[0] is me:
                    delay = self._delay(me.tokens)
                    if delay == 0:
                        heapq.heappop(self._queue)
                        return self._admit(me)
                me.event.clear()
                tell = delay is not None and delay > _WORTH_TELLING and self._clock() - self._told > _WINDOW
                if tell:
                    self._told = self._clock()
            if tell and delay is not None:
                self._waits(delay)
            me.event.wait(delay)

    def leave(self, mine: Pass, signal: Signal, *, tokens: float | None = None, limits: Limits | None = None) -> None:
        """Give a pass back.

        Args:
            mine: the pass.
            signal: how the question ended.
            tokens: what it used, None if unknown.
            limits: what the endpoint announced.
        """
        with self._lock:
            self._under_way -= 1
            # Where nobody waits, it is not the limit that decides how fast answers come: the round says nothing of it.
            self._binding &= bool(self._queue)
            if tokens is not None and mine.entry[0] > -inf:
                self._logged_tokens += tokens - mine.entry[1]
                mine.entry[1] = tokens
            if limits is not None:
                self._announced(limits)
            if signal == "crowded":
                self._crowded(mine)
            elif signal == "failed":
                self._begin_round()
            else:
                self._answered()
            self._wake()

    def hold(self, seconds: float) -> None:
        """Let nothing through for some seconds."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def stop(self) -> None:
        """Let nothing through any more; whoever waits is told."""
        with self._lock:
            self._stopped = True
            for waiter in self._queue:
                waiter.event.set()

    def _admit(self, waiter: _Waiter) -> Pass:
        self._under_way += 1
        entry = [self._clock(), waiter.tokens]
        self._log.append(entry)
        self._logged_tokens += waiter.tokens
        self._wake()
        return Pass(self._shrinks, entry)

    def _wake(self) -> None:
        if self._queue:
            self._queue[0].event.set()

    def _delay(self, tokens: float) -> float | None:
        """Return the seconds until the next may go; None: not before another is back."""
        now = self._clock()
        if self._under_way >= self.limit:
            if self._under_way >= self._target:
                return None
            share = (self._under_way + 1 - self._settled) / (self._target - self._settled)
            return max(self._step_began + share * self._step_seconds - now, 0.001)
        if now < self._not_before:
            return self._not_before - now
        while self._log and self._log[0][0] <= now - _WINDOW:
            old = self._log.popleft()
            self._logged_tokens -= old[1]
            old[0] = -inf
        # A question larger than the whole limit goes alone rather than never.
        full = len(self._log) >= self._requests_a_minute or (
            self._log and self._logged_tokens + tokens > self._tokens_a_minute
        )
        return max(self._log[0][0] + _WINDOW - now, 0.001) if full else 0

    def _announced(self, limits: Limits) -> None:
        if limits.requests_per_minute and not self._given[0]:
            self._requests_a_minute = limits.requests_per_minute
        if limits.tokens_per_minute and not self._given[1]:
            self._tokens_a_minute = limits.tokens_per_minute

    def _begin_round(self) -> None:
        self._round = 0
        self._round_start = self._clock()
        self._binding = True

    def _settle(self, limit: int) -> None:
        """Set the limit and leave no step open, whether still under way or still to be judged."""
        self._settled = self._target = limit
        self._before = (0, 0.0)
        self._doubts = 0

    def _answered(self) -> None:
        if self._settled < self._target:
            if self._clock() >= self._step_began + self._step_seconds:
                self._settled = self._target
                self._begin_round()
            return
        self._round += 1
        # The first step need not wait for a whole round: nothing is compared with it but itself, begun from nothing.
        first = self._fast and self._good == 0
        if self._round < (self._settled / 2 if first else self._settled):
            return
        if self._binding:
            self._end_round(max(self._clock() - self._round_start, 1e-9))
        self._begin_round()

    def _end_round(self, seconds: float) -> None:
        """Judge a round in which the limit decided: no more than it were under way, and some waited."""
        limit, rate = self._settled, self._round / seconds
        before, rate_before = self._before
        if before and rate < rate_before * (1 + (limit / before - 1) / 4):
            # Not even a quarter of the gain that so many more should bring: the endpoint only queues them. One slow
            # round may be chance, two are not.
            self._doubts += 1
            if self._doubts > 1:
                self._bad, self._fast = before + 1, False
                self._settle(before)
            return
        self._good = limit
        self._quiet_rounds += 1
        if self._quiet_rounds > _PATIENCE:
            self._bad, self._quiet_rounds = inf, 0
        wider = min(limit + (limit if self._fast else max(1, limit // 4)), self._most)
        if self._bad < inf:
            # Between a limit that served and one that did not, the next to try is half-way, if that is worth trying.
            half_way = int(limit + self._bad) // 2
            wider = min(wider, half_way) if half_way - limit >= limit / 10 else limit
        self._settle(limit)
        if wider > limit:
            self._before = (limit, rate)
            self._target, self._step_began, self._step_seconds = wider, self._clock(), seconds / 3

    def _crowded(self, mine: Pass) -> None:
        if mine.shrinks != self._shrinks:
            self._begin_round()
            return
        self._shrinks += 1
        limit = self.limit
        self._fast, self._bad, self._quiet_rounds = False, limit, 0
        if 0 < self._good < limit:
            self._settle(self._good)
        else:
            self._good = 0
            self._settle(max(1, limit * 4 // 5))
        self._begin_round()
