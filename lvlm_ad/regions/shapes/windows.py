"""Which pixels of an image lie in a rectangle, a disc, a polygon or a mask.

A pixel lies in a shape if its centre does. An image's pixel in row i and column j has its centre at x = j + 0.5,
y = i + 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Window", "disc", "pixel_of", "polygon", "rectangle", "shifted"]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A set of pixels of an image.

    Attributes:
        rows: the rows that it spans, within the image.
        columns: the columns that it spans, within the image.
        inside: bool, one for each pixel of these rows and columns: whether it belongs to the set; None: all do.

    Example:
        >>> rectangle(1, 0, 3, 1, height=2, width=4).mask(2, 4).astype(int).tolist()
        [[0, 1, 1, 0], [0, 0, 0, 0]]
    """

    rows: slice
    columns: slice
    inside: NDArray[np.bool_] | None = None

    def fill(self, image: NDArray[Any], value: Any) -> None:
        """Write a value into the pixels of an image ``(H, W)``."""
        within = image[self.rows, self.columns]
        within[... if self.inside is None else self.inside] = value

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the set as bool ``(height, width)``, the size of the image."""
        mask = np.zeros((height, width), dtype=np.bool_)
        self.fill(mask, value=True)
        return mask


def rectangle(x1: float, y1: float, x2: float, y2: float, height: int, width: int) -> Window:
    """Return the pixels for which ``x1 <= x < x2`` and ``y1 <= y < y2``.

    A rectangle between the centres has none; it gets the pixel in which its own middle lies.
    """
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    columns, rows = _centres(x1, x2, width), _centres(y1, y2, height)
    between = columns.start == columns.stop or rows.start == rows.stop
    if between and x1 < x2 and y1 < y2:
        row, column = pixel_of((x1 + x2) / 2, (y1 + y2) / 2, height, width)
        return Window(slice(row, row + 1), slice(column, column + 1))
    return Window(rows, columns)


def disc(x: float, y: float, radius: float, height: int, width: int) -> Window:
    """Return the pixels whose centre is at most ``radius`` away, and the one in which the disc's own centre lies.

    A disc whose centre lies on the right or lower edge of the image has the last pixel there.
    """
    reach = radius + 1
    rows, columns = _centres(y - reach, y + reach, height), _centres(x - reach, x + reach, width)
    down, right = np.arange(rows.start, rows.stop) + 0.5 - y, np.arange(columns.start, columns.stop) + 0.5 - x
    inside = down[:, None] ** 2 + right[None, :] ** 2 <= radius**2
    if 0 <= x <= width and 0 <= y <= height:
        row, column = pixel_of(x, y, height, width)
        inside[row - rows.start, column - columns.start] = True
    return Window(rows, columns, inside)


def polygon(corners: Sequence[tuple[float, float]], height: int, width: int) -> Window:
    """Return the pixels inside a polygon: a ray from the pixel leaves it through an odd number of sides."""
    xs, ys = np.asarray(corners, dtype=np.float64).T
    rows, columns = _centres(ys.min(), ys.max(), height), _centres(xs.min(), xs.max(), width)
    size = rows.stop - rows.start, columns.stop - columns.start
    # How many sides each row crosses up to each pixel; one more column for crossings on the right.
    crossings = np.zeros((size[0], size[1] + 1), dtype=np.int32)
    for x1, y1, x2, y2 in zip(xs, ys, np.roll(xs, -1), np.roll(ys, -1), strict=True):
        crossed = _centres(min(y1, y2), max(y1, y2), height)
        if crossed.start == crossed.stop:
            continue
        row = np.arange(crossed.start, crossed.stop)
        x = x1 + (row + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        first = np.clip(np.ceil(x - 0.5), columns.start, columns.stop).astype(np.intp) - columns.start
        crossings[row - rows.start, first] += 1  # a side crosses a row once
    return Window(rows, columns, crossings.cumsum(axis=1)[:, :-1] % 2 == 1)


def shifted(pixels: NDArray[np.bool_], left: int, top: int, height: int, width: int) -> Window:
    """Return the pixels of a mask whose first row and column are ``top`` and ``left`` of the image."""
    rows, columns = _cut(top, top + pixels.shape[0], height), _cut(left, left + pixels.shape[1], width)
    return Window(rows, columns, pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left])


def pixel_of(x: float, y: float, height: int, width: int) -> tuple[int, int]:
    """Return the (row, column) of the pixel in which a point lies; on the right or lower edge the last one."""
    return min(max(floor(y), 0), height - 1), min(max(floor(x), 0), width - 1)


def _centres(low: float, high: float, size: int) -> slice:
    """Return the pixels along a side of ``size`` for which ``low <= centre < high``."""
    start, stop = (ceil(min(max(end, -1.0), size + 1.0) - 0.5) for end in (low, high))
    return _cut(start, stop, size)


def _cut(start: int, stop: int, size: int) -> slice:
    start = min(max(start, 0), size)
    return slice(start, min(max(stop, start), size))
