"""Shapes that nature makes: wandering lines, ragged patches, cloudy fields; all antialiased."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from lvlm_ad.datasets.demo.surface import Field

__all__ = ["bow", "cloud", "log_uniform", "patch", "place", "strokes", "walk"]

_OVER = 4
"""Strokes are drawn this many times larger, since Pillow's lines have whole pixels of width."""


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """Choose a size such that each doubling is as likely as the next."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def place(rng: Generator, area: Field, *, inside: float = 0.0) -> tuple[float, float]:
    """Choose a point of an area.

    Args:
        rng: the source of chance.
        area: float32 ``(H, W)`` in [0, 1], 1 where the object is.
        inside: pixels to keep from the area's border where it is wide enough for that.

    Returns:
        x, y in pixels.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - only defects need it

    # The picture's border bounds the area too.
    depth = distance_transform_edt(np.pad(area > 0.5, 1))[1:-1, 1:-1]  # noqa: PLR2004 - half covered
    deep = np.flatnonzero(depth >= min(inside + 1, 0.8 * float(depth.max())))
    row, column = divmod(int(deep[rng.integers(len(deep))]), area.shape[1])
    return column + 0.5, row + 0.5


def strokes(size: int, lines: Sequence[tuple[NDArray[np.float64], float]], *, taper: bool = True) -> Field:
    """Draw lines.

    Args:
        size: pixels a side.
        lines: for each line its points, float64 ``(N, 2)``, x and y in pixels, and its width in pixels at the widest.
        taper: whether both ends run out thin.

    Returns:
        float32 ``(size, size)`` in [0, 1], how much of each pixel the lines cover.
    """
    canvas = Image.new("L", (size * _OVER, size * _OVER))
    pen = ImageDraw.Draw(canvas)
    for points, width in lines:
        along = np.linspace(0, 1, len(points))
        widths = width * (np.minimum(1, 0.25 + 3 * np.minimum(along, 1 - along)) if taper else np.ones_like(along))
        scaled = points * _OVER
        for (x0, y0), (x1, y1), wide in zip(scaled[:-1], scaled[1:], widths[:-1] * _OVER, strict=True):
            pen.line((x0, y0, x1, y1), fill=255, width=max(1, round(wide)))
            half = wide / 2
            if half > 1:
                pen.ellipse((x1 - half, y1 - half, x1 + half, y1 + half), fill=255)
    return np.asarray(canvas.reduce(_OVER), np.float32) / np.float32(255)


def bow(rng: Generator, at: tuple[float, float], length: float, bend: float = 0.25) -> NDArray[np.float64]:
    """Return a smooth, slightly bent line through a point, float64 ``(N, 2)``.

    Args:
        rng: the source of chance.
        at: x, y of its middle, in pixels.
        length: pixels from end to end.
        bend: how far the middle may stand off the straight line, as a part of the length.
    """
    angle = rng.uniform(0, 2 * pi)
    along = np.linspace(-0.5, 0.5, 24)
    side = rng.uniform(-bend, bend) * (0.25 - along**2) * 2 + rng.uniform(-bend, bend) * 0.3 * np.sin(2 * pi * along)
    x = at[0] + length * (along * cos(angle) - side * sin(angle))
    y = at[1] + length * (along * sin(angle) + side * cos(angle))
    return np.stack([x, y], axis=1)


def walk(
    rng: Generator, start: tuple[float, float], angle: float, length: float, *, step: float, wobble: float
) -> NDArray[np.float64]:
    """Return a jagged line, as cracks run, float64 ``(N, 2)``.

    Args:
        rng: the source of chance.
        start: x, y of its first point, in pixels.
        angle: the direction in which it sets out, radians.
        length: pixels along the line.
        step: pixels between two corners.
        wobble: standard deviation of the turn at each corner, radians.
    """
    count = max(3, round(length / step))
    # Turns are drawn back to the first direction, or a long crack would curl up.
    course = angle + rng.normal(0, wobble, count)
    steps = length / count * rng.uniform(0.6, 1.4, count)
    x = start[0] + np.concatenate([[0.0], np.cumsum(steps * np.cos(course))])
    y = start[1] + np.concatenate([[0.0], np.cumsum(steps * np.sin(course))])
    return np.stack([x, y], axis=1)


def patch(
    rng: Generator, size: int, at: tuple[float, float], radius: float, *, ragged: float = 0.2, long: float = 1.0
) -> Field:
    """Draw an irregular patch.

    Args:
        rng: the source of chance.
        size: pixels a side of the picture.
        at: x, y of its middle, in pixels.
        radius: its mean radius in pixels.
        ragged: 0 is an ellipse; 0.5 has deep bays.
        long: how many times longer than wide, at most.

    Returns:
        float32 ``(size, size)`` in [0, 1], how much of each pixel it covers.
    """
    around = np.linspace(0, 2 * pi, 96, endpoint=False)
    distance = np.ones_like(around)
    for waves in range(2, 12):
        distance += ragged / waves**0.8 * rng.normal() * np.sin(waves * around + rng.uniform(0, 2 * pi))
    distance = radius * np.clip(distance, 0.35, 1.8)
    stretch, angle = np.sqrt(rng.uniform(1, long)), rng.uniform(0, pi)
    u, v = distance * np.cos(around) * stretch, distance * np.sin(around) / stretch
    x, y = at[0] + u * cos(angle) - v * sin(angle), at[1] + u * sin(angle) + v * cos(angle)
    canvas = Image.new("L", (size * _OVER, size * _OVER))
    ImageDraw.Draw(canvas).polygon([(float(a), float(b)) for a, b in np.stack([x, y], axis=1) * _OVER], fill=255)
    return np.asarray(canvas.reduce(_OVER), np.float32) / np.float32(255)


def cloud(rng: Generator, size: int, cells: int, octaves: int = 3) -> Field:
    """Return a smooth random field.

    Args:
        rng: the source of chance.
        size: pixels a side.
        cells: how many hills the coarsest octave has from side to side.
        octaves: each has twice the cells and half the strength of the one before.

    Returns:
        float32 ``(size, size)``, mean about 0, nearly all within [-1, 1].
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        side = min(cells * 2**octave + 1, size)
        grid = Image.fromarray(rng.uniform(-1, 1, (side, side)).astype(np.float32))
        total += np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC)) / 2**octave
    return np.asarray(total / 1.4, np.float32)
