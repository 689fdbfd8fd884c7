"""The pictures of the demo: two photographed textures and four drawn products, good and with defects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from math import cos, pi, sin
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from lvlm_ad.datasets.demo_canvas import Canvas, coloured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.datasets.demo_canvas import Colour, Field, Point

__all__ = ["CATEGORIES", "draw_picture"]

_SMALLEST = 0.0004
"""Part of the picture that a mask covers at least: 26 pixels of 256 x 256."""


def draw_picture(
    category: str, folder: str, index: int, *, seed: int, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw the picture with a number in a folder such as "test/scratch"; return image and mask.

    The picture depends on the arguments alone, not on pictures drawn before.

    Example:
        >>> image, mask = draw_picture("washer", "test/scratch", 0, seed=0, size=64)
        >>> image.shape, bool(mask.any())
        ((64, 64, 3), True)
    """
    defect = folder.rpartition("/")[2]
    draw, defects = CATEGORIES[category]
    for attempt in count():
        key = (seed, crc32(category.encode()), crc32(folder.encode()), index, attempt)
        canvas = Canvas(np.random.default_rng(key), size)
        draw(canvas)
        if defect != "good":
            defects[defect](canvas)
        # A defect may be too small, or lie outside the part: draw another one.
        if defect == "good" or canvas.mask.mean() >= _SMALLEST:
            break
    return canvas.photograph(), canvas.mask


def _draw_brick(canvas: Canvas) -> None:
    grey = canvas.photo("brick", 0.6)
    # In the photograph mortar is brighter than brick.
    mortar = np.clip((grey - 0.44) / 0.16, 0, 1)
    red = 1 + 0.07 * canvas.noise(8)
    tint = coloured((1 - mortar) * red, (1.62, 0.98, 0.78)) + coloured(mortar, (1.22, 1.16, 1.06))
    canvas.image = grey[:, :, None] * tint


def _draw_gravel(canvas: Canvas) -> None:
    canvas.image = coloured(canvas.photo("gravel", 0.6), (1.16, 1.1, 1.02))
    canvas.image *= 1 + coloured(canvas.noise(30), (0.05, 0, -0.06))
    for x, y in canvas.rng.uniform(0, 1, (int(canvas.rng.integers(3, 9)), 2)):
        # Some stones of a good gravel are red.
        canvas.shade((1.15, 0.85, 0.75), canvas.blob((x, y), 0.014))


def _draw_board(canvas: Canvas) -> None:
    """Solder chips between rows of resistors on a green circuit board."""
    rng, columns = canvas.rng, (0.2, 0.4, 0.6, 0.8)
    canvas.image = coloured(1 + 0.06 * canvas.noise(4), (0.08, 0.34, 0.2))
    tracks = np.minimum(abs((canvas.x * 20) % 1 - 0.5), abs((canvas.y * 5) % 1 - 0.5) * 4)
    canvas.shade((1.5, 1.25, 1.3), canvas.inside(tracks / 20 - 0.004))
    left, top = rng.normal(0, 0.008, 2)
    for row in (0.32, 0.68):
        for column in (0.3, 0.7):
            _draw_part(canvas, (column + left, row + top), (0.13, 0.075), (0.09, 0.09, 0.1), pins=7)
    canvas.parts = [(x + left, y + top, 0.034) for y in (0.14, 0.5, 0.86) for x in columns]
    for x, y, radius in canvas.parts:
        _draw_part(canvas, (x, y), (radius, 0.5 * radius), (0.62, 0.47, 0.3), pins=0)
    canvas.area = abs(canvas.y - 0.5 - top) < 0.4  # noqa: PLR2004 - where the parts are


def _draw_part(canvas: Canvas, centre: Point, half: Point, colour: Colour, pins: int) -> None:
    """Draw a box with pins at its long sides, or, without pins, with metal at its ends."""
    # Neither a shape nor its shadow reaches farther.
    canvas = canvas.around(centre, (1.4 * half[0] + 0.03, half[1] + 0.05))
    x, y = canvas.x - centre[0], canvas.y - centre[1]
    box = np.maximum(abs(x) - half[0], abs(y) - half[1])
    metal = np.maximum(abs(x) - half[0] * 1.3, abs(y) - half[1])
    if pins:
        metal = np.maximum(abs(x) - half[0], abs(y) - half[1] - 0.022)
        metal = np.maximum(metal, (abs((x / half[0] * pins / 2 + pins % 2 / 2) % 1 - 0.5) - 0.22) * 2 * half[0] / pins)
    canvas.shade((0.5, 0.5, 0.5), canvas.shifted(canvas.inside(np.minimum(box, metal)), 0.008))
    canvas.paint(coloured(0.8 + 0.04 * canvas.noise(40), (0.96, 0.97, 1)), canvas.inside(metal))
    canvas.paint(coloured(1 - 4 * y + 0.05 * canvas.noise(60), colour), canvas.inside(box))


