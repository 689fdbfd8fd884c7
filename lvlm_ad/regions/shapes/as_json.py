"""Shapes as JSON values, as the files of a run keep them."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from lvlm_ad.regions.shapes.places import Box, Cell, Mask, Point, Polygon, Region, Shape

__all__ = ["shape_from_json", "shape_to_json", "shapes_from_json"]

_MOST = 1_000_000
"""The largest number in a shape: pixels, rows, regions."""

_SIDE = 8192
"""The longest side of a mask: no image is stretched to more."""

_CORNERS = 10_000
"""The most corners of a polygon."""

_PIXELS = 1 << 28
"""The most pixels of all masks of an image together."""


def shape_to_json(shape: Shape) -> dict[str, Any]:
    """Return a shape as JSON values that ``shape_from_json`` reads.

    Returns:
        ``{"region": number}``, ``{"box": [x1, y1, x2, y2]}``, ``{"point": [x, y], "radius": r}``, ``{"cell": [row,
        column], "grid": [rows, columns]}``, ``{"polygon": [[x, y], ...]}`` or ``{"mask": PNG of one bit a pixel in
        base64, "at": [left, top]}``; each also has ``"score"``.

    Example:
        >>> from lvlm_ad.regions.shapes import Box
        >>> shape_to_json(Box(10, 20, 30.5, 40, 0.9))
        {'box': [10.0, 20.0, 30.5, 40.0], 'score': 0.9}
    """
    score = {"score": float(shape.score)}
    if isinstance(shape, Region):
        return {"region": int(shape.number), **score}
    if isinstance(shape, Box):
        return {"box": [float(one) for one in (shape.x1, shape.y1, shape.x2, shape.y2)], **score}
    if isinstance(shape, Point):
        return {"point": [float(shape.x), float(shape.y)], "radius": float(shape.radius), **score}
    if isinstance(shape, Cell):
        return {"cell": [shape.row, shape.column], "grid": [shape.rows, shape.columns], **score}
    if isinstance(shape, Polygon):
        return {"polygon": [[float(x), float(y)] for x, y in shape.corners], **score}
    file = BytesIO()
    Image.fromarray(shape.pixels).save(file, "PNG", optimize=True)
    return {"mask": base64.b64encode(file.getvalue()).decode(), "at": [int(shape.left), int(shape.top)], **score}


def shape_from_json(value: Mapping[str, Any]) -> Shape:
    """Read what ``shape_to_json`` returned; it may come from a stranger's file.

    Raises:
        ValueError: it is no shape, or one of its numbers is not possible; the message says which.

    Example:
        >>> shape_from_json({"cell": [1, 4], "grid": [3, 6], "score": 0.8}).column
        4
    """
    score = _numbers([value.get("score")], 1, "score", 0, 1)[0]
    if "region" in value:
        return Region(_wholes([value["region"]], 1, "region", 1)[0], score)
    if "box" in value:
        return _box(value["box"], score)
    if "point" in value:
        x, y = _numbers(value["point"], 2, "point")
        return Point(x, y, score, _numbers([value.get("radius")], 1, "radius", 0)[0])
    if "cell" in value:
        row, column = _wholes(value["cell"], 2, "cell", 1)
        rows, columns = _wholes(value.get("grid"), 2, "grid", 1)
        if row > rows or column > columns:
            raise ValueError(f"cell ({row}, {column}) is not one of the {rows} x {columns}")
        return Cell(row, column, rows, columns, score)
    if "polygon" in value:
        return _polygon(value["polygon"], score)
    if "mask" in value:
        left, top = _wholes(value.get("at"), 2, "at", -_MOST)
        return Mask(left, top, _pixels(value["mask"]), score)
    raise ValueError(f"a shape is a region, box, point, cell, polygon or mask, not {list(value)!r:.60}")


def shapes_from_json(values: Iterable[Mapping[str, Any]]) -> list[Shape]:
    """Read all shapes of an image; see ``shape_from_json``.

    Raises:
        ValueError: one is no shape, or their masks take more than 256 MB of memory.
    """
    shapes: list[Shape] = []
    pixels = 0
    for value in values:
        shapes.append(shape_from_json(value))
        pixels += shapes[-1].pixels.size if isinstance(shapes[-1], Mask) else 0
        if pixels > _PIXELS:
            raise ValueError(f"the masks of an image have more than {_PIXELS:,} pixels")
    return shapes


def _box(value: Any, score: float) -> Box:
    x1, y1, x2, y2 = _numbers(value, 4, "box")
    if not (x1 < x2 and y1 < y2):
        raise ValueError(f"box {[x1, y1, x2, y2]} has no area")
    return Box(x1, y1, x2, y2, score)


def _polygon(value: Any, score: float) -> Polygon:
    if not isinstance(value, list) or not 3 <= len(value) <= _CORNERS:  # noqa: PLR2004 - corners
        raise ValueError(f"polygon must have 3 to {_CORNERS:,} corners")
    x_and_y = [_numbers(corner, 2, "polygon") for corner in value]
    return Polygon(tuple((x, y) for x, y in x_and_y), score)


def _pixels(text: Any) -> Any:
    """Read a PNG of one bit a pixel; its size is checked before its pixels are read."""
    try:
        with Image.open(BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as picture:
            possible = picture.mode == "1" and max(picture.size) <= _SIDE
            pixels = np.array(picture, dtype=np.bool_) if possible else None
    except Exception as error:
        # A damaged picture raises one of many exceptions.
        raise ValueError("mask is no PNG in base64") from error
    if pixels is None:
        raise ValueError(f"mask must be a PNG of one bit a pixel, of at most {_SIDE} x {_SIDE} pixels")
    return pixels


def _numbers(values: Any, count: int, name: str, low: float = -_MOST, high: float = _MOST) -> list[float]:
    """Return numbers as floats; raise ValueError unless there are ``count``, each in ``low`` to ``high``."""
    possible = isinstance(values, list) and len(values) == count
    if not possible or not all(type(one) in {int, float} and low <= one <= high for one in values):
        number = "a number" if count == 1 else f"{count} numbers"
        raise ValueError(f"{name} must be {number} from {low:g} to {high:g}, not {values!r:.60}")
    return [float(one) for one in values]


def _wholes(values: Any, count: int, name: str, low: int) -> list[int]:
    if not all(math.floor(one) == one for one in _numbers(values, count, name, low)):
        raise ValueError(f"{name} must be whole, not {values!r:.60}")
    return [int(one) for one in values]
