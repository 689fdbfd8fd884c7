"""Damage that can befall any surface: each function takes a sound surface and returns a damaged one.

``area`` is float32 ``(H, W)`` in [0, 1], 1 where the object is that is to be damaged. Sizes run from tiny to large and
contrasts from obvious to subtle; both are drawn from ``rng``.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from lvlm_ad.datasets.demo.shapes import bow, cloud, log_uniform, patch, place, strokes, walk
from lvlm_ad.datasets.demo.surface import Surface, cover, unit_of

if TYPE_CHECKING:
    from numpy.random import Generator

    from lvlm_ad.datasets.demo.sheet import Colour
    from lvlm_ad.datasets.demo.surface import Field

__all__ = ["crack", "fibre", "hole", "scratch", "shaving", "stain"]


def scratch(surface: Surface, rng: Generator, area: Field, bare: Colour) -> Surface:
    """Draw one to three thin lines through the top coat.

    Args:
        surface: the sound surface.
        rng: the source of chance.
        area: where the object is.
        bare: the colour of what lies under the coat.
    """
    unit = unit_of(surface.size)
    length = log_uniform(rng, 28, 170) * unit
    at = place(rng, area, inside=0.25 * length)
    main = bow(rng, at, length)
    lines = [(main, rng.uniform(1.1, 2.6) * unit)]
    for _ in range(int(rng.integers(0, 3))):
        beside = main[: int(rng.integers(10, 24))] + rng.normal(0, 4 * unit, 2)
        lines.append((beside, rng.uniform(0.8, 1.4) * unit))
    alpha = strokes(surface.size, lines) * area * rng.uniform(0.65, 1.0)
    return cover(surface, alpha, bare, lift=-0.7 * unit, gloss=0.35)


def crack(surface: Surface, rng: Generator, area: Field, *, longest: float = 230) -> Surface:
    """Break the surface along a jagged line with a few branches.

    Args:
        surface: the sound surface.
        rng: the source of chance.
        area: where the object is.
        longest: drawing units of the longest crack.
    """
    unit = unit_of(surface.size)
    length = log_uniform(rng, 0.22 * longest, longest) * unit
    width = rng.uniform(1.3, 2.7) * unit * (longest / 230) ** 0.35
    corner = max(2.5 * unit, 0.03 * length)
    angle = rng.uniform(0, 2 * pi)
    middle = place(rng, area, inside=0.3 * length)
    start = (middle[0] - 0.5 * length * np.cos(angle), middle[1] - 0.5 * length * np.sin(angle))
    trunk = walk(rng, start, angle, length, step=corner, wobble=0.55)
    lines = [(trunk, width)]
    for _ in range(int(rng.integers(0, 4))):
        fork = trunk[int(rng.integers(1, len(trunk) - 1))]
        aside = angle + rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
        twig = walk(rng, (fork[0], fork[1]), aside, length * rng.uniform(0.12, 0.35), step=corner, wobble=0.5)
        lines.append((twig, 0.6 * width))
    alpha = strokes(surface.size, lines) * area * rng.uniform(0.75, 1.0)
    return cover(surface, alpha, surface.albedo * 0.22, lift=-2.2 * unit, gloss=0.0)


def stain(
    surface: Surface, rng: Generator, area: Field, colour: Colour, *, radius: tuple[float, float] = (9, 75)
) -> Surface:
    """Soak a patch in something; the texture below shows through.

    Args:
        surface: the sound surface.
        rng: the source of chance.
        area: where the object is.
        colour: what white becomes under the stain; parts above 1 brighten.
        radius: drawing units, the smallest and the largest.
    """
    unit = unit_of(surface.size)
    reach = log_uniform(rng, *radius) * unit
    at = place(rng, area, inside=0.5 * reach)
    shape = patch(rng, surface.size, at, reach, ragged=0.22, long=2.0)
    soft = gaussian_filter(shape, min(0.06 * reach, 3 * unit) + 0.5)
    # A drying liquid leaves a darker rim.
    rim = np.clip(soft - gaussian_filter(soft, 0.12 * reach + unit), 0, 1)
    uneven = 0.8 + 0.25 * cloud(rng, surface.size, max(3, round(surface.size / reach * 1.5)))
    alpha = np.clip((soft * uneven + 0.7 * rim * soft) * rng.uniform(0.55, 1.0), 0, 1) * area
    return cover(surface, np.asarray(alpha, np.float32), np.minimum(surface.albedo * np.asarray(colour, np.float32), 1))


def hole(
    surface: Surface, rng: Generator, area: Field, inside: Colour, *, radius: tuple[float, float] = (4, 24)
) -> Surface:
    """Knock a pit out of the surface.

    Args:
        surface: the sound surface.
        rng: the source of chance.
        area: where the object is.
        inside: the colour of the pit's rough bottom.
        radius: drawing units, the smallest and the largest.
    """
    unit = unit_of(surface.size)
    reach = log_uniform(rng, *radius) * unit
    shape = patch(rng, surface.size, place(rng, area, inside=0.8 * reach), reach, ragged=0.25, long=1.7) * area
    rough = cloud(rng, surface.size, 48, 3)
    bottom = np.asarray(inside, np.float32) * (1 + 0.3 * rough[:, :, None])
    depth = gaussian_filter(shape, 0.6 * unit) * (2.5 * unit + 0.16 * reach) * (1 + 0.25 * rough)
    sunk = cover(surface, shape, np.clip(bottom, 0, 1), gloss=0.0)
    return Surface(sunk.albedo, np.asarray(sunk.height - depth, np.float32), sunk.gloss)


def fibre(surface: Surface, rng: Generator, area: Field) -> Surface:
    """Drop a hair or a textile fibre."""
    unit = unit_of(surface.size)
    length = log_uniform(rng, 35, 150) * unit
    at = place(rng, area, inside=0.3 * length)
    line = bow(rng, at, length, bend=1.1)
    line += np.cumsum(rng.normal(0, 0.5 * unit, line.shape), axis=0)
    width = rng.uniform(1.2, 2.2) * unit
    colour = ((0.12, 0.09, 0.08), (0.12, 0.16, 0.38), (0.5, 0.1, 0.1))[int(rng.integers(3))]
    alpha = strokes(surface.size, [(line, width)], taper=False)
    return cover(surface, alpha, colour, lift=2.5 * unit, gloss=0.1)


def shaving(surface: Surface, rng: Generator, area: Field) -> Surface:
    """Drop a bright curl of metal."""
    unit = unit_of(surface.size)
    length = log_uniform(rng, 14, 60) * unit
    line = bow(rng, place(rng, area, inside=0.4 * length), length, bend=0.9)
    alpha = strokes(surface.size, [(line, rng.uniform(2.5, 5.0) * unit)])
    grey = 0.72 + 0.2 * cloud(rng, surface.size, 40, 2)[:, :, None] * np.ones(3, np.float32)
    return cover(surface, alpha, np.clip(grey, 0, 1), lift=3.0 * unit, gloss=0.9)
