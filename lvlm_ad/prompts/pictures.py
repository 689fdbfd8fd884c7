"""Which pictures a question shows, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lvlm_ad.backend import Picture
from lvlm_ad.prompts.marks import draw_marks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.prompts.marks import MarkStyle
    from lvlm_ad.regions import Regions

__all__ = ["Visual", "four_pictures", "visual_prompt"]

Visual = Literal["marked", "image+marked", "image+marks"]
"""``marked``: image with borders and numbers. ``image+marked``: the bare image, then the marked one.
``image+marks``: the bare image, then borders and numbers alone on black."""


def four_pictures(image: NDArray[np.uint8], regions: Regions, style: MarkStyle) -> dict[str, NDArray[np.uint8]]:
    """Draw the four pictures of the published code.

    Returns:
        "borders", "borders+numbers" (both on black), "image+borders" and "image+borders+numbers", each uint8
        ``(H, W, 3)``.
    """
    black = np.zeros_like(image)
    return {
        "borders": draw_marks(black, regions, style, numbers=False),
        "borders+numbers": draw_marks(black, regions, style),
        "image+borders": draw_marks(image, regions, style, numbers=False),
        "image+borders+numbers": draw_marks(image, regions, style),
    }


def visual_prompt(image: NDArray[np.uint8], regions: Regions, style: MarkStyle, visual: Visual) -> tuple[Picture, ...]:
    """Draw and encode the pictures that a question shows.

    Args:
        image: uint8 ``(H, W, 3)``, RGB, of the division's size.
        regions: the division.
        style: how marks look.
        visual: which pictures.
    """
    if visual == "image+marks":
        shown = [image, draw_marks(np.zeros_like(image), regions, style)]
    elif visual == "image+marked":
        shown = [image, draw_marks(image, regions, style)]
    else:
        shown = [draw_marks(image, regions, style)]
    return tuple(Picture.from_pixels(pixels) for pixels in shown)
