"""Sentences that a method adds to a prompt: how a question states a convention for coordinates."""

from __future__ import annotations

import hashlib
import json
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvlm_ad.conventions import Convention

__all__ = ["WORDING", "box_words", "hash_of", "mask_words", "point_words"]


def hash_of(sentences: Any) -> str:
    """Return SHA-256 (hex) of sentences, as lists and dicts: other words are another question."""
    return hashlib.sha256(json.dumps(sentences).encode()).hexdigest()


_CORNERS = "x1, y1 is the upper left corner of a box, and x2, y2 its lower right corner."
_BOXES = {
    "xyxy": ("[x1, y1, x2, y2]", _CORNERS),
    "yxyx": ("[y1, x1, y2, x2]", _CORNERS),
    "xywh": ("[x, y, width, height]", "x, y is the upper left corner of a box."),
    "cxcywh": ("[x, y, width, height]", "x, y is the centre of a box."),
    "patches": ("", ""),
}
"""Order -> the numbers of a box, and what they are. Models that write patches need no words for them."""
_PAIRS = {"xy": "[x, y]", "yx": "[y, x]"}
_RANGE = (
    "x counts from 0 at the left edge of the picture to $right at its right edge, y from 0 at the top to $bottom at "
    "the bottom."
)
WORDING = hash_of([_BOXES, _PAIRS, _RANGE])


def box_words(convention: Convention, size: tuple[int, int]) -> dict[str, str]:
    """Say how to write a box.

    Args:
        convention: the model's.
        size: width and height of the picture that is sent.

    Returns:
        "box": key and numbers, as they stand in a JSON object; "numbers": what the numbers mean.

    Example:
        >>> from lvlm_ad.conventions import load_convention
        >>> box_words(load_convention("gemini_1000"), (896, 896))["box"]
        '"box_2d": [y1, x1, y2, x2]'
    """
    numbers, meaning = _BOXES[convention.order]
    return {"box": f'"{convention.key}": {numbers}', "numbers": f"{meaning} {_range_words(convention, size)}"}


def point_words(convention: Convention, size: tuple[int, int]) -> dict[str, str]:
    """Say how to write a point.

    Args:
        convention: the model's; its points are documented.
        size: width and height of the picture that is sent.

    Returns:
        "point": key and numbers, as they stand in a JSON object; "numbers": what the numbers mean.

    Example:
        >>> from lvlm_ad.conventions import load_convention
        >>> point_words(load_convention("unit_1"), (896, 896))["point"]
        '"point_2d": [x, y]'
    """
    key = "point" if convention.points == "yx" else "point_2d"
    pair = _PAIRS[convention.points or "xy"]
    return {"point": f'"{key}": {pair}', "numbers": _range_words(convention, size)}


def mask_words(convention: Convention, size: tuple[int, int]) -> dict[str, str]:
    """Say how to write a box and a polygon; "polygon" holds the numbers of a corner.

    Example:
        >>> from lvlm_ad.conventions import load_convention
        >>> mask_words(load_convention("gemini_1000"), (896, 896))["polygon"]
        '[x, y]'
    """
    return {**box_words(convention, size), "polygon": _PAIRS[convention.polygons or "xy"]}


def _range_words(convention: Convention, size: tuple[int, int]) -> str:
    """State the range of x and of y."""
    right, bottom = convention.sides(size)
    return Template(_RANGE).substitute(right=f"{right:.0f}", bottom=f"{bottom:.0f}")
