"""The checks of a backend."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from typing import Any, get_args

import numpy as np

from lvlm_ad.backend import Answer, Backend, ManyBackend, Outcome, Picture, Request, as_answer
from lvlm_ad.errors import BackendError, FatalError, LvlmAdError, RejectedError
from lvlm_ad.prompts.question import answer_schema
from lvlm_ad.testing.any_plugin import (
    ContractError,
    changes_of_the_process,
    expect,
    expect_no_error,
    identity_is_json,
    import_is_fast,
    options_are_typed,
    rebuilt_it_is_the_same,
    secrets_in,
)

__all__ = ["BACKEND_CHECKS"]

_LARGEST_BATCH = 64
"""Most questions in one call of ``answer_many``, whatever the backend declares."""


def answers_are_valid(backend: Backend) -> None:
    """A plain question gets a text, or an Answer with values of the right types."""
    _ask(backend, _question("a plain one"))


def pictures_of_any_size(backend: Backend) -> None:
    """No picture, a small, a wide, a large one and several get an answer, or a RejectedError."""
    several = min(backend.capabilities.max_images or 2, 3)
    for sizes in ([], [(8, 8)], [(16, 400)], [(1500, 1100)], [(64, 64)] * several):
        _ask(backend, _question(f"{len(sizes)} pictures", sizes), may_reject=True)


def any_text(backend: Backend) -> None:
    """Unicode, control characters, markup and a long text get an answer, or a RejectedError."""
    for text in ("Größe 缺陷 🔍 \u202e", "\x00\x1b[31m", "<image> <|im_end|> {{ x }}", "word " * 2000, " "):
        _ask(backend, _question(text), may_reject=True)


def text_and_json(backend: Backend) -> None:
    """Questions for text and for JSON, about no region, one and many, get an answer; a declared schema is kept."""
    for count in (0, 1, 60):
        _ask(backend, _question("text", n_regions=count))
        schema = answer_schema(count)
        options = {"format": "json", "schema": schema, "n_regions": count}
        answer = _ask(backend, Request(_question("json").images, "Answer with a JSON object.", options))
        if backend.capabilities.schema and answer is not None and answer.outcome == "ok":
            fits = _is_json_of(answer.text, schema)
            expect(fits, "capabilities.schema is declared, but the answer breaks the schema")
    _ask(backend, Request((), "A question without options."), may_reject=True)


def threads_get_their_own_answers(backend: Backend) -> None:
    """Asked from as many threads as it declares, each question gets the answer that it gets alone.

    A model that answers the same question differently is only required to answer. One that batches questions may
    answer a little differently in company, but never with the answer to another question.
    """
    threads = min(backend.capabilities.concurrency or 8, 8)
    questions = [_question(f"number {number}") for number in range(threads + 4)]
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda one: _ask(backend, one), questions))
    if backend.capabilities.stored and not isinstance(backend, ManyBackend):
        same, own = _compare(answers, questions, lambda one: _ask(backend, one))
        expect(own, "asked from several threads, a question gets the answer to another")
        expect(same or backend.capabilities.batches_internally, "asked from several threads it answers differently")


def batches_keep_order(backend: Backend) -> None:
    """``answer_many`` takes as many questions as it declares and answers each as alone, in order."""
    if not isinstance(backend, ManyBackend):
        return
    expect(backend.max_batch_size >= 1, "max_batch_size must be 1 or more")
    count = min(backend.max_batch_size, _LARGEST_BATCH)
    questions = [_question(f"number {number}", [(32, 48)]) for number in range(count)]

    def answers(requests: list[Request]) -> list[Answer | None]:
        results: Any = backend.answer_many(list(requests))
        is_list = isinstance(results, Sequence) and not isinstance(results, str)
        expect(is_list, f"answer_many returned {type(results).__name__}; it must return a list")
        expect(len(results) == len(requests), f"{len(requests)} questions got {len(results)} answers from answer_many")
        return [None if isinstance(one, BackendError) else _checked(one, "answer_many") for one in results]

    with expect_no_error(f"answer_many(), asked {count} questions as max_batch_size says,"):
        given = answers(questions)
    same, _ = _compare(given, questions, lambda one: answers([one])[0])
    expect(same, "answer_many answers differently, or in another order, than one by one")


def request_is_unchanged(backend: Backend) -> None:
    """Nothing of the request is changed."""
    request = _question("what is written to", [(16, 16), (8, 24)])
    before = deepcopy(request)
    _ask(backend, request, may_reject=True)
    expect(request == before, "answer() changes the request")


def process_is_unchanged(backend: Backend) -> None:
    """The environment, the working folder and what else all code of the process shares stay as they are."""
    changed = changes_of_the_process(lambda: backend.answer(_question("what changes")))
    expect(not changed, f"answer() changes {', '.join(changed)}")


def no_secret_is_shown(backend: Backend) -> None:
    """No option holds a key, and no key is shown in the identity, repr, answers or errors."""

    def use(other: Backend) -> str:
        shown = []
        for request in (_question("with a wrong key"), Request((), "A question with a wrong key.")):
            try:
                shown.append(repr(other.answer(request)))
            except BaseException as error:  # noqa: BLE001 - its text is what matters
                shown.append(str(error))
        return "\n".join(shown)

    secrets_in(backend, use)


def close_returns(backend: Backend) -> None:
    """close() returns, and a question under way gets an answer or an error of lvlm-ad."""
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(backend.answer, _question("while it is closed"))
        with expect_no_error("close()"), suppress(LvlmAdError):
            backend.close()
        with expect_no_error("answer(), closed meanwhile,"), suppress(LvlmAdError):
            under_way.result()


BACKEND_CHECKS: dict[str, Callable[[Backend], None]] = {
    check.__name__: check
    for check in (
        import_is_fast,
        options_are_typed,
        identity_is_json,
        rebuilt_it_is_the_same,
        # Before other questions: a library that loads with the first one must not change the process either.
        process_is_unchanged,
        answers_are_valid,
        pictures_of_any_size,
        any_text,
        text_and_json,
        threads_get_their_own_answers,
        batches_keep_order,
        request_is_unchanged,
        no_secret_is_shown,
        close_returns,
    )
}
"""Name -> check. Each is independent of the others, but the last one closes the backend."""


def _question(text: str, sizes: Sequence[tuple[int, int]] = ((96, 128),), n_regions: int = 5) -> Request:
    """Return a question with pictures of the sizes (height, width), which show noise that depends on the text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    random = np.random.default_rng(seed)
    pixels = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    return Request(tuple(map(Picture.from_pixels, pixels)), text, {"format": "text", "n_regions": n_regions})


