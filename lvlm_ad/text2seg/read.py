"""Read the scores in an answer's text, and write scores in the format that is asked for.

An answer is untrusted. Reading takes time linear in its length, raises nothing and invents nothing: every score in a
result stands in the text, explicitly given to the image or to a region. The way from a text to its scores:

    text -> lexer (plain text, tokens) -> json_answers, prose, tables (statements) -> scores
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal
from unicodedata import category, normalize

from lvlm_ad.text2seg.answer_part import answer_part
from lvlm_ad.text2seg.drafts import with_marks, without_struck
from lvlm_ad.text2seg.expected import Expected
from lvlm_ad.text2seg.json_answers import json_statements
from lvlm_ad.text2seg.lexer import LONGEST, Text, plain, tail
from lvlm_ad.text2seg.notations import usual_notation
from lvlm_ad.text2seg.prose import read_prose
from lvlm_ad.text2seg.refusals import is_refusal
from lvlm_ad.text2seg.scale import stated_scales
from lvlm_ad.text2seg.scores import Scores, Statement, quoted, scores_of

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer

Scoring = Literal["text", "expected"]
"""``text``: scores as written. ``expected``: where the tokens of a score are known, its expected value over what else
the model could have written, see ``expected``."""

TOO_LONG = f"Only the last {LONGEST} characters were read."
"""The note on a text of which only the end was read."""
_SCORE, _ID = r"(?:0(?:\.[0-9]{1,6})?|1(?:\.0{1,6})?)", "[1-9][0-9]{0,8}"
_REGION = rf' \{{ "(?:region|id)" : {_ID} , "score" : {_SCORE} \}} '
_JSON = rf'\{{ "image(?:_anomaly)?_score" : {_SCORE} , "regions" : \[ (?:{_REGION}(?:,{_REGION})*)?\] \}}'
_WRITTEN = re.compile(
    rf"image anomaly score: {_SCORE}(?:; region {_ID}: {_SCORE})*\.|" + _JSON.replace(" ", r"[ \n]*+")
)
"""A text as ``write`` writes it, or JSON as ``answer_schema`` describes it."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LONGEST_DETAIL = 300
"""Maximum length of a backend's explanation in a note, in characters."""
_DECLINED = {"refused": "The model", "filtered": "The content filter"}


