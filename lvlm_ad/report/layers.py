"""The layers that a page lays over an image: marks, map and outline, with few colours and thus quick to write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lvlm_ad.png import png_bytes
from lvlm_ad.report import heat

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.text2seg import ScoreMap

__all__ = ["map_layer", "marks_layer", "outline_layer", "save_layer"]

_OUTLINE_COLOUR = (255, 0, 200)
"""Magenta: rare in images, and absent from the maps."""

_OUTLINE_WIDTH = 1 / 192
"""As a share of the longer side: one pixel where a card shows the picture 190 pixels wide."""


def marks_layer(grey: NDArray[np.uint8], where: NDArray[np.bool_]) -> Image.Image:
    """Return marks without their image; the arguments are those that ``marks_alone`` returns."""
    # Of 256 levels the marks use few: a level that no pixel has means transparent.
    free = int(np.argmin(Image.fromarray(grey).histogram()))
    layer = _of_colours(np.where(where, grey, np.uint8(free)), [(level, level, level) for level in range(256)])
    layer.info["transparency"] = free
    return layer


def map_layer(scores: ScoreMap, highest: float) -> Image.Image:
    """Return an anomaly map in the colours of ``heat``; ``highest`` is the score that is yellow."""
    level = np.rint(np.clip(scores.values / highest, 0, 1) * 255).astype(np.uint8)
    return _of_colours(level.take(scores.regions.cells), _heat_colours())


def outline_layer(mask: NDArray[np.bool_]) -> Image.Image:
    """Return the border of a mask, bool ``(H, W)`` and not empty, just outside of it."""
    from scipy.ndimage import maximum_filter  # noqa: PLC0415 - slow to import

    width = max(1, round(max(mask.shape) * _OUTLINE_WIDTH))
    line = np.zeros(mask.shape, np.uint8)
    # Most defects are small: nothing is computed far from them.
    inside = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    at = tuple(slice(max(0, one[0] - width), one[-1] + width + 1) for one in inside)
    line[at] = maximum_filter(mask[at].astype(np.uint8), 2 * width + 1, mode="constant") - mask[at]
    layer = _of_colours(line, [(0, 0, 0), _OUTLINE_COLOUR])
    layer.info["transparency"] = 0
    return layer


def save_layer(layer: Image.Image, path: Path, side: int) -> None:
    """Write a layer as PNG, averaged down if it has a side longer than ``side``."""
    if max(layer.size) > side:
        layer = layer.convert("RGBA")
        layer.thumbnail((side, side), Image.Resampling.BOX)
    palette = bytes(layer.getpalette() or ())
    path.write_bytes(png_bytes(np.asarray(layer), palette, layer.info.get("transparency") if palette else None))


@cache
def _heat_colours() -> tuple[tuple[int, int, int], ...]:
    return tuple((int(red), int(green), int(blue)) for red, green, blue in heat(np.linspace(0, 1, 256)))


def _of_colours(numbers: NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> Image.Image:
    """Return a picture from the number of each pixel's colour."""
    picture = Image.fromarray(numbers)
    picture.putpalette([value for colour in colours for value in colour])
    return picture
