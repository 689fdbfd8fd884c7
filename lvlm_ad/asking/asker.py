"""Asks a backend: what was answered before is not asked again, and a new answer is stored before it is used."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from lvlm_ad.asking.answers import storable
from lvlm_ad.asking.limiter import RateLimiter, Signal, StoppedError
from lvlm_ad.backend import Limits, as_answer
from lvlm_ad.backend.contract import check_answer
from lvlm_ad.errors import FatalError, LvlmAdError, RateLimitError, RejectedError, TransientError, UnaskedError
from lvlm_ad.log import event
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.presets import Pacing, Price

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from lvlm_ad.asking.answers import AnswerStore
    from lvlm_ad.asking.budget import Budget
    from lvlm_ad.asking.locks import Locks
    from lvlm_ad.backend import Answer, Backend, Request

__all__ = ["Asked", "Asker"]

_HOPELESS = 8
"""So many failures with not one answer between them, or rejections in a row: no other question is taken to succeed."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds before a question is asked again, where the endpoint does not say: at first, doubling, and at most."""
_PATIENCE = 900.0
"""Seconds for which one question lets itself be turned away or finds no endpoint, and the longest wait that one may ask
for."""
_ON_ITS_WAY = 5.0
"""Seconds for which answers still come from an endpoint that takes no more connections."""
_POLL = 0.2
"""Seconds between two looks for an answer that another process is asking for."""
_WIDEST = 128
"""Questions under way at once, at most, unless the user begins with more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer and where it came from.

    Attributes:
        key: the hash of what was asked.
        answer: the answer.
        stored: True if it was asked in an earlier run.
        cost: USD, None if unknown.
    """

    key: str
    answer: Answer
    stored: bool
    cost: float | None


class _Turn:
    """A question that threads of this process have in hand, and how many they are."""

    def __init__(self) -> None:
        self.lock, self.threads = threading.Lock(), 0


