"""Gathers what many threads ask into batches: the next is prepared while one is answered, and none gets lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

__all__ = ["BatchSize", "Batches", "ClosedError", "Statistics", "TooLargeError"]

_LINGER = 0.05
"""Seconds without a new question after which a batch goes though it is not full."""

I = TypeVar("I")  # noqa: E741 - an item
P = TypeVar("P")
R = TypeVar("R")


class TooLargeError(Exception):
    """A batch does not fit into the device's memory."""


class ClosedError(Exception):
    """The batches were closed before the question was answered."""


class BatchSize:
    """Finds out how many questions are answered together.

    The size doubles after a full batch while the memory that it took leaves room for twice as many, and halves when
    one does not fit; it does not grow back to what once failed.

    Args:
        start: the size at first.
        most: the largest size; where it is ``start``, the size is fixed but for lack of memory.

    Attributes:
        limit: the size now.
    """

    def __init__(self, start: int, most: int) -> None:
        self.limit = start
        self._most = most

    def fitted(self, size: int, taken: float | None) -> None:
        """Say that a batch fitted.

        Args:
            size: how many questions it held.
            taken: the fraction of the memory free for answering that it took; None: not known, as on a CPU.
        """
        if size < self.limit:
            return
        room = self._most if not taken else int(size * 0.9 / taken)
        self.limit = max(size, min(2 * size, room, self._most))

    def failed(self, size: int) -> None:
        """Say that a batch of more than one did not fit."""
        self.limit = self._most = max(1, min(size // 2, self.limit))


@dataclass
class Statistics:
    """What was done so far.

    Attributes:
        questions: questions answered.
        batches: batches answered.
        busy: seconds in which a batch was answered.
        waited: seconds between batches in which questions were there but none was prepared.
        retried: batches that did not fit.
    """

    questions: int = 0
    batches: int = 0
    busy: float = 0.0
    waited: float = 0.0
    retried: int = 0


@dataclass(eq=False)
class _Waiting(Generic[I, R]):
    item: I
    length: float
    arrived: float = field(default_factory=perf_counter)
    alone: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    result: R | None = None
    error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()


class Batches(Generic[I, P, R]):
    """Answers questions together. ``ask`` may be called from many threads.

    One thread puts together the next batch and prepares it while another has one answered. A batch that does not fit
    goes back whole, to be answered in halves; where one question of a batch cannot be prepared or answered, the others
    are, one by one.

    Args:
        prepare: from questions to what ``run`` takes.
        run: from what was prepared to the answers, in order, and the fraction of free memory taken (see ``BatchSize``).
            Raises TooLargeError.
        length: about how long a question is; those of like length are answered together, so that little is padding.
        size: how many at once.

    Attributes:
        statistics: what was done so far.
    """

    def __init__(
        self,
        prepare: Callable[[Sequence[I]], P],
        run: Callable[[P], tuple[Sequence[R], float | None]],
        *,
        length: Callable[[I], float],
        size: BatchSize,
    ) -> None:
        self._prepare, self._run, self._length, self._size = prepare, run, length, size
        self.statistics = Statistics()
        self._changed = threading.Condition()
        self._pool: list[_Waiting[I, R]] = []
        self._ready: tuple[list[_Waiting[I, R]], P] | None = None
        self._working = self._closed = False
        self._threads: list[threading.Thread] = []

    def ask(self, item: I) -> R:
        """Return the answer to one question.

        Raises:
            TooLargeError: it does not fit, not even alone.
            ClosedError: ``close`` was called.
            BaseException: what preparing or answering it raised.
        """
        mine: _Waiting[I, R] = _Waiting(item, self._length(item))
        with self._changed:
            if self._closed:
                raise ClosedError
            if not self._threads:
                self._threads = [threading.Thread(target=work, daemon=True) for work in (self._prepares, self._answers)]
                for thread in self._threads:
                    thread.start()
            self._pool.append(mine)
            self._changed.notify_all()
        mine.done.wait()
        if mine.error is not None:
            raise mine.error
        assert mine.result is not None  # noqa: S101 - either is set before done is
        return mine.result

    def close(self) -> None:
        """Answer what is being answered, and nothing more."""
        with self._changed:
            self._closed = True
            left, self._pool = self._pool, []
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if self._ready is not None:
            left += self._ready[0]
        for waiting in left:
            waiting.fail(ClosedError())

    def _prepares(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                prepared = self._prepare([waiting.item for waiting in batch])
            # Whatever it is, an end of the process included: whoever asked must hear of it, and this thread go on.
            except BaseException as error:  # noqa: BLE001
                self._split(batch, error)
                continue
            with self._changed:
                # None is there: the next batch is only begun when the last one has been taken.
                self._ready = (batch, prepared)
                self._changed.notify_all()

    def _next_batch(self) -> list[_Waiting[I, R]] | None:
        """Wait for enough questions, or for no more to come, and take those of like length as the oldest."""
        with self._changed:
            while not self._closed:
                left = self._pool[-1].arrived + _LINGER - perf_counter() if self._pool else 0.0
                full = len(self._pool) >= self._size.limit
                if self._ready is None and self._pool and (full or (left <= 0 and not self._working)):
                    break
                self._changed.wait(left if left > 0 else None)
            if self._closed:
                return None
            oldest = self._pool[0]
            if oldest.alone:
                chosen = [oldest]
            else:
                together = [waiting for waiting in self._pool if not waiting.alone]
                chosen = sorted(together, key=lambda one: abs(one.length - oldest.length))[: self._size.limit]
            self._pool = [waiting for waiting in self._pool if waiting not in chosen]
            return chosen

    def _answers(self) -> None:
        ended: float | None = None
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ready is not None or self._closed)
                if self._ready is None or self._closed:
                    return
                (batch, prepared), self._ready = self._ready, None
                self._working = True
                self._changed.notify_all()
            if len(batch) > self._size.limit:
                # Prepared before the size was halved.
                self._back(batch)
                continue
            began = perf_counter()
            if ended is not None:
                self.statistics.waited += max(0.0, began - max(ended, min(waiting.arrived for waiting in batch)))
            self._answer(batch, prepared)
            ended = perf_counter()
            self.statistics.busy += ended - began

    def _answer(self, batch: list[_Waiting[I, R]], prepared: P) -> None:
        try:
            results, taken = self._run(prepared)
        except TooLargeError as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            self.statistics.retried += 1
            self._size.failed(len(batch))
            self._back(batch)
            return
        except BaseException as error:  # noqa: BLE001 - as above
            self._split(batch, error)
            return
        self._size.fitted(len(batch), taken)
        self.statistics.batches += 1
        self.statistics.questions += len(batch)
        for waiting, result in zip(batch, results, strict=True):
            waiting.result = result
            waiting.done.set()

    def _split(self, batch: list[_Waiting[I, R]], error: BaseException) -> None:
        """Have the questions of a batch that failed answered one by one; what fails alone has failed."""
        if len(batch) == 1:
            batch[0].fail(error)
            return
        for waiting in batch:
            waiting.alone = True
        self._back(batch)

    def _back(self, batch: list[_Waiting[I, R]]) -> None:
        with self._changed:
            if not self._closed:
                self._pool = [*batch, *self._pool]
                self._changed.notify_all()
                return
        for waiting in batch:
            waiting.fail(ClosedError())
