"""The checks of a backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from lvlm_ad.backend import Answer, Backend, ManyBackend, Request
from lvlm_ad.errors import BackendError, LvlmAdError, where
from lvlm_ad.prompts.question import answer_schema
from lvlm_ad.testing.contract import (
    built,
    built_anew_it_is_the_same,
    changed_elsewhere,
    identity_is_json,
    import_is_light,
    options_are_typed,
)
from lvlm_ad.testing.questions import answered_alike, asked, fits, looked_at, question
from lvlm_ad.testing.running import (
    PATIENCE,
    ContractError,
    alive,
    expect,
    patience,
    problems,
    report,
    together,
)
from lvlm_ad.testing.secrecy import nothing_secret_is_shown
from lvlm_ad.testing.state import look, state_is_kept

__all__ = ["BACKEND_CHECKS", "check_backend"]

_LARGEST_BATCH = 64
"""Questions in one call of ``answer_many``, at most, however many it declares."""


def check_backend(backend: Backend | type[Any], *, limit: float = PATIENCE) -> list[str]:
    """Run every check on a backend, which is asked about fifty questions and closed at the end.

    One with ``answer_many`` is asked up to 130 small ones besides.

    Args:
        backend: one that can be asked: its endpoint is up, its weights are there; or a class, to be built with its
            default options.
        limit: seconds without an answer after which a check is taken to hang.

    Returns:
        The names of the checks that passed.

    Raises:
        ContractError: some did not; a line for each says what is wrong.
    """
    began = look()
    report(problems(built(backend, "backend"), BACKEND_CHECKS, limit=limit, began=began))
    return list(BACKEND_CHECKS)


def an_answer_is_an_answer(backend: Backend) -> None:
    """A plain question gets an answer of the right types, or a text."""
    asked(backend, question("a plain one"))


def pictures_of_any_size(backend: Backend) -> None:
    """None, one small, one wide, one large, and as many as it takes: an answer, or a clear rejection."""
    most = backend.capabilities.max_images or 2
    for sizes in ([], [(8, 8)], [(16, 400)], [(1500, 1100)], [(64, 64)] * min(most, 3)):
        asked(backend, question(f"{len(sizes)} pictures", sizes), may_reject=True)


def any_text(backend: Backend) -> None:
    """Unicode, control characters, markup and a long text: an answer, or a clear rejection."""
    for text in ("Größe 缺陷 🔍 \u202e", "\x00\x1b[31m", "<image> <|im_end|> {{ x }}", "word " * 2000, " "):
        asked(backend, question(text), may_reject=True)


def both_formats(backend: Backend) -> None:
    """A question for text and one for a JSON object under a schema, with no region, one and many, gets an answer."""
    for count in (0, 1, 60):
        asked(backend, question("text", n_regions=count))
        schema = answer_schema(count)
        demands = {"format": "json", "schema": schema, "n_regions": count}
        answer = asked(backend, Request(question("json").images, "Answer with a JSON object.", demands))
        if backend.capabilities.schema and answer is not None and answer.outcome == "ok":
            expect(fits(answer.text, schema), "capabilities.schema is declared, but the answer breaks the schema")
    asked(backend, Request((), "A question that demands nothing."), may_reject=True)


def many_at_once(backend: Backend) -> None:
    """As many threads as it declares, and more questions than that: each gets the answer that it gets alone.

    A model that does not answer alike when asked alike is only held to answer; one that puts questions together, whose
    numbers depend on the company, to give each its own.
    """
    threads = min(backend.capabilities.concurrency or 8, 8)
    questions = [question(f"number {number}") for number in range(threads + 4)]
    given = together(threads, lambda one: asked(backend, one), questions)
    if not backend.capabilities.stored or isinstance(backend, ManyBackend):
        # Answers that belong to places in line, not to questions; what a_batch_is_its_questions looks at.
        return
    alike, own = answered_alike(given, questions, lambda one: asked(backend, one))
    expect(own, "asked from several threads, a question gets the answer of another")
    expect(
        alike or backend.capabilities.batches_internally, "asked from several threads it answers otherwise than alone"
    )


def a_batch_is_its_questions(backend: Backend) -> None:
    """``answer_many`` answers each question, in order, as it answers it alone, and takes as many as it declares."""
    if not isinstance(backend, ManyBackend):
        return
    expect(backend.max_batch_size >= 1, "max_batch_size must be 1 or more")
    count = min(backend.max_batch_size, _LARGEST_BATCH)
    questions = [question(f"number {number}", [(32, 48)]) for number in range(count)]

    def answers(several: list[Request]) -> list[Answer | None]:
        given: Any = backend.answer_many(list(several))
        alive()
        listed = isinstance(given, Sequence) and not isinstance(given, str)
        expect(listed, f"answer_many returned {type(given).__name__}; it must return a list")
        expect(len(given) == len(several), f"answer_many returned {len(given)} answers to {len(several)} questions")
        return [None if isinstance(one, BackendError) else looked_at(one, "answer_many") for one in given]

    try:
        given = answers(questions)
    except (BackendError, ContractError):
        raise
    except BaseException as error:
        raise ContractError(
            f"answer_many raised {where(error)} when asked {count} questions, and max_batch_size is "
            f"{backend.max_batch_size}"
        ) from error
    alike, _ = answered_alike(given, questions, lambda one: answers([one])[0])
    expect(alike, "answer_many answers otherwise, or in another order, than one by one")


def the_request_is_left_alone(backend: Backend) -> None:
    """Nothing of the request is changed: the question is kept as it was asked."""
    request = question("what is written to", [(16, 16), (8, 24)])
    before = deepcopy(request)
    asked(backend, request, may_reject=True)
    expect(request == before, "answer() changes the request")


def nothing_else_changes(backend: Backend) -> None:
    """Random streams, the environment, the working folder and what else the process shares are left as they are."""
    with state_is_kept() as changed:
        asked(backend, question("what changes"))
    expect(not changed, f"answer() changes {', '.join(changed)}")
    elsewhere = changed_elsewhere(backend)
    expect(not elsewhere, "; ".join(elsewhere))


def closing_ends_it(backend: Backend) -> None:
    """Closed while a question is under way it lets go of it in time, with an answer or an error of this package."""
    wrong: list[str] = []

    def attempt(what: str, act: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except LvlmAdError:
                pass
            except BaseException as error:  # noqa: BLE001 - to be reported
                wrong.append(f"{what} raised {where(error)}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    limit = patience()
    asking = attempt("answer(), closed meanwhile,", lambda: backend.answer(question("while it is closed")))
    closing = attempt("close()", backend.close)
    for thread, what in ((closing, "close() does not return"), (asking, "close() leaves a question hanging")):
        # The two share what a check may take.
        thread.join(limit / 2)
        expect(not thread.is_alive(), f"{what} within {limit / 2:g} seconds")
        alive()
    expect(not wrong, "; ".join(wrong))


BACKEND_CHECKS: dict[str, Callable[[Backend], None]] = {
    check.__name__: check
    for check in (
        import_is_light,
        options_are_typed,
        identity_is_json,
        built_anew_it_is_the_same,
        an_answer_is_an_answer,
        pictures_of_any_size,
        any_text,
        both_formats,
        many_at_once,
        a_batch_is_its_questions,
        the_request_is_left_alone,
        nothing_else_changes,
        nothing_secret_is_shown,
        closing_ends_it,
    )
}
"""Name -> check. Each is independent of the others, but the last closes the backend."""
