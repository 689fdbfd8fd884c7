"""Read boxes, points and masks."""

from __future__ import annotations

import base64
import binascii
import math
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.backend import Picture
from lvlm_ad.regions.shapes import Box, Mask, Point, Polygon
from lvlm_ad.text2seg.json_values import Scalar
from lvlm_ad.text2seg.places.placing import Placed, Placing
from lvlm_ad.text2seg.places.written import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.conventions import Convention
    from lvlm_ad.text2seg.finding import Finding
    from lvlm_ad.text2seg.json_values import Value
    from lvlm_ad.text2seg.places.conclude import Place
    from lvlm_ad.text2seg.places.written import Written

__all__ = ["read_boxes", "read_masks", "read_points"]

_RADIUS = 0.05
"""Radius of a point's disc, as a share of the picture's shorter side."""
_MIDDLE = 127
_LARGEST_MASK = 2048
_MOST_CORNERS = 10_000


def read_boxes(answer: Answer, convention: Convention, sent: tuple[int, int], *, scored: bool = False) -> Finding:
    """Read the boxes in an answer.

    Args:
        answer: what the model answered.
        convention: how the model writes coordinates.
        sent: width and height of the picture as sent, in pixels.
        scored: whether the question asked for scores.

    Returns:
        A finding whose shapes are boxes in pixels of the picture as sent, in the order of the answer. The status is
        "ok", "partial", "refused", "unparsable" or "truncated"; ``flags`` says what was wrong, see ``FLAGS``. A text of
        any content is read in a time linear in its length.

    Example:
        >>> from lvlm_ad.backend import Answer
        >>> from lvlm_ad.conventions import load_convention
        >>> answer = Answer('[{"box_2d": [100, 200, 300, 400], "label": "crack"}]')
        >>> read_boxes(answer, load_convention("gemini_1000"), (1000, 500)).shapes
        (Box(x1=200.0, y1=50.0, x2=400.0, y2=150.0, score=1.0),)
    """
    return Placing(convention, sent, 4).read(answer, _box, scored=scored)


def read_points(
    answer: Answer,
    convention: Convention,
    sent: tuple[int, int],
    *,
    scored: bool = False,
    radius: float | None = None,
) -> Finding:
    """Read the points in an answer.

    Args:
        answer: what the model answered.
        convention: how the model writes coordinates.
        sent: width and height of the picture as sent, in pixels.
        scored: whether the question asked for scores.
        radius: of a point's disc, in pixels; None: 5 % of the picture's shorter side.

    Returns:
        As ``read_boxes``, with points.

    Example:
        >>> from lvlm_ad.backend import Answer
        >>> from lvlm_ad.conventions import load_convention
        >>> answer = Answer('<point x="25.0" y="50.5" alt="scratch">scratch</point>')
        >>> read_points(answer, load_convention("molmo_100"), (400, 200)).shapes
        (Point(x=100.0, y=101.0, score=1.0, radius=10.0),)
    """
    disc = _RADIUS * min(sent) if radius is None else radius

    def shape(placed: Placed, _: set[str]) -> Point:
        x, y = placed.corners
        return Point(x, y, 0.0, disc)

    return Placing(convention, sent, 2).read(answer, shape, scored=scored)


def read_masks(answer: Answer, convention: Convention, sent: tuple[int, int], *, scored: bool = False) -> Finding:
    """Read the masks in an answer: boxes with a PNG of probabilities in base64, or with a polygon.

    Args:
        answer: what the model answered.
        convention: how the model writes coordinates.
        sent: width and height of the picture as sent, in pixels.
        scored: whether the question asked for scores.

    Returns:
        As ``read_boxes``. A shape is a mask: the pixels at whose centre the PNG, stretched over the box, is above 127;
        or a polygon; or, with the flag ``no_mask``, the box, if its mask is neither.

    Example:
        >>> from lvlm_ad.backend import Answer
        >>> from lvlm_ad.conventions import load_convention
        >>> text = '[{"box_2d": [0, 0, 300, 400], "mask": [[0, 0], [400, 0], [400, 300]]}]'
        >>> read_masks(Answer(text), load_convention("gemini_1000"), (1000, 500)).shapes
        (Polygon(corners=((0.0, 0.0), (400.0, 0.0), (400.0, 150.0)), score=1.0),)
    """

    def shape(placed: Placed, flags: set[str]) -> Place:
        corners = tuple(convention.to_pixels(x, y, sent) for x, y in _polygon(placed.written, convention))
        if corners:
            outside = any(not (0 <= x <= sent[0] and 0 <= y <= sent[1]) for x, y in corners)
            flags |= {"clipped"} if outside else set()  # it is cut where it is painted
            return Polygon(corners, score=0.0)
        probabilities = _picture(placed.written.mask)
        if probabilities is None:
            flags.add("no_mask")
        mask = None if probabilities is None else _stretched(probabilities, placed)
        return _box(placed, flags) if mask is None else mask

    placing = Placing(convention, sent, 4, more=lambda written: _polygon(written, convention))
    return placing.read(answer, shape, scored=scored)


def _box(placed: Placed, _: set[str]) -> Box:
    x1, y1, x2, y2 = placed.corners
    return Box(x1, y1, x2, y2, 0.0)


def _polygon(written: Written, convention: Convention) -> tuple[tuple[float, float], ...]:
    """Return the corners of a polygon as (x, y), in the convention's units; none if the mask is no polygon."""
    listed = written.mask if isinstance(written.mask, list) else []
    if len(listed) == 1 and isinstance(listed[0], list) and all(isinstance(item, list) for item in listed[0]):
        listed = listed[0]
    corners = [_pair(item) for item in listed]
    known = [corner for corner in corners if corner is not None]
    if len(known) < len(corners) or not 3 <= len(known) <= _MOST_CORNERS:  # noqa: PLR2004 - a triangle
        return ()
    return tuple((y, x) if convention.polygons == "yx" else (x, y) for x, y in known)


def _pair(value: Value) -> tuple[float, float] | None:
    match value:
        case [Scalar() as first, Scalar() as second]:
            x, y = number(first.text.text), number(second.text.text)
            return None if x is None or y is None else (x, y)
    return None


def _picture(value: Value | None) -> NDArray[np.uint8] | None:
    """Return the picture that a text is in base64, uint8 ``(h, w)``; None if it is none."""
    from PIL import Image  # noqa: PLC0415 - only masks need an imaging library

    if not isinstance(value, Scalar):
        return None
    text = value.text.text.replace("\\/", "/").replace("\\n", "")
    try:
        data = base64.b64decode(text.rpartition("base64,")[2].strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    # Looked up before opening it: Pillow warns of huge pictures.
    size = Picture(data, "image/png", "").size
    if size is None or max(size) > _LARGEST_MASK:
        return None
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            return np.asarray(picture.convert("L"))
    except Exception:  # noqa: BLE001 - a damaged picture raises one of many exceptions
        return None


def _stretched(probabilities: NDArray[np.uint8], placed: Placed) -> Mask | None:
    """Return the pixels of a box at whose centre its picture is above the middle; None if it holds no centre."""
    x1, y1, x2, y2 = placed.uncut
    left, top, right, bottom = (math.ceil(value - 0.5) for value in placed.corners)
    columns, rows = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    if not (columns.size and rows.size):
        return None
    height, width = probabilities.shape
    across = np.minimum((columns - x1) * (width / (x2 - x1)), width - 1).astype(np.intp)
    down = np.minimum((rows - y1) * (height / (y2 - y1)), height - 1).astype(np.intp)
    return Mask(left, top, probabilities[np.ix_(down, across)] > _MIDDLE, score=0.0)
