"""Recognises what a score is the score of: the words for regions and for the image, and lists of region numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.text2seg.numbers import read_integer
from lvlm_ad.text2seg.words import AND, FRACTION, NUMBERED, OPENS_CLAUSE, REGION, TO

if TYPE_CHECKING:
    from lvlm_ad.text2seg.statements import Span
    from lvlm_ad.text2seg.tokens import Tokens

__all__ = ["read_list", "read_regions", "starts_clause"]


def starts_clause(tokens: Tokens, index: int) -> bool:
    """Whether a clause, an item of a list or a line begins here."""
    before = tokens[index - 1]
    return before.kind == "line" or before.text in OPENS_CLAUSE or tokens.is_mark(index - 1, ".;:,|()[]{}-=!?")


def read_regions(tokens: Tokens, index: int) -> tuple[tuple[Span, ...], int] | None:
    """Read "region 3", "Region #3", "regions 3, 5 and 7", "Regions 3-5", "region 3 and region 5", "Region: 3".

    Args:
        tokens: the answer.
        index: where a word for region stands.

    Returns:
        The regions and the index of the token after them; None if no number follows.
    """
    # "In region 3, region 5: 0.8" does not say 0.8 of both; "Region 3, region 5: 0.8" at the start of a clause does.
    lists = starts_clause(tokens, index) and not tokens.is_mark(index - 1, ",")
    index = _skip_to_number(tokens, index + 1)
    opened = tokens.is_mark(index, "([")
    read = read_list(tokens, index + opened, joins_by_comma=lists)
    if read is None or not opened:
        return read
    spans, end = read
    return (spans, end + 1) if tokens.is_mark(end, ")]") else None


def read_list(tokens: Tokens, index: int, *, joins_by_comma: bool = False) -> tuple[tuple[Span, ...], int] | None:
    """Read "3", "3, 5 and 7", "3-5", "3 and region 5".

    Args:
        tokens: the answer.
        index: where the first number stands.
        joins_by_comma: whether ", region 5" goes on with the list.

    Returns:
        The numbers and the index of the token after them; None if there are none.
    """
    spans: list[Span] = []
    end = index
    while (read := _span(tokens, index)) is not None:
        spans.append(read[0])
        end = read[1]
        index = _next_item(tokens, end, joins_by_comma=joins_by_comma)
    return (tuple(spans), end) if spans else None


def _skip_to_number(tokens: Tokens, index: int) -> int:
    start = index
    while tokens.is_word(index, NUMBERED):
        index += 1
    if index > start and tokens.is_mark(index, "."):
        index += 1
    if tokens.is_mark(index, ":="):
        index += 1
        if tokens[index].kind == "line":
            index += 1
            if tokens.is_mark(index, "-"):
                index += 1
    return index


def _span(tokens: Tokens, index: int) -> tuple[Span, int] | None:
    first = read_integer(tokens, index)
    if first is None:
        return None
    index += 1
    after = index + 1
    if tokens.is_mark(index, "-") or tokens.is_word(index, TO):
        after += tokens.is_word(after, REGION)
        last = read_integer(tokens, after)
        # "Region 3 - 1" gives a score of 1, "Region 3 - 70%" and "Region 3 - 7/10" give 0.7.
        fraction = tokens.is_mark(after + 1, "%/") or tokens.is_word(after + 1, FRACTION)
        if last is not None and last > first and not fraction:
            return (first, last), after + 1
    return (first, first), index


def _next_item(tokens: Tokens, index: int, *, joins_by_comma: bool) -> int:
    """Return where the next number of a list would stand; an index without a number if the list ends."""
    comma = tokens.is_mark(index, ",")
    index += comma
    joined = tokens.is_word(index, AND) or tokens.is_mark(index, "&+")
    index += joined
    if not (comma or joined):
        return -1
    if tokens.is_word(index, REGION):
        if not (joined or joins_by_comma):
            return -1
        index += 1
        while tokens.is_word(index, NUMBERED):
            index += 1
    return index
