"""The limits are tested against a simulated endpoint whose clock the test moves; nothing waits or measures time."""

import heapq
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lvlm_ad.asking import limiter as limiter_module
from lvlm_ad.asking.limiter import RateLimiter, StoppedError
from lvlm_ad.backend import Limits


class Simulation:
    """An endpoint that takes ``seconds`` an answer, answers so many at once, and turns away or queues the others."""

    def __init__(self, start, *, seconds=0.2, room=32, queues=False, most=128, limits=None):
        self.now = 0.0
        self.limiter = RateLimiter(start, most, limits, clock=lambda: self.now)
        # There is always another in line: the limit decides how fast answers come.
        self.limiter._queue.append(limiter_module._Waiter((True, 10**9), 0.0))
        self.seconds, self.room, self.queues = seconds, room, queues
        self.free_at = [0.0] * room
        self.under_way = []
        self.turned_away = self.peak = 0
        self.limits_seen = []

    def go(self, questions, tokens=0.0):
        """Answer so many questions; returns the time it took."""
        again, left, answered, number = [], questions, 0, 0
        while answered < questions:
            while (left or again) and self.limiter._delay(tokens) == 0:
                left -= 0 if again else 1
                if again:
                    again.pop()
                self._send(number, tokens)
                number += 1
            delay = self.limiter._delay(tokens) if left or again else None
            if delay is not None and not (self.under_way and self.under_way[0][0] <= self.now + delay):
                self.now += delay
                continue
            at, _, mine, ok = heapq.heappop(self.under_way)
            self.now = max(self.now, at)
            if ok:
                answered += 1
            else:
                again.append(1)
            self.limiter.leave(mine, "answered" if ok else "crowded")
            self.limits_seen.append(self.limiter.limit)
        return self.now

    def _send(self, number, tokens):
        mine = self.limiter.enter(tokens)
        busy = sum(ok for *_, ok in self.under_way)
        self.peak = max(self.peak, len(self.under_way) + 1)
        if self.queues:
            slot = min(range(self.room), key=lambda index: self.free_at[index])
            self.free_at[slot] = max(self.free_at[slot], self.now) + self.seconds
            heapq.heappush(self.under_way, (self.free_at[slot], number, mine, True))
        elif busy < self.room:
            heapq.heappush(self.under_way, (self.now + self.seconds, number, mine, True))
        else:
            self.turned_away += 1
            heapq.heappush(self.under_way, (self.now + 0.005, number, mine, False))


@pytest.mark.parametrize("start", [1, 4, 16, 32, 64])
def test_the_endpoints_limit_is_found(start):
    """From any start the limit settles at what the endpoint takes at once, and few questions are turned away."""
    simulation = Simulation(start)
    simulation.go(2000)
    settled = simulation.limits_seen[1000:]
    assert 0.8 * 32 <= sum(settled) / len(settled) <= 1.1 * 32
    assert simulation.turned_away < 200


@pytest.mark.parametrize("start", [16, 32])
def test_300_questions_take_little_longer_than_they_must(start):
    """With room for 32 at 0.2 s an answer, 300 questions take at most 1.15 times the ideal 2.0 s."""
    assert Simulation(start).go(300) <= 1.15 * 2.0


def test_an_endpoint_that_queues_is_not_flooded():
    """If more questions at once bring no faster answers, the limit does not grow far beyond what is served at once."""
    simulation = Simulation(16, room=4, queues=True)
    simulation.go(1000)
    assert simulation.peak <= 2 * 16


@pytest.mark.parametrize("most", [1, 128])
def test_the_limit_grows_to_the_most_that_is_allowed(most):
    """Without any trouble the limit reaches the highest that is allowed, and never exceeds it."""
    simulation = Simulation(16, room=10_000, most=most)
    simulation.go(3000)
    assert simulation.limiter.limit == most == simulation.peak


