"""A backend that answers several questions together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError
from lvlm_ad.backend.contract import Backend, Capabilities, OldName, as_answer
from lvlm_ad.errors import BackendError, FatalError, UnaskedError

if TYPE_CHECKING:
    from lvlm_ad.backend.messages import Answer, Request

__all__ = ["ManyBackend"]

_CREATION = threading.Lock()
"""One for all instances: a subclass's ``__init__`` may not call this class's."""


class ManyBackend(Backend):
    """A backend that answers several questions together. Subclasses define ``answer_many`` instead of ``answer``.

    Concurrent questions are grouped, preferably those with the same number of pictures. One thread calls
    ``answer_many``. If it raises, the questions of that call are asked one by one.

    Attributes:
        max_batch_size: most questions in one call.
        most: old name of ``max_batch_size``, until version 0.3.

    Example:
        >>> class Lengths(ManyBackend):
        ...     max_batch_size = 4
        ...     def answer_many(self, requests):
        ...         return [f"{len(request.text)} letters" for request in requests]
        >>> from lvlm_ad.backend import Request
        >>> backend = Lengths()
        >>> backend.answer(Request((), "What?")).text
        '5 letters'
        >>> backend.close()
    """

    max_batch_size: ClassVar[int] = 8
    most: ClassVar[Any] = OldName("max_batch_size")
    distributable: ClassVar[bool] = True
    capabilities = Capabilities(concurrency=16, batches_internally=True)

    def answer_many(self, requests: Sequence[Request]) -> Sequence[Answer | str | BackendError]:
        """Ask the model several questions.

        Returns:
            For each question, in order, its answer, its text, or its error.

        Raises:
            BackendError: as ``answer`` does; no question was answered.
        """
        raise NotImplementedError

    def answer(self, request: Request) -> Answer:
        """Answer a question together with other concurrent questions."""
        try:
            result = self._batches().ask(request)
        except ClosedError as error:
            raise UnaskedError("not asked: the backend was closed") from error
        if isinstance(result, BackendError):
            raise result
        return result

    def close(self) -> None:
        """Finish the current batch and stop."""
        self._batches().close()

    def _batches(self) -> Batches[Request, Sequence[Request], Answer | BackendError]:
        with _CREATION:
            if "_queue" not in self.__dict__:
                self._queue: Batches[Request, Sequence[Request], Answer | BackendError] = Batches(
                    list,
                    self._run_batch,
                    length=lambda request: float(len(request.images)),
                    size=BatchSize(self.max_batch_size, self.max_batch_size),
                )
            return self._queue

    def _run_batch(self, requests: Sequence[Request]) -> tuple[Sequence[Answer | BackendError], None]:
        name, start = f"{self.implementation.__name__}.answer_many", perf_counter()
        # A copy: ``answer_many`` may consume its list.
        results = self.answer_many(list(requests))
        if isinstance(results, str) or not isinstance(results, Sequence):
            raise FatalError(f"{name} returned {type(results).__name__}; it must return a list with one answer each.")
        if len(results) != len(requests):
            raise FatalError(f"{name} returned {len(results)} answers to {len(requests)} questions.")
        share = (perf_counter() - start) / len(requests)
        answers: list[Answer | BackendError] = []
        for result in results:
            if isinstance(result, BackendError):
                answers.append(result)
            else:
                answer = as_answer(result, name)
                answers.append(replace(answer, seconds=answer.seconds or share))
        return answers, None