class Asker:
    """Surrounds one backend. ``ask`` may be called from several threads.

    Args:
        backend: whom to ask.
        store: where answers are kept.
        price: what tokens cost.
        budget: the limit on what may be spent.
        pacing: limits a minute, and how often a failed question is asked again.
        concurrency: questions under way at once, at first; see ``RateLimiter``.
        locks: what other processes are asking; None: no other process uses the store.
        withheld: from a key to the error that says why it may not be asked now; None: it may. None: all may.
        fresh: keys of stored answers that belong to this run: a batch has just brought them.
        estimate: from a question to the tokens it may use, for a limit a minute before the first answer.
        note: is told what the user should know while it waits.

    Attributes:
        workers: how many threads should call ``ask`` so that the endpoint is used fully.
    """

    def __init__(
        self,
        backend: Backend,
        store: AnswerStore,
        price: Price,
        budget: Budget,
        *,
        pacing: Pacing | None = None,
        concurrency: int = 16,
        locks: Locks | None = None,
        withheld: Callable[[str], LvlmAdError | None] | None = None,
        fresh: Container[str] = frozenset(),
        estimate: Callable[[Request], float | None] | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.backend = backend
        self.identity = backend.identity()
        self._store = store
        self._price = price
        self._budget = budget
        self._pacing = pacing or Pacing()
        self._locks = locks
        self._withheld = withheld or (lambda _: None)
        self._fresh = fresh
        self._estimate = estimate or (lambda _: None)
        self._places = threading.Condition()
        self._held = 0
        self._began = datetime.now(UTC)
        most = backend.capabilities.concurrency or max(concurrency, _WIDEST)
        limits = Limits(self._pacing.requests_per_minute, self._pacing.tokens_per_minute)
        self._traffic = RateLimiter(
            most if backend.capabilities.batches_internally else concurrency,
            most,
            limits,
            waits=lambda seconds: note(f"waiting about {seconds:.0f} s, as the endpoint's limits demand."),
        )
        # Some more than may be under way: those that wait to be asked again must not keep others from going.
        self.workers = most if most <= 1 else most + most // 2
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._answered = self._failed = self._rejected = 0
        self._tokens = (0, 0)
        self._note = note
        self._reached = False
        self._told: float | None = None
        self._fatal: FatalError | None = None
        self._turns: dict[str, _Turn] = {}

    def ask(self, request: Request, *, again: bool = False) -> Asked:
        """Return the answer to a question.

        Args:
            request: the question.
            again: ask anew though an answer was stored before this caller began, and let the new one take its place.

        Raises:
            UnaskedError: it may not be asked now, or the run was ended; BudgetSpentError: it could exceed the limit.
            TransientError: the question failed, after all retries.
            RejectedError: the endpoint refuses the question as it stands.
            FatalError: no further question can succeed; every later call raises it too.
            StoreError: the answer could not be read or stored.
        """
        key = request.key(self.identity)
        if not self.backend.capabilities.stored:
            return self._ask(key, request)
        since = self._began if again else None
        # Whoever asks the very same question meanwhile waits here and then finds the answer stored.
        with self._turn(key):
            known = self._store.get(key, since=since)
            if known is None:
                with self._claimed(key):
                    # Another process may have answered it until the claim was ours.
                    known = self._store.get(key, since=since)
                    if known is None:
                        return self._ask(key, request, replace=again)
        with self._lock:
            self._answered += 1
        event("stored", key=key, outcome=known.outcome)
        return Asked(key, known, stored=key not in self._fresh, cost=self.cost(known))

    def stop(self) -> None:
        """Ask nothing more; questions under way are answered and stored, those that wait are given up."""
        self._stopped.set()
        self._traffic.stop()

    def cost(self, answer: Answer) -> float | None:
        """Return what an answer costs in USD, None if unknown.

        A question that was declined may come back without token counts; it is taken to cost nothing.
        """
        usage = answer.usage
        cost = self._price.cost(usage.input_tokens, usage.cached_tokens, usage.output_tokens, batch=answer.batch)
        uncounted = usage.input_tokens is None and usage.output_tokens is None
        if cost is None and uncounted and answer.outcome in {"refused", "filtered"} and self._price.known:
            return 0.0
        return cost

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """Hold a question, so that other threads that have the same one wait."""
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
            turn.threads += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.threads -= 1
                if not turn.threads:
                    del self._turns[key]

    @contextmanager
    def _claimed(self, key: str) -> Iterator[None]:
        """Hold the claim on a question; wait while another process holds it, for it may be answering."""
        if self._locks is None:
            yield
            return
        while True:
            self._take_place()
            if self._locks.take(key):
                break
            self._give_place()
            if self._stopped.wait(_POLL):
                raise self._ended()
        try:
            yield
        finally:
            self._locks.release(key)
            self._give_place()

    def _take_place(self) -> None:
        """Wait until few enough claims are held: what waits long for its turn must be left to other processes."""
        with self._places:
            while self._held >= 2 * self._traffic.limit and not self._stopped.is_set():
                # The limit widens without telling.
                self._places.wait(1.0)
            self._held += 1

    def _give_place(self) -> None:
        with self._places:
            self._held -= 1
            self._places.notify(2)

    def _ask(self, key: str, request: Request, *, replace: bool = False) -> Asked:
        if (reason := self._withheld(key)) is not None:
            raise reason
        with self._budget.question():
            if self._fatal is not None:
                raise self._fatal
            try:
                answer = self._answer(key, request)
            except FatalError as error:
                self._give_up(error)
                event("given up", key=key, error=type(error).__name__, message=str(error))
                raise
            except LvlmAdError as error:
                event("failed", key=key, error=type(error).__name__, message=str(error))
                raise
            if self.backend.capabilities.stored:
                self._store.put(key, answer, request=request, identity=self.identity, replace=replace)
            with self._lock:
                self._answered += 1
                self._rejected = 0
            cost = self.cost(answer)
            # An answer of unknown cost cannot be kept below a limit.
            self._budget.paid(cost)
        event(
            "answered",
            key=key,
            outcome=answer.outcome,
            seconds=round(answer.seconds, 3),
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            cost_usd=cost,
        )
        return Asked(key, answer, stored=False, cost=cost)

    def _answer(self, key: str, request: Request) -> Answer:
        """Ask until there is an answer or no hope of one."""
        failures, turned_away, since = 0, 0, 0.0
        while True:
            try:
                return self._once(request, again=failures + turned_away > 0)
            except RejectedError as error:
                self._count_rejection(error)
                raise
            except TransientError as error:
                if isinstance(error, RateLimitError) or self._is_outage(error):
                    turned_away += 1
                    # Counted from the first time: waiting in line before is not being turned away.
                    since = since or monotonic()
                    hopeless = monotonic() - since > _PATIENCE
                else:
                    failures += 1
                    hopeless = failures > self._pacing.max_retries
                if hopeless:
                    self._count_failure(error)
                if hopeless or self._stopped.is_set():
                    # Where no question can succeed, this one did not fail by itself.
                    raise self._fatal or error from None
                event("again", key=key, error=type(error).__name__, message=str(error), tries=failures + turned_away)
                self._wait(error, failures + turned_away)
            except StoppedError:
                raise self._ended() from None

    def _is_outage(self, error: TransientError) -> bool:
        """Whether the endpoint has answered before and cannot be reached now: that costs nothing and is waited out."""
        with self._lock:
            known = error.unreached and self._reached
            tell = known and self._told is None
            self._told = monotonic() if tell else self._told
        if tell:
            self._note(f"{error} It has answered before; it is looked for again for {_PATIENCE / 60:.0f} minutes.")
        return known

    def _once(self, request: Request, *, again: bool) -> Answer:
        mine = self._traffic.enter(self._expected_tokens(request), again=again)
        signal: Signal = "failed"
        tokens, limits = None, None
        try:
            answer = self._timed(request)
        except TransientError as error:
            signal = "crowded" if error.crowded else "failed"
            if error.wait:
                # A little more than was asked for, each a different little.
                self._traffic.hold(min(error.wait, _PATIENCE) * random.uniform(1.0, 1.05))  # noqa: S311 - no secret
            raise
        else:
            signal, limits, tokens = "answered", answer.limits, self._counted(answer)
            with self._lock:
                self._reached = True
                # What was on its way when the endpoint went is no sign of its return.
                if self._told is not None and monotonic() - self._told > _ON_ITS_WAY:
                    self._told = None
            return answer
        finally:
            self._traffic.leave(mine, signal, tokens=tokens, limits=limits)

    def _counted(self, answer: Answer) -> int | None:
        """Count the tokens of an answer; their mean is what the next question is expected to use."""
        if answer.usage.input_tokens is None or answer.usage.output_tokens is None:
            return None
        tokens = answer.usage.input_tokens + answer.usage.output_tokens
        with self._lock:
            self._tokens = (self._tokens[0] + tokens, self._tokens[1] + 1)
        return tokens

    def _wait(self, error: TransientError, times: int) -> None:
        """Wait before a question is asked again: as long as the endpoint says, or longer each time."""
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(times - 1, 10))
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        if error.wait is not None:
            if error.wait > _PATIENCE:
                raise FatalError(
                    f"The endpoint asks to be left alone for {error.wait:.0f} s ({error}); the same command goes on "
                    "later."
                ) from error
            if error.wait >= pause:
                # Nothing goes until then, so there is nothing to do here but to stand in line again.
                return
        if self._stopped.wait(pause):
            raise self._fatal or error

    def _timed(self, request: Request) -> Answer:
        start = perf_counter()
        cls = self.backend.implementation
        with plugin_code(
            f"the backend {cls.__name__} raised",
            name=f"the backend {cls.__name__}",
            module=cls.__module__,
            error=TransientError,
            # Another try would not find the module either.
            missing=FatalError,
            whole_path=False,
            after="",
        ):
            answer = as_answer(self.backend.answer(request), f"{cls.__name__}.answer")
            check_answer(answer, f"{cls.__name__}.answer")
        return replace(storable(answer), seconds=answer.seconds or perf_counter() - start)

    def _expected_tokens(self, request: Request) -> float:
        """Return what a question is thought to use: the mean of the answers so far, before them an estimate."""
        tokens, answers = self._tokens
        return tokens / answers if answers else self._estimate(request) or 0.0

    def _ended(self) -> LvlmAdError:
        """Say why nothing more is asked."""
        return self._fatal or UnaskedError("not asked: the run was ended")

    def _give_up(self, error: FatalError) -> None:
        if self._fatal is None:
            self._fatal = error
        self.stop()

    def _count_failure(self, error: TransientError) -> None:
        with self._lock:
            self._failed += 1
            hopeless = self._answered == 0 and self._failed >= _HOPELESS
        if hopeless:
            self._give_up(FatalError(f"The first {self._failed} questions all failed. The last: {error}"))

    def _count_rejection(self, error: RejectedError) -> None:
        """End the asking if no question is taken: what is wrong with one is then wrong with all.

        While others are under way one is no sign of that: a rejection comes faster than their answers.
        """
        with self._lock:
            self._rejected += 1
            alone = self._answered == 0 and self._traffic.under_way == 0 and not error.peculiar
            all_of_them = alone or self._rejected >= _HOPELESS
        if all_of_them:
            raise FatalError(f"No question is taken ({self._rejected} rejected). The last: {error}") from error
