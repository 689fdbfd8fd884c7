"""Read the numbers in an answer: scores as decimals, percentages and fractions, and lists of region numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lvlm_ad.text2seg.lexer import Tokens, form

__all__ = ["BEYOND", "INTEGER", "Number", "Span", "read_integer", "read_list", "read_number", "read_regions"]

BEYOND = 10**9
"""Stands for every larger integer: no image has so many regions, and a long one would be slow to convert."""

Span = tuple[int, int]
"""Region numbers from the first to the second, both included, as the answer names them; perhaps they were not drawn."""

INTEGER = "(?! {touching} {word|number} ) {integer}"
_DECIMAL = form(
    """
    (?<! (?={touching}) {word} ) (?! {touching} {word|number} )
    (?: (?P<broken>  {broken} | {integer} '.' {number} | {integer} (?={touching}) '.,' {script} )
      | (?P<decimal> {decimal} )
      | (?P<comma>   (?={touching}) {integer} (?={touching}) ',' (?P<fraction> {INTEGER} ) (?! ':=' ) )
      | (?P<plain>   {integer} ) )
    """,
    INTEGER=INTEGER,
)
"""A number without sign and unit. Broken are "0. 9" and decimals in the digits of another script. A comma before ":" or
"=" is none of a decimal, as in "regions 1,5: 0.4"."""

_SIGN = form("(?={touching}) '-+'")
_OVER = form("'/' | {out} {of}")
_SPACED_DASH = form("(?! {touching} ) '-'")
_TIME_OR_DATE = form("(?={touching}) ':/' {number}")

_BEFORE_LIST = form("(?: {numbered}++ '.'?+ )?+ (?: ':=' (?: {line} '-'?+ )?+ )?+ '(['?+")
_ITEM = form(
    "(?P<first> {INTEGER} ) (?: {region_range} {region}?+ (?P<last> {INTEGER} ) (?! {fraction} ) )?+", INTEGER=INTEGER
)
"""A number or a range; "Region 3 - 70%" and "Region 3 - 7/10" are a number and its score."""
_NEXT = form("','?+ (?: {and} | '&+' ) (?: {region} {numbered}*+ )?+ | ','")
_NEXT_REPEATING = form("(?: ',' (?: {and} | '&+' )?+ | {and} | '&+' ) (?: {region} {numbered}*+ )?+")


@dataclass(frozen=True, slots=True)
class Number:
    """A number as an answer writes it.

    Attributes:
        value: its value; NaN if it is no single number (a range, a date).
        start: index of its first token.
        end: index of the token after it.
        plain: whether it is a bare integer, which may as well count something.
        percent: whether it is a percentage.
        written: the number as it was written.
        at: where in the answer it begins, in characters.
    """

    value: float
    start: int
    end: int
    plain: bool
    percent: bool
    written: str
    at: int

    @property
    def in_range(self) -> bool:
        """Whether it can be a score."""
        return 0.0 <= self.value <= 1.0


def read_number(tokens: Tokens, start: int) -> Number | None:
    """Read the number that begins at a token: a sign, "0.7", ".7", "0,7", "70%", "70 percent", "7/10", "7 out of 10".

    Returns:
        The number; None if there is none, or if it is part of a word, a time or a measure.
    """
    sign = _SIGN.match(tokens.shape, start)
    read = _decimal(tokens, start + bool(sign))
    if read is None:
        return None
    value, end, plain = read
    percent = tokens.has(end, "percent")
    if percent:
        value, end, plain = value / 100, end + 1, False
    elif (over := _OVER.match(tokens.shape, end)) and (total := _decimal(tokens, over.end())) and total[0] > 0:
        value, end, plain = value / total[0], total[1], False
    last = _decimal(tokens, end + 1) if tokens.has(end, "range") else None
    # "0.7 - 2 scratches" is a score and a comment; "0.7 - 0.8" is a range.
    if last is not None and not (last[2] and _SPACED_DASH.match(tokens.shape, end)):
        value, end = math.nan, last[1]
    elif _TIME_OR_DATE.match(tokens.shape, end):
        return None
    if tokens.has(end, "unit"):
        return None
    negative = sign is not None and tokens.is_mark(start, "-")
    written = tokens.written(start, end)
    return Number(-value if negative else value, start, end, plain, percent, written, tokens.origin(start))


def _decimal(tokens: Tokens, start: int) -> tuple[float, int, bool] | None:
    """Return a decimal number, the index of the token after it, and whether it is a bare integer."""
    match = _DECIMAL.match(tokens.shape, start)
    if match is None:
        return None
    digits = tokens[start].text
    if match["broken"]:
        return math.nan, match.end(), False
    if match["comma"]:
        digits = f"{digits}.{tokens[match.start('fraction')].text}"
    return float(digits), match.end(), match["plain"] is not None


def read_integer(tokens: Tokens, index: int) -> int:
    """Return the integer that a token spells, ``BEYOND`` at most."""
    digits = tokens[index].text.lstrip("0")
    return min(int(digits or "0"), BEYOND) if len(digits) <= len(str(BEYOND)) else BEYOND


def read_regions(tokens: Tokens, index: int) -> tuple[tuple[Span, ...], int] | None:
    """Read "region 3", "Region #3", "regions 3, 5 and 7", "Regions 3-5", "region 3 and region 5", "Region: 3".

    Args:
        tokens: the answer.
        index: where a word for region stands.

    Returns:
        The regions and the index of the token after them; None if no number follows.
    """
    # "In region 3, region 5: 0.8" gives region 3 no score; "Region 3, region 5: 0.8" at the start of a clause does.
    repeats = tokens.has(index - 1, "opens|line") and not tokens.is_mark(index - 1, ",")
    start = tokens.skip(_BEFORE_LIST, index + 1)
    read = read_list(tokens, start, repeats=repeats)
    if read is None or not tokens.is_mark(start - 1, "(["):
        return read
    return (read[0], read[1] + 1) if tokens.is_mark(read[1], ")]") else None


def read_list(tokens: Tokens, index: int, *, repeats: bool = False) -> tuple[tuple[Span, ...], int] | None:
    """Read "3", "3, 5 and 7", "3-5", "3 and region 5".

    Args:
        tokens: the answer.
        index: where the first number stands.
        repeats: whether ", region 5" continues the list.

    Returns:
        The numbers and the index of the token after them; None if there are none.
    """
    spans: list[Span] = []
    end = index
    while item := _ITEM.match(tokens.shape, index):
        first = last = read_integer(tokens, item.start())
        end = item.end("first")
        if item["last"] and (number := read_integer(tokens, item.start("last"))) > first:
            last, end = number, item.end()
        spans.append((first, last))
        joint = (_NEXT_REPEATING if repeats else _NEXT).match(tokens.shape, end)
        if joint is None:
            break
        index = joint.end()
    return (tuple(spans), end) if spans else None
