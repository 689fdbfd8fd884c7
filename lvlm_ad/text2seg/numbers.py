"""Reads the numbers in an answer: scores as decimals, percentages and ratios, and region numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.words import UNITS

if TYPE_CHECKING:
    from lvlm_ad.text2seg.tokens import Tokens

__all__ = ["BEYOND", "Number", "read_integer", "read_number"]

BEYOND = 10**9
"""Stands for any larger integer: no image has so many regions, and a long one would be slow to convert."""

_PERCENT = frozenset({"percent", "pct"})
_UP_TO = frozenset({"to"})
_OUT = frozenset({"out"})
_OF = frozenset({"of"})


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it stands in an answer.

    Attributes:
        value: what it says; NaN if it is no single number (a range, a date).
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


def read_integer(tokens: Tokens, index: int) -> int | None:
    """Return the integer that a token says, ``BEYOND`` at most; None if it says none."""
    token = tokens[index]
    if token.kind != "number" or not token.text.isdecimal() or _glued(tokens, index):
        return None
    digits = token.text.lstrip("0")
    return min(int(digits or "0"), BEYOND) if len(digits) <= 10 else BEYOND  # noqa: PLR2004 - the digits of BEYOND


def read_number(tokens: Tokens, index: int) -> Number | None:
    """Read the number that begins at a token: a sign, "0.7", ".7", "0,7", "70%", "70 percent", "7/10", "7 out of 10".

    Returns:
        The number; None if there is none, or if it is part of a word, a time or a measure.
    """
    first = index
    sign = 1.0
    if tokens.is_mark(index, "-+") and tokens.touches(index):
        sign = -1.0 if tokens[index].text == "-" else 1.0
        index += 1
    read = _decimal(tokens, index)
    if read is None:
        return None
    value, index, plain = read
    percent = tokens.is_mark(index, "%") or tokens.is_word(index, _PERCENT)
    if percent:
        index, value, plain = index + 1, value / 100, False
    else:
        over = _denominator(tokens, index)
        if over is not None:
            value, index, plain = value / over[0], over[1], False
    again = _range_end(tokens, index)
    if again is not None:
        value, index = float("nan"), again
    elif tokens.is_mark(index, ":/") and tokens[index + 1].kind == "number" and tokens.touches(index):
        return None
    if tokens.is_word(index, UNITS) or tokens.is_mark(index, "\u00b0\u00d7"):
        return None
    written = tokens.written(first, index)
    return Number(sign * value, first, index, plain, percent, written, tokens.origin(first))


def _glued(tokens: Tokens, index: int) -> bool:
    return tokens.touches(index) and tokens[index + 1].kind in {"word", "number"}


def _decimal(tokens: Tokens, index: int) -> tuple[float, int, bool] | None:
    """Read a decimal number with a point or a comma; NaN for a version number or the like."""
    token = tokens[index]
    follows_word = tokens[index - 1].kind == "word" and tokens.touches(index - 1)
    if token.kind != "number" or _glued(tokens, index) or follows_word:
        return None
    if token.text.count(".") > 1:
        return float("nan"), index + 1, False
    if not token.text.isdecimal():
        return float(token.text), index + 1, False
    fraction = tokens[index + 2]
    torn = fraction.kind == "number" or (fraction.text[:1].isdigit() and tokens.touches(index + 1))
    if torn and tokens.is_mark(index + 1, "."):
        # "0. 9", or decimals in the digits of another script: "0" is not what was meant.
        return float("nan"), index + 3, False
    if _decimal_comma(tokens, index):
        return float(f"{token.text}.{fraction.text}"), index + 3, False
    return float(token.text), index + 1, True


def _decimal_comma(tokens: Tokens, index: int) -> bool:
    """Whether "0,7" stands here and not the end of one item and the beginning of the next, as in "1,5: 0.4"."""
    fraction = tokens[index + 2].text
    return (
        tokens.is_mark(index + 1, ",")
        and fraction.isdecimal()
        and tokens.touches(index)
        and tokens.touches(index + 1)
        and not _glued(tokens, index + 2)
        and not tokens.is_mark(index + 3, ":=")
    )


def _denominator(tokens: Tokens, index: int) -> tuple[float, int] | None:
    """Read "/10" or "out of 10"."""
    if tokens.is_mark(index, "/"):
        index += 1
    elif tokens.is_word(index, _OUT) and tokens.is_word(index + 1, _OF):
        index += 2
    else:
        return None
    read = _decimal(tokens, index)
    if read is None or not read[0] > 0:
        return None
    return read[0], read[1]


def _range_end(tokens: Tokens, index: int) -> int | None:
    """Return where a range such as "-0.8" or "to 0.8" ends after its first number."""
    if not (tokens.is_mark(index, "-") or tokens.is_word(index, _UP_TO)):
        return None
    read = _decimal(tokens, index + 1)
    if read is None:
        return None
    spaced = tokens[index].text == "-" and not tokens.touches(index)
    # "0.7 - 2 scratches" is a score and a comment; "0.7 - 0.8" is no score.
    return None if spaced and read[2] else read[1]
