"""Asks a backend: what was answered before is not asked again, and a new answer is stored before it is used."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from lvlm_ad.errors import FatalError, LvlmAdError, TransientError

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, Request
    from lvlm_ad.calls.budget import Budget
    from lvlm_ad.calls.store import AnswerStore
    from lvlm_ad.presets import Price

__all__ = ["Asked", "Caller"]

_HOPELESS = 8
"""So many failures with not one answer between them: the endpoint is taken to be out of reach."""


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


class Caller:
    """Surrounds one backend. ``ask`` may be called from several threads.

    Args:
        backend: whom to ask.
        store: where answers are kept.
        price: what tokens cost.
        budget: the limit on what may be spent.
    """

    def __init__(self, backend: Backend, store: AnswerStore, price: Price, budget: Budget) -> None:
        self.backend = backend
        self.identity = backend.identity()
        self._store = store
        self._price = price
        self._budget = budget
        self._lock = threading.Lock()
        self._answered = 0
        self._failed = 0
        self._fatal: FatalError | None = None
        self._turns: dict[str, threading.Lock] = {}

    def ask(self, request: Request) -> Asked:
        """Return the answer to a question.

        Raises:
            BudgetSpentError: asking could exceed the limit.
            TransientError: the question failed.
            FatalError: no further question can succeed; every later call raises it too.
            StoreError: the answer could not be read or stored.
        """
        key = request.key(self.identity)
        if not self.backend.capabilities.stored:
            return self._ask(key, request)
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        # Whoever asks the very same question meanwhile waits here and then finds the answer stored.
        with turn:
            known = self._store.get(key)
            if known is None:
                return self._ask(key, request)
        with self._lock:
            self._answered += 1
        return Asked(key, known, stored=True, cost=self.cost(known))

    def _ask(self, key: str, request: Request) -> Asked:
        with self._budget.question():
            if self._fatal is not None:
                raise self._fatal
            try:
                answer = self._timed(request)
            except FatalError as error:
                self._fatal = error
                raise
            except TransientError as error:
                self._count_failure(error)
                raise
            if self.backend.capabilities.stored:
                self._store.put(key, answer, request=request, identity=self.identity)
            with self._lock:
                self._answered += 1
            cost = self.cost(answer)
            # What was declined may come without token counts; an answer without them cannot be kept below a limit.
            self._budget.paid(cost if cost is not None or answer.outcome == "ok" else 0.0)
        return Asked(key, answer, stored=False, cost=cost)

    def cost(self, answer: Answer) -> float | None:
        """Return what an answer costs in USD, None if unknown."""
        usage = answer.usage
        return self._price.cost(usage.input_tokens, usage.cached_tokens, usage.output_tokens)

    def _timed(self, request: Request) -> Answer:
        start = perf_counter()
        try:
            answer = self.backend.answer(request)
        except LvlmAdError:
            raise
        except Exception as error:
            name = type(self.backend).__name__
            raise TransientError(f"the backend {name} raised {type(error).__name__}: {error!s:.200}") from error
        return replace(
            answer,
            text=_encodable(answer.text),
            detail=_encodable(answer.detail),
            model=_encodable(answer.model),
            seconds=answer.seconds or perf_counter() - start,
        )

    def _count_failure(self, error: TransientError) -> None:
        with self._lock:
            self._failed += 1
            if self._answered == 0 and self._failed >= _HOPELESS and self._fatal is None:
                self._fatal = FatalError(f"The first {self._failed} questions all failed; the last: {error}")


def _encodable(text: str) -> str:
    """Replace lone surrogates, which a server's JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
