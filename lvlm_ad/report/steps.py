"""The conversation about an image, question by question, with the picture of each."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from lvlm_ad.errors import LvlmAdError
from lvlm_ad.evaluate.recorded import Conversations, asked_of, recorded_answers

if TYPE_CHECKING:
    from lvlm_ad.backend import Request
    from lvlm_ad.runs import PredictionRecord

__all__ = ["MOST_PICTURES", "Save", "steps_of"]

MOST_PICTURES = 20_000
"""Pictures of questions on a page; with more images, fewer questions of each have one."""

Save = Callable[[str, Image.Image], str]
"""Writes a picture under a name and returns its file."""


def steps_of(
    record: PredictionRecord, conversations: Conversations, save: Save | None, *, most: int = MOST_PICTURES
) -> list[dict[str, Any]]:
    """Return each question about an image: its picture's file, its text, and its answer.

    Args:
        record: the image's prediction.
        conversations: repeats the run's conversations; a question that differs from the recorded one is not shown.
        save: writes the pictures; None: there are none.
        most: how many of the first questions have a picture.

    Returns:
        For each question "picture" and "text", "" where unknown, "answer" and "outcome"; empty if nothing was asked.
    """
    answers, keys = recorded_answers(record), [one.key for one in asked_of(record)]
    requests: list[Request] = []
    if not conversations.problem:
        try:
            _, requests = conversations.again(record, answers)
        except LvlmAdError:
            # The answers are shown all the same.
            requests = []
    steps = []
    for number, answer in enumerate(answers):
        request = requests[number] if number < len(requests) else None
        if request is not None and conversations.has_texts and not conversations.is_key(request, keys[number]):
            request = None
        picture = ""
        shows_image = request is not None and len(request.images) > 0 and not conversations.withholds_image
        if save is not None and request is not None and shows_image and number < most:
            # References come first.
            with Image.open(BytesIO(request.images[-1].data)) as image:
                picture = save(f"step{number + 1}", image.convert("RGB"))
        text = request.text if request is not None else ""
        steps.append({"picture": picture, "text": text, "answer": answer.text, "outcome": answer.outcome})
    return steps
