"""The checks of a backend, and those of a baseline."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.backend import Answer, Backend, ManyBackend, Picture, Request, as_answer
from lvlm_ad.baseline import Baseline, DenseScores, Truth, View, flaw_of
from lvlm_ad.errors import BackendError, FatalError, LvlmAdError, RejectedError
from lvlm_ad.prompts.question import answer_schema
from lvlm_ad.testing.any_plugin import (
    ContractError,
    expect,
    expect_no_error,
    identity_is_json,
    import_is_fast,
    rebuilt_it_is_the_same,
    secrets_in,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BACKEND_CHECKS", "BASELINE_CHECKS"]

_LARGEST_BATCH = 64
"""Most questions in one call of ``answer_many``, whatever the backend declares."""
_SIDE = 96
_ROUNDING = 1e-5
"""Scores may differ so much between two calls: the order of sums."""


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
        expect(own, "if several threads ask, a question gets the answer to another question")
        expect(same or backend.capabilities.batches_internally, "if several threads ask, the answers change")


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
        together = answers(questions)
    same, _ = _compare(together, questions, lambda one: answers([one])[0])
    expect(same, "answer_many gives other answers than one by one, or gives them in another order")


def request_is_unchanged(backend: Backend) -> None:
    """Nothing of the request is changed."""
    request = _question("what is written to", [(16, 16), (8, 24)])
    before = deepcopy(request)
    _ask(backend, request, may_reject=True)
    expect(request == before, "answer() changes the request")


def no_secret_is_shown(plugin: Backend | Baseline) -> None:
    """No option holds a key, and no key is shown in the identity, repr, answers or errors."""

    def use(other: Any) -> str:
        shown = []
        requests = (_question("with a wrong key"), Request((), "A question with a wrong key."))
        for request in requests if isinstance(other, Backend) else ():
            try:
                shown.append(repr(other.answer(request)))
            except BaseException as error:  # noqa: BLE001 - its text is what matters
                shown.append(str(error))
        return "\n".join(shown)

    secrets_in(plugin, use)


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
        identity_is_json,
        rebuilt_it_is_the_same,
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
    expect(answer.outcome != "empty" or not answer.text.strip(), "an answer with the outcome empty must have no text")
    expect(answer.outcome != "ok" or answer.text.strip(), "an answer without text must have the outcome empty")
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

    def texts(several: Sequence[Answer | None]) -> list[str | None]:
        return [None if answer is None else answer.text for answer in several]

    alone = texts([ask_alone(question) for question in questions])
    if texts(answers) == alone or texts([ask_alone(question) for question in questions]) != alone:
        return True, True
    swapped = any(text != own and text in alone for text, own in zip(texts(answers), alone, strict=True))
    return False, not swapped


def _is_json_of(text: str, schema: Mapping[str, Any]) -> bool:
    """Return whether a text is a JSON object with the members of a schema of ``answer_schema``, scores in [0, 1]."""
    try:
        value = json.loads(text)
        scores = [value["image_anomaly_score"], *(region["score"] for region in value["regions"])]
        return set(value) == set(schema["required"]) and all(0 <= score <= 1 for score in scores)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def scores_are_valid(baseline: Baseline) -> None:
    """An image gets an image score and a map of its size, both in [0, 1]."""
    _score(baseline, _view(baseline))


def any_image(baseline: Baseline) -> None:
    """A black, white, plain, striped, noisy, larger or once very wide image gets scores."""
    black = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    stripes = black.copy()
    stripes[:, ::2] = 255
    for image in (black, black + 255, black + np.uint8(90), stripes, _noise(1, 160)):
        _score(baseline, _view(baseline, image))
    _score(baseline, _view(baseline, original=_noise(2, 40, 400)))


def scores_are_reproducible(baseline: Baseline) -> None:
    """The same view gets the same scores: random numbers come from the view's seed."""
    first, second = (_score(baseline, _view(baseline)) for _ in range(2))
    expect(_equal(first, second), "a view gets different scores the second time; seed random numbers by View.seed")


