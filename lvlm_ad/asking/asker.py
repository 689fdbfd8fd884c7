"""Asks one question: from its key to the stored answer, with locks, budget and limits.

What was answered before is not asked again, and a new answer is stored before it is used.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

from lvlm_ad.asking.answers import storable
from lvlm_ad.asking.limiter import RateLimiter
from lvlm_ad.asking.retries import PATIENCE, Retries
from lvlm_ad.backend import Limits, as_answer
from lvlm_ad.errors import FatalError, LvlmAdError, TransientError, UnusableReplyError
from lvlm_ad.log import event
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.presets import Pacing, Price

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from lvlm_ad.asking.answers import AnswerStore, Locks
    from lvlm_ad.asking.cost import Budget
    from lvlm_ad.asking.limiter import Signal
    from lvlm_ad.backend import Answer, Backend, Request

__all__ = ["Asked", "Asker"]

_POLL = 0.5
"""Seconds between two looks for an answer that another command is asking for."""
_WIDEST = 128
"""Questions under way at once, at most, unless the user begins with more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer and where it came from.

    Attributes:
        key: the hash of what was asked.
        answer: the answer.
        stored: whether it was asked in an earlier run.
        cost: USD, None if unknown.
    """

    key: str
    answer: Answer
    stored: bool
    cost: float | None


class Asker:
    """Asks one backend. ``ask`` may be called from several threads.

    Args:
        backend: the model.
        store: where answers are kept.
        price: what tokens cost.
        budget: the limit on what may be spent.
        pacing: limits per minute, and how often a failed question is asked again.
        concurrency: questions under way at once, at first; see ``RateLimiter``.
        locks: which questions other commands are asking; None: no other command uses the store.
        withheld: returns the error that says why the question of a key may not be asked now, or None.
        fresh: keys of stored answers that belong to this run: a batch has just brought them.
        estimate: returns the tokens that a question may use, or None; for a limit per minute before the first answer.
        note: receives what the user should know while waiting.

    Attributes:
        backend: the model.
        identity: the backend's identity.
        workers: how many threads should call ``ask`` to use the endpoint fully.
        at_first: how many should before the first answers: twice as many as questions may be sent. Each takes processor
            time to prepare its question, which delays the first ones.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lvlm_ad.asking import AnswerStore, Budget
        >>> from lvlm_ad.backend import Request, ScriptedBackend
        >>> from lvlm_ad.presets import Price
        >>> from lvlm_ad.store import open_answers
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     database = open_answers(Path(folder) / "answers.sqlite")
        ...     backend = ScriptedBackend(script=lambda request: "image anomaly score: 0.5.")
        ...     asker = Asker(backend, AnswerStore(database), Price(), Budget(None))
        ...     print([asker.ask(Request((), "Is it broken?")).stored for _ in range(2)])
        ...     database.close()
        [False, True]
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
        withheld: Callable[[str], LvlmAdError | None] = lambda _: None,
        fresh: Container[str] = frozenset(),
        estimate: Callable[[Request], float | None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.backend, self.identity = backend, backend.identity()
        self._store, self._locks, self._price, self._budget = store, locks, price, budget
        self._pacing = pacing or Pacing()
        self._withheld, self._fresh, self._estimate = withheld, fresh, estimate
        self._began = datetime.now(UTC)
        capabilities = backend.capabilities
        most = capabilities.concurrency or max(concurrency, _WIDEST)
        self._limiter = RateLimiter(
            most if capabilities.batches_internally else concurrency,
            most,
            Limits(self._pacing.requests_per_minute, self._pacing.tokens_per_minute),
            waits=lambda seconds: note(f"waiting about {seconds:.0f} s because of the endpoint's limits."),
        )
        self._retries = Retries(self._pacing.max_retries, stop=self.stop, note=note)
        # More than may be under way: threads that wait before they ask again must not keep others from asking.
        self.workers = most if most <= 1 else most + most // 2
        self.at_first = min(2 * self._limiter.limit, self.workers)
        self._stopped = threading.Event()
        self._keys, self._being_asked = threading.Condition(), set[str]()

    def ask(self, request: Request, *, again: bool = False) -> Asked:
        """Return the answer to a question.

        Args:
            request: the question.
            again: ask even if an answer was stored before this object was made; the new answer replaces it.

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
        with self._one_thread(key):
            stored = self._store.get(key, since=since)
            if stored is None:
                with self._locked(key):
                    # Another command may have answered it before the lock was ours.
                    stored = self._store.get(key, since=since)
                    if stored is None:
                        return self._ask(key, request, replace=again)
        self._retries.count_answer(stored=True)
        event("stored", key=key, outcome=stored.outcome)
        return Asked(key, stored, stored=key not in self._fresh, cost=self.cost(stored))

    def stop(self) -> None:
        """Ask nothing more; questions under way are answered and stored, waiting ones fail."""
        self._stopped.set()
        self._limiter.stop()
        self._retries.stop()

    def cost(self, answer: Answer) -> float | None:
        """Return what an answer costs in USD, None if unknown.

        A declined question may come back without token counts; it counts as free.
        """
        usage = answer.usage
        cost = self._price.cost(
            usage.input_tokens, usage.cached_tokens, usage.output_tokens, seconds=answer.seconds, batch=answer.batch
        )
        uncounted = usage.input_tokens is None and usage.output_tokens is None
        if cost is None and uncounted and answer.outcome in {"refused", "filtered"} and self._price.known:
            return 0.0
        return cost

    @contextmanager
    def _one_thread(self, key: str) -> Iterator[None]:
        """Let other threads that have the same question wait; they find its answer stored."""
        with self._keys:
            self._keys.wait_for(lambda: key not in self._being_asked)
            self._being_asked.add(key)
        try:
            yield
        finally:
            with self._keys:
                self._being_asked.remove(key)
                self._keys.notify_all()

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock on a question; while another command has it, wait: it may be answering."""
        if self._locks is None:
            yield
            return
        while not self._locks.take(key):
            if self._stopped.wait(_POLL):
                raise self._retries.ended()
        try:
            yield
        finally:
            self._locks.release(key)

    def _ask(self, key: str, request: Request, *, replace: bool = False) -> Asked:
        """Ask within the budget, and store the answer."""
        if (reason := self._withheld(key)) is not None:
            raise reason
        with self._budget.question():
            if self._retries.fatal is not None:
                raise self._retries.fatal
            try:
                answer = self._retries.until_answered(key, lambda again: self._once(key, request, again=again))
            except FatalError as error:
                self._retries.give_up(error)
                event("given up", key=key, error=type(error).__name__, message=str(error))
                raise
            except LvlmAdError as error:
                event("failed", key=key, error=type(error).__name__, message=str(error))
                raise
            if self.backend.capabilities.stored:
                self._store.put(key, answer, request=request, identity=self.identity, replace=replace)
            self._retries.count_answer()
            cost = self.cost(answer)
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

    def _once(self, key: str, request: Request, *, again: bool) -> Answer:
        """Send a question once the limiter permits, and tell the limiter how it ended."""
        # Read or drawn before its turn, in which nothing but the endpoint should take time.
        _ = [picture.data for picture in request.images]
        permission = self._limiter.enter(self._estimate(request) or 0.0, again=again)
        if not again:
            self._retries.sent(key)
        signal: Signal = "failed"
        tokens, limits = None, None
        try:
            answer = self._call_backend(request)
        except TransientError as error:
            signal = "crowded" if error.crowded else "failed"
            if error.wait:
                # Slightly more than the endpoint asks for, and differently for each question.
                self._limiter.hold(min(error.wait, PATIENCE) * random.uniform(1.0, 1.05))  # noqa: S311 - no secret
            raise
        else:
            signal, limits, usage = "answered", answer.limits, answer.usage
            if usage.input_tokens is not None and usage.output_tokens is not None:
                tokens = usage.input_tokens + usage.output_tokens
            return answer
        finally:
            self._limiter.leave(permission, signal, tokens=tokens, limits=limits)

    def _call_backend(self, request: Request) -> Answer:
        """Call the backend; whatever it raises or returns becomes one of our errors or an answer that can be stored."""
        start, cls = perf_counter(), self.backend.implementation
        name = f"the backend {cls.__name__}"

        def received(reply: Answer | str) -> Answer:
            answer = storable(as_answer(reply, f"{cls.__name__}.answer"))
            answer = replace(answer, seconds=answer.seconds or perf_counter() - start)
            self._budget.paid(self.cost(answer))
            return answer

        with plugin_code(
            f"{name} raised",
            name=name,
            error=TransientError,
            # Asking again would not find the module either.
            missing=FatalError,
            after="",
        ):
            try:
                return received(self.backend.answer(request))
            except UnusableReplyError as error:
                error.answer = error.answer and received(error.answer)
                raise
