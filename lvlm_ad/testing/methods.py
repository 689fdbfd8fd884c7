"""The checks of a method of inspection; its questions are answered here, and no model is asked."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.backend import Answer
from lvlm_ad.errors import ConfigError, is_secret_option
from lvlm_ad.methods.flaws import flaw_of
from lvlm_ad.regions.shapes import Mask
from lvlm_ad.testing.any_plugin import ContractError, expect, expect_no_error, identity_is_json, import_is_fast
from lvlm_ad.testing.conversations import (
    HOSTILE,
    KINDS,
    SIDE,
    Conversed,
    answers_of,
    converse,
    converse_in_turn,
    instead,
    noise,
    renewed,
    talking,
    view_of,
)
from lvlm_ad.testing.elsewhere import keys_elsewhere, keys_here

if TYPE_CHECKING:
    from lvlm_ad.methods import Method

__all__ = ["METHOD_CHECKS"]


def conversations_are_valid(method: Method) -> None:
    """A conversation ends within ``most_questions``, with a finding inside the image, whatever is answered."""
    for kind in KINDS:
        converse(method, view_of(method), answers_of(kind))


def rebuilt_it_is_the_same(method: Method) -> None:
    """An object built from its options alone asks the same questions and has the same identity."""
    other: Any = type(method)(pickle.loads(pickle.dumps(method.options)))  # nosec B301 # noqa: S301 - our own pickle
    if method.source:
        other.source = method.source
    expect(other.identity() == method.identity(), "rebuilt from its options it has another identity()")
    for kind in _forms(method):
        one, again = (converse(each, view_of(each), answers_of(kind)) for each in (method, other))
        expect(one.keys == again.keys, "rebuilt from its options it asks other questions")


def conversations_are_reproducible(method: Method) -> None:
    """The same image and answers lead to the same questions and finding: random numbers come from the view's seed."""
    for kind in _forms(method):
        view = view_of(method)
        one, again = (converse(method, each, answers_of(kind)) for each in (view, renewed(view)))
        expect(one.keys == again.keys, "it asks other questions the second time; seed random numbers by view.seed")
        same = _comparable(one) == _comparable(again)
        expect(same, "the same answers lead to another finding the second time; seed random numbers by view.seed")


def conversations_are_the_same_elsewhere(method: Method) -> None:
    """In another process it asks the same questions, so that an interrupted run continues."""
    kinds = list(_forms(method))
    elsewhere = keys_elsewhere(method, kinds)
    same = elsewhere is None or elsewhere == keys_here(method, kinds)
    expect(same, "in another process it asks other questions; do not depend on the order of a set, time or machine")


def conversations_are_independent(method: Method) -> None:
    """Two conversations in turn, as threads run them, ask and find the same as each alone."""
    for kind in _forms(method):
        views = [view_of(method), view_of(method, noise(3), seed="0/bolt/another/001")]
        alone = [converse(method, view, answers_of(kind)) for view in views]
        together = converse_in_turn(method, views, answers_of(kind))
        same = [_comparable(one) for one in alone] == [_comparable(one) for one in together]
        expect(same, "a conversation changes if another runs at the same time; keep its state in local variables")


def any_image(method: Method) -> None:
    """Black, white, striped, larger, very wide and very tall images get a finding, and so does one without regions."""
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    stripes = black.copy()
    stripes[:, ::2] = 255
    views = [view_of(method, image) for image in (black, black + 255, stripes, noise(1, 160))]
    views += [view_of(method, original=noise(2, 20, 400)), view_of(method, original=noise(2, 300, 8))]
    views += [view_of(method, cells=1)]
    for view in views:
        for kind in _forms(method):
            converse(method, view, answers_of(kind))


def references_are_needed_or_not(method: Method) -> None:
    """Without reference images it asks its questions, or raises a ConfigError that says what it needs."""
    try:
        converse(method, view_of(method, shots=0), answers_of("image"))
    except ContractError as error:
        if not isinstance(error.__cause__, ConfigError):
            raise


def any_answer(method: Method) -> None:
    """A refused, filtered, empty, truncated, unreadable or hostile answer to any question leads to a finding."""
    for kind, form in _forms(method).items():
        plain = answers_of(kind)
        for step in form.steps:
            for answer in HOSTILE:
                try:
                    converse(method, view_of(method), instead(plain, step, answer))
                except ContractError as error:
                    shown = f"{answer.text[:40]!r} ({answer.outcome})"
                    raise ContractError(f"after the answer {shown} to question {step + 1}: {error}") from error


