"""What is done about each kind of error: ask again and when, let the question fail, or end the run.

The table is in docs/asking.md. A status 429 arrives here as a ``RateLimitError``, which the backend raises.
"""

from __future__ import annotations

import random
import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from lvlm_ad.asking.limiter import StoppedError
from lvlm_ad.errors import FatalError, LvlmAdError, RateLimitError, RejectedError, TransientError, UnaskedError
from lvlm_ad.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvlm_ad.backend import Answer

__all__ = ["PATIENCE", "Retries"]

_HOPELESS = 8
"""So many failures without a single answer, or rejections in a row, end the run."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds before a question is asked again, where the endpoint does not say: at first, doubling, and at most."""
PATIENCE = 900.0
"""Seconds for which one question is asked again after rate limits and outages; also the longest wait accepted."""
_BETWEEN_NOTES = 60.0
"""Seconds between two notes on an outage."""


class Retries:
    """The retries of all questions to one backend. Used by many threads.

    Args:
        max_retries: how often a question is asked again after a transient error.
        under_way: returns how many questions are under way.
        stop: ends everything that waits.
        note: receives what the user should know.

    Attributes:
        fatal: the error that ended the run; None: none did.
    """

    def __init__(
        self, max_retries: int, *, under_way: Callable[[], int], stop: Callable[[], None], note: Callable[[str], None]
    ) -> None:
        self.fatal: FatalError | None = None
        self._max_retries, self._under_way, self._stop, self._note = max_retries, under_way, stop, note
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._answered = self._failed = self._rejected = 0
        self._reached = False
        self._noted = -inf

    def until_answered(self, key: str, ask: Callable[[bool], Answer]) -> Answer:
        """Ask until there is an answer, or no hope of one.

        Args:
            key: the question's, for the log.
            ask: asks once; its argument says whether the question was asked before.

        Raises:
            LvlmAdError: see ``Asker.ask``.
        """
        tries = failures = 0
        turned_away: float | None = None
        while True:
            try:
                return ask(tries > 0)
            except StoppedError:
                raise self.ended() from None
            except RejectedError as error:
                self._count_rejection(error)
                raise
            except TransientError as error:
                tries += 1
                if isinstance(error, RateLimitError) or self._is_outage(error):
                    # Neither costs anything, so neither counts as a retry.
                    turned_away = turned_away or monotonic()
                    hopeless = monotonic() - turned_away > PATIENCE
                else:
                    failures += 1
                    hopeless = failures > self._max_retries
                if hopeless:
                    self._count_failure(error)
                if hopeless or self._stopped.is_set():
                    # If no question can succeed, this one is not to blame.
                    raise self.fatal or error from None
                event("again", key=key, error=type(error).__name__, message=str(error), tries=tries)
                self._wait(error, tries)

    def stop(self) -> None:
        """End the waits; questions that wait fail."""
        self._stopped.set()

    def give_up(self, error: FatalError) -> None:
        """End the run: no further question can succeed."""
        self.fatal = self.fatal or error
        self._stop()

    def ended(self) -> LvlmAdError:
        """Return why nothing more is asked."""
        return self.fatal or UnaskedError("not asked: the run was ended")

    def count_answer(self, *, stored: bool = False) -> None:
        """Note that a question has an answer; a stored one says nothing about questions that are rejected now."""
        with self._lock:
            self._answered += 1
            if not stored:
                self._reached, self._rejected = True, 0

    def _wait(self, error: TransientError, tries: int) -> None:
        """Wait before a question is asked again: as long as the endpoint says, or longer each time."""
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tries - 1, 10))
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        if error.wait is not None and error.wait > PATIENCE:
            message = f"Rate limited for {error.wait:.0f} s ({error}). Run the same command later; answers are kept."
            raise FatalError(message) from error
        # For a wait that the endpoint asks for, the limiter stops all questions.
        limiter_waits = error.wait is not None and error.wait >= pause
        if not limiter_waits and self._stopped.wait(pause):
            raise self.fatal or error

    def _is_outage(self, error: TransientError) -> bool:
        """Whether the endpoint has answered before and cannot be reached now."""
        with self._lock:
            outage = error.unreached and self._reached
            noted = outage and monotonic() - self._noted > _BETWEEN_NOTES
            if noted:
                self._noted = monotonic()
        if noted:
            self._note(f"{error} It has answered before; trying again for up to {PATIENCE / 60:.0f} minutes.")
        return outage

    def _count_failure(self, error: TransientError) -> None:
        with self._lock:
            self._failed += 1
            hopeless = self._answered == 0 and self._failed >= _HOPELESS
        if hopeless:
            self.give_up(FatalError(f"The first {self._failed} questions all failed. The last error: {error}"))

    def _count_rejection(self, error: RejectedError) -> None:
        """End the run if no question is accepted: what is wrong with one is then wrong with all."""
        with self._lock:
            self._rejected += 1
            # While others are under way, one rejection is no sign of that: it comes faster than their answers.
            alone = self._answered == 0 and self._under_way() == 0 and not error.peculiar
            hopeless = alone or self._rejected >= _HOPELESS
        if hopeless:
            raise FatalError(
                f"The endpoint rejects every question ({self._rejected} in a row). The last error: {error}"
            ) from error