def _draw_fabric(canvas: Canvas) -> None:
    """Weave threads over and under one another."""
    turn, threads = canvas.rng.normal(0, 0.05), min(34, canvas.size // 5)
    # Places in threads; the offset keeps them positive where the fabric is turned.
    x = threads * (1 + canvas.x * cos(turn) + canvas.y * sin(turn) + 0.004 * canvas.noise(6))
    y = threads * (1 + canvas.y * cos(turn) - canvas.x * sin(turn) + 0.004 * canvas.noise(6))
    round_x, round_y = np.sin(pi * (x % 1)), np.sin(pi * (y % 1))
    tones = canvas.rng.normal(1, 0.1, (2, 3 * threads))
    warp = tones[0][x.astype(int)] * (0.45 + 0.55 * round_x * (0.6 + 0.4 * round_y))
    weft = tones[1][y.astype(int)] * (0.45 + 0.55 * round_y * (0.6 + 0.4 * round_x))
    canvas.image = coloured(weft, (0.66, 0.68, 0.7))
    canvas.paint(coloured(warp, (0.3, 0.42, 0.62)), (x.astype(int) + y.astype(int)) % 2 * 1.0)


def _draw_washer(canvas: Canvas) -> None:
    """Lay a turned steel ring on a dark mat."""
    rng = canvas.rng
    canvas.image = coloured(1 + 0.1 * canvas.noise(4) + 0.12 * canvas.noise(canvas.size // 2), (0.17, 0.2, 0.23))
    x, y, outer = rng.uniform(0.46, 0.54), rng.uniform(0.46, 0.54), rng.uniform(0.36, 0.4)
    radius, angle = canvas.distance((x, y)), np.arctan2(canvas.y - y, canvas.x - x)
    outline = abs(radius - 0.74 * outer) - 0.26 * outer
    canvas.shade((0.35, 0.35, 0.35), canvas.shifted(canvas.inside(outline, 0.03), 0.02))
    grooves = np.interp(radius, np.linspace(0, 1, 400), rng.normal(0, 0.05, 400))
    # Turned metal shines in two opposite sectors; its bevelled edges shine where they face the light.
    shine = 0.2 * np.cos(2 * (angle - rng.uniform(0, pi))) + 0.08 * np.cos(3 * angle + rng.uniform(0, 2 * pi))
    bevel = np.clip(1 + outline / 0.022, 0, 1) * np.cos(angle - 4) * np.where(radius > 0.74 * outer, 0.35, -0.35)
    canvas.paint(coloured(np.clip(0.56 + grooves + shine + bevel, 0.05, 1), (1, 1, 1.03)), canvas.inside(outline))
    canvas.area = outline < -0.035  # noqa: PLR2004 - inside the bevel
    canvas.parts = [(x, y, outer)]


_WHITE: Colour = (0.93, 0.9, 0.86)
_RADIUS = 0.085


def _draw_pills(canvas: Canvas) -> None:
    """Fill a blister pack with tablets."""
    rng, turn, (right, down) = canvas.rng, canvas.rng.normal(0, 0.06), canvas.rng.uniform(0.48, 0.52, 2)
    pattern = np.sin(90 * (canvas.x + canvas.y)) * np.sin(90 * (canvas.x - canvas.y))
    canvas.image = coloured(0.66 + 0.03 * canvas.noise(4) + 0.05 * pattern, (0.97, 1, 1.04))
    centres = [
        (
            right + 0.29 * column * cos(turn) - 0.23 * row * sin(turn),
            down + 0.23 * row * cos(turn) + 0.29 * column * sin(turn),
        )
        for row in (-1.5, -0.5, 0.5, 1.5)
        for column in (-1, 0, 1)
    ]
    canvas.parts = [(x, y, _RADIUS) for x, y in centres]
    # All at once, by each pixel's place relative to the nearest centre.
    nearest = np.argmin([(canvas.x - x) ** 2 + (canvas.y - y) ** 2 for x, y in centres], axis=0)
    x, y = (canvas.x - np.array(centres)[nearest, 0], canvas.y - np.array(centres)[nearest, 1])
    _draw_pockets(canvas, x, y)
    _draw_tablets(canvas, x, y, rng.uniform(0, pi, len(centres))[nearest], _WHITE)


def _draw_pockets(canvas: Canvas, x: Field, y: Field) -> None:
    """Draw empty pockets, round hollows with a lit edge below and a dark one above, around where x and y are 0."""
    deep = 1.2 * _RADIUS
    distance, slope = np.hypot(x, y) / deep, (y + 0.6 * x) / deep
    rim = np.exp(-(((distance - 0.93) / 0.16) ** 2))
    hollow = coloured(0.5 + 0.06 * slope + 0.28 * slope * rim, (0.98, 1, 1.03))
    canvas.paint(hollow, canvas.inside(deep * (distance - 1)))


def _draw_tablets(
    canvas: Canvas, x: Field, y: Field, turn: Field | float, colour: Colour, kept: Field | float = 1.0
) -> None:
    """Draw tablets with a score line, turned by an angle; ``kept`` is the shape of what is left of them."""
    distance, slope = np.hypot(x, y), (y + 0.6 * x) / _RADIUS
    dome = 1 - 0.16 * slope * np.clip(distance / _RADIUS, 0, 1) ** 3 + 0.012 * canvas.noise(canvas.size // 3)
    from_line = abs(x * np.sin(turn) - y * np.cos(turn))
    groove = canvas.inside(np.maximum(from_line - 0.06 * _RADIUS, distance - 0.8 * _RADIUS))
    canvas.paint(coloured(dome * (1 - 0.2 * groove), colour), canvas.inside(distance - _RADIUS) * kept)


def _crack(canvas: Canvas) -> None:
    rng, start, turn = canvas.rng, canvas.spot(), canvas.rng.uniform(0, 2 * pi)
    shape = canvas.line(start, turn, rng.uniform(0.2, 0.5), rng.uniform(0.006, 0.012), 0.35)
    for side in rng.choice([-1, 1], 2):
        branch = canvas.line(start, turn + side * rng.uniform(0.5, 1.2), rng.uniform(0.1, 0.2), 0.007, 0.35)
        shape = np.maximum(shape, branch)
    dark = rng.uniform(0.3, 0.6)
    canvas.shade((dark, dark, dark), shape)
    canvas.mark(shape, above=0.25)


def _hole(canvas: Canvas) -> None:
    centre, radius = canvas.spot(), canvas.rng.uniform(0.02, 0.05)
    shape = canvas.blob(centre, radius, ragged=0.2)
    canvas.shade((1.3, 1.28, 1.25), canvas.shifted(shape, 0.008))
    ground = 0.12 + 0.12 * np.clip((canvas.y - centre[1]) / radius, -1, 1) + 0.02 * canvas.noise(60)
    canvas.paint(coloured(ground, (1.1, 0.95, 0.85)), shape)
    canvas.mark(shape)


def _stain(canvas: Canvas, *colours: Colour) -> None:
    """Draw a soft patch of one of the colours, through which the ground is seen."""
    shape = canvas.blob(canvas.spot(), canvas.rng.uniform(0.04, 0.12), ragged=0.3, softness=0.03)
    canvas.shade(colours[canvas.rng.integers(len(colours))], shape)
    canvas.mark(shape, above=0.25)


def _spill(canvas: Canvas, texture: str, part: float, colour: Colour) -> None:
    """Draw another material on the ground, cut out of a photograph."""
    shape = canvas.blob(canvas.spot(), canvas.rng.uniform(0.03, 0.09), ragged=0.4)
    canvas.shade((0.55, 0.55, 0.55), canvas.shifted(shape, 0.02))
    canvas.paint(coloured(canvas.photo(texture, part), colour), shape)
    canvas.mark(shape)


def _thread(canvas: Canvas) -> None:
    rng, colours = canvas.rng, ((0.75, 0.75, 0.72), (0.36, 0.44, 0.6), (0.14, 0.16, 0.22))
    shape = canvas.line(canvas.spot(), rng.uniform(0, 2 * pi), rng.uniform(0.25, 0.5), 0.014, 0.5)
    canvas.shade((0.5, 0.5, 0.5), canvas.shifted(shape, 0.012))
    canvas.paint(colours[rng.integers(3)], shape)
    canvas.mark(shape, above=0.25)


def _scratch(canvas: Canvas) -> None:
    rng = canvas.rng
    line = canvas.line(canvas.spot(), rng.uniform(0, 2 * pi), rng.uniform(0.15, 0.3), rng.uniform(0.006, 0.012), 0.06)
    shape = line * canvas.area
    canvas.shade((0.4, 0.4, 0.42), canvas.shifted(shape, 0.004))
    canvas.paint((0.96, 0.96, 0.98), 0.7 * shape)
    canvas.mark(shape, above=0.25)


def _chip(canvas: Canvas) -> None:
    """Break a piece out of the ring's rim, so that the mat shows."""
    (x, y, radius), turn = canvas.parts[0], canvas.rng.uniform(0, 2 * pi)
    centre = (x + radius * cos(turn), y + radius * sin(turn))
    ring = canvas.inside(canvas.distance((x, y)) - radius)
    shape = canvas.blob(centre, canvas.rng.uniform(0.035, 0.08), ragged=0.2) * ring
    canvas.paint(coloured(0.13 + 0.03 * canvas.noise(canvas.size // 3), (1, 1.1, 1.2)), shape)
    canvas.mark(shape)


def _rust(canvas: Canvas) -> None:
    shape = canvas.blob(canvas.spot(), canvas.rng.uniform(0.03, 0.08), ragged=0.5, softness=0.02) * canvas.area
    canvas.paint(coloured(canvas.photo("gravel", 0.9), (0.95, 0.5, 0.24)), 0.9 * shape)
    canvas.mark(shape, above=0.25)


def _no_resistor(canvas: Canvas) -> None:
    """Leave the two ends of solder without the resistor between them."""
    x, y, _ = _any_part(canvas)
    shape = canvas.inside(np.maximum(abs(x), 2 * abs(y)) - canvas.parts[0][2])
    canvas.paint((0.06, 0.27, 0.16), shape)
    canvas.mark(shape)


def _any_part(canvas: Canvas) -> tuple[Field, Field, Field]:
    """Choose a part; return each pixel's place relative to its centre, and the disc around it."""
    right, down, radius = canvas.parts[canvas.rng.integers(len(canvas.parts))]
    x, y = canvas.x - right, canvas.y - down
    return x, y, canvas.inside(np.hypot(x, y) - radius)


def _missing(canvas: Canvas) -> None:
    x, y, shape = _any_part(canvas)
    _draw_pockets(canvas, x, y)
    canvas.mark(shape)


def _broken(canvas: Canvas) -> None:
    """Break a piece off one tablet."""
    x, y, shape = _any_part(canvas)
    turn, depth = canvas.rng.uniform(0, 2 * pi), canvas.rng.uniform(-0.1, 0.45)
    kept = canvas.inside(x * cos(turn) + y * sin(turn) + _RADIUS * (0.12 * canvas.noise(30) - depth))
    _draw_pockets(canvas, x, y)
    _draw_tablets(canvas, x, y, turn, _WHITE, kept)
    canvas.mark(shape * (1 - kept))


def _wrong_colour(canvas: Canvas) -> None:
    x, y, shape = _any_part(canvas)
    colours = ((0.93, 0.84, 0.74), (0.82, 0.86, 0.93), (0.9, 0.78, 0.76))
    _draw_tablets(canvas, x, y, canvas.rng.uniform(0, pi), colours[canvas.rng.integers(3)])
    canvas.mark(shape)


_OIL, _WATER, _LIME, _COFFEE = (0.55, 0.53, 0.53), (0.76, 0.75, 0.75), (1.3, 1.4, 1.5), (0.8, 0.68, 0.52)

Draw = Callable[[Canvas], None]

CATEGORIES: Mapping[str, tuple[Draw, Mapping[str, Draw]]] = {
    "board": (_draw_board, {"flux": lambda c: _stain(c, _LIME), "missing": _no_resistor, "scratch": _scratch}),
    "brick": (_draw_brick, {"crack": _crack, "hole": _hole, "stain": lambda c: _stain(c, _OIL, _WATER, _LIME)}),
    "fabric": (_draw_fabric, {"hole": _hole, "stain": lambda c: _stain(c, _COFFEE, _OIL), "thread": _thread}),
    "gravel": (
        _draw_gravel,
        {"oil": lambda c: _stain(c, _OIL), "weeds": lambda c: _spill(c, "grass", 0.6, (0.72, 1.0, 0.4))},
    ),
    "pills": (_draw_pills, {"broken": _broken, "missing": _missing, "wrong_colour": _wrong_colour}),
    "washer": (_draw_washer, {"chip": _chip, "rust": _rust, "scratch": _scratch}),
}
"""Category -> what draws a good picture, and defect -> what draws it over the picture and marks it in the mask."""
