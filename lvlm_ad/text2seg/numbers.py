"""Read the numbers in an answer: scores in their many forms, in brackets and in lists, and lists of region numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lvlm_ad.text2seg.lexer import Tokens, form

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

SIGN = form("(?={touching}) '-+'")
_OVER = form("{points}?+ (?P<bracket> '(' )?+ (?: '/' | {out} {of} )")  # "7/10", "7 (out of 10)", "7 points out of 10"
_POINTS = form("{points} (?! {of} )")
_SPACED_DASH = form("(?! {touching} ) '-'")
_TIME_OR_DATE = form("(?={touching}) ':/' {number}")
_ODD = form("(?={touching}) (?={other_mark}) {touching} {number}")
"""Another sign between digits, as in 0'9, whose meaning is unknown."""

_BEFORE_LIST = form("(?: {numbered}++ '.'?+ )?+ (?: ':=' (?: {line} '-'?+ )?+ )?+ '(['?+")
_ITEM = form(
    "(?P<first> {INTEGER} ) (?: {region_range} {region}?+ (?P<last> {INTEGER} ) (?! {fraction} ) )?+", INTEGER=INTEGER
)
"""A number or a range; "Region 3 - 70%" and "Region 3 - 7/10" are a number and its score."""
_NEXT = form("','?+ (?: {and} | '&+' ) (?: {region} {numbered}*+ )?+ | ','")
_NEXT_REPEATING = form("(?: ',' (?: {and} | '&+' )?+ | {and} | '&+' ) (?: {region} {numbered}*+ )?+")
_IN_BRACKET = form("'([' (?P<words> {filler}*+ ) ':='*+")  # "(score: " 0.7)
_NEXT_SCORE = form("',' {and}?+ | {and}")  # 0.7 ", and" 0.6

_CLOSING = {"(": ")", "[": "]"}
_LONGEST_COMMENT = 60
"""How many tokens a comment in brackets may have."""
_DEEPEST_BRACKET = 3


@dataclass(frozen=True, slots=True)
class Number:
    """A number as an answer writes it."""

    value: float  # NaN if it is no single number (a range, a date)
    start: int  # index of its first token
    end: int  # index of the token after it
    plain: bool  # it is a bare integer, which may as well count something
    percent: bool  # it is a percentage
    written: str  # its text
    at: int  # where in the answer it begins, in characters
    total: float | None = None  # what it is out of, if it says so: 100 for 70%, 10 for 7/10
    rescaled: bool = False  # its value was mapped from the answer's scale to [0, 1]

    @property
    def in_range(self) -> bool:
        """Whether it can be a score."""
        return 0.0 <= self.value <= 1.0


def read_number(tokens: Tokens, start: int) -> Number | None:
    """Read the number that begins at a token: a sign, "0.7", ".7", "0,7", "70%", "70 percent", "7/10", "7 out of 10".

    Returns None if there is none, or if it is part of a word, a time or a measure.
    """
    sign = SIGN.match(tokens.shape, start)
    read = _decimal(tokens, start + bool(sign))
    if read is None:
        return None
    value, end, plain = read
    total, after = _total(tokens, end)
    if total is not None:
        value, end, plain = value / total, after, False
    last = _decimal(tokens, end + 1) if tokens.has(end, "range") else None
    # "0.7 - 2 scratches" is a score and a comment; "0.7 - 0.8" is a range.
    if last is not None and not (last[2] and _SPACED_DASH.match(tokens.shape, end)):
        value, end = math.nan, last[1]
    elif odd := _ODD.match(tokens.shape, end):
        value, end = math.nan, odd.end()
    elif _TIME_OR_DATE.match(tokens.shape, end):
        return None
    if tokens.has(end, "unit"):
        return None
    negative = sign is not None and tokens.is_mark(start, "-")
    written = tokens.written(start, end)
    percent = total is not None and tokens.has(after - 1, "percent")
    return Number(-value if negative else value, start, end, plain, percent, written, tokens.origin(start), total)


def counts(tokens: Tokens, number: Number) -> bool:
    """Return whether the number counts what the next word names: "2 scratches", but not "7 points"."""
    follows = tokens.has(number.end, "word") and not tokens.has(number.end, "connective")
    return follows and _POINTS.match(tokens.shape, number.end) is None


