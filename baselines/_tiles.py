"""Pictures as CLIP takes them: squares; and the maps of several squares put together again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Tile", "grown", "squared", "stitched", "tiles"]

_STEP = 0.8
"""From one tile to the next, in sides of a tile; as in the code of InCTRL's authors (mala-lab/WinCLIP)."""

_MOST = 32
"""Tiles of a picture; enough for squares up to an aspect of 25."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int


def tiles(height: int, width: int) -> list[Tile]:
    """Cut a picture into squares along its longer side; the last one ends where the picture does.

    A square picture is one tile. One so long that more than 32 squares would be needed is cut into 32 longer tiles:
    a line of pixels must not take hours.
    """
    side, length = min(height, width), max(height, width)
    extent = max(side, math.ceil(length / (1 + _STEP * (_MOST - 1))))
    count = 1 + math.ceil((length - extent) / (_STEP * extent))
    starts = dict.fromkeys(min(round(at * _STEP * extent), length - extent) for at in range(count))
    return [Tile(0, at, side, extent) if width > height else Tile(at, 0, extent, side) for at in starts]


def squared(image: NDArray[np.uint8], tile: Tile, side: int) -> NDArray[np.uint8]:
    """Return a part of a picture, bicubically squeezed into a square, uint8 ``(side, side, 3)``."""
    part = image[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
    if part.shape[:2] == (side, side):
        return part
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC))


def grown(small: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge a map bilinearly with half-pixel centres.

    Args:
        small: float ``(h, w)``.
        size: the new (height, width).

    Returns:
        float32 ``size``.
    """
    rows, columns = (_places(count, 0.0, 1.0, of)[0] for count, of in zip(small.shape, size, strict=True))
    return np.asarray(rows @ small @ columns.T, dtype=np.float32)


def stitched(
    maps: Sequence[NDArray[np.floating]], parts: Sequence[Tile], image: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Put the maps of tiles together: bilinear within each, the mean where several see the same pixel.

    Args:
        maps: float ``(h, w)``, one a tile.
        parts: where the tiles are.
        image: height and width of the picture that was cut.
        size: height and width of the map; the picture is stretched to it.

    Returns:
        float32 ``size``.
    """
    if len(maps) == 1:
        return grown(maps[0], size)
    total, seen = np.zeros(size), np.zeros(size)
    for values, tile in zip(maps, parts, strict=True):
        rows, in_rows = _places(values.shape[0], tile.top / image[0], (tile.top + tile.height) / image[0], size[0])
        columns, in_columns = _places(
            values.shape[1], tile.left / image[1], (tile.left + tile.width) / image[1], size[1]
        )
        total += rows @ values @ columns.T
        seen += np.outer(in_rows, in_columns)
    return np.asarray(total / seen, dtype=np.float32)


def _places(count: int, start: float, end: float, of: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Say how ``of`` pixels read ``count`` values that lie between ``start`` and ``end`` of their line.

    Returns:
        The weights, ``(of, count)``, 0 for pixels outside; and which pixels are inside, bool ``(of,)``.
    """
    centres = (np.arange(of) + 0.5) / of
    inside = (centres >= start) & (centres <= end)
    at = np.clip((centres - start) / (end - start) * count - 0.5, 0, count - 1)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    high = np.minimum(low + 1, count - 1)
    weights = np.zeros((of, count))
    lines = np.arange(of)
    weights[lines, low] += 1 - (at - low)
    weights[lines, high] += at - low
    return weights * inside[:, None], inside
