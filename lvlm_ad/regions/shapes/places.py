"""The shapes as classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lvlm_ad.regions.shapes.windows import Window, disc, pixel_of, polygon, rectangle, shifted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Box", "Cell", "Mask", "Place", "Point", "Polygon", "Region", "Shape"]


class Place:
    """A shape that is no region: its pixels follow from the size of the image alone.

    Example:
        >>> Box(0, 1, 2, 2, 0.9).mask(height=3, width=3).astype(int).tolist()
        [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
    """

    __slots__ = ()

    def window(self, height: int, width: int) -> Window:
        """Return its pixels within an image of this size."""
        raise NotImplementedError

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return its pixels as bool ``(height, width)``, the size of the image."""
        return self.window(height, width).mask(height, width)


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the image's division.

    Attributes:
        number: its number, from 1.
        score: in [0, 1]; higher is more anomalous.

    Example:
        >>> Region(3, 0.7).number
        3
    """

    number: int
    score: float


@dataclass(frozen=True, slots=True)
class Box(Place):
    """A rectangle with sides along the axes.

    Attributes:
        x1: left side.
        y1: upper side.
        x2: right side, above ``x1``.
        y2: lower side, above ``y1``.
        score: in [0, 1]; higher is more anomalous.

    Example:
        >>> Box(10, 20, 30, 40, 0.9).x2
        30
    """

    x1: float
    y1: float
    x2: float
    y2: float
    score: float

    def window(self, height: int, width: int) -> Window:
        """Return its pixels within an image of this size; the one in its middle if it holds no centre."""
        return rectangle(self.x1, self.y1, self.x2, self.y2, height, width)


@dataclass(frozen=True, slots=True)
class Point(Place):
    """A point, painted as a disc.

    Attributes:
        x: column.
        y: row.
        score: in [0, 1]; higher is more anomalous.
        radius: of the disc, in pixels.

    Example:
        >>> Point(10.5, 20.5, 0.9, radius=5).radius
        5
    """

    x: float
    y: float
    score: float
    radius: float

    def window(self, height: int, width: int) -> Window:
        """Return its pixels within an image of this size; its own at least."""
        return disc(self.x, self.y, self.radius, height, width)

    def pixel(self, height: int, width: int) -> tuple[int, int]:
        """Return the (row, column) of its own pixel."""
        return pixel_of(self.x, self.y, height, width)


@dataclass(frozen=True, slots=True)
class Cell(Place):
    """A cell of a grid, as the division ``grid`` cuts it.

    Attributes:
        row: from 1, from the top.
        column: from 1, from the left.
        rows: rows of the grid.
        columns: columns of the grid.
        score: in [0, 1]; higher is more anomalous.

    Example:
        >>> Cell(1, 4, rows=3, columns=6, score=0.8).column
        4
    """

    row: int
    column: int
    rows: int
    columns: int
    score: float

    def window(self, height: int, width: int) -> Window:
        """Return its pixels within an image of this size; none if the grid is finer than the pixels."""
        down = (-(-row * height // self.rows) for row in (self.row - 1, self.row))
        right = (-(-column * width // self.columns) for column in (self.column - 1, self.column))
        return Window(slice(*down), slice(*right))


@dataclass(frozen=True, slots=True)
class Polygon(Place):
    """A polygon; inside is what a ray leaves through an odd number of sides.

    Attributes:
        corners: (x, y) of each corner, three or more.
        score: in [0, 1]; higher is more anomalous.

    Example:
        >>> len(Polygon(((0, 0), (4, 0), (4, 4)), 0.5).corners)
        3
    """

    corners: tuple[tuple[float, float], ...]
    score: float

    def window(self, height: int, width: int) -> Window:
        """Return its pixels within an image of this size; none if it holds no centre."""
        return polygon(self.corners, height, width)


@dataclass(frozen=True, slots=True, eq=False)
class Mask(Place):
    """Any set of pixels.

    Attributes:
        left: column of the first column of ``pixels``.
        top: row of the first row of ``pixels``.
        pixels: bool ``(h, w)``, at least one.
        score: in [0, 1]; higher is more anomalous.

    Example:
        >>> import numpy as np
        >>> Mask(2, 0, np.array([[True, False]]), 0.5).mask(1, 4).astype(int).tolist()
        [[0, 0, 1, 0]]
    """

    left: int
    top: int
    pixels: NDArray[np.bool_]
    score: float

    def window(self, height: int, width: int) -> Window:
        """Return its pixels within an image of this size."""
        return shifted(self.pixels, self.left, self.top, height, width)


Shape: TypeAlias = Region | Box | Point | Cell | Polygon | Mask
