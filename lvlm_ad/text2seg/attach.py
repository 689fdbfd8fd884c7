"""Finds the number that is explicitly attached to a label: by a separator, a bracket or a phrase such as "score of"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.numbers import Number, read_number
from lvlm_ad.text2seg.words import AND, ANOMALY, CONNECTIVES, FILLERS, IMAGE, MEASURE, NOT_ANOMALY, REGION, SCORE, VERBS

if TYPE_CHECKING:
    from lvlm_ad.text2seg.tokens import Tokens

__all__ = ["attached", "closing", "listed", "separated"]

_CLOSING = {"(": ")", "[": "]"}
_SEPARATORS = ":=-"
_BETWEEN = FILLERS | VERBS | SCORE
_AFTER = CONNECTIVES | REGION | IMAGE
_ANOMALOUS = ANOMALY | MEASURE | SCORE
_REACH = 24
_COMMENT = 60
_DEEPEST = 3


def attached(
    tokens: Tokens,
    index: int,
    *,
    fillers: frozenset[str] = frozenset(),
    score: bool = False,
    heads_clause: bool = True,
    heads_line: bool = False,
) -> Number | None:
    """Return the number attached to a label.

    Args:
        tokens: the answer.
        index: index of the token after the label.
        fillers: further words that may stand between.
        score: whether the label itself says "score", so that a number may follow it at once.
        heads_clause: whether the label begins a clause; otherwise a comma ends what belongs to it.
        heads_line: whether the label begins a line; then the number may fill the next one.

    Returns:
        The number, in range or not; None if nothing is attached here.
    """
    walk = _Walk(
        tokens=tokens,
        start=index,
        at=index,
        fillers=fillers,
        score=score,
        heads_clause=heads_clause,
        heads_line=heads_line,
        scored=score,
    )
    for _ in range(_REACH):
        done, number = walk.step()
        if done:
            return number
    return None


def separated(tokens: Tokens, index: int) -> Number | None:
    """Return the decimal that follows a separator or stands in a bracket here, with nothing but a comment after it.

    Args:
        tokens: the answer.
        index: index of the separator or opening bracket.
    """
    if tokens.is_mark(index, "(["):
        number = _bracketed(tokens, index)
    elif tokens.is_mark(index, _SEPARATORS):
        number = read_number(tokens, index + 1)
        follows = tokens[number.end] if number is not None else None
        if follows is not None and follows.kind == "word" and follows.text not in _AFTER:
            number = None
    else:
        number = None
    return None if number is None or number.plain or number.percent else number


def listed(tokens: Tokens, number: Number) -> list[Number]:
    """Return a score and those that follow it in a list, as in "regions 3 and 5: 0.7 and 0.6".

    Args:
        tokens: the answer.
        number: the first of them.
    """
    numbers = [number]
    while True:
        at = numbers[-1].end
        joint = at
        at += tokens.is_mark(at, ",")
        at += tokens.is_word(at, AND)
        following = read_number(tokens, at)
        # "0.7, 5: 0.4" goes on with another region, "0.7, 2 scratches" with a comment.
        if at == joint or following is None or following.plain or tokens.is_mark(following.end, ":="):
            return numbers
        numbers.append(following)


def closing(tokens: Tokens, index: int) -> int | None:
    """Return the index of the bracket that closes the one here; None if it is far away, deep or on another line."""
    opening = tokens[index].text
    depth = 0
    for at in range(index, index + _COMMENT):
        if tokens[at].kind == "line":
            return None
        if tokens.is_mark(at, opening):
            depth += 1
            if depth > _DEEPEST:
                return None
        elif tokens.is_mark(at, _CLOSING[opening]):
            depth -= 1
            if depth == 0:
                return at
    return None


@dataclass(slots=True, kw_only=True)
class _Walk:
    """The way from a label to its number, one token at a time.

    Attributes:
        at: index of the next token.
        marked: whether a separator has come.
        verb: whether a verb has come.
        scored: whether the word "score" has come.
    """

    tokens: Tokens
    start: int
    at: int
    fillers: frozenset[str]
    score: bool
    heads_clause: bool
    heads_line: bool
    scored: bool
    marked: bool = False
    verb: bool = False

    def step(self) -> tuple[bool, Number | None]:
        """Take one token; return whether the way ends here, and with which number."""
        token = self.tokens[self.at]
        if token.kind == "number" or ((self.marked or self.verb or self.scored) and _signs(self.tokens, self.at)):
            return self._number()
        if token.kind == "line":
            return True, self._below()
        return self._mark(token.text) if token.kind == "mark" else self._word(token.text)

    def _number(self) -> tuple[bool, Number | None]:
        number = read_number(self.tokens, self.at)
        if number is not None and math.isnan(number.value) and self.tokens.is_mark(number.end, ":="):
            # "score 0-1: 0.9": the scale stands before the score.
            self.at = number.end
            return False, None
        return True, number if number is not None and self._stands(number) else None

    def _stands(self, number: Number) -> bool:
        """Whether a number at this place is a score and not a count or a measure."""
        follows = self.tokens[number.end]
        if follows.kind == "word" and follows.text in NOT_ANOMALY:
            return False
        if self.scored:
            return True
        free = follows.kind == "word" and follows.text not in _AFTER
        if self.marked:
            # "2 anomalies" and "95% sure" are no scores, "70% anomalous" is one.
            return not free or not (number.plain or (number.percent and follows.text not in _ANOMALOUS))
        return self.verb and not free and not number.plain

    def _below(self) -> Number | None:
        """Return the number that fills the next line."""
        number = _alone(self.tokens, self.at + 1) if self.marked or self.heads_line else None
        return None if number is not None and number.plain and not self.marked else number

    def _mark(self, mark: str) -> tuple[bool, Number | None]:
        if mark in _CLOSING:
            number, after = _bracket(self.tokens, self.at, scored=self.scored)
            if number is not None or after is None:
                return True, number
            self.at = after
            return False, None
        if mark in _SEPARATORS:
            self.marked = True
        elif mark == "," and self.heads_clause and self.tokens[self.at + 1].kind == "word":
            self.marked = False
        elif mark not in ")]" or self.at != self.start:
            return True, None
        self.at += 1
        return False, None

    def _word(self, word: str) -> tuple[bool, Number | None]:
        # "Because of region 3(,) the anomaly score is 0.8" speaks of the image.
        strays = word == "the" and not self.marked and not self.score
        if strays or (word not in _BETWEEN and word not in self.fillers):
            return True, None
        self.scored |= word in SCORE
        self.verb |= word in VERBS
        self.at += 1
        return False, None


def _bracket(tokens: Tokens, index: int, *, scored: bool) -> tuple[Number | None, int | None]:
    """Return the score in a bracket, or else where to read on: after a comment, as in "Region 3 (top left): 0.7"."""
    number = _bracketed(tokens, index)
    end = closing(tokens, index)
    if end is None:
        return number, None
    later = tokens.is_mark(end + 1, ":=") and tokens[end + 2].kind == "number"
    if number is not None and number.plain and (later or (scored and number.value > 1)):
        number = None
    return number, end + 1


def _bracketed(tokens: Tokens, index: int) -> Number | None:
    """Return the score in a bracket: "(0.7)", "(score: 0.7)", "(0.7, scratch)"; None for any other content.

    Args:
        tokens: the answer.
        index: index of the opening bracket.
    """
    at = index + 1
    scored = False
    while tokens.is_word(at, _BETWEEN):
        scored |= tokens[at].text in SCORE
        at += 1
    while tokens.is_mark(at, ":="):
        at += 1
    number = read_number(tokens, at)
    if number is None:
        return None
    end = number.end
    if tokens.is_mark(end, _CLOSING[tokens[index].text]):
        # "(0,1),(2,3)" are coordinates.
        listed = tokens.is_mark(end + 1, ",") and tokens.is_mark(end + 2, "([")
        return None if listed else number
    if number.plain or number.percent:
        return number if scored else None
    if tokens[end].kind == "word":
        return None if tokens[end].text in NOT_ANOMALY else number
    return number if tokens.is_mark(end, ",;:-") and tokens[end + 1].kind != "number" else None


def _signs(tokens: Tokens, index: int) -> bool:
    """Whether a "-" or "+" is a number's sign: it touches the number and stands apart from the word before it."""
    if not (tokens.is_mark(index, "-+") and tokens.touches(index)):
        return False
    before = tokens[index - 1]
    return before.kind == "mark" or (before.kind == "word" and not tokens.touches(index - 1))


def _alone(tokens: Tokens, index: int) -> Number | None:
    """Return the number that fills the line beginning here, as under a heading; not the number of a list's item."""
    if tokens.is_mark(index, "-") and not tokens.touches(index):
        index += 1
    number = read_number(tokens, index)
    if number is None:
        return None
    end = number.end + tokens.is_mark(number.end, ".")
    return number if tokens[end].kind == "line" else None
