"""Text2Segmentation's first half: the scores in an answer's text, and the format in which they are written.

An answer is untrusted. Reading takes time linear in its length, raises nothing and invents nothing: every score in a
result stands in the text, explicitly attached to the image or to a region.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lvlm_ad.text2seg.expected import Expected
from lvlm_ad.text2seg.json_answers import read_answer
from lvlm_ad.text2seg.notes import quoted
from lvlm_ad.text2seg.refusal import is_refusal
from lvlm_ad.text2seg.scores import Scores
from lvlm_ad.text2seg.statements import settle
from lvlm_ad.text2seg.tokens import TOO_LONG, plain, tail, without_reasoning

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer
    from lvlm_ad.text2seg.numbers import Number

__all__ = ["Scoring", "parse", "read", "write"]

Scoring = Literal["text", "expected"]
"""``text``: scores as written. ``expected``: where the tokens of a score are known, its expected value over what else
could have been written, see ``expected``."""

_HALF_NUMBER = "0123456789./,-"
_DECLINED = {"refused": "The model", "filtered": "The content filter"}


def parse(text: str, n_regions: int) -> Scores:
    """Read the scores from an answer.

    Args:
        text: what the model wrote; anything.
        n_regions: how many regions were drawn; they are numbered from 1.

    Returns:
        Scores with the status "ok", "partial", "refused" or "unparsable". Regions are in the order of their numbers.
        Of a text beyond ``tokens.LONGEST`` characters, the end is read and the result is "partial".
    """
    return _parsed(text, n_regions, lambda _: None)


def _parsed(text: str, n_regions: int, expected: Callable[[Number], float | None]) -> Scores:
    end = tail(text)
    answer = without_reasoning(plain(end))
    scores = settle(read_answer(answer), n_regions, expected)
    if len(end.text) < len(text.strip()):
        status = "partial" if scores.usable else scores.status
        scores = replace(scores, status=status, notes=(*scores.notes, TOO_LONG))
    if not scores.usable and is_refusal(answer.text):
        scores = replace(scores, status="refused")
    return scores


def read(answer: Answer, n_regions: int, scoring: Scoring = "text") -> Scores:
    """Read the scores from an answer, in the light of how it ended.

    Args:
        answer: what the model answered.
        n_regions: how many regions were drawn; they are numbered from 1.
        scoring: what a written score stands for; it changes no status and no note.

    Returns:
        As ``parse``. An answer that was refused or filtered is "refused" and holds no scores, whatever its text; one
        that was cut off is "truncated" and holds what was readable, without a last number that may be half of one; an
        empty one is "unparsable".
    """
    if answer.outcome in _DECLINED:
        who = _DECLINED[answer.outcome]
        reason = f"{who} declined: {quoted(answer.detail)}." if answer.detail else f"{who} declined."
        return Scores(None, {}, "refused", (reason,))
    if answer.outcome == "empty":
        return Scores(None, {}, "unparsable", ("The answer holds no text.",))
    expected = Expected(answer.tokens if scoring == "expected" else ())
    if answer.outcome == "truncated":
        scores = _parsed(_without_half_number(answer.text), n_regions, expected)
        return replace(scores, status="truncated", notes=(*scores.notes, "The answer was cut off."))
    return _parsed(answer.text, n_regions, expected)


def write(image: float, regions: Mapping[int, float]) -> str:
    """Write scores in the published format, as in ``image anomaly score: 0.9; region 1: 0.9; region 3: 0.7``.

    Args:
        image: image anomaly score in [0, 1].
        regions: region number (from 1) -> score in [0, 1].

    Returns:
        One line, scores to six decimals, regions in the order of their numbers; ``parse`` reads it back.
    """
    parts = [f"image anomaly score: {_fixed(image)}"]
    parts += [f"region {number}: {_fixed(score)}" for number, score in sorted(regions.items())]
    return "; ".join(parts) + "."


def _fixed(score: float) -> str:
    return f"{score:.6f}".rstrip("0").rstrip(".")


def _without_half_number(text: str) -> str:
    """Take off a number at the very end unless it has a decimal: "0" may be the beginning of 0.9, and "7/1" of 7/10."""
    text = text.rstrip()
    before = text.rstrip(_HALF_NUMBER)
    whole, point, decimals = text[len(before) :].partition(".")
    return text if point and whole.isdecimal() and decimals.isdecimal() else before
