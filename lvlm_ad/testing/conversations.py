"""What methods of inspection are checked with: views of generated pictures, answers of every kind, conversations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.backend import Answer, Capabilities, Picture, Request
from lvlm_ad.conventions import convention_names, load_convention
from lvlm_ad.datasets.questions import DETECTION, Question
from lvlm_ad.errors import PluginError
from lvlm_ad.evaluate.conversation import Talk
from lvlm_ad.methods import AskedModel, Method, View
from lvlm_ad.presets import Protocol, load_prompt
from lvlm_ad.prompts import check_prompt
from lvlm_ad.regions import divide
from lvlm_ad.testing.any_plugin import ContractError, expect, expect_no_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.presets import PromptPreset
    from lvlm_ad.text2seg.finding import Finding

__all__ = [
    "HOSTILE",
    "KINDS",
    "SIDE",
    "Conversed",
    "Respond",
    "answers_of",
    "converse",
    "converse_in_turn",
    "instead",
    "noise",
    "renewed",
    "talking",
    "view_of",
]

SIDE = 96
SEED = hashlib.sha256(b"0/bolt/000").hexdigest()
"""The seed of the views, as a bench makes it."""

QUESTIONS = (
    Question("Is there any defect in the object?", ("Yes.", "No."), DETECTION),
    Question("What kind of defect is it?", ("Scratch.", "Dent.", "Hole.", "None of these."), "Defect Classification"),
)
"""The data set's questions about each image."""

Respond = Callable[[int, Request], Answer]
"""Takes the number of a question, from 0, and the question; returns its answer."""

KINDS: dict[str, str] = {
    "regions": "image anomaly score: $x; region 1: $x; region 2: $y.",
    "image": "image anomaly score: $x",
    "boxes": '```json\n[{"bbox_2d": [10, 20, 50, 60], "label": "scratch", "score": $x}]\n```',
    "named boxes": '{"image_anomaly_score": $x, "boxes": [{"x1": 8, "y1": 9, "x2": 70, "y2": 40, "score": $y}]}',
    "points": '[{"point_2d": [30, 40], "label": "dent", "score": $x}]',
    "cells": "A1: $x; B2: $y; image anomaly score: $x",
    "masks": '[{"box_2d": [10, 10, 60, 50], "mask": [[12, 12], [50, 15], [30, 55]], "label": "stain", "score": $x}]',
    "yes": "Yes. Confidence: $x",
    "no": "No.",
    "nothing": "[]",
    "letter": "B",
}
"""Kind of answer -> its text, in which $x and $y are numbers that follow from the question."""

HOSTILE: tuple[Answer, ...] = (
    Answer("I'm sorry, but I can't assist with that.", "refused"),
    Answer("", "filtered"),
    Answer("", "empty"),
    Answer("image anomaly score: 0.", "truncated"),
    Answer('[{"bbox_2d": [10, 20, 50, 60], "score": 0.5}, {"bbox_2d": [3', "truncated"),
    Answer("It depends."),
    Answer("\x00\x1b[31m\u202e<script>alert(1)</script> <|im_end|> {{ x }}"),
    Answer("region 0: -5; region 99999999999999999999: 1e999; image anomaly score: nan"),
    Answer('[{"bbox_2d": [-1e308, 1e999, null, "x"], "score": {}}, {"point_2d": [1e308, -1e308]}, [], 7]'),
    Answer('{"image_anomaly_score": 2.5, "regions": [{"region": 1, "score": -1}], "boxes": [[0, 0, 9999, 9999]]}'),
    Answer("9" * 30_000),
    Answer("[{" * 5_000),
)
"""Answers that a method must survive: refused, empty, cut off, unreadable, hostile."""


@dataclass(frozen=True)
class Conversed:
    """A conversation.

    Attributes:
        questions: all questions, in their order.
        rounds: how many of them were asked at once, each time.
        finding: what it led to.
    """

    questions: tuple[Request, ...]
    rounds: tuple[int, ...]
    finding: Finding

    @property
    def keys(self) -> list[str]:
        """What the questions are stored under."""
        return [question.key({}) for question in self.questions]

    @property
    def steps(self) -> list[int]:
        """The numbers of the first question of each round, and of the last of all."""
        return sorted({*accumulate(self.rounds[:-1], initial=0), sum(self.rounds) - 1}) if self.rounds else []


class _WatchedView(View):
    """A view that reports access to what methods may not see."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ContractError(f"inspect() looks for view.{name}; a view has no such thing, see lvlm_ad.methods.View")


def noise(seed: int, height: int = SIDE, width: int | None = None) -> NDArray[np.uint8]:
    """Return a picture of noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width or height, 3), dtype=np.uint8)


