"""Places in an image to which a model gives a score: regions by number, boxes, points, cells, polygons, masks.

Coordinates are pixels of the image that the model was shown, from its upper left corner: ``x`` to the right, ``y``
down. A pixel belongs to a shape if the shape holds its centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Box", "Cell", "Mask", "Point", "Polygon", "Region", "Shape"]


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
class Box:
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


@dataclass(frozen=True, slots=True)
class Point:
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


@dataclass(frozen=True, slots=True)
class Cell:
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


@dataclass(frozen=True, slots=True)
class Polygon:
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


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Any set of pixels.

    Attributes:
        left: column of the first column of ``pixels``.
        top: row of the first row of ``pixels``.
        pixels: bool ``(h, w)``.
        score: in [0, 1]; higher is more anomalous.
    """

    left: int
    top: int
    pixels: NDArray[np.bool_]
    score: float


Shape: TypeAlias = Region | Box | Point | Cell | Polygon | Mask
