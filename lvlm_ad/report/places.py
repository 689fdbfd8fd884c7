"""Draws the places that an answer names: outlines with their scores, as a layer over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from lvlm_ad.regions.shapes import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.regions.shapes import Place, Shape

__all__ = ["draw_places"]

_COLOUR = (0, 225, 255)
"""Cyan: absent from the maps, and unlike the magenta of the ground truth."""

_INK = (0, 40, 50)

_WIDTH = 1 / 220
"""Of an outline, as a share of the image's side."""

_NUMBERED = 24
"""With more places than this, scores would hide the picture, so they are left out."""

_TEXT = 1 / 36
"""Height of a score, as a share of the image's side."""


def draw_places(shapes: Sequence[Shape], side: int) -> NDArray[np.uint8]:
    """Draw places as a layer; regions are left out, since the marks show them.

    Args:
        shapes: the places.
        side: width and height of the image.

    Returns:
        uint8 RGBA ``(side, side, 4)``, transparent except for the outlines and the scores.

    Example:
        >>> from lvlm_ad.regions.shapes import Box
        >>> int((draw_places([Box(2, 2, 8, 8, 1.0)], 10)[..., 3] > 0).sum()) >= 20
        True
    """
    places = [one for one in shapes if not isinstance(one, Region)]
    layer = np.zeros((side, side, 4), dtype=np.uint8)
    width = max(1, round(side * _WIDTH))
    for place in places:
        _outline(layer, place, width)
    if len(places) > _NUMBERED:
        return layer
    picture = Image.fromarray(layer)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(9, round(side * _TEXT)))
    # The highest score stands on top.
    for place in sorted(places, key=lambda one: one.score):
        window = place.window(side, side)
        _label(draw, f"{place.score:.2g}", (window.columns.start, window.rows.start), font, side)
    return np.asarray(picture)


def _outline(layer: NDArray[np.uint8], place: Place, width: int) -> None:
    """Draw the border of a place, inside of it."""
    window = place.window(*layer.shape[:2])
    within = layer[window.rows, window.columns]
    inside = np.ones(within.shape[:2], dtype=np.bool_) if window.inside is None else window.inside
    core = binary_erosion(inside, np.ones((3, 3), dtype=np.bool_), iterations=width) if inside.size else inside
    within[inside & ~core] = (*_COLOUR, 255)


def _label(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    side: int,
) -> None:
    """Write a score above the upper left corner of a place, or within the image where there is no room above."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0, min(corner[0], side - width))
    y = corner[1] - height if corner[1] >= height else max(0, min(corner[1], side - height))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=(*_COLOUR, 255))
    draw.text((x + 2 - left, y + 2 - top), text, fill=(*_INK, 255), font=font)
