"""What questions cost: tokens before a question is asked, and a budget while questions are asked.

A rule for the tokens of a picture is a line of text in a model preset. Sides are in pixels::

    tiles BASE TILE                      OpenAI gpt-4o, gpt-4.1, gpt-5
    patches SIZE MULTIPLIER MAX [SIDE]   OpenAI gpt-4.1-mini, gpt-5.2 and later
    squares SIZE MAX SIDE                Claude
    grid SIZE MIN MAX                    Qwen-VL
    crops N SIDE                         Gemini 2.5
    fixed N                              Gemini 3

``docs/models.md`` says where each was read. Estimates serve a dry run, a budget and a limit per minute; what an answer
really costs, the endpoint says.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from lvlm_ad.errors import ConfigError, UnaskedError

if TYPE_CHECKING:
    from lvlm_ad.backend import Capabilities, Request
    from lvlm_ad.presets import Price

__all__ = ["Budget", "BudgetSpentError", "image_tokens", "input_tokens", "most_cost", "text_tokens"]

_CHARACTERS_PER_TOKEN = 4

_TILE = 512
"""Side of an OpenAI tile."""
_TILED_LONG, _TILED_SHORT = 2048, 768
"""A picture in tiles is first shrunk until its long side has at most the first, then its short side the second."""
_LEAST_CROP = 256
"""Google's formula has no lower bound; without one a narrow strip would count as thousands of crops."""


class BudgetSpentError(UnaskedError):
    """The next question could exceed the limit; it was not asked."""


class Budget:
    """A limit in USD on what one model's answers may cost. Used by many threads.

    A question may cost as much as the dearest answer so far. Before the first answer only ``assumed`` is known of the
    cost, so the first question is asked alone.

    Args:
        limit: USD; None: no limit.
        spent: USD already spent, on other models.

    Attributes:
        assumed: USD that the first question may cost, such as the dearest answer of another model; 0: nothing is known.
        ended: why no further question may be asked, such as "not asked: interrupted"; empty while questions may.

    Example:
        >>> budget = Budget(limit=1.0)
        >>> with budget.question():
        ...     budget.paid(0.25)
        >>> budget.spent
        0.25
    """

    def __init__(self, limit: float | None, spent: float = 0.0) -> None:
        self.limit, self.spent, self.ended, self.assumed = limit, spent, "", 0.0
        self._dearest = 0.0
        self._priced = self._uncounted = False
        self._under_way = 0
        self._turn = threading.Condition()

    @contextmanager
    def question(self) -> Iterator[None]:
        """Reserve the cost of one question while it is asked.

        Raises:
            BudgetSpentError: the question could exceed the limit.
            UnaskedError: no further question may be asked.
        """
        if self.ended:
            raise UnaskedError(self.ended)
        with self._turn:
            while self.limit is not None:
                if self._uncounted:
                    raise BudgetSpentError("not asked: an answer came without token counts, so its cost is unknown")
                if self.spent + self.dearest > self.limit or self.spent >= self.limit:
                    raise BudgetSpentError(
                        f"not asked: {self.spent:.4f} USD are spent and the next question could exceed the limit of "
                        f"{self.limit:g} USD"
                    )
                fits = self.spent + (self._under_way + 1) * self.dearest <= self.limit
                if self._under_way == 0 or (self._priced and fits):
                    break
                # Those under way may turn out cheaper.
                self._turn.wait()
            self._under_way += 1
        try:
            yield
        finally:
            with self._turn:
                self._under_way -= 1
                self._turn.notify_all()

    @property
    def dearest(self) -> float:
        """USD that the next question may cost, by what is known so far."""
        return self._dearest if self._priced else self.assumed

    @property
    def is_known(self) -> bool:
        """Whether every answer so far came with its cost; otherwise ``spent`` is only a part of what was spent."""
        return not self._uncounted

    def paid(self, cost: float | None) -> None:
        """Count the cost of an answer. After an unknown cost, no question may be asked under a limit."""
        with self._turn:
            self._uncounted |= cost is None
            self.spent += cost or 0.0
            self._dearest = max(self._dearest, cost or 0.0)
            # A free answer, such as a filtered question, says nothing about the cost of the next.
            self._priced |= bool(cost)


def input_tokens(price: Price, capabilities: Capabilities, request: Request) -> int | None:
    """Estimate a question's input tokens; None where the price has no rule for pictures.

    Example:
        >>> from lvlm_ad.backend import Capabilities, Request
        >>> from lvlm_ad.presets import Price
        >>> input_tokens(Price(image_tokens="fixed 1120"), Capabilities(), Request((), "Is it broken?"))
        4
    """
    sizes = [picture.size for picture in request.images]
    if not price.image_tokens or None in sizes:
        return None
    pictures = (image_tokens(price.image_tokens, *size, capabilities.detail) for size in sizes if size is not None)
    return sum(pictures) + text_tokens(request.text)


