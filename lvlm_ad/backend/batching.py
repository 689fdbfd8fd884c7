"""Groups the questions of many threads into batches, for backends and baselines that run on this machine."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

__all__ = ["BatchSize", "Batches", "ClosedError", "Statistics", "TooLargeError", "preparing_threads"]

_PATIENCE = 0.05
"""Seconds without a new question after which a batch starts although it is not full."""

_NOTICEABLE = 0.01
"""Share of the time of a batch; a device that waited longer for the next one gets another preparing thread."""

_MOST_PREPARERS = 4
"""Most threads that prepare for a GPU."""

I = TypeVar("I")  # noqa: E741 - an item
P = TypeVar("P")
R = TypeVar("R")


class TooLargeError(Exception):
    """A batch does not fit into the device's memory."""


class ClosedError(Exception):
    """The batches were closed before the question was answered."""


def preparing_threads(device: str) -> int:
    """Return how many threads may prepare batches for a device, such as "cuda:1".

    A model on the CPU uses all cores itself. Beside a GPU, one core launches its work.

    Example:
        >>> preparing_threads("cpu")
        1
    """
    return min(_MOST_PREPARERS, max(1, (os.cpu_count() or 1) - 1)) if device.startswith("cuda") else 1


class BatchSize:
    """Adapts the size of batches to the device's memory.

    The size doubles after a full batch as long as twice as many questions would fit, and halves when a batch does not
    fit. It never grows back to a size that failed.

    Args:
        start: first size; ``limit`` is the current one.
        largest: upper limit. Equal to ``start`` for a fixed size.
    """

    def __init__(self, start: int, largest: int) -> None:
        self.limit = start
        self._largest = largest

    def succeeded(self, size: int, used: float | None) -> None:
        """Record a batch of so many questions that fitted, and the fraction of memory that it used, None if unknown."""
        if size < self.limit:
            return
        fitting = self._largest if not used else int(size * 0.9 / used)
        self.limit = max(size, min(2 * size, fitting, self._largest))

    def failed(self, size: int) -> None:
        """Record a batch of more than one question that did not fit."""
        self.limit = self._largest = max(1, min(size // 2, self.limit))


@dataclass
class Statistics:
    """Work done so far.

    Attributes:
        questions: questions answered.
        batches: batches answered.
        busy: seconds spent on answering batches.
        waited: seconds between batches in which questions waited but none was prepared.
        retried: batches that did not fit.
    """

    questions: int = 0
    batches: int = 0
    busy: float = 0.0
    waited: float = 0.0
    retried: int = 0


@dataclass(eq=False)
class _Question(Generic[I, R]):
    item: I
    length: float
    arrived: float = field(default_factory=perf_counter)
    answer: Future[R] = field(default_factory=Future)


class Batches(Generic[I, P, R]):
    """Answers questions of many threads in batches.

    One thread prepares the next batch while another answers the current one. Each time the device has to wait for a
    batch, one more thread prepares, up to ``preparers``: a batch prepared early costs memory, and cannot be larger
    than the last one. A batch that does not fit is answered in halves. If a batch fails for another reason, its
    questions are answered one by one, so that only the faulty ones fail.

    Args:
        prepare: converts questions to the input of ``run``; up to ``preparers`` threads call it at once.
        run: returns the answers, in order, and the fraction of memory used (see ``BatchSize``). Raises TooLargeError.
        length: approximate length of a question. Questions of similar length share a batch, to save padding.
        size: number of questions in a batch.
        preparers: most threads that prepare batches.

    Attributes:
        statistics: work done so far.

    Example:
        >>> def double(numbers):
        ...     return [2 * number for number in numbers], None
        >>> batches = Batches(list, double, length=float, size=BatchSize(1, 1))
        >>> batches.ask(21)
        42
        >>> batches.close()
    """

    def __init__(
        self,
        prepare: Callable[[Sequence[I]], P],
        run: Callable[[P], tuple[Sequence[R], float | None]],
        *,
        length: Callable[[I], float],
        size: BatchSize,
        preparers: int = 1,
    ) -> None:
        self._prepare, self._run, self._length, self._size = prepare, run, length, size
        self.statistics = Statistics()
        self._changed = threading.Condition()
        self._preparers, self._ahead = preparers, 1
        self._preparing = threading.Semaphore(preparers)
        self._waiting: list[_Question[I, R]] = []
        # Batches that are being prepared or are ready, at most ``_ahead``.
        self._underway = 0
        self._ready: deque[tuple[list[_Question[I, R]], Future[P]]] = deque()
        self._busy = self._closed = False
        self._threads: list[threading.Thread] = []

    def ask(self, item: I) -> R:
        """Return the answer to one question. Any number of threads may call it.

        Raises:
            TooLargeError: the question does not even fit alone.
            ClosedError: ``close`` was called.
            BaseException: ``prepare`` or ``run`` raised it for this question.
        """
        question: _Question[I, R] = _Question(item, self._length(item))
        with self._changed:
            if self._closed:
                raise ClosedError
            if not self._threads:
                loops = (self._answer_batches, *[self._prepare_batches] * self._preparers)
                self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
                for thread in self._threads:
                    thread.start()
            self._waiting.append(question)
            self._changed.notify_all()
        return question.answer.result()

    def close(self) -> None:
        """Finish the batch that is being answered; all other questions raise ClosedError."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for question in [*self._waiting, *(one for batch, _ in self._ready for one in batch)]:
            question.answer.set_exception(ClosedError())

    def _prepare_batches(self) -> None:
        while batch := self._next_batch():
            prepared = self._prepared(batch)
            with self._changed:
                self._ready.append((batch, prepared))
                self._changed.notify_all()

    def _prepared(self, batch: list[_Question[I, R]]) -> Future[P]:
        prepared: Future[P] = Future()
        try:
            with self._preparing:
                prepared.set_result(self._prepare([question.item for question in batch]))
        # SystemExit too: the thread that asked must get it, and this thread must go on.
        except BaseException as error:  # noqa: BLE001
            prepared.set_exception(error)
        return prepared

    def _next_batch(self) -> list[_Question[I, R]]:
        """Wait for a full batch, or until no more come; return the oldest question and those most similar in length."""
        with self._changed:
            while not self._closed:
                left = self._waiting[-1].arrived + _PATIENCE - perf_counter() if self._waiting else 0.0
                full = len(self._waiting) >= self._size.limit
                idle = not self._busy and not self._underway
                if self._underway < self._ahead and self._waiting and (full or (left <= 0 and idle)):
                    break
                self._changed.wait(left if left > 0 else None)
            if self._closed:
                return []
            oldest = self._waiting[0]
            batch = sorted(self._waiting, key=lambda one: abs(one.length - oldest.length))[: self._size.limit]
            self._waiting = [question for question in self._waiting if question not in batch]
            self._underway += 1
            return batch

    def _answer_batches(self) -> None:
        ended: float | None = None
        took = 0.0
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ready or self._closed)
                if self._closed:
                    return
                batch, prepared = self._ready.popleft()
                self._underway -= 1
                self._busy = True
                self._changed.notify_all()
            if len(batch) > self._size.limit:
                # It was prepared before the size was halved.
                self._put_back(batch)
                continue
            began = perf_counter()
            if ended is not None:
                oldest = min(question.arrived for question in batch)
                waited = max(0.0, began - max(ended, oldest))
                self.statistics.waited += waited
                if waited > _NOTICEABLE * took:
                    self._ahead = min(self._ahead + 1, self._preparers)
            self._answer(batch, prepared)
            ended = perf_counter()
            took = ended - began
            self.statistics.busy += took

    def _answer(self, batch: list[_Question[I, R]], prepared: Future[P]) -> None:
        try:
            results, used = self._run(prepared.result())
        except BaseException as error:  # noqa: BLE001 - as above
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            elif isinstance(error, TooLargeError):
                self.statistics.retried += 1
                self._size.failed(len(batch))
                self._put_back(batch)
            else:
                for question in batch:
                    self._answer([question], self._prepared([question]))
            return
        self._size.succeeded(len(batch), used)
        self.statistics.batches += 1
        self.statistics.questions += len(batch)
        for question, result in zip(batch, results, strict=True):
            question.answer.set_result(result)

    def _put_back(self, batch: list[_Question[I, R]]) -> None:
        with self._changed:
            self._waiting = [*batch, *self._waiting]
            self._changed.notify_all()