def _ask(backend: Backend, request: Request, *, may_reject: bool = False) -> Answer | None:
    """Ask and check the answer; None if the question was rejected and may be."""
    try:
        with expect_no_error("answer()"):
            answer = backend.answer(request)
    except ContractError as error:
        if may_reject and isinstance(error.__cause__, RejectedError):
            return None
        raise
    return _checked(answer, "answer()")


def _checked(answer: Answer | str, who: str) -> Answer:
    try:
        answer = as_answer(answer, who)
    except FatalError as error:
        raise ContractError(str(error)) from error
    expect(isinstance(answer.text, str), "Answer.text must be text")
    expect(answer.outcome in get_args(Outcome), f"Answer.outcome must be one of {', '.join(get_args(Outcome))}")
    expect(answer.outcome != "empty" or not answer.text.strip(), "an answer with the outcome empty must have no text")
    expect(answer.outcome != "ok" or answer.text.strip(), "an answer without text must have the outcome empty")
    expect(0 <= answer.seconds < math.inf, "Answer.seconds must be a finite number, 0 or more")
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        count = getattr(answer.usage, name)
        is_count = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        expect(count is None or is_count, f"Usage.{name} must be a count, or None")
    return answer


def _compare(
    answers: Sequence[Answer | None], questions: Sequence[Request], ask_alone: Callable[[Request], Answer | None]
) -> tuple[bool, bool]:
    """Compare answers with those that the questions get alone.

    Returns:
        Whether all are equal, or the model answers differently each time; and whether none belongs to another question.
    """

    def texts(given: Sequence[Answer | None]) -> list[str | None]:
        return [None if answer is None else answer.text for answer in given]

    alone = texts([ask_alone(question) for question in questions])
    if texts(answers) == alone or texts([ask_alone(question) for question in questions]) != alone:
        return True, True
    swapped = any(text != own and text in alone for text, own in zip(texts(answers), alone, strict=True))
    return False, not swapped


def _is_json_of(text: str, schema: Mapping[str, Any]) -> bool:
    """Say whether a text is a JSON object with the members of a schema of ``answer_schema``, scores in [0, 1]."""
    try:
        value = json.loads(text)
        scores = [value["image_anomaly_score"], *(region["score"] for region in value["regions"])]
        return set(value) == set(schema["required"]) and all(0 <= score <= 1 for score in scores)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
