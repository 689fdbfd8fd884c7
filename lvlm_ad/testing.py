"""Checks whether a backend keeps its contract, in the manner of scikit-learn's ``check_estimator``.

In a backend's own tests::

    from lvlm_ad.testing import check_backend

    def test_contract():
        check_backend(MyBackend())
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from lvlm_ad.backend import Answer, Backend, BackendOptions, Outcome, Picture, Request
from lvlm_ad.errors import BackendError, RejectedError
from lvlm_ad.prompts.question import answer_schema

__all__ = ["BACKEND_CHECKS", "ContractError", "check_backend"]


class ContractError(AssertionError):
    """A backend breaks its contract; the text begins with the name of the check."""


def check_backend(backend: Backend) -> list[str]:
    """Run every check on a backend, which is asked about thirty questions and stays open.

    Args:
        backend: one that can be asked: its endpoint is up, its weights are there.

    Returns:
        The names of the checks that passed.

    Raises:
        ContractError: the first check that failed, and how.
    """
    for name, check in BACKEND_CHECKS.items():
        try:
            check(backend)
        except ContractError as error:
            raise ContractError(f"{name}: {error}") from error
        except Exception as error:
            raise ContractError(f"{name}: {type(error).__name__}: {error}") from error
    return list(BACKEND_CHECKS)


def identity_is_json(backend: Backend) -> None:
    """The identity holds JSON values, is the same each time, and holds no value of the environment's secrets."""
    identity = backend.identity()
    text = json.dumps(identity, sort_keys=True)
    _expect(json.loads(text) == identity, "identity() must hold JSON values only, keys that are text included")
    _expect(json.dumps(backend.identity(), sort_keys=True) == text, "identity() must be the same each time")
    for name, value in os.environ.items():
        secret = name.upper().endswith(("_KEY", "_TOKEN", "_SECRET", "_PASS", "_PASSWORD")) and len(value) >= _SECRET
        _expect(not (secret and (value in text or value in repr(backend))), f"identity() or repr() holds {name}")


def options_are_typed(backend: Backend) -> None:
    """The options are a model that refuses what it does not know."""
    _expect(issubclass(backend.Options, BackendOptions), "Options must be a subclass of BackendOptions")
    required = {name: "x" for name, info in backend.Options.model_fields.items() if info.is_required()}
    try:
        backend.Options(**required, an_option_that_nobody_has=1)  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        _expect("an_option_that_nobody_has" in wrong, "Options must refuse an unknown option by its name")
    else:
        raise ContractError("Options must refuse an unknown option")


def an_answer_is_an_answer(backend: Backend) -> None:
    """A plain question gets an ``Answer`` of the right types."""
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
    """A question for text and one for a JSON object under a schema; with no region, one and many."""
    for count in (0, 1, 60):
        _asked(backend, _question("text", n_regions=count))
        schema = answer_schema(count)
        demands = {"format": "json", "schema": schema, "n_regions": count}
        answer = _asked(backend, Request(_question("json").images, "Answer with a JSON object.", demands))
        if backend.capabilities.schema and answer is not None and answer.outcome == "ok":
            _expect(_keeps(answer.text, schema), "capabilities.schema is declared, but the answer breaks the schema")
    _asked(backend, Request((), "A question that demands nothing."), may_reject=True)


def many_at_once(backend: Backend) -> None:
    """As many threads as it declares, and more questions than that: each gets an answer, or the same error as alone."""
    threads = min(backend.capabilities.concurrency or 8, 8)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda number: _asked(backend, _question(f"number {number}")), range(2 * threads)))


def nothing_else_changes(backend: Backend) -> None:
    """Random streams, the environment and the working folder are left as they are."""
    state = {
        "random's stream": random.getstate,
        "numpy's stream": _numpy_state,
        "the environment": os.environ.copy,
        "the working folder": Path.cwd,
    }
    # A stream that an earlier question has set anew must not be found where it would be set again.
    random.random()  # noqa: S311 - it is drawn to be thrown away
    np.random.random()  # noqa: NPY002 - as in _numpy_state
    before = {what: look() for what, look in state.items()}
    _asked(backend, _question("what changes"))
    for what, look in state.items():
        _expect(look() == before[what], f"answer() changes {what}")


BACKEND_CHECKS: dict[str, Callable[[Backend], None]] = {
    check.__name__: check
    for check in (
        identity_is_json,
        options_are_typed,
        an_answer_is_an_answer,
        pictures_of_any_size,
        any_text,
        both_formats,
        many_at_once,
        nothing_else_changes,
    )
}
"""Name -> check; each is independent of the others."""

_SECRET = 8
"""Characters from which a value of the environment is taken for a secret."""


def _question(text: str, sizes: list[tuple[int, int]] | None = None, n_regions: int = 5) -> Request:
    draw = np.random.default_rng(len(text))
    shapes = [(96, 128)] if sizes is None else sizes
    pictures = [Picture.from_pixels(draw.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
    return Request(tuple(pictures), text, {"format": "text", "n_regions": n_regions})


def _asked(backend: Backend, request: Request, *, may_reject: bool = False) -> Answer | None:
    """Ask, and look at the answer's types; None where the question was rejected and may be."""
    try:
        answer = backend.answer(request)
    except RejectedError:
        if may_reject:
            return None
        raise
    except BackendError:
        raise
    except Exception as error:
        raise ContractError(
            f"answer() raised {type(error).__name__} ({error}); what goes wrong must be a BackendError"
        ) from error
    _expect(isinstance(answer, Answer), f"answer() returned {type(answer).__name__}, not an Answer")
    _expect(isinstance(answer.text, str), "Answer.text must be text")
    _expect(answer.outcome in get_args(Outcome), f"Answer.outcome must be one of {', '.join(get_args(Outcome))}")
    _expect(answer.outcome != "empty" or not answer.text.strip(), "an empty answer must hold no text")
    _expect(answer.outcome != "ok" or answer.text.strip(), "an answer without text has the outcome empty")
    _expect(0 <= answer.seconds < math.inf, "Answer.seconds must be a number of seconds, 0 or more")
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        count = getattr(answer.usage, name)
        counts = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        _expect(count is None or counts, f"Usage.{name} must be a count, or None")
    return answer


def _keeps(text: str, schema: Mapping[str, Any]) -> bool:
    """Say whether a text is a JSON object with exactly the members that a schema names."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and set(found) == set(schema["required"])


def _expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise ContractError(otherwise)


def _numpy_state() -> str:
    return repr(np.random.get_state())  # noqa: NPY002 - the old global stream is what others may rely on