def _total(tokens: Tokens, at: int) -> tuple[float | None, int]:
    """Return the total of the number that ends here (None if it names none), and the index of the token after it."""
    if tokens.has(at, "percent"):
        return 100.0, at + 1
    over = _OVER.match(tokens.shape, at)
    total = _decimal(tokens, over.end()) if over else None
    if over is None or total is None or not 0 < total[0] < BEYOND:
        return None, at
    if not over["bracket"]:
        return total[0], total[1]
    return (total[0], total[1] + 1) if tokens.is_mark(total[1], ")") else (None, at)


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

    Returns the regions and the index of the token after them; None if no number follows the word for region.
    """
    # "In region 3, region 5: 0.8" gives region 3 no score; "Region 3, region 5: 0.8" at the start of a clause does.
    repeats = tokens.has(index - 1, "opens|line") and not tokens.is_mark(index - 1, ",")
    start = tokens.skip(_BEFORE_LIST, index + 1)
    read = read_list(tokens, start, repeats=repeats)
    if read is None or not tokens.is_mark(start - 1, "(["):
        return read
    return (read[0], read[1] + 1) if tokens.is_mark(read[1], ")]") else None


def read_list(tokens: Tokens, index: int, *, repeats: bool = False) -> tuple[tuple[Span, ...], int] | None:
    """Read "3", "3, 5 and 7", "3-5", "3 and region 5", and where it ``repeats`` the word also "3, region 5".

    Returns the numbers and the index of the token after them; None if there are none.
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


def read_separated(tokens: Tokens, at: int) -> Number | None:
    """Return the decimal that follows a separator or stands in a bracket here, with nothing but a comment after it."""
    number = None
    if tokens.is_mark(at, "(["):
        number = read_bracketed(tokens, at)
    elif tokens.is_mark(at, ":=-"):
        number = read_number(tokens, at + 1)
        if number is not None and tokens.has(number.end, "word") and not tokens.has(number.end, "connective"):
            return None
    return None if number is None or number.plain or number.percent else number


def read_bracketed(tokens: Tokens, at: int) -> Number | None:
    """Return the score in a bracket: "(0.7)", "(score: 0.7)", "(0.7, scratch)"; None for any other content."""
    words = _IN_BRACKET.match(tokens.shape, at)
    number = read_number(tokens, words.end()) if words else None
    if words is None or number is None:
        return None
    end = number.end
    if tokens.is_mark(end, _CLOSING[tokens[at].text]):
        coordinates = tokens.is_mark(end + 1, ",") and tokens.is_mark(end + 2, "([")  # "(0,1),(2,3)"
        return None if coordinates else number
    if number.plain or number.percent:
        return number if tokens.contain(*words.span("words"), "score") else None
    if tokens.has(end, "word"):
        return None if tokens.has(end, "not_anomaly") else number
    return number if tokens.is_mark(end, ",;:-") and not tokens.has(end + 1, "number") else None


def skip_bracket(tokens: Tokens, at: int) -> int:
    """Return the index of the token after the bracket here; ``at`` if none is here, or it is long, deep or unclosed."""
    if not tokens.is_mark(at, "(["):
        return at
    opening = tokens[at].text
    depth = 0
    for index in range(at, at + _LONGEST_COMMENT):
        depth += tokens.is_mark(index, opening) - tokens.is_mark(index, _CLOSING[opening])
        if tokens.has(index, "line") or depth > _DEEPEST_BRACKET:
            break
        if depth == 0:
            return index + 1
    return at


def read_more(tokens: Tokens, number: Number) -> list[Number]:
    """Return a score and those that follow it in a list, as in "regions 3 and 5: 0.7 and 0.6"."""
    numbers = [number]
    while joint := _NEXT_SCORE.match(tokens.shape, numbers[-1].end):
        following = read_number(tokens, joint.end())
        # "0.7, 5: 0.4" continues with another region, "0.7, 2 scratches" with a comment.
        if following is None or following.plain or tokens.is_mark(following.end, ":="):
            break
        numbers.append(following)
    return numbers
