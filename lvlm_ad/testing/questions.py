"""The questions that checks ask of a backend, and what any answer must be."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from lvlm_ad.backend import Answer, Backend, Outcome, Picture, Request, as_answer
from lvlm_ad.errors import BackendError, FatalError, RejectedError, where
from lvlm_ad.plugin_errors import missing_module
from lvlm_ad.testing.running import ContractError, alive, expect
from lvlm_ad.testing.secrecy import note_leaks

__all__ = ["answered_alike", "asked", "fits", "looked_at", "question", "texts"]


def question(text: str, sizes: Sequence[tuple[int, int]] | None = None, n_regions: int = 5) -> Request:
    """Return a question with pictures of its own: noise drawn from its text.

    Args:
        text: what is asked.
        sizes: (height, width) of each picture; None: one of 96 x 128.
        n_regions: how many regions it speaks of.
    """
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
    shapes = [(96, 128)] if sizes is None else sizes
    pictures = [Picture.from_pixels(draw.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
    # Drawing takes a while where the machine is busy; that is not the plugin's time.
    alive()
    return Request(tuple(pictures), text, {"format": "text", "n_regions": n_regions})


def asked(backend: Backend, request: Request, *, may_reject: bool = False) -> Answer | None:
    """Ask, and look at the answer's types; None where the question was rejected and may be.

    Raises:
        ContractError: something else than an answer comes, or an error that is none of this package's.
        BackendError: the backend cannot answer.
    """
    try:
        given = backend.answer(request)
    except BackendError as error:
        note_leaks(str(error))
        if may_reject and isinstance(error, RejectedError):
            return None
        raise
    except BaseException as error:
        note_leaks(str(error))
        if isinstance(error, ModuleNotFoundError):
            raise ContractError(missing_module("answer()", error, of=backend.implementation.__module__)) from error
        raise ContractError(f"answer() raised {where(error)}; what goes wrong must be a BackendError") from error
    finally:
        alive()
    return looked_at(given, "answer()")


def looked_at(given: Answer | str, who: str) -> Answer:
    """Return what came as an answer.

    Raises:
        ContractError: it is none, or holds what no answer may hold.
    """
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
    note_leaks(answer.text, str(answer.detail), str(answer.model))
    return answer


def texts(answers: Sequence[Answer | None]) -> list[str | None]:
    """Return the text of each answer."""
    return [None if answer is None else answer.text for answer in answers]


def answered_alike(
    together: Sequence[Answer | None], questions: Sequence[Request], alone: Callable[[Request], Answer | None]
) -> tuple[bool, bool]:
    """Compare every answer with the one that its question gets alone.

    A model that does not answer alike when asked alike can only be held to answer: where answers differ, all are asked
    for alone once more.

    Args:
        together: what came, in order.
        questions: what was asked.
        alone: asks one question.

    Returns:
        Whether all are alike, or the model is none that answers alike; and whether none is another question's answer.
    """
    given = texts(together)
    first = texts([alone(one) for one in questions])
    if given == first:
        return True, True
    if texts([alone(one) for one in questions]) != first:
        return True, True
    others = any(one != own and one in first for one, own in zip(given, first, strict=True))
    return False, not others


def fits(text: str, schema: Mapping[str, Any]) -> bool:
    """Say whether a text is a JSON value as a schema of ``answer_schema`` demands."""
    try:
        return _fits(json.loads(text), schema)
    except (ValueError, RecursionError):
        return False


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if schema["type"] == "object":
        known = schema["properties"]
        return (
            isinstance(value, dict)
            and set(schema["required"]) <= set(value) <= set(known)
            and all(_fits(one, known[name]) for name, one in value.items())
        )
    if schema["type"] == "array":
        listed = isinstance(value, list) and len(value) <= schema["maxItems"]
        return listed and all(_fits(one, schema["items"]) for one in value)
    kinds = int if schema["type"] == "integer" else int | float
    number = isinstance(value, kinds) and not isinstance(value, bool)
    return number and schema["minimum"] <= value <= schema["maximum"]
