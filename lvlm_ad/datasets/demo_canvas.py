"""A canvas for the pictures of the demo data set: shapes, photographed textures, light and camera."""

from __future__ import annotations

from copy import copy
from functools import cache
from itertools import pairwise
from math import ceil, cos, floor, pi, sin
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Field: TypeAlias = NDArray[np.floating]
    Colour: TypeAlias = tuple[float, float, float]
    Point: TypeAlias = tuple[float, float]
    Part: TypeAlias = tuple[float, float, float]

_OVERSAMPLING = 4
"""Lines are drawn this much larger and averaged down, so that their edges are smooth."""


def coloured(grey: Field, colour: Colour | Field) -> Field:
    """Turn a grey picture ``(H, W)`` into a colour picture ``(H, W, 3)``."""
    # One channel after the other in memory: NumPy is slow where the innermost loop is over three channels.
    return np.moveaxis(np.multiply.outer(np.asarray(colour), grey), 0, -1)


class Canvas:
    """A picture while it is drawn. Lengths and places are parts of its side; x points right, y down.

    A shape is a coverage: 0 outside, 1 inside, between them at its edge.

    Args:
        rng: the source of all randomness.
        size: pixels a side.

    Attributes:
        x: where each pixel's centre is, ``(size, size)`` in 0..1.
        y: likewise.
        image: ``(size, size, 3)`` in 0..1, before light and camera.
        area: where a defect may begin, bool ``(size, size)``.
        mask: where the picture is defective, bool ``(size, size)``.
        parts: (x, y, radius) of parts that may be missing or broken.
        window: rows and columns of the whole picture that this canvas shows.
    """

    def __init__(self, rng: Generator, size: int) -> None:
        self.rng, self.size = rng, size
        centres = (np.arange(size) + 0.5) / size
        self.x, self.y = np.meshgrid(centres, centres)
        self.image: Field = np.moveaxis(np.zeros((3, size, size)), 0, -1)
        self.area: NDArray[np.bool_] = np.ones((size, size), np.bool_)
        self.mask: NDArray[np.bool_] = np.zeros((size, size), np.bool_)
        self.parts: list[Part] = []
        self.window: tuple[slice[Any, Any, Any], slice[Any, Any, Any]] = np.s_[:, :]

    def around(self, centre: Point, reach: Point) -> Canvas:
        """Return the part of this canvas that lies around a point: what is drawn on it is drawn on the whole."""
        (left, right), (top, bottom) = (
            (max(0, floor((middle - far) * self.size)), ceil((middle + far) * self.size) + 1)
            for middle, far in zip(centre, reach, strict=True)
        )
        part = copy(self)
        part.window = at = np.s_[top:bottom, left:right]
        part.x, part.y, part.image = self.x[at], self.y[at], self.image[at]
        part.area, part.mask = self.area[at], self.mask[at]
        return part

    def paint(self, colour: Field | Colour, shape: Field) -> None:
        """Lay a colour, or a colour picture, over the image."""
        at, colour = _window(shape), np.asarray(colour)
        below = self.image[at]
        self.image[at] = below + shape[at][:, :, None] * ((colour[at] if colour.ndim > 1 else colour) - below)

    def shade(self, factor: Colour, shape: Field) -> None:
        """Multiply the image's colours by factors."""
        at = _window(shape)
        self.image[at] *= 1 + coloured(shape[at], np.asarray(factor) - 1)

    def mark(self, shape: Field, above: float = 0.5) -> None:
        """Note in the mask that a shape is defective."""
        self.mask |= shape > above

    def inside(self, distance: Field, softness: float = 0.0) -> Field:
        """Return the shape of a signed distance to an outline, negative inside."""
        return np.asarray(np.clip(0.5 - distance / (softness + 1 / self.size), 0, 1))

    def distance(self, centre: Point) -> Field:
        """Return each pixel's distance to a point."""
        return np.hypot(self.x - centre[0], self.y - centre[1])

    def noise(self, cells: int) -> Field:
        """Draw smooth noise of mean 0 and deviation 1, with about ``cells`` bumps along a side."""
        small = self.rng.standard_normal((cells + 2, cells + 2)).astype(np.float32)
        values = np.asarray(Image.fromarray(small).resize((self.size, self.size), Image.Resampling.BICUBIC))
        return np.asarray((values - values.mean()) / (values.std() + 1e-6))[self.window]

    def photo(self, name: str, part: float) -> Field:
        """Cut a square out of one of scikit-image's photographs and turn it, values in 0..1."""
        whole = _photo(name)
        edge = int(part * self.rng.uniform(0.9, 1.1) * len(whole))
        top, left = self.rng.integers(0, len(whole) - edge + 1, 2)
        piece = np.rot90(whole[top : top + edge, left : left + edge], int(self.rng.integers(4)))
        return np.asarray(Image.fromarray(np.ascontiguousarray(piece)).resize((self.size, self.size)))

    def spot(self) -> Point:
        """Choose a place for a defect within the area, away from the picture's border."""
        near_border = np.maximum(abs(self.x - 0.5), abs(self.y - 0.5)) > 0.38  # noqa: PLR2004 - of half a side
        rows, columns = np.nonzero(self.area & ~near_border)
        chosen = self.rng.integers(len(rows))
        return float(self.x[0, columns[chosen]]), float(self.y[rows[chosen], 0])

    def blob(self, centre: Point, radius: float, ragged: float = 0.25, softness: float = 0.0) -> Field:
        """Draw an irregular, longish patch."""
        turn, long = self.rng.uniform(0, pi), self.rng.uniform(1, 1.6)
        x, y = self.x - centre[0], self.y - centre[1]
        along, across = (x * cos(turn) + y * sin(turn)) / long, y * cos(turn) - x * sin(turn)
        edge = radius * (1 + ragged * self.noise(9) + 0.3 * ragged * self.noise(24))
        return self.inside(np.hypot(along, across) - edge, softness)

    def line(self, start: Point, turn: float, length: float, width: float, wobble: float) -> Field:
        """Draw a wandering line that grows thinner."""
        side = self.size * _OVERSAMPLING
        points, steps = [start], 24
        for bend in np.cumsum(self.rng.normal(0, wobble, steps)):
            x, y = points[-1]
            points.append((x + length / steps * cos(turn + bend), y + length / steps * sin(turn + bend)))
        layer = Image.new("L", (side, side))
        pen = ImageDraw.Draw(layer)
        thick = max(width * side, 1.3 * _OVERSAMPLING)
        for number, ends in enumerate(pairwise(points)):
            width_here = round(thick * (1 - 0.6 * number / steps))
            pen.line([(x * side, y * side) for x, y in ends], fill=255, width=width_here)
        return np.asarray(layer.reduce(_OVERSAMPLING)) / 255

    def shifted(self, shape: Field, length: float) -> Field:
        """Move a shape to the lower right by at least a pixel, for its shadow or its lit edge."""
        pixels = max(1, round(length * self.size))
        return np.roll(shape, (pixels, pixels), (0, 1))

    def photograph(self) -> NDArray[np.uint8]:
        """Light the picture unevenly and expose it, with the grain of a camera."""
        rng = self.rng
        turn, slope = rng.uniform(0, 2 * pi), rng.uniform(0.05, 0.2)
        light = rng.uniform(0.88, 1.04) + slope * ((self.x - 0.5) * cos(turn) + (self.y - 0.5) * sin(turn))
        for strength in rng.uniform(-0.22, 0.22, 2):
            # A glare, or the shadow of something outside the picture.
            light += strength * np.exp(-(self.distance(tuple(rng.uniform(0, 1, 2))) ** 2) / rng.uniform(0.01, 0.08))
        grain = 0.012 * rng.standard_normal(self.image.shape)
        return np.rint(255 * np.clip(self.image * light[:, :, None] + grain, 0, 1)).astype(np.uint8)


def _window(shape: Field) -> tuple[slice, slice]:
    """Return the rows and columns outside of which a shape is 0."""
    rows, columns = (np.flatnonzero(shape.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0), slice(0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


@cache
def _photo(name: str) -> NDArray[np.float32]:
    """Return a grey photograph that comes inside scikit-image's wheel, ``(512, 512)`` in 0..1."""
    from skimage import data  # noqa: PLC0415 - takes a third of a second

    photo: NDArray[np.float32] = np.array(getattr(data, name)(), np.float32)
    photo /= 255
    return photo
