"""Finds the number that is explicitly attached to a label: by a separator, a bracket or a phrase such as "score of"."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.labels import IMAGE, REGION, SCORE
from lvlm_ad.text2seg.numbers import Number, read_number

if TYPE_CHECKING:
    from lvlm_ad.text2seg.tokens import Tokens

__all__ = ["PAIRS", "attached", "bracketed", "closing", "separated"]

PAIRS = {"(": ")", "[": "]", "{": "}"}
_SEPARATORS = ":=-"
_REACH = 24
_COMMENT = 60

_VERBS = frozenset({"is", "are", "was", "were", "be", "at", "to", "gets", "get", "receives", "receive", "of", "scored"})
_FILLERS = frozenset(
    "a an the this has have had having with i we would could should might may can will i'd i'll it its my their also "
    "given give giving assigned assign assigning estimated estimate being been both each all respectively about "
    "around approximately roughly approx likely therefore thus set rated deserves anomaly anomalies anomalous "
    "abnormality abnormal defect level value probability likelihood final resulting individual relatively very high "
    "low moderate medium higher lower slightly".split()
)
_AFTER_NUMBER = frozenset(
    "and because due since while but as with for which indicating suggesting given so therefore where if although or "
    "though likely region regions section sections segment segments in on to image overall".split()
)
_NOT_ANOMALY = frozenset("confidence confident sure certain certainty normal similarity normality".split())


def attached(tokens: Tokens, index: int, *, fillers: frozenset[str] = frozenset(), score: bool = False) -> Number | None:
    """Return the number attached to a label.

    Args:
        tokens: the answer.
        index: index of the token after the label.
        fillers: further words that may stand between.
        score: whether the label itself says "score", so that a number may follow it at once.

    Returns:
        The number, in range or not; None if nothing is attached here.
    """
    marked = verb = False
    scored = score
    at = index
    for _ in range(_REACH):
        token = tokens[at]
        if token.kind == "number" or (marked or verb or scored) and _signs(tokens, at):
            number = read_number(tokens, at)
            if number is None:
                return None
            # "score 0-1: 0.9": the scale stands before the score.
            scale = math.isnan(number.value) and tokens.is_mark(number.end, ":=")
            if not scale:
                return number if _stands(tokens, number, marked=marked, verb=verb, scored=scored) else None
            at = number.end
        elif token.kind == "line":
            return _alone(tokens, at + 1) if marked else None
        elif token.kind == "mark":
            if token.text in "([":
                number, after = _bracket(tokens, at, scored=scored)
                if number is not None or after is None:
                    return number
                at = after
            elif token.text in _SEPARATORS:
                marked, at = True, at + 1
            elif token.text == "," and tokens[at + 1].kind == "word":
                marked, at = False, at + 1
            elif token.text in ")]" and at == index:
                at += 1
            else:
                return None
        elif token.text in SCORE or token.text in _VERBS or token.text in _FILLERS or token.text in fillers:
            scored |= token.text in SCORE
            verb |= token.text in _VERBS
            at += 1
        else:
            return None
    return None


def separated(tokens: Tokens, index: int) -> Number | None:
    """Return the decimal that follows a separator or stands in a bracket here, with nothing but a comment after it.

    Args:
        tokens: the answer.
        index: index of the separator or opening bracket.
    """
    if tokens.is_mark(index, "(["):
        number = bracketed(tokens, index)
    elif tokens.is_mark(index, _SEPARATORS):
        number = read_number(tokens, index + 1)
        follows = tokens[number.end] if number is not None else None
        if follows is not None and follows.kind == "word" and follows.text not in _AFTER_NUMBER:
            number = None
    else:
        number = None
    return None if number is None or number.plain or number.percent else number


def bracketed(tokens: Tokens, index: int) -> Number | None:
    """Return the score in a bracket: "(0.7)", "(score: 0.7)", "(0.7, scratch)"; None for any other content.

    Args:
        tokens: the answer.
        index: index of the opening bracket.
    """
    at = index + 1
    scored = False
    while tokens[at].kind == "word" and (tokens[at].text in SCORE or tokens[at].text in _FILLERS | _VERBS):
        scored |= tokens[at].text in SCORE
        at += 1
    while tokens.is_mark(at, ":="):
        at += 1
    number = read_number(tokens, at)
    if number is None:
        return None
    end = number.end
    if tokens.is_mark(end, PAIRS[tokens[index].text]):
        # "(0,1),(2,3)" are coordinates.
        listed = tokens.is_mark(end + 1, ",") and tokens.is_mark(end + 2, "([")
        return None if listed else number
    if number.plain or number.percent:
        return number if scored else None
    if tokens[end].kind == "word":
        return None if tokens[end].text in _NOT_ANOMALY else number
    return number if tokens.is_mark(end, ",;:-") and tokens[end + 1].kind != "number" else None


def closing(tokens: Tokens, index: int) -> int | None:
    """Return the index of the bracket that closes the one here; None if it is far away or on another line."""
    opening = tokens[index].text
    depth = 0
    for at in range(index, index + _COMMENT):
        if tokens[at].kind == "line":
            return None
        if tokens.is_mark(at, opening):
            depth += 1
        elif tokens.is_mark(at, PAIRS[opening]):
            depth -= 1
            if depth == 0:
                return at
    return None


def _bracket(tokens: Tokens, index: int, *, scored: bool) -> tuple[Number | None, int | None]:
    """Return the score in a bracket, or else where to read on: after a comment, as in "Region 3 (top left): 0.7"."""
    number = bracketed(tokens, index)
    end = closing(tokens, index)
    if end is None:
        return number, None
    later = tokens.is_mark(end + 1, ":=") and tokens[end + 2].kind == "number"
    if number is not None and number.plain and (later or scored and number.value > 1):
        number = None
    return number, end + 1


def _signs(tokens: Tokens, index: int) -> bool:
    """Whether a "-" or "+" is a number's sign: it touches the number and stands apart from the word before it."""
    if not (tokens.is_mark(index, "-+") and tokens.touches(index)):
        return False
    before = tokens[index - 1]
    return before.kind == "mark" or (before.kind == "word" and not tokens.touches(index - 1))


def _stands(tokens: Tokens, number: Number, *, marked: bool, verb: bool, scored: bool) -> bool:
    """Whether a number at this place is a score and not a count or a measure."""
    if not (marked or verb or scored):
        return False
    follows = tokens[number.end]
    free = follows.kind == "word" and follows.text not in _AFTER_NUMBER and follows.text not in REGION | IMAGE
    if follows.kind == "word" and follows.text in _NOT_ANOMALY:
        return False
    if scored:
        return True
    if marked:
        return not (free and (number.plain or number.percent))
    return not free and not number.plain


def _alone(tokens: Tokens, index: int) -> Number | None:
    """Return the number that fills the line beginning here, as under a heading; not the number of a list's item."""
    if tokens.is_mark(index, "-") and not tokens.touches(index):
        index += 1
    number = read_number(tokens, index)
    if number is None:
        return None
    end = number.end + tokens.is_mark(number.end, ".")
    return number if tokens[end].kind == "line" else None