def view_of(
    method: Method,
    image: NDArray[np.uint8] | None = None,
    *,
    original: NDArray[np.uint8] | None = None,
    seed: str = SEED,
    shots: int = 2,
    cells: int = 2,
) -> View:
    """Make a view with what a method declares that it needs.

    Args:
        method: the method.
        image: uint8 ``(S, S, 3)``; None: noise.
        original: the image in its file; None: noise of another size.
        seed: the view's seed.
        shots: number of reference images.
        cells: rows and columns of the division.
    """
    image = noise(0) if image is None else image
    options = {"grid_rows": cells, "grid_columns": cells, "min_area": 0.0, "max_area": 1e9}
    prompt = {"prompt": method.prompt} if method.prompt else {}
    protocol = Protocol(image_size=len(image), division="grid", shots=shots, **options, **prompt)
    return _WatchedView(
        image=image,
        original=noise(1, 130, 220) if original is None else original,
        category="bolt",
        class_name="bolt",
        regions=divide(image, "grid", **options) if method.needs_regions else None,
        references=[Picture.from_pixels(noise(10 + number, len(image))) for number in range(shots)],
        pool=[noise(10 + number, len(image)) for number in range(4)] if method.needs_pool else (),
        seed=seed,
        questions=QUESTIONS,
        model=_model_for(method),
        protocol=protocol,
        fill=lambda values: _filled(method, load_prompt(protocol.prompt), values),
        format=load_prompt(protocol.prompt).format,
    )


def _model_for(method: Method) -> AskedModel:
    """Return the first model, of one for each convention, that the method can inspect with."""
    capabilities = Capabilities(probabilities=True, schema=True)
    reason = ""
    for name in sorted(convention_names(), key=lambda name: name != "sent_pixels"):
        model = AskedModel("a-model", capabilities, load_convention(name))
        reason = method.why_not(model)
        if not reason:
            return model
    raise ContractError(f"why_not() refuses every model, because {reason}")


def _filled(method: Method, prompt: PromptPreset, values: dict[str, str]) -> str:
    """Fill a prompt, as a bench does."""
    undeclared = sorted(set(values) - set(method.placeholders))
    expect(not undeclared, f"view.text() fills {', '.join(undeclared)}, which the attribute placeholders does not name")
    check_prompt(prompt, method.placeholders)
    always = {"class_name": "bolt", "defects": "any", "references": "", "pictures": "There is a picture."}
    try:
        return Template(prompt.text).substitute({**always, **values}).strip()
    except KeyError as error:
        raise ContractError(f"view.text() leaves a placeholder of the prompt {prompt.name} empty: {error}") from error


def answers_of(kind: str) -> Respond:
    """Answer every question in one of ``KINDS``, with numbers that follow from the question."""

    def respond(_: int, question: Request) -> Answer:
        number = int(hashlib.sha256((kind + question.key({})).encode()).hexdigest()[:8], 16)
        return Answer(Template(KINDS[kind]).substitute(x=number % 101 / 100, y=number // 101 % 101 / 100))

    return respond


@contextmanager
def talking(method: Method, view: View) -> Iterator[Talk]:
    """Begin a conversation, as a bench does; a PluginError becomes a ContractError."""
    with expect_no_error("inspect()"):
        try:
            with Talk(method, view) as talk:
                yield talk
        except PluginError as error:
            raise ContractError(str(error)) from error


def converse(method: Method, view: View, respond: Respond) -> Conversed:
    """Run a whole conversation.

    Raises:
        ContractError: something is wrong with a question, their number or the finding.
    """
    return converse_in_turn(method, [view], respond)[0]


def converse_in_turn(method: Method, views: Sequence[View], respond: Respond) -> list[Conversed]:
    """Run a conversation about each view at the same time: one round of each in turn."""
    rounds: list[list[list[Request]]] = [[] for _ in views]
    with ExitStack() as stack:
        talks = [stack.enter_context(talking(method, view)) for view in views]
        while waiting := [(talk, past) for talk, past in zip(talks, rounds, strict=True) if talk.finding is None]:
            for talk, past in waiting:
                for question in talk.requests:
                    _check(question)
                first = sum(map(len, past))
                past.append(talk.requests)
                talk.go_on([respond(number, one) for number, one in enumerate(talk.requests, start=first)])
    return [
        Conversed(tuple(chain.from_iterable(past)), tuple(map(len, past)), talk.finding)
        for talk, past in zip(talks, rounds, strict=True)
        if talk.finding is not None
    ]


def _check(question: Request) -> None:
    sound = all(isinstance(picture, Picture) for picture in question.images) and isinstance(question.text, str)
    expect(sound, "a question must hold pictures (lvlm_ad.backend.Picture) and a text")
    expect(question.text.strip(), "a question has no text")
    options = dict(question.options)
    try:
        plain = json.loads(json.dumps(options, allow_nan=False)) == options
    except (TypeError, ValueError):
        plain = False
    expect(plain, f"the options of a question must be JSON values: {options!r:.120}")


def instead(respond: Respond, number: int, answer: Answer) -> Respond:
    """Answer one question differently."""
    return lambda step, question: answer if step == number else respond(step, question)


def renewed(view: View) -> View:
    """Return the same view made of new arrays, encoded anew."""
    return replace(
        view,
        image=view.image.copy(order="F"),
        original=view.original.copy(),
        references=[replace(picture, data=bytes(picture.data)) for picture in view.references],
        pool=[one.copy() for one in view.pool],
    )