def parse(text: str, n_regions: int) -> Scores:
    """Read the scores from a text.

    Args:
        text: any text, as the model wrote it.
        n_regions: how many regions were drawn; they are numbered from 1.

    Returns:
        Scores with the status "ok", "partial", "refused" or "unparsable". Regions are in the order of their numbers.
        If the text is longer than ``lexer.LONGEST`` characters, only its end is read, and the status is "partial".

    Example:
        >>> scores = parse("The image anomaly score is 0.9. Regions 3 and 5: 70%.", n_regions=9)
        >>> scores.image, scores.regions, scores.status
        (0.9, {3: 0.7, 5: 0.7}, 'ok')
    """
    return _scores(text, n_regions, Expected())


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

    Example:
        >>> from lvlm_ad.backend import Answer
        >>> scores = read(Answer("image anomaly score: 0.9; region 3: 0.", outcome="truncated"), n_regions=9)
        >>> scores.image, scores.regions, scores.status
        (0.9, {}, 'truncated')
    """
    if (without := without_text(answer)) is not None:
        return without
    expected = Expected(answer.tokens if scoring == "expected" else ())
    if answer.outcome != "truncated":
        return _scores(answer.text, n_regions, expected)
    scores = _scores(_without_half_number(answer.text), n_regions, expected)
    why = "." if answer.text.strip() else _why(answer)
    return replace(scores, status="truncated", notes=(*scores.notes, f"The answer was cut off{why}"))


def without_text(answer: Answer) -> Scores | None:
    """Return what an answer gives that was refused, filtered or is empty; None if its text is to be read."""
    if answer.outcome in _DECLINED:
        reason = f": {quoted(answer.detail)}." if answer.detail else "."
        return Scores(None, {}, "refused", (f"{_DECLINED[answer.outcome]} declined{reason}",))
    if answer.outcome == "empty":
        return Scores(None, {}, "unparsable", (f"The answer holds no text{_why(answer)}",))
    return None


def _why(answer: Answer) -> str:
    """Say why an answer has no text, if the backend says it in a sentence; a finish reason is one word."""
    detail = "".join(c if c.isprintable() else " " for c in answer.detail[:_LONGEST_DETAIL])
    return f": {detail}" if " " in detail else "."


def _scores(text: str, n_regions: int, expected: Expected) -> Scores:
    # The parser takes a hundred times as long, and each image of a baseline is an answer like this.
    if not expected.known and (written := _as_written(text, n_regions)) is not None:
        return written
    end = tail(text)
    answer = usual_notation(answer_part(without_struck(plain(end))))
    scores = scores_of(_statements(answer), n_regions, expected, stated_scales(answer))
    if len(end.text) < len(text.strip()):
        status = "partial" if scores.usable else scores.status
        scores = replace(scores, status=status, notes=(*scores.notes, TOO_LONG))
    if not scores.usable and is_refusal(answer.text):
        scores = replace(scores, status="refused")
    return scores


def _statements(answer: Text) -> list[Statement]:
    """Return the statements in an answer, in its order: in its JSON objects, and in the text around them."""
    statements: list[Statement] = []
    read_to = 0
    for start, end, stated in json_statements(answer):
        statements += _in_prose(answer.part(read_to, start))
        statements += stated
        read_to = end
    return statements + _in_prose(answer.part(read_to))


def _in_prose(text: Text) -> list[Statement]:
    return list(with_marks(text, read_prose(text)))


def write(image: float, regions: Mapping[int, float]) -> str:
    """Write scores in the published format.

    Args:
        image: image anomaly score in [0, 1].
        regions: region number (from 1) -> score in [0, 1].

    Returns:
        One line, scores to six decimals, regions in the order of their numbers; ``parse`` reads it back.

    Example:
        >>> write(0.9, {3: 0.7, 1: 0.9})
        'image anomaly score: 0.9; region 1: 0.9; region 3: 0.7.'
    """
    named = [("image anomaly score", image), *((f"region {number}", regions[number]) for number in sorted(regions))]
    written = [(name, f"{score:.6f}".rstrip("0").rstrip(".")) for name, score in named]
    return "; ".join(f"{name}: {score}" for name, score in written) + "."


def _as_written(text: str, n_regions: int) -> Scores | None:
    """Return the scores of a text as it is asked for, about drawn regions; None for any other text."""
    if len(text) > LONGEST or _WRITTEN.fullmatch(text) is None:
        return None
    image, *named = _NUMBER.findall(text)
    numbers = list(map(int, named[::2]))
    drawn = all(first < second for first, second in pairwise([0, *numbers, n_regions + 1]))
    return Scores(float(image), dict(zip(numbers, map(float, named[1::2]), strict=True))) if drawn else None


def _without_half_number(text: str) -> str:
    """Remove a number at the very end unless it has a decimal: "0" may be the beginning of 0.9, and "7/1" of 7/10."""
    text = text.rstrip()
    end = len(text)
    while end and _may_be_in_number(text[end - 1]):
        end -= 1
    number = "".join(character for character in normalize("NFKC", text[end:]) if category(character) != "Cf")
    whole, point, decimals = number.partition(".")
    return text if point and whole.isdecimal() and decimals.isdecimal() else text[:end]


def _may_be_in_number(character: str) -> bool:
    """Return whether a character may stand within a number: full-width and invisible ones may."""
    return character.isdecimal() or normalize("NFKC", character) in "./,-\u066b" or category(character) == "Cf"
