"""Keeps the money spent in a run below a limit, counting the questions still under way."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lvlm_ad.errors import UnaskedError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Budget", "BudgetSpentError"]


class BudgetSpentError(UnaskedError):
    """The next question could exceed the limit; it was not asked."""


class Budget:
    """A limit in USD.

    One object serves one model: a question is taken to cost as much as the model's dearest so far. Before the first
    answer nothing is known of the cost, so the first question goes alone.

    Args:
        limit: USD; None: no limit.
        spent: USD already spent, on other models.
    """

    def __init__(self, limit: float | None, spent: float = 0.0) -> None:
        self.limit = limit
        self.spent = spent
        self._blind = False
        self._dearest = 0.0
        self._priced = False
        self._under_way = 0
        self._turn = threading.Condition()

    @contextmanager
    def question(self) -> Iterator[None]:
        """Hold a place for one question while it is asked.

        Raises:
            BudgetSpentError: the question could exceed the limit.
        """
        with self._turn:
            while self.limit is not None:
                if self._blind:
                    raise BudgetSpentError("not asked: an answer came without token counts, so no limit can be kept")
                if self.spent + self._dearest > self.limit or self.spent >= self.limit:
                    raise BudgetSpentError(
                        f"not asked: {self.spent:.4f} USD are spent and the next question could exceed the limit of "
                        f"{self.limit:g} USD"
                    )
                fits = self.spent + (self._under_way + 1) * self._dearest <= self.limit
                if self._under_way == 0 or (self._priced and fits):
                    break
                # Those under way may come back cheaper than feared.
                self._turn.wait()
            self._under_way += 1
        try:
            yield
        finally:
            with self._turn:
                self._under_way -= 1
                self._turn.notify_all()

    def paid(self, cost: float | None) -> None:
        """Count the cost of an answer. After an unknown cost no question is allowed under a limit."""
        with self._turn:
            self._blind |= cost is None
            self.spent += cost or 0.0
            self._dearest = max(self._dearest, cost or 0.0)
            # What cost nothing (a filtered question) says nothing of what the next may cost.
            self._priced |= bool(cost)
