"""Backends that answer several questions together, as models on this machine do."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError
from lvlm_ad.backend.contract import Backend, Capabilities, as_answer
from lvlm_ad.errors import BackendError, FatalError, UnaskedError

if TYPE_CHECKING:
    from lvlm_ad.backend.messages import Answer, Request

__all__ = ["ManyBackend"]

_MAKING = threading.Lock()
"""Of all instances: a subclass's ``__init__`` may not call this one's."""


class ManyBackend(Backend):
    """A backend that answers several questions together. Subclasses write ``answer_many`` in place of ``answer``.

    Questions under way are put together, those that ask for as many pictures first; ``answer_many`` is called from one
    thread. Where it raises, the questions of that call are asked one by one.

    Attributes:
        most: the most questions in one call.
    """

    most: ClassVar[int] = 8
    spreads: ClassVar[bool] = True
    capabilities = Capabilities(concurrency=16, gathers=True)

    def answer_many(self, requests: Sequence[Request]) -> Sequence[Answer | str | BackendError]:
        """Ask the model several questions.

        Returns:
            For each question, in order, its answer, its text, or what went wrong with it.

        Raises:
            BackendError: as ``answer`` does; none of them was answered.
        """
        raise NotImplementedError

    def answer(self, request: Request) -> Answer:
        """Have a question answered together with others under way."""
        try:
            given = self._batches().ask(request)
        except ClosedError as error:
            raise UnaskedError("not asked: the backend was closed") from error
        if isinstance(given, BackendError):
            raise given
        return given

    def close(self) -> None:
        """Answer what is being answered, and nothing more."""
        self._batches().close()

    def _batches(self) -> Batches[Request, Sequence[Request], Answer | BackendError]:
        with _MAKING:
            found: Batches[Request, Sequence[Request], Answer | BackendError] | None = self.__dict__.get("_gathered")
            if found is None:
                size = BatchSize(self.most, self.most)
                found = Batches(list, self._answers, length=lambda request: float(len(request.images)), size=size)
                self._gathered = found
        return found

    def _answers(self, requests: Sequence[Request]) -> tuple[Sequence[Answer | BackendError], float | None]:
        name, start = type(self).__name__, perf_counter()
        # A list of its own: it may be used up.
        given = self.answer_many(list(requests))
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise FatalError(
                f"{name}.answer_many returned {type(given).__name__}; it must return a list with an answer to each."
            )
        if len(given) != len(requests):
            raise FatalError(f"{name}.answer_many returned {len(given)} answers to {len(requests)} questions.")
        share = (perf_counter() - start) / len(requests)
        answers: list[Answer | BackendError] = []
        for one in given:
            if isinstance(one, BackendError):
                answers.append(one)
                continue
            answer = as_answer(one, f"{name}.answer_many")
            answers.append(replace(answer, seconds=answer.seconds or share))
        return answers, None
