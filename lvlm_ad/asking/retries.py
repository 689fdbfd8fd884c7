"""What is done about each kind of error: ask again and when, let the question fail, or end the run.

The table is in docs/asking.md. A status 429 arrives here as a ``RateLimitError``, which the backend raises.
"""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from lvlm_ad.asking.limiter import StoppedError
from lvlm_ad.errors import (
    FatalError,
    LvlmAdError,
    RateLimitError,
    RejectedError,
    TransientError,
    UnaskedError,
    UnusableReplyError,
    sentence,
)
from lvlm_ad.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvlm_ad.backend import Answer

__all__ = ["PATIENCE", "Retries", "too_long"]

_HOPELESS = 8
"""After this many failed questions without an answer, the run ends."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds before a question is asked again, where the endpoint does not say: at first, doubling, and at most."""
_LONGEST_START = 8.0
"""As ``_LONGEST_WAIT``, while the server loads its model."""
PATIENCE = 900.0
"""Seconds for which one question is asked again after rate limits and outages; also the longest wait accepted."""
_BETWEEN_NOTES = 60.0
"""Seconds between two notes on an outage."""
_LATER = "Run the same command later; answers are kept."


class Retries:
    """The retries of all questions to one backend. Used by many threads.

    Args:
        max_retries: how often a question is asked again after a transient error.
        stop: ends everything that waits.
        note: called with messages for the user.

    Attributes:
        fatal: the error that ended the run; None: none did.
    """

    def __init__(self, max_retries: int, *, stop: Callable[[], None], note: Callable[[str], None]) -> None:
        self.fatal: FatalError | None = None
        self._max_retries, self._stop, self._note = max_retries, stop, note
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._answered = self._failed = self._waited_in_vain = self._rejected = self._rejected_as_shared = 0
        # Questions under way: now, and when the eighth question failed.
        self._first_tries, self._awaited = set[str](), set[str]()
        self._reached = self._unusable_again = self._partial_noted = False
        self._noted = -inf

    def until_answered(self, key: str, ask: Callable[[bool], Answer]) -> Answer:
        """Ask until there is an answer. If there is no hope of one, return the last partial answer, if there is any.

        Args:
            key: the question's, for the log.
            ask: asks once; its argument says whether the question was asked before.

        Raises:
            LvlmAdError: see ``Asker.ask``.
        """
        partial: list[Answer] = []
        try:
            answer = self._until_complete(key, ask, partial)
        except LvlmAdError as error:
            if not partial:
                raise
            self._note_partial(error)
            return partial[-1]
        self._unusable_again = False
        return answer

    def _note_partial(self, error: LvlmAdError) -> None:
        """Tell the user once that answers count as cut off, and why."""
        with self._lock:
            first = not self._partial_noted
            self._partial_noted = True
        if first:
            self._note(f"{sentence(error)} Asking again gave nothing better, so such answers count as cut off.")

    def _until_complete(self, key: str, ask: Callable[[bool], Answer], partial: list[Answer]) -> Answer:
        """Ask until there is a complete answer; others are added to ``partial``."""
        tries = failures = unusable = 0
        turned_away: float | None = None
        while True:
            try:
                return ask(tries > 0)
            except StoppedError:
                raise self.ended() from None
            except RejectedError as error:
                self._came_back(key)
                self._count_rejection(error)
                raise
            except TransientError as error:
                tries += 1
                self._came_back(key)
                unpaid = isinstance(error, RateLimitError) or self._will_recover(error)
                if unpaid:
                    turned_away = turned_away or monotonic()
                    hopeless = monotonic() - turned_away > PATIENCE
                elif isinstance(error, UnusableReplyError):
                    unusable += 1
                    partial += [] if error.answer is None else [error.answer]
                    # Each reply is paid for. If a second one was no better, later questions do not ask for one.
                    hopeless = unusable > min(self._max_retries, 0 if self._unusable_again else 1)
                    self._unusable_again |= hopeless
                else:
                    failures += 1
                    hopeless = failures > self._max_retries
                if hopeless and not partial:
                    self._count_failure(error, waited=unpaid)
                if hopeless or self._stopped.is_set():
                    # If no question can succeed, this one is not to blame.
                    raise self.fatal or error from None
                event("again", key=key, error=type(error).__name__, message=str(error), tries=tries)
                self._wait(error, tries)
                if partial and isinstance(error, UnusableReplyError) and self._unusable_again:
                    # Meanwhile another question was asked again in vain.
                    raise error from None

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

    def sent(self, key: str) -> None:
        """Note that a question is sent for the first time."""
        with self._lock:
            self._first_tries.add(key)

    def count_answer(self, *, stored: bool = False) -> None:
        """Note that a question has an answer; a stored one does not show that the endpoint answers now."""
        with self._lock:
            self._answered += 1
            if not stored:
                self._reached, self._waited_in_vain, self._rejected = True, 0, 0

    def _came_back(self, key: str) -> None:
        with self._lock:
            self._first_tries.discard(key)
            self._awaited.discard(key)

    def _wait(self, error: TransientError, tries: int) -> None:
        """Wait before a question is asked again: as long as the endpoint says, or longer each time."""
        longest = min(_LONGEST_START if error.starting else _LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tries - 1, 10))
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        if error.wait is not None and error.wait > PATIENCE:
            raise too_long(error) from error
        # For a wait that the endpoint asks for, the limiter stops all questions.
        limiter_waits = error.wait is not None and error.wait >= pause
        if not limiter_waits and self._stopped.wait(pause):
            raise self.fatal or error

    def _will_recover(self, error: TransientError) -> bool:
        """Return whether the server loads its model, or answered before and is unreachable now; a note says so."""
        with self._lock:
            outage = error.unreached and self._reached
            waits = outage or error.starting
            noted = waits and monotonic() - self._noted > _BETWEEN_NOTES
            if noted:
                self._noted = monotonic()
        if noted:
            why = "It has answered before" if outage else "The model is being loaded"
            self._note(f"{sentence(error)} {why}; trying again for up to {PATIENCE / 60:.0f} minutes.")
        return waits

    def _count_failure(self, error: TransientError, *, waited: bool) -> None:
        """End the run if the first questions all failed, and no question under way can still be answered."""
        with self._lock:
            self._failed += 1
            self._waited_in_vain += waited
            hopeless = self._are_enough(self._failed) and self._answered == 0
            # Each of the others would wait as long.
            in_vain = self._waited_in_vain >= _HOPELESS
        if hopeless:
            self.give_up(FatalError(f"The first {self._failed} questions all failed. The last error: {error}"))
        elif in_vain:
            message = f"No question was answered within {PATIENCE / 60:.0f} minutes. The last error: {sentence(error)}"
            self.give_up(FatalError(f"{message} {_LATER}"))

    def _count_rejection(self, error: RejectedError) -> None:
        """End the run if the cause of the rejections holds for every question; otherwise others may be accepted."""
        with self._lock:
            self._rejected += 1
            self._rejected_as_shared += error.shared
            noted = self._rejected == _HOPELESS
            hopeless = error.shared and self._are_enough(self._rejected_as_shared) and not self._reached
        if hopeless:
            raise FatalError(f"The endpoint rejects every question. The last error: {error}") from error
        if noted:
            self._note(f"{_HOPELESS} questions in a row were rejected; the run goes on with the others. {error}")

    def _are_enough(self, count: int) -> bool:
        """Return whether so many failures may end the run: no question under way can still be answered."""
        if count == _HOPELESS:
            self._awaited = set(self._first_tries)
        return count >= _HOPELESS and not self._awaited


def too_long(error: TransientError) -> FatalError:
    """Return the error that ends a run because the endpoint asks for a wait beyond ``PATIENCE``."""
    wait = error.wait or 0.0
    until = datetime.now(UTC) + timedelta(seconds=wait)
    return FatalError(f"Rate limited for {wait:.0f} s ({error}), until {until:%Y-%m-%d %H:%M} UTC. {_LATER}")
