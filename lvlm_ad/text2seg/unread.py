"""Find the numbers beside the name of a region or of the image score that were not read.

The reader knows many forms, and models write others. A score in an unknown form must not get lost silently: a note
quotes each number that looks like a score if its clause may say that it belongs to a region or to the image.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from lvlm_ad.text2seg.lexer import Tokens, form
from lvlm_ad.text2seg.numbers import SIGN, Number, counts, read_number
from lvlm_ad.text2seg.scores import quoted

_REACH = 12
"""How many tokens before a number may name its region or the image."""
_LABEL = form(
    r"""
      (?: {opens|line|word} | {number} (?= {integer} ':=' ) ) (?P<label> {integer} ) ')]'?+
      (?: (?: ':=-' | {is} )++ '(['?+ | '([' | (?<= {word} {integer} ) '|' | (?<= {line} {integer} ) ','?+ ) \Z
    """
)
"""A label that gives a number to a region: "3: ", "area 3 = (", "| area 3 |"."""
_REST = form("(?: (?! {line} ) . )*+")
_REGION_AFTER = form("(?: '([' | {to_or_for|of} {article}?+ ) {region} {numbered}*+ {integer}")  # 0.7 "for region 3"
_TABLE, _ROWS = 100, 3
"""How many tokens and rows above a cell may name the region of its number."""
_LISTED = form(r"(?P<open> '([' ) (?: {number} | ',' )*+ \Z")


def unread_numbers(tokens: Tokens, used: Container[int]) -> Iterator[tuple[int, str]]:
    """Yield the index of each number that may be a score and was not read, and a note that quotes it.

    Args:
        tokens: the text.
        used: the indices of the tokens that were read, or left out on purpose.
    """
    for at in range(len(tokens)):
        if not tokens.has(at, "number") or at in used:
            continue
        start = at - 1 if SIGN.match(tokens.shape, at - 1) else at
        number = read_number(tokens, start) or read_number(tokens, at)
        if number is None or tokens.has(number.end, "not_anomaly|quantity|unit"):
            continue
        label = _LABEL.search(tokens.shape, max(number.start - 6, 0), number.start)
        labelled = None if label is None else label.start("label")
        if not _may_be_score(tokens, number, labelled=label is not None):
            continue
        name = _name(tokens, number.start, labelled, used)
        if name is not None:
            yield at, f"{quoted(tokens.written(name, number.end))} was not read."
        elif not number.plain and not tokens.contain(max(start - _REACH, 0), start, "quantity|box|reference"):
            end = tokens.skip(_REGION_AFTER, number.end)
            if end > number.end:
                yield at, f"{quoted(tokens.written(start, end))} was not read."


def _may_be_score(tokens: Tokens, number: Number, *, labelled: bool) -> bool:
    """Return whether a number can be a score that matters, and not a count, a share or a coordinate."""
    counted = counts(tokens, number)
    is_share = number.percent and counted and not tokens.has(number.end, "anomaly|measure|score")
    # Regions without a score have 0.
    if number.value == 0 or is_share:
        return False
    if number.plain:
        if not number.value >= 0 or tokens.has(number.end, "number") or counted:
            return False
        return labelled or (number.in_range and tokens.is_mark(number.start - 1, ":="))
    if not number.in_range:
        return labelled
    listed = _LISTED.search(tokens.shape, max(number.start - _REACH, 0), number.start)
    if listed is None:
        return True
    # "(0.3, 0.4)" is a place, "scores: [0.3, 0.4]" is a list of scores, "(3, 0.4)" a region and its score.
    decimals = tokens.contain(listed.start(), number.start, "decimal") or tokens.has(number.end + 1, "decimal")
    return not decimals or tokens.is_mark(listed.start() - 1, ":=")


def _name(tokens: Tokens, start: int, name: int | None, used: Container[int]) -> int | None:
    """Return the index of what may name the region or the image of the number that begins here: ``name``, or before."""
    label = start if name is None else name
    for at in range(start - 1, max(start - _REACH, 0) - 1, -1):
        if at in used or tokens.has(at, "line") or tokens.is_mark(at, ".;!?"):
            break
        in_region = tokens.contain(at, start, "region")  # "unlike the reference image, region 3 ... 0.7"
        of_reference = not in_region and tokens.has(at, "reference") and tokens.has(at + 1, "picture|product|score")
        # In "x position: area 3: 0.7", only the words directly before the 3 matter.
        if of_reference or (tokens.has(at, "quantity|box") and (label == start or at >= label - 1)):
            return None
        if tokens.has(at, "region|image|score"):
            name = at
    return _heading(tokens, start, used) if name is None else name


def _heading(tokens: Tokens, start: int, used: Container[int]) -> int | None:
    """Return the index of a region in the rows above a cell, if nothing was read in the cell's own row."""
    if not tokens.is_mark(start - 1, "|") and not tokens.is_mark(start + 1, "|"):
        return None
    row = tokens.skip(_REST, start)
    name, lines = None, 0
    for at in range(row - 1, max(row - _TABLE, 0), -1):
        lines += tokens.has(at, "line")
        if (not lines and at in used) or tokens.has(at, "quantity") or lines > _ROWS:
            return None
        if lines and tokens.has(at, "region|id"):
            name = at
    return name
