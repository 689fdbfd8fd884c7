"""Find the number that belongs to a label: after a separator, in a bracket, or after words such as "has a score of"."""

from __future__ import annotations

import math

from lvlm_ad.text2seg.lexer import Tokens, form
from lvlm_ad.text2seg.numbers import Number, counts, read_bracketed, read_number, skip_bracket

_REACH = 24
"""How many tokens, or comments in brackets, may stand between a label and its number."""
_SIGN = form("(?<= {mark} | (?! {touching} ) {word} ) (?= {touching} ) '-+'")  # is "-"0.2; but: region 3 - 0.2
_LIST_DASH = form("(?! {touching} ) '-'")


def attached(
    tokens: Tokens, start: int, *, after_score: bool = False, heads_clause: bool = True, heads_line: bool = False
) -> Number | None:
    """Return the number attached to the label that ends before ``start``.

    After the word "score" a number may follow at once. If the label does not begin its clause, a comma ends the search.
    If it begins its line, its number may stand alone on the next line.
    """
    at = start + tokens.is_mark(start, ")]")
    separator, verb, score = False, False, after_score
    for _ in range(_REACH):
        if tokens.has(at, "number") or ((separator or verb or score) and _SIGN.match(tokens.shape, at)):
            number = read_number(tokens, at)
            # "score 0-1: 0.9": the scale stands before the score.
            is_scale = number is not None and math.isnan(number.value) and tokens.is_mark(number.end, ":=")
            if number is None or not is_scale:
                return number if _is_score(tokens, number, separator=separator, verb=verb, score=score) else None
            at = number.end
        elif tokens.has(at, "line"):
            return _fills_line(tokens, at + 1, plain=separator) if separator or heads_line else None
        elif tokens.is_mark(at, "(["):
            number, after = _bracket(tokens, at, score=score)
            if number is not None or after is None:
                return number
            at = after
        elif tokens.is_mark(at, ":=-"):
            at, separator = at + 1, True
        elif tokens.is_mark(at, ",") and heads_clause and tokens.has(at + 1, "word"):
            at, separator = at + 1, False
        elif tokens.has(at, "image_filler" if after_score else "filler" if separator else "filler_but_the"):
            score |= tokens.has(at, "score")
            verb |= tokens.has(at, "verb")
            at += 1
        else:
            return None
    return None


def _is_score(tokens: Tokens, number: Number | None, *, separator: bool, verb: bool, score: bool) -> bool:
    """Return whether a number after a separator, a verb or the word "score" is a score and not a count or a measure."""
    if number is None or tokens.has(number.end, "not_anomaly"):
        return False
    if score:
        return True
    counted = counts(tokens, number)
    if separator:
        # "2 anomalies" and "95% sure" are no scores, "70% anomalous" is one.
        measures = number.percent and not tokens.has(number.end, "anomaly|measure|score")
        return not (counted and (number.plain or measures))
    return verb and not counted and not number.plain


def _bracket(tokens: Tokens, at: int, *, score: bool) -> tuple[Number | None, int | None]:
    """Return the score in a bracket, or else where to read on: after a comment, as in "Region 3 (top left): 0.7"."""
    number, after = read_bracketed(tokens, at), skip_bracket(tokens, at)
    if after == at:
        return number, None
    later = tokens.is_mark(after, ":=") and tokens.has(after + 1, "number")
    if number is not None and number.plain and (later or (score and number.value > 1)):
        number = None
    return number, after


def _fills_line(tokens: Tokens, at: int, *, plain: bool) -> Number | None:
    """Return the number that fills the line beginning here, as under a heading; a bare integer only where ``plain``."""
    number = read_number(tokens, tokens.skip(_LIST_DASH, at))
    if number is None or (number.plain and not plain):
        return None
    end = number.end + tokens.is_mark(number.end, ".")
    return number if tokens.has(end, "line") else None