def most_cost(price: Price, capabilities: Capabilities, request: Request, *, batch: bool) -> float | None:
    """Bound a question's cost in USD: its estimated input, and an answer as long as it may be; None if unknown.

    With ``price_per_hour`` it is unknown: nothing says how long a machine takes at most.
    """
    if price.free:
        return 0.0
    if price.price_per_hour:
        return None
    tokens, longest = input_tokens(price, capabilities, request), capabilities.max_output_tokens
    if tokens is None or longest is None:
        return None
    return price.cost(tokens, None, longest, batch=batch)


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text without a tokenizer: a quarter of its characters, rounded up.

    Right to about a third for English prose. Digits, JSON and other languages cost more tokens than this, Chinese and
    Japanese several times as many; and model families differ by a third.

    Example:
        >>> text_tokens("Is it broken?")
        4
    """
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


@lru_cache(maxsize=4096)
def image_tokens(rule: str, width: int, height: int, detail: str = "high") -> int:
    """Return how many input tokens one picture costs.

    Args:
        rule: the rule of the model's family, such as ``tiles 85 170``.
        width: the picture's width as it is sent, in pixels; at least 1.
        height: its height, likewise.
        detail: how closely the model looks at the picture. Only "low" under ``tiles`` costs less here: models counted
            in patches treat it differently, so it is counted like "high", which is more for most.

    Returns:
        Tokens, at least 1.

    Raises:
        ConfigError: the rule has none of the known forms.
        ValueError: a side is below 1.

    Example:
        >>> image_tokens("tiles 85 170", 768, 768)
        765
    """
    if width < 1 or height < 1:
        raise ValueError(f"a picture has at least one pixel a side, not {width} x {height}")
    name, *texts = rule.split() or [""]
    form, count = _FORMS.get(name, ("", _fixed))
    numbers = [_number(text, whole=(name, index) != ("patches", 1)) for index, text in enumerate(texts)]
    most = form.count(" ")
    complete = form and most - form.count("[") <= len(numbers) <= most and all(numbers)
    if not complete or (name == "grid" and numbers[1] > numbers[2]):
        known = "; ".join(shape for shape, _ in _FORMS.values())
        raise ConfigError(f"{rule!r:.60} is not a rule for image tokens. Known forms, with numbers above 0: {known}.")
    if name == "tiles" and detail == "low":
        return int(numbers[0])
    return count(width, height, *numbers)


def _number(text: str, *, whole: bool) -> int | Fraction:
    """Return a number, or 0 where the text is none."""
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    if not re.fullmatch(pattern, text, re.ASCII):
        return 0
    return int(text) if whole else Fraction(text)


def _tiles(width: int, height: int, base: int, tile: int) -> int:
    short, long = sorted((width, height))
    if long > _TILED_LONG:
        short, long = max(1, short * _TILED_LONG // long), _TILED_LONG
    if short > _TILED_SHORT:
        short, long = _TILED_SHORT, long * _TILED_SHORT // short
    return base + tile * _cover(short, long, _TILE)


def _patches(width: int, height: int, patch: int, multiplier: Fraction, most: int, side: int = 0) -> int:
    short, long = sorted((width, height))
    if side and long > side:
        short, long = max(1, round(Fraction(short * side, long))), side
    count = _cover(short, long, patch)
    if count > most:
        count = _shrunk(short, long, patch, most)
    return math.ceil(count * multiplier)


def _shrunk(short: int, long: int, patch: int, most: int) -> int:
    """Return the patches of a picture shrunk to so many patches' area, then on to whole patches."""
    scale = math.sqrt(patch * patch * most / (short * long))
    columns, rows = long * scale / patch, short * scale / patch
    if rows < 1:
        return most  # a strip narrower than a patch, for which the published formula gives nothing
    scale *= min(math.floor(columns) / columns, math.floor(rows) / rows)
    # A side that is exactly so many patches must not become one more by the last bit of a float.
    return min(most, _cover(math.floor(short * scale + 1e-6), math.floor(long * scale + 1e-6), patch))


def _squares(width: int, height: int, square: int, most: int, side: int) -> int:
    short, long = sorted((width, height))
    # The largest picture of this shape within both limits; its long side is found by trying.
    for tried in range(min(long, side), 0, -1):
        count = _cover(max(1, round(short * tried / long)), tried, square)
        if count <= most and -(-tried // square) * square <= side:
            return count
    return 1


def _grid(width: int, height: int, cell: int, least: int, most: int) -> int:
    columns, rows = round(width / cell), round(height / cell)
    if columns * rows > most:
        scale = math.sqrt(most * cell * cell / (width * height))
        columns, rows = max(1, math.floor(width * scale / cell)), max(1, math.floor(height * scale / cell))
    elif columns * rows < least:
        scale = math.sqrt(least * cell * cell / (width * height))
        columns, rows = math.ceil(width * scale / cell), math.ceil(height * scale / cell)
    return min(most, columns * rows)


def _crops(width: int, height: int, tokens: int, side: int) -> int:
    if max(width, height) <= side:
        return tokens
    return tokens * _cover(width, height, max(_LEAST_CROP, min(width, height) * 2 // 3))


def _fixed(_width: int, _height: int, tokens: int) -> int:
    return tokens


def _cover(width: int, height: int, square: int) -> int:
    """Return how many squares cover a picture."""
    return -(-width // square) * -(-height // square)


_FORMS: dict[str, tuple[str, Callable[..., int]]] = {
    "tiles": ("tiles BASE TILE", _tiles),
    "patches": ("patches SIZE MULTIPLIER MAX [SIDE]", _patches),
    "squares": ("squares SIZE MAX SIDE", _squares),
    "grid": ("grid SIZE MIN MAX", _grid),
    "crops": ("crops N SIDE", _crops),
    "fixed": ("fixed N", _fixed),
}
"""Name -> how the rule is written, and the function from a picture's sides and the rule's numbers to tokens."""
