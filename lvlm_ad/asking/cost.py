"""Estimates the tokens of a question before it is asked: pictures by the rule of their model's family, text by length.

An estimate serves a dry run, a budget and a limit a minute. What an answer did cost, the endpoint says.

A rule is a line of text, as model presets hold it. Sides are pixels::

    tiles BASE TILE                      OpenAI gpt-4o, gpt-4.1, gpt-5
    patches SIZE MULTIPLIER MAX [SIDE]   OpenAI gpt-4.1-mini, gpt-5.2 and later
    squares SIZE MAX SIDE                Claude
    grid SIZE MIN MAX                    Qwen-VL
    crops N SIDE                         Gemini 2.5
    fixed N                              Gemini 3

``docs/models.md`` says where each was read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from lvlm_ad.errors import ConfigError

__all__ = ["image_tokens", "text_tokens"]

_CHARACTERS_PER_TOKEN = 4

_TILE = 512
"""Side of an OpenAI tile."""
_TILED_LONG = 2048
"""A picture in tiles is first shrunk so that its long side has at most this."""
_TILED_SHORT = 768
"""... and then so that its short side has at most this."""

_LEAST_CROP = 256
"""Google's formula has no lower bound; without one a narrow strip would count as thousands of crops."""


@lru_cache(maxsize=4096)
def image_tokens(rule: str, width: int, height: int, detail: str = "high") -> int:
    """Return how many input tokens one picture costs.

    Args:
        rule: the rule of the model's family, such as ``tiles 85 170``.
        width: the picture's width as it is sent, in pixels; at least 1.
        height: its height, likewise.
        detail: how closely the picture is looked at. Only "low" under ``tiles`` costs less here: models counted in
            patches differ in what they make of it, so that it is counted like "high", which is more for most.

    Returns:
        Tokens, at least 1.

    Raises:
        ConfigError: the rule has none of the known forms.
        ValueError: a side is below 1.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a picture has at least one pixel a side, not {width} x {height}")
    name, numbers = _parsed(rule)
    return _FORMS[name].count(numbers, width, height, detail)


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text without a tokenizer: a quarter of its characters, rounded up.

    Right to about a third for English prose. Digits, JSON and other languages cost more tokens than this says, Chinese
    and Japanese several times as many; and families differ among themselves by a third.

    Args:
        text: any text.

    Returns:
        Tokens; 0 for an empty text.
    """
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


Numbers = tuple[Fraction, ...]
"""A rule's numbers, all above 0; whole except a multiplier."""


@dataclass(frozen=True, slots=True)
class _Form:
    shape: str
    """How the rule is written, for messages."""
    lengths: tuple[int, ...]
    """How many numbers it may have."""
    count: Callable[[Numbers, int, int, str], int]


def _parsed(rule: str) -> tuple[str, Numbers]:
    """Split a rule into its form's name and its numbers.

    Raises:
        ConfigError: the form is unknown, or a number is missing, superfluous, not above 0, or a fraction where a whole
            number is wanted.
    """
    name, *texts = rule.split() or [""]
    form = _FORMS.get(name)
    if form is not None and len(texts) in form.lengths:
        fractional = 1 if name == "patches" else None
        numbers = tuple(_number(text, whole=index != fractional) for index, text in enumerate(texts))
        if all(numbers) and not (name == "grid" and numbers[1] > numbers[2]):
            return name, numbers
    known = "; ".join(one.shape for one in _FORMS.values())
    raise ConfigError(f"{rule!r:.60} is no rule for image tokens. Known forms, with numbers above 0: {known}.")


def _number(text: str, *, whole: bool) -> Fraction:
    """Return a number, or 0 where the text is none."""
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    return Fraction(text) if re.fullmatch(pattern, text, re.ASCII) else Fraction(0)


def _tiles(numbers: Numbers, width: int, height: int, detail: str) -> int:
    base, tile = map(int, numbers)
    if detail == "low":
        return base
    short, long = sorted((width, height))
    if long > _TILED_LONG:
        short, long = max(1, short * _TILED_LONG // long), _TILED_LONG
    if short > _TILED_SHORT:
        short, long = _TILED_SHORT, long * _TILED_SHORT // short
    return base + tile * _cover(short, long, _TILE)


def _patches(numbers: Numbers, width: int, height: int, _detail: str) -> int:
    size, multiplier, most, *side = numbers
    patch, budget = int(size), int(most)
    short, long = sorted((width, height))
    if side and long > side[0]:
        short, long = max(1, round(short * side[0] / long)), int(side[0])
    count = _cover(short, long, patch)
    if count > budget:
        count = _shrunk(short, long, patch, budget)
    return math.ceil(count * multiplier)


def _shrunk(short: int, long: int, patch: int, budget: int) -> int:
    """Return the patches of a picture shrunk to a budget: to the budget's area, then on to whole patches."""
    scale = math.sqrt(patch * patch * budget / (short * long))
    columns, rows = long * scale / patch, short * scale / patch
    if rows < 1:
        return budget  # a strip narrower than a patch, of which the published formula makes nothing
    scale *= min(math.floor(columns) / columns, math.floor(rows) / rows)
    # A side that is exactly so many patches must not become one more by the last bit of a float.
    return min(budget, _cover(math.floor(short * scale + 1e-6), math.floor(long * scale + 1e-6), patch))


def _squares(numbers: Numbers, width: int, height: int, _detail: str) -> int:
    square, budget, side = map(int, numbers)
    short, long = sorted((width, height))
    # The largest picture of this shape that keeps both limits; its long side is found by trying.
    for tried in range(min(long, max(side, 1)), 0, -1):
        count = _cover(max(1, round(short * tried / long)), tried, square)
        if count <= budget and -(-tried // square) * square <= side:
            return count
    return 1


def _grid(numbers: Numbers, width: int, height: int, _detail: str) -> int:
    cell, least, most = map(int, numbers)
    columns, rows = round(width / cell), round(height / cell)
    if columns * rows > most:
        scale = math.sqrt(most * cell * cell / (width * height))
        columns, rows = max(1, math.floor(width * scale / cell)), max(1, math.floor(height * scale / cell))
    elif columns * rows < least:
        scale = math.sqrt(least * cell * cell / (width * height))
        columns, rows = math.ceil(width * scale / cell), math.ceil(height * scale / cell)
    return min(most, columns * rows)


def _crops(numbers: Numbers, width: int, height: int, _detail: str) -> int:
    tokens, side = map(int, numbers)
    if max(width, height) <= side:
        return tokens
    return tokens * _cover(width, height, max(_LEAST_CROP, min(width, height) * 2 // 3))


def _fixed(numbers: Numbers, _width: int, _height: int, _detail: str) -> int:
    return int(numbers[0])


def _cover(width: int, height: int, square: int) -> int:
    """Return how many squares cover a picture."""
    return -(-width // square) * -(-height // square)


_FORMS = {
    "tiles": _Form("tiles BASE TILE", (2,), _tiles),
    "patches": _Form("patches SIZE MULTIPLIER MAX [SIDE]", (3, 4), _patches),
    "squares": _Form("squares SIZE MAX SIDE", (3,), _squares),
    "grid": _Form("grid SIZE MIN MAX", (3,), _grid),
    "crops": _Form("crops N SIDE", (2,), _crops),
    "fixed": _Form("fixed N", (1,), _fixed),
}
