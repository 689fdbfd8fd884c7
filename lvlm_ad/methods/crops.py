"""What a closer look needs: a square window around a region, its picture from the image file, and its pieces."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from PIL import Image

from lvlm_ad.prompts.drawing import DRAWING_VERSION, Drawing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.prompts.drawing import Images

__all__ = ["Enlarged", "Window", "split"]

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Window:
    """A square part of an image.

    Attributes:
        left: its first column, in pixels of the stretched image.
        top: its first row.
        side: its side.
        of: side of the stretched image.
    """

    left: int
    top: int
    side: int
    of: int

    @classmethod
    def around(cls, inside: NDArray[np.bool_], margin: float) -> Window:
        """Return the square around a region, moved as little as needed to lie inside the image.

        Args:
            inside: bool ``(S, S)``, the region; at least one pixel.
            margin: room on each side of the region, as a fraction of the region's longer side.

        Example:
            >>> inside = np.zeros((100, 100), bool)
            >>> inside[40:60, 90:100] = True
            >>> Window.around(inside, margin=0.5)
            Window(left=60, top=30, side=40, of=100)
        """
        rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        longer = max(np.ptp(rows), np.ptp(columns)) + 1
        size = len(inside)
        side = min(size, ceil(longer * (1 + 2 * margin)))
        left, top = (
            min(max(int(within[0] + within[-1] + 1 - side) // 2, 0), size - side) for within in (columns, rows)
        )
        return cls(left, top, side, size)

    def picture(self, original: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """Cut the window out of the image as it is in its file, and stretch it bilinearly.

        Args:
            original: uint8 ``(H, W, 3)``, RGB.
            side: side of the picture.

        Returns:
            uint8 ``(side, side, 3)``.

        Example:
            >>> Window(left=60, top=30, side=40, of=100).picture(np.zeros((300, 500, 3), np.uint8), 64).shape
            (64, 64, 3)
        """
        height, width = original.shape[:2]
        box = (
            self.left * width / self.of,
            self.top * height / self.of,
            (self.left + self.side) * width / self.of,
            (self.top + self.side) * height / self.of,
        )
        return np.asarray(Image.fromarray(original).resize((side, side), Image.Resampling.BILINEAR, box=box))

    def cut(self, values: NDArray[T]) -> NDArray[T]:
        """Return the window's part of a map of the stretched image: ``(S, S)`` -> ``(side, side)``."""
        return values[self.top : self.top + self.side, self.left : self.left + self.side]


@dataclass(frozen=True, eq=False)
class Enlarged(Drawing):
    """A window, cut out of the image's own pixels.

    Attributes:
        window: the part of the image.
        side: side of the picture.
    """

    window: Window
    side: int
    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return the window, stretched."""
        return self.window.picture(images.original, self.side)


def split(inside: NDArray[np.bool_], pieces: int) -> NDArray[np.int64]:
    """Cut a region into pieces of about the same area: across its longer side, and then each part in the same manner.

    Unlike the cells of a grid, no piece is a sliver that has no room for its number. The cuts depend on the region's
    pixels alone, so that stored answers stay valid on every machine.

    Args:
        inside: bool ``(H, W)``, the region.
        pieces: how many; a region of fewer pixels has one for each pixel.

    Returns:
        int64 ``(H, W)``: each pixel's piece, from 1 without gaps; 0 outside the region.

    Example:
        >>> split(np.ones((2, 4), bool), pieces=4)
        array([[1, 1, 3, 3],
               [2, 2, 4, 4]])
    """
    labels = np.zeros(inside.shape, dtype=np.int64)
    rows, columns = np.nonzero(inside)
    waiting = [(rows, columns, pieces)]
    number = 0
    while waiting:
        rows, columns, count = waiting.pop()
        if min(count, len(rows)) <= 1:
            number += 1
            labels[rows, columns] = number
            continue
        along = rows if np.ptp(rows) >= np.ptp(columns) else columns
        middle = len(along) * (count // 2) // count
        before = along < max(np.partition(along, middle)[middle], along.min() + 1)
        waiting.append((rows[~before], columns[~before], count - count // 2))
        waiting.append((rows[before], columns[before], count // 2))
    return labels
