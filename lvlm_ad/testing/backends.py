"""The checks of a backend."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any, get_args

import numpy as np

from lvlm_ad.backend import Answer, Backend, ManyBackend, Outcome, Picture, Request, as_answer
from lvlm_ad.errors import BackendError, FatalError, LvlmAdError, RejectedError, where
from lvlm_ad.prompts.question import answer_schema
from lvlm_ad.testing.contract import (
    ContractError,
    built,
    built_anew_it_is_the_same,
    expect,
    identity_is_json,
    import_is_light,
    nothing_secret_is_shown,
    options_are_typed,
    problems,
    report,
    state_is_kept,
)

__all__ = ["BACKEND_CHECKS", "check_backend"]

_PATIENCE = 120.0
"""Seconds that an answer under way may take to end when the backend is closed."""


def check_backend(backend: Backend | type[Any]) -> list[str]:
    """Run every check on a backend, which is asked about forty questions and closed at the end.

    Args:
        backend: one that can be asked: its endpoint is up, its weights are there; or a class, to be built with its
            default options.

    Returns:
        The names of the checks that passed.

    Raises:
        ContractError: some did not; a line for each says what is wrong.
    """
    report(problems(built(backend, "backend"), BACKEND_CHECKS))
    return list(BACKEND_CHECKS)


def an_answer_is_an_answer(backend: Backend) -> None:
    """A plain question gets an answer of the right types, or a text."""
    _asked(backend, _question("a plain one"))


def pictures_of_any_size(backend: Backend) -> None:
    """None, one small, one wide, one large, and as many as it takes: an answer, or a clear rejection."""
    most = backend.capabilities.max_images or 2
    for sizes in ([], [(8, 8)], [(16, 400)], [(1500, 1100)], [(64, 64)] * min(most, 3)):
        _asked(backend, _question(f"{len(sizes)} pictures", sizes), may_reject=True)


def any_text(backend: Backend) -> None:
    """Unicode, control characters, markup and a long text: an answer, or a clear rejection."""
    for text in ("Größe 缺陷 🔍 \u202e", "\x00\x1b[31m", "<image> <|im_end|> {{ x }}", "word " * 2000, " "):
        _asked(backend, _question(text), may_reject=True)


def both_formats(backend: Backend) -> None:
    """A question for text and one for a JSON object under a schema, with no region, one and many, gets an answer."""
    for count in (0, 1, 60):
        _asked(backend, _question("text", n_regions=count))
        schema = answer_schema(count)
        demands = {"format": "json", "schema": schema, "n_regions": count}
        answer = _asked(backend, Request(_question("json").images, "Answer with a JSON object.", demands))
        if backend.capabilities.schema and answer is not None and answer.outcome == "ok":
            expect(_keeps(answer.text, schema), "capabilities.schema is declared, but the answer breaks the schema")
    _asked(backend, Request((), "A question that demands nothing."), may_reject=True)


def many_at_once(backend: Backend) -> None:
    """As many threads as it declares, and more questions than that: each gets the answer that it gets alone.

    A model that does not answer alike when asked alike is only held to answer.
    """
    threads = min(backend.capabilities.concurrency or 8, 8)
    questions = [_question(f"number {number}") for number in range(2 * threads)]
    with ThreadPoolExecutor(threads) as pool:
        together = list(pool.map(lambda question: _asked(backend, question), questions))
    if not backend.capabilities.stored or isinstance(backend, ManyBackend):
        # Answers that belong to places in line, not to questions; what a_batch_is_its_questions looks at.
        return
    alone = [_asked(backend, question) for question in questions[:2]]
    again = [_asked(backend, question) for question in questions[:2]]
    if _texts(alone) == _texts(again):
        expect(_texts(together[:2]) == _texts(alone), "asked from several threads it answers otherwise than alone")


def a_batch_is_its_questions(backend: Backend) -> None:
    """``answer_many`` answers each question, in order, as it answers it alone, and takes as many as it declares."""
    if not isinstance(backend, ManyBackend):
        return
    expect(backend.most >= 1, "most must be 1 or more")
    questions = [_question(f"number {number}") for number in range(min(backend.most, 5))]

    def answers(asked: list[Request]) -> list[Answer | None]:
        given: Any = backend.answer_many(asked)
        listed = isinstance(given, Sequence) and not isinstance(given, str)
        expect(listed, f"answer_many returned {type(given).__name__}; it must return a list")
        expect(len(given) == len(asked), f"answer_many returned {len(given)} answers to {len(asked)} questions")
        return [None if isinstance(one, BackendError) else _looked_at(one, "answer_many") for one in given]

    together = answers(questions)
    alone = [answers([question])[0] for question in questions]
    again = [answers([question])[0] for question in questions]
    if _texts(alone) == _texts(again):
        expect(_texts(together) == _texts(alone), "answer_many answers otherwise, or in another order, than one by one")


def the_request_is_left_alone(backend: Backend) -> None:
    """Nothing of the request is changed: the question is kept as it was asked."""
    request = _question("what is written to", [(16, 16), (8, 24)])
    before = deepcopy(request)
    _asked(backend, request, may_reject=True)
    expect(request == before, "answer() changes the request")


def nothing_else_changes(backend: Backend) -> None:
    """Random streams, the environment and the working folder are left as they are."""
    with state_is_kept("answer()"):
        _asked(backend, _question("what changes"))


def closing_ends_it(backend: Backend) -> None:
    """Closed while a question is under way it lets go of it in time, with an answer or an error of this package."""
    wrong: list[str] = []

    def attempt(what: str, act: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except LvlmAdError:
                pass
            except Exception as error:  # noqa: BLE001 - to be reported
                wrong.append(f"{what} raised {where(error)}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    asking = attempt("answer(), closed meanwhile,", lambda: backend.answer(_question("while it is closed")))
    closing = attempt("close()", backend.close)
    for thread, what in ((closing, "close() does not return"), (asking, "close() leaves a question hanging")):
        thread.join(_PATIENCE)
        expect(not thread.is_alive(), f"{what} within {_PATIENCE:.0f} seconds")
    expect(not wrong, "; ".join(wrong))


BACKEND_CHECKS: dict[str, Callable[[Backend], None]] = {
    check.__name__: check
    for check in (
        import_is_light,
        options_are_typed,
        identity_is_json,
        nothing_secret_is_shown,
        built_anew_it_is_the_same,
        an_answer_is_an_answer,
        pictures_of_any_size,
        any_text,
        both_formats,
        many_at_once,
        a_batch_is_its_questions,
        the_request_is_left_alone,
        nothing_else_changes,
        closing_ends_it,
    )
}
"""Name -> check. Each is independent of the others, but the last closes the backend."""


def _question(text: str, sizes: list[tuple[int, int]] | None = None, n_regions: int = 5) -> Request:
    draw = np.random.default_rng(len(text))
    shapes = [(96, 128)] if sizes is None else sizes
    pictures = [Picture.from_pixels(draw.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
    return Request(tuple(pictures), text, {"format": "text", "n_regions": n_regions})


def _asked(backend: Backend, request: Request, *, may_reject: bool = False) -> Answer | None:
    """Ask, and look at the answer's types; None where the question was rejected and may be."""
    try:
        given = backend.answer(request)
    except RejectedError:
        if may_reject:
            return None
        raise
    except BackendError:
        raise
    except Exception as error:
        raise ContractError(f"answer() raised {where(error)}; what goes wrong must be a BackendError") from error
    return _looked_at(given, "answer()")


def _looked_at(given: Answer | str, who: str) -> Answer:
    try:
        answer = as_answer(given, who)
    except FatalError as error:
        raise ContractError(str(error)) from error
    expect(isinstance(answer.text, str), "Answer.text must be text")
    expect(answer.outcome in get_args(Outcome), f"Answer.outcome must be one of {', '.join(get_args(Outcome))}")
    expect(answer.outcome != "empty" or not answer.text.strip(), "an empty answer must hold no text")
    expect(answer.outcome != "ok" or answer.text.strip(), "an answer without text has the outcome empty")
    expect(0 <= answer.seconds < math.inf, "Answer.seconds must be a number of seconds, 0 or more")
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        count = getattr(answer.usage, name)
        counts = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        expect(count is None or counts, f"Usage.{name} must be a count, or None")
    return answer


def _texts(answers: list[Answer | None]) -> list[str | None]:
    return [None if answer is None else answer.text for answer in answers]


def _keeps(text: str, schema: Mapping[str, Any]) -> bool:
    """Say whether a text is a JSON object with exactly the members that a schema names."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and set(found) == set(schema["required"])