def test_turned_away_together_shrinks_once():
    """Of questions that were sent before the limit shrank, the first shrinks it by a fifth and the others do not."""
    limiter = RateLimiter(20, 128)
    passes = [limiter.enter() for _ in range(20)]
    for mine in passes:
        limiter.leave(mine, "crowded")
    assert limiter.limit == 16
    limiter.leave(limiter.enter(), "crowded")
    assert limiter.limit == 12


def test_failures_of_the_server_hold_the_limit():
    """A round in which the server failed does not change the limit."""
    limiter = RateLimiter(4, 128)
    for _ in range(20):
        for _ in range(3):
            limiter.leave(limiter.enter(), "answered")
        limiter.leave(limiter.enter(), "failed")
    assert limiter.limit == 4


def test_requests_a_minute_are_kept():
    """In no minute do more questions go than are allowed, and no fewer over a long time."""
    simulation = Simulation(16, room=1000, limits=Limits(requests_per_minute=60))
    starts = []
    enter = simulation.limiter.enter
    simulation.limiter.enter = lambda tokens: starts.append(simulation.now) or enter(tokens)
    took = simulation.go(300)
    assert all(later - earlier >= 60 for earlier, later in zip(starts, starts[60:], strict=False))
    assert took == pytest.approx(4 * 60, abs=5)


def test_tokens_a_minute_are_kept():
    """Questions of 500 tokens under a limit of 10,000 a minute go twenty a minute; one beyond the limit goes alone."""
    assert Simulation(16, limits=Limits(tokens_per_minute=10_000)).go(100, tokens=500) == pytest.approx(4 * 60, abs=5)
    assert Simulation(16, limits=Limits(tokens_per_minute=100)).go(3, tokens=500) == pytest.approx(2 * 60, abs=5)


def test_what_the_user_gives_comes_before_what_is_announced():
    """An announced limit is kept unless the user gave one."""
    for given, allowed in ((None, 2), (Limits(requests_per_minute=4), 4)):
        now = [0.0]
        limiter = RateLimiter(16, 16, given, clock=lambda now=now: now[0])
        limiter.leave(limiter.enter(), "answered", limits=Limits(requests_per_minute=2))
        count = 1
        while limiter._delay(0) == 0:
            limiter.leave(limiter.enter(), "answered")
            count += 1
        assert count == allowed


def test_a_wait_that_was_asked_for_holds_everybody():
    """After a hold of seven seconds nothing is sent before they are over."""
    now = [0.0]
    limiter = RateLimiter(16, 16, clock=lambda: now[0])
    limiter.hold(7)
    assert limiter._delay(0) == 7
    now[0] = 6.5
    assert limiter._delay(0) == 0.5
    now[0] = 7
    assert limiter._delay(0) == 0


def test_those_asked_again_go_first():
    """A question that was turned away before goes ahead of new ones."""
    limiter = RateLimiter(1, 1)
    mine = limiter.enter()
    order = []

    def wait(name, again):
        taken = limiter.enter(again=again)
        order.append(name)
        limiter.leave(taken, "answered")

    threads = [threading.Thread(target=wait, args=("new", False)), threading.Thread(target=wait, args=("again", True))]
    for at, thread in enumerate(threads, start=1):
        thread.start()
        while len(limiter._queue) < at:
            pass
    limiter.leave(mine, "answered")
    for thread in threads:
        thread.join(timeout=30)
    assert order == ["again", "new"]


def test_a_long_wait_gives_one_note_and_a_stop_ends_it():
    """A long wait gives one note with its length; after a stop, waiting and later questions get an error."""
    notes = []
    limiter = RateLimiter(8, 8, Limits(requests_per_minute=2), waits=notes.append)
    for _ in range(2):
        limiter.leave(limiter.enter(), "answered")

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(limiter.enter) for _ in range(3)]
        deadline = time.monotonic() + 30
        while not notes and time.monotonic() < deadline:
            time.sleep(0.01)
        limiter.stop()
    assert all(isinstance(one.exception(), StoppedError) for one in waiting)
    assert len(notes) == 1
    assert 50 < notes[0] <= 60
    with pytest.raises(StoppedError):
        limiter.enter()