def use_of_seed_is_declared(baseline: Baseline) -> None:
    """Scores depend on the view's seed only if ``seeded`` says so."""
    if not baseline.seeded:
        first, second = (_score(baseline, _view(baseline, seed=seed)) for seed in ("0/a", "1/b"))
        expect(_equal(first, second), "the scores depend on View.seed; declare seeded = True")


def threads_get_their_own_scores(baseline: Baseline) -> None:
    """Scored from several threads, a view has the scores that it has alone."""
    threads = min(baseline.concurrency or os.cpu_count() or 2, 4)
    views = [_view(baseline, _noise(number)) for number in range(2 * threads)]
    alone = [_score(baseline, view) for view in views]
    with ThreadPoolExecutor(threads) as pool:
        together = list(pool.map(lambda view: _score(baseline, view), views))
    equal = all(_equal(one, other) for one, other in zip(alone, together, strict=True))
    expect(equal, "if several threads score, a view gets other scores than alone")


def view_is_unchanged(baseline: Baseline) -> None:
    """Normal reference images, which a run may bring, are accepted, and no image of the view is written to."""
    view = _view(baseline, references=[_noise(10)])
    images = [view.image, *view.references, *view.original_references]
    before = [image.copy() for image in images]
    _score(baseline, view)
    for image, old in zip(images, before, strict=True):
        expect(np.array_equal(image, old), "score() writes into the view's images")


def category_scores_are_valid(baseline: Baseline) -> None:
    """If scores have ``parts``, ``finalize_category`` gives as many image scores in [0, 1]."""
    parts = [_score(baseline, _view(baseline, _noise(number))).parts for number in range(3)]
    if any(parts):
        with expect_no_error("its scores have parts, and finalize_category()"):
            scores = list(baseline.finalize_category(parts))
        expect(len(scores) == len(parts), f"finalize_category() gave {len(scores)} scores of {len(parts)} samples")
        expect(all(0 <= score <= 1 for score in scores), "finalize_category() gave scores outside [0, 1]")


def closing_raises_nothing(baseline: Baseline) -> None:
    """close() raises nothing."""
    baseline.close()


BASELINE_CHECKS: dict[str, Callable[[Baseline], None]] = {
    check.__name__: check
    for check in (
        import_is_fast,
        identity_is_json,
        rebuilt_it_is_the_same,
        scores_are_valid,
        any_image,
        scores_are_reproducible,
        use_of_seed_is_declared,
        threads_get_their_own_scores,
        view_is_unchanged,
        category_scores_are_valid,
        no_secret_is_shown,
        closing_raises_nothing,
    )
}
"""Name -> check. Each is independent of the others, but the last one closes the baseline."""


def _noise(seed: int, height: int = _SIDE, width: int | None = None) -> NDArray[np.uint8]:
    shape = (height, width or height, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _view(
    baseline: Baseline,
    image: NDArray[np.uint8] | None = None,
    *,
    seed: str = "0/bolt/000",
    references: Sequence[NDArray[np.uint8]] = (),
    original: NDArray[np.uint8] | None = None,
) -> View:
    image = _noise(0) if image is None else image
    side = image.shape[0]
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    return View(
        image=image,
        category="bolt",
        seed=seed,
        references=[np.resize(reference, image.shape) for reference in references],
        truth=Truth(label=True, mask=mask) if baseline.sees_truth else None,
        original=image if original is None else original,
        original_references=list(references),
    )


def _score(baseline: Baseline, view: View) -> DenseScores:
    """Score a view and check types and ranges."""
    with expect_no_error("score()"):
        scores = baseline.score(view)
    flaw = flaw_of(scores, view.image.shape[:2])
    expect(not flaw, f"score() {flaw}")
    expect(scores.map.dtype.kind == "f", f"the map holds {scores.map.dtype}; it must hold floats")
    return scores


def _equal(one: DenseScores, other: DenseScores) -> bool:
    return bool(abs(one.image - other.image) <= _ROUNDING and np.allclose(one.map, other.map, atol=_ROUNDING))
