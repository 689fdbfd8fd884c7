"""Whether a method's finding can be measured: foreign code may return anything."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lvlm_ad.regions.shapes import Box, Cell, Mask, Point, Polygon, Region
from lvlm_ad.text2seg.finding import Chosen, Finding
from lvlm_ad.text2seg.scores import Scores, Status

if TYPE_CHECKING:
    from lvlm_ad.methods.contract import Places, View

__all__ = ["flaw_of"]


def flaw_of(finding: Any, view: View, places: Places = "regions") -> str:
    """Say what is wrong with a finding, in words that follow the method's name; empty if nothing is.

    Args:
        finding: what ``inspect`` or ``best_finding`` returned.
        view: the image that it belongs to.
        places: the method's ``places``.

    Example:
        >>> flaw_of(3, None)
        'returned int; it must return a Finding'
        >>> flaw_of(Finding(1.5), None)
        'returned 1.5 as image score; it must be a float in [0, 1], or None'
    """
    if not isinstance(finding, Finding):
        made = ", such as Finding.of(scores)" if isinstance(finding, Scores) else ""
        return f"returned {type(finding).__name__}; it must return a Finding{made}"
    if finding.shapes and not places:
        return "returned places, but its attribute places is empty"
    if finding.choices and not _fit(finding.choices, view):
        return "returned choices that do not fit the view's questions; it must return a Chosen for each of them"
    return _flaw_of_fields(finding) or next(filter(None, (_flaw_of_place(one, view) for one in finding.shapes)), "")


def _fit(choices: Any, view: View) -> bool:
    """Whether there is a choice for each question of a view, among its options or None."""
    if not isinstance(choices, tuple) or len(choices) != len(view.questions):
        return False
    return all(
        isinstance(one, Chosen) and (one.option is None or one.option in range(len(asked.options)))
        for one, asked in zip(choices, view.questions, strict=True)
    )


def _flaw_of_fields(finding: Finding) -> str:
    if finding.image is not None and not _is_score(finding.image):
        return f"returned {finding.image!r:.40} as image score; it must be a float in [0, 1], or None"
    if finding.status not in get_args(Status):
        return f"returned the status {finding.status!r:.40}; it must be one of {', '.join(get_args(Status))}"
    for name in ("notes", "flags", "shapes"):
        if not isinstance(getattr(finding, name), tuple):
            return f"returned {name} as {type(getattr(finding, name)).__name__}; they must be a tuple"
    if not all(isinstance(text, str) for text in (*finding.notes, *finding.flags)):
        return "returned notes or flags that are no text"
    if finding.spread is not None and not (_is_number(finding.spread) and finding.spread >= 0):
        return f"returned the spread {finding.spread!r:.40}; it must be a float of 0 or more, or None"
    return ""


def _flaw_of_place(shape: Any, view: View) -> str:
    if not isinstance(shape, Region | Box | Point | Cell | Polygon | Mask):
        return f"returned {type(shape).__name__} as a place; it must be a shape of lvlm_ad.regions.shapes"
    if not _is_score(shape.score):
        return f"returned a place with {shape.score!r:.40} as score; it must be a float in [0, 1]"
    if isinstance(shape, Region):
        count = 0 if view.regions is None else view.regions.count
        return "" if 1 <= shape.number <= count else f"returned region {shape.number!r:.40}; the image has {count}"
    if isinstance(shape, Cell):
        exists = 1 <= shape.row <= shape.rows and 1 <= shape.column <= shape.columns
        return "" if exists else f"returned a cell that does not exist: {shape!r:.120}"
    return _flaw_of_pixels(shape, *view.size)


def _flaw_of_pixels(shape: Box | Point | Polygon | Mask, height: int, width: int) -> str:
    if isinstance(shape, Mask):
        pixels: Any = shape.pixels
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.bool_ or pixels.ndim != 2:  # noqa: PLR2004
            return "returned a Mask whose pixels are no bool array (h, w)"
        corners: Any = [(shape.left, shape.top), (shape.left + pixels.shape[1], shape.top + pixels.shape[0])]
    elif isinstance(shape, Box):
        corners = [(shape.x1, shape.y1), (shape.x2, shape.y2)]
    else:
        corners = [(shape.x, shape.y)] if isinstance(shape, Point) else shape.corners
    if not all(_is_number(x) and _is_number(y) and 0 <= x <= width and 0 <= y <= height for x, y in corners):
        return f"returned a {type(shape).__name__} outside the image of {width} x {height} pixels: {corners!r:.120}"
    if isinstance(shape, Box) and not (shape.x1 < shape.x2 and shape.y1 < shape.y2):
        return f"returned a Box whose sides are swapped or equal: {corners!r:.120}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_score(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1
