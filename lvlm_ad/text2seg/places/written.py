"""Places as an answer writes them: numbers, not yet pixels of the picture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lvlm_ad.text2seg.json_values import Value

__all__ = ["NUMBER", "Listing", "Order", "Size", "Written", "number", "numbers", "plain_key"]

Size = Literal[2, 4]
"""How many numbers a place has: 2 for a point, 4 for a box."""
Order = Literal["", "xy", "xyxy", "xywh"]
"""Order of named numbers, which need no convention; empty: they have no names."""

NUMBER = r"[-+]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?+[0-9]{1,4}+)?+"
_NUMBER = re.compile(NUMBER)
_LONGEST_KEY = 60
_ALONE = re.compile(rf"\s*+({NUMBER})\s*+")


@dataclass(frozen=True, slots=True)
class Written:
    """A place as it is written.

    Attributes:
        numbers: its numbers, in the order of the text or of their names.
        order: of named numbers.
        label: what the answer calls it.
        score: the value given as its score.
        mask: the value given as its mask.
    """

    numbers: tuple[float, ...]
    order: Order = ""
    label: str = ""
    score: Value | None = None
    mask: Value | None = None


@dataclass(slots=True)
class Listing:
    """The places that an answer states together.

    Attributes:
        places: those with as many numbers as a place has.
        image: the value beside them that is given as the image score.
        empty: whether it holds an empty list.
        flags: what was wrong with others; see ``FLAGS``.
        spans: where it stands in the text, from start to end.
    """

    places: list[Written] = field(default_factory=list)
    image: Value | None = None
    empty: bool = False
    flags: set[str] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)

    def join(self, other: Listing) -> None:
        """Add what another one says."""
        self.places += other.places
        self.image = self.image if other.image is None else other.image
        self.empty |= other.empty
        self.flags |= other.flags


def plain_key(key: str) -> str:
    """Return a key of JSON with only its letters and digits, in lower case."""
    return re.sub(r"[\W_]+", "", key[:_LONGEST_KEY].lower())


def number(text: str) -> float | None:
    """Return the number that a text is; None if it is something else."""
    match = _ALONE.fullmatch(text)
    return float(match[1]) if match else None


def numbers(text: str) -> tuple[float, ...]:
    """Return all numbers in a text."""
    return tuple(float(one) for one in _NUMBER.findall(text))