def no_answer_at_all(method: Method) -> None:
    """If a question fails, the conversation can be closed there: it yields nothing more and raises nothing."""
    for kind, form in _forms(method).items():
        respond = answers_of(kind)
        for ended in range(len(form.rounds)):
            with talking(method, view_of(method)) as talk:
                for _ in range(ended):
                    talk.go_on([respond(0, question) for question in talk.requests])


def refused_answers_give_no_score(method: Method) -> None:
    """If every question is refused, the finding has no image score."""
    refusal = HOSTILE[0]
    found = converse(method, view_of(method), lambda *_: refusal).finding
    expect(found.image is None, f"every question was refused, and the image score is {found.image}; it must be None")
    expect(found.status != "ok", "every question was refused, and the status is ok")


def repeats_are_declared(method: Method) -> None:
    """A question that it asks several times, by its option ``repeat``, is asked ``repeats`` times at most."""
    for form in _forms(method).values():
        most = max((int(question.options.get("repeat", 0)) for question in form.questions), default=0)
        expect(most < method.repeats, f"it asks with repeat={most}, but its attribute repeats is {method.repeats}")


def view_is_unchanged(method: Method) -> None:
    """No image of the view is written to."""
    for kind in _forms(method):
        view = view_of(method)
        images = [view.image, view.original, *view.pool]
        before = [image.copy() for image in images]
        converse(method, view, answers_of(kind))
        unchanged = all(np.array_equal(image, old) for image, old in zip(images, before, strict=True))
        expect(unchanged, "inspect() writes into the view's images")


def is_usable_is_valid(method: Method) -> None:
    """``is_usable`` returns True or False for every answer, and False for one that is refused, empty or cut off."""
    view = view_of(method)
    for answer in (*HOSTILE, Answer("image anomaly score: 0.5")):
        with expect_no_error("is_usable()"):
            usable: Any = method.is_usable(answer, view)
        expect(isinstance(usable, bool), f"is_usable() gave {usable!r:.40}; it must be True or False")
        expect(answer.outcome == "ok" or not usable, f"is_usable() accepts an answer that is {answer.outcome}")


def best_finding_is_valid(method: Method) -> None:
    """The answer of a model that knows the defects is a finding; its image score is 0 if there is no defect."""
    if not method.has_best_finding:
        return
    view = view_of(method)
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    for defect, score in ((False, 0.0), (True, 1.0)):
        mask[20:50, 30:70] = defect
        with expect_no_error("best_finding()"):
            finding = method.best_finding(view, mask.copy())
        flaw = flaw_of(finding, view, method.places)
        expect(not flaw, f"best_finding() {flaw}")
        expect(finding.image is not None, "best_finding() gave no image score")
        expect(score or finding.image == 0, f"without a defect, best_finding() gave the image score {finding.image}")
        expect(not score or finding.image, "with a defect, best_finding() gave the image score 0")


def no_option_is_a_secret(method: Method) -> None:
    """No option holds a key: options are written into run.json."""
    for name in method.Options.model_fields:
        expect(not is_secret_option(name), f"the option {name!r} holds a secret, and options are written into run.json")


METHOD_CHECKS: dict[str, Callable[[Any], None]] = {
    check.__name__: check
    for check in (
        import_is_fast,
        identity_is_json,
        conversations_are_valid,
        rebuilt_it_is_the_same,
        conversations_are_reproducible,
        conversations_are_the_same_elsewhere,
        conversations_are_independent,
        any_image,
        references_are_needed_or_not,
        any_answer,
        no_answer_at_all,
        refused_answers_give_no_score,
        repeats_are_declared,
        view_is_unchanged,
        is_usable_is_valid,
        best_finding_is_valid,
        no_option_is_a_secret,
    )
}
"""Name -> check. Each is independent of the others."""


@lru_cache(maxsize=1)
def _forms(method: Method) -> dict[str, Conversed]:
    """Choose kinds of answers that lead to conversations of different form; returns kind -> the conversation."""
    forms: dict[Any, tuple[str, Conversed]] = {}
    for kind in KINDS:
        conversed = converse(method, view_of(method), answers_of(kind))
        finding = conversed.finding
        forms.setdefault((conversed.rounds, finding.usable, bool(finding.shapes)), (kind, conversed))
    return dict(forms.values())


def _comparable(conversed: Conversed) -> tuple[Any, ...]:
    """Return what can be compared: masks hold arrays."""
    shapes = tuple(
        (one.left, one.top, one.pixels.tolist(), one.score) if isinstance(one, Mask) else one
        for one in conversed.finding.shapes
    )
    return (conversed.keys, shapes, replace(conversed.finding, shapes=()))
