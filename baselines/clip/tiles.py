"""Pictures cut into squares for CLIP, and the maps of these squares merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEP = 0.8
"""Distance between tiles, in sides of a tile; as in the code of InCTRL's authors (mala-lab/WinCLIP)."""

_MAX_TILES = 32
"""Most tiles of a picture; enough for squares up to an aspect ratio of 25."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int


def tiles(height: int, width: int) -> list[Tile]:
    """Cut a picture into squares along its longer side; the last one ends at the picture's end.

    A square picture is one tile. A picture that needs more than 32 squares is cut into 32 longer tiles: a line of
    pixels must not take hours.
    """
    side, length = min(height, width), max(height, width)
    extent = max(side, math.ceil(length / (1 + _STEP * (_MAX_TILES - 1))))
    count = 1 + math.ceil((length - extent) / (_STEP * extent))
    starts = dict.fromkeys(min(round(number * _STEP * extent), length - extent) for number in range(count))
    return [Tile(0, start, side, extent) if width > height else Tile(start, 0, extent, side) for start in starts]


def squared(image: NDArray[np.uint8], tile: Tile, side: int) -> NDArray[np.uint8]:
    """Resize a part of a picture to a square, bicubically, uint8 ``(side, side, 3)``."""
    part = image[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
    if part.shape[:2] == (side, side):
        return part
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC))


def enlarged(small: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge a map ``(h, w)`` to float32 ``size``, bilinearly with half-pixel centres."""
    rows, columns = (_weights(count, 0.0, 1.0, pixels)[0] for count, pixels in zip(small.shape, size, strict=True))
    return np.asarray(rows @ small @ columns.T, dtype=np.float32)


def merged(
    maps: Sequence[NDArray[np.floating]], parts: Sequence[Tile], image: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Merge the maps of tiles: bilinear within each tile, the mean where tiles overlap.

    Args:
        maps: float ``(h, w)``, one per tile.
        parts: the tiles.
        image: height and width of the picture.
        size: height and width of the map, float32, to which the picture is stretched.
    """
    if len(maps) == 1:
        return enlarged(maps[0], size)
    total, tiles_at = np.zeros(size), np.zeros(size)
    for values, tile in zip(maps, parts, strict=True):
        rows, in_rows = _weights(values.shape[0], tile.top / image[0], (tile.top + tile.height) / image[0], size[0])
        columns, in_columns = _weights(
            values.shape[1], tile.left / image[1], (tile.left + tile.width) / image[1], size[1]
        )
        total += rows @ values @ columns.T
        tiles_at += np.outer(in_rows, in_columns)
    return np.asarray(total / tiles_at, dtype=np.float32)


def _weights(count: int, start: float, end: float, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the weights of bilinear interpolation along one axis, and which of its pixels they concern.

    Args:
        count: number of values, which lie between ``start`` and ``end``, fractions of the axis.
        start: begin of the values.
        end: end of the values.
        pixels: number of pixels along the axis.

    Returns:
        The weights, ``(pixels, count)``, 0 for pixels outside; and which pixels are inside, bool ``(pixels,)``.
    """
    centres = (np.arange(pixels) + 0.5) / pixels
    inside = (centres >= start) & (centres <= end)
    position = np.clip((centres - start) / (end - start) * count - 0.5, 0, count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    high = np.minimum(low + 1, count - 1)
    weights = np.zeros((pixels, count))
    lines = np.arange(pixels)
    weights[lines, low] += 1 - (position - low)
    weights[lines, high] += position - low
    return weights * inside[:, None], inside
