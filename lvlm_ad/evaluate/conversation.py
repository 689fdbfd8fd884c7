"""Run a method: with a model that answers its questions, or with answers that are known already."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from lvlm_ad.backend import Answer, Request
from lvlm_ad.errors import LvlmAdError, PluginError, UnaskedError
from lvlm_ad.methods.flaws import flaw_of
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    from lvlm_ad.asking import Asked
    from lvlm_ad.methods import Method, View
    from lvlm_ad.text2seg import Status

__all__ = ["Replayed", "Step", "Talk", "converse", "error_text", "look_up", "replay"]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One question of a conversation.

    Attributes:
        request: the question.
        asked: its answer; None: there is none.
        error: why there is no answer.
        notes: notes on the answer, besides those of the finding.
    """

    request: Request
    asked: Asked | None
    error: LvlmAdError | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """A conversation, as far as the known answers go.

    Attributes:
        finding: what the method found; None if a question has no answer.
        answered: the questions and their answers, in order.
        pending: questions without an answer, which could be asked now.
        most: how many questions the image takes at most.
    """

    finding: Finding | None = None
    answered: list[tuple[Request, Answer]] = field(default_factory=list)
    pending: list[Request] = field(default_factory=list)
    most: int = 0

    @property
    def later(self) -> int:
        """How many questions may follow the pending ones, at most."""
        return max(0, self.most - len(self.answered) - len(self.pending)) if self.pending else 0


def converse(
    method: Method,
    view: View,
    ask: Callable[[Sequence[Request]], Sequence[Step]],
    working: AbstractContextManager[Any] | None = None,
) -> tuple[Finding, list[Step]]:
    """Inspect one image.

    Args:
        method: how it is inspected.
        view: the image.
        ask: asks questions that may be asked at the same time, and returns a step for each, in their order.
        working: entered while the method draws and reads, but not while questions are asked.

    Returns:
        The finding, and all steps. If a question gets no answer, the conversation ends there; the finding then has the
        status "unasked" or "failed", and no score.

    Raises:
        PluginError: the method raised, or does not keep its contract.
    """
    steps: list[Step] = []
    with Talk(method, view, working) as talk:
        while talk.finding is None:
            asked = ask(talk.requests)
            steps += asked
            if error := next((one.error for one in asked if one.error is not None), None):
                status: Status = "unasked" if isinstance(error, UnaskedError) else "failed"
                return Finding(None, status=status, notes=(error_text(error),)), steps
            talk.go_on([one.asked.answer for one in asked if one.asked is not None])
    return talk.finding, steps


def look_up(method: Method, view: View, known: Callable[[Request], Answer | None]) -> Replayed:
    """Follow a conversation as far as its answers are known; nothing is asked.

    Args:
        method: how the image is inspected.
        view: the image.
        known: returns the answer to a question, or None.

    Raises:
        PluginError: the method raised, or does not keep its contract.
    """
    answered: list[tuple[Request, Answer]] = []
    with Talk(method, view) as talk:
        while talk.finding is None:
            answers = [known(request) for request in talk.requests]
            pairs = list(zip(talk.requests, answers, strict=True))
            answered += [(request, answer) for request, answer in pairs if answer is not None]
            if pending := [request for request, answer in pairs if answer is None]:
                return Replayed(None, answered, pending, talk.most)
            talk.go_on([answer for answer in answers if answer is not None])
    return Replayed(talk.finding, answered, [], talk.most)


def replay(method: Method, view: View, answers: Iterable[Answer]) -> tuple[Finding, list[Request]]:
    """Inspect an image with recorded answers, in their order.

    Returns:
        The finding, and the questions that were answered. If there are too few answers the finding is "unasked".

    Raises:
        PluginError: the method raised, or does not keep its contract.
    """
    rest = iter(answers)
    replayed = look_up(method, view, lambda _: next(rest, None))
    finding = replayed.finding or Finding(None, status="unasked", notes=("not all questions have an answer",))
    return finding, [request for request, _ in replayed.answered]


class Talk:
    """A method's generator, checked at every step; closed at the end, finished or not.

    Args:
        method: how the image is inspected.
        view: the image.
        working: see ``converse``.

    Attributes:
        requests: the questions that wait for answers.
        finding: what the method found; None as long as questions wait.
        most: how many questions the image takes at most.

    Raises:
        PluginError: the method raised, or does not keep its contract.
    """

    def __init__(self, method: Method, view: View, working: AbstractContextManager[Any] | None = None) -> None:
        self._view, self._working = view, working or nullcontext()
        self._name = f"The method {method.implementation.__name__}"
        self._places, self._method = method.places, method
        self._several, self._count = False, 0
        self.requests: list[Request] = []
        self.finding: Finding | None = None
        with self._working, self._code():
            self.most = operator.index(method.most_questions(view))
            self._generator: Any = method.inspect(view)
        if not isinstance(self._generator, Generator):
            raise PluginError(f"{self._name}: inspect() is no generator; it must yield its questions.")

    def __enter__(self) -> Self:
        self._send(None)
        return self

    def __exit__(self, *_: object) -> None:
        with self._code(", closed before its end,"):
            self._generator.close()

    def go_on(self, answers: list[Answer]) -> None:
        """Hand over the answers; the next questions or the finding follow."""
        self._send(answers if self._several else answers[0])

    def _send(self, reply: Any) -> None:
        result: Any
        ended = False
        with self._working, self._code():
            try:
                result = self._generator.send(reply)
            except StopIteration as done:
                result, ended = done.value, True
        if ended:
            if flaw := flaw_of(result, self._view, self._places):
                raise PluginError(f"{self._name} {flaw}.")
            self.finding = result
            return
        self._several = not isinstance(result, Request)
        self.requests = list(result) if isinstance(result, list | tuple) else [result]
        if not self.requests or not all(isinstance(one, Request) for one in self.requests):
            raise PluginError(f"{self._name} yielded {result!r:.60}; it must yield a Request or a list of them.")
        self.requests = [self._under_conditions(one) for one in self.requests]
        self._count += len(self.requests)
        if self._count > self.most:
            raise PluginError(
                f"{self._name} asks at least {self._count} questions about an image, but its most_questions() returned "
                f"{self.most}."
            )

    def _under_conditions(self, request: Request) -> Request:
        """Return a question as the protocol has it asked: as a repeat, or without the inspected image."""
        if self._view.protocol.withhold == "image":
            # Whatever else a question shows is made of the image.
            shown = [one for one in request.images if any(one is reference for reference in self._view.references)]
            request = replace(request, images=tuple(shown))
        if repeat := self._view.protocol.repeat:
            repeats, own = self._method.repeats, request.options.get("repeat", 0)
            if own >= repeats:
                raise PluginError(f"{self._name} asks with repeat={own}, but its attribute repeats is {repeats}.")
            request = replace(request, options={**request.options, "repeat": repeat * repeats + own})
        return request

    def _code(self, when: str = "") -> AbstractContextManager[None]:
        return plugin_code(f"{self._name}{when} raised", name=self._name)


def error_text(error: LvlmAdError) -> str:
    """Return a message without characters that no file can hold; a server may send them."""
    return str(error).encode("utf-8", "replace").decode("utf-8")
