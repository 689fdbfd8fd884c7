"""Two real textures, brick and gravel, and what befalls them; grass is the foreign body that lies on them."""

from __future__ import annotations

from functools import cache
from math import pi
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from lvlm_ad.datasets.demo.defects import crack, hole, stain
from lvlm_ad.datasets.demo.shapes import cloud, log_uniform, patch, place, strokes, walk
from lvlm_ad.datasets.demo.surface import Surface, cover, unit_of

if TYPE_CHECKING:
    from numpy.random import Generator

    from lvlm_ad.datasets.demo.sheet import Colour
    from lvlm_ad.datasets.demo.surface import Field

__all__ = ["BRICK_KINDS", "GRAVEL_KINDS", "draw_brick", "draw_gravel"]

BRICK_KINDS = ("crack", "foreign_body", "hole", "stain")
GRAVEL_KINDS = ("bare_patch", "foreign_body", "stain")


@cache
def _photo(name: str) -> Field:
    """Return one of the grey photographs inside scikit-image's wheel, float32 ``(512, 512)`` in [0, 1]."""
    from skimage import data  # noqa: PLC0415 - costs a third of a second

    return np.asarray(getattr(data, name)(), np.float32) / np.float32(255)


def _crop(name: str, rng: Generator, size: int, side: tuple[int, int]) -> Field:
    """Cut a square out of a photograph, mirror and turn it, and bring it to ``(size, size)``."""
    photo = _photo(name)
    edge = int(rng.integers(*side))
    top, left = rng.integers(0, photo.shape[0] - edge + 1, 2)
    piece = photo[top : top + edge, left : left + edge]
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        piece = piece[:, ::-1]
    piece = np.rot90(piece, int(rng.integers(4)))
    scaled = Image.fromarray(np.ascontiguousarray(piece)).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(scaled, np.float32)


def _photographed(rng: Generator, grey: Field, tint: Field) -> Surface:
    """Take a photograph for a flat surface: its own light is in it already."""
    size = grey.shape[0]
    albedo = grey[:, :, None] * tint * (1 + 0.04 * cloud(rng, size, 3, 2)[:, :, None])
    zero = np.zeros((size, size), np.float32)
    return Surface(np.asarray(np.clip(albedo, 0, 1), np.float32), zero, zero)


def draw_brick(size: int, scene: Generator, fault: Generator, defect: str | None) -> tuple[Surface, Surface]:
    """Lay a brick pavement.

    Args:
        size: pixels a side.
        scene: the source of chance for the pavement.
        fault: the source of chance for the defect.
        defect: one of ``BRICK_KINDS``; None for a sound one.

    Returns:
        The sound surface and the one to be shown; the same if there is no defect.
    """
    grey = _crop("brick", scene, size, (270, 400))
    # Mortar is brighter than brick in the photograph: red below, grey above.
    mortar = np.clip((grey - 0.44) / 0.16, 0, 1)[:, :, None]
    red = np.asarray((1.62, 0.98, 0.78), np.float32) * (1 + scene.normal(0, 0.013, 3).astype(np.float32))
    tint = red + mortar * (np.asarray((1.22, 1.16, 1.06), np.float32) - red)
    sound = _photographed(scene, grey, tint)
    area = np.ones((size, size), np.float32)
    if defect == "crack":
        return sound, crack(sound, fault, area)
    if defect == "foreign_body":
        return sound, _tuft(sound, fault)
    if defect == "hole":
        return sound, hole(sound, fault, area, (0.3, 0.17, 0.12))
    if defect == "stain":
        return sound, stain(sound, fault, area, _SPILLS[int(fault.integers(len(_SPILLS)))])
    return sound, sound


_SPILLS: tuple[Colour, ...] = ((0.5, 0.47, 0.46), (1.45, 1.6, 1.7), (0.62, 0.8, 0.5), (0.66, 0.62, 0.62))
"""Oil, efflorescence, moss, water."""


def draw_gravel(size: int, scene: Generator, fault: Generator, defect: str | None) -> tuple[Surface, Surface]:
    """Strew gravel; arguments and result as for ``draw_brick``, the defect one of ``GRAVEL_KINDS``."""
    grey = _crop("gravel", scene, size, (280, 420))
    tint = np.asarray((1.16, 1.1, 1.02), np.float32) * (1 + scene.normal(0, 0.013, 3).astype(np.float32))
    # Stones differ a little in colour.
    hue = cloud(scene, size, 36, 1)[:, :, None] * np.asarray((0.05, 0.0, -0.06), np.float32)
    sound = _photographed(scene, grey, tint * (1 + hue))
    area = np.ones((size, size), np.float32)
    if defect == "bare_patch":
        return sound, _bare(sound, fault, area)
    if defect == "foreign_body":
        return sound, _tuft(sound, fault)
    if defect == "stain":
        oil: Colour = ((0.4, 0.37, 0.36), (0.55, 0.5, 0.48), (0.85, 0.42, 0.3))[int(fault.integers(3))]
        return sound, stain(sound, fault, area, oil, radius=(14, 80))
    return sound, sound


def _bare(sound: Surface, rng: Generator, area: Field) -> Surface:
    """Rake the stones away so that damp sand shows."""
    size, unit = sound.size, unit_of(sound.size)
    reach = log_uniform(rng, 16, 60) * unit
    shape = patch(rng, size, place(rng, area, inside=0.7 * reach), reach, ragged=0.3, long=1.8)
    # Single stones, the bright ones, stay at the border.
    stones = gaussian_filter(sound.albedo[:, :, 0], unit) - 0.5
    edge = gaussian_filter(shape, 5 * unit) * 1.6 - 0.3 - 1.5 * stones
    alpha = np.clip((edge - 0.3) * 5, 0, 1) * np.clip(gaussian_filter(shape, 2 * unit) * 4 - 0.4, 0, 1)
    grains = 1 + 0.13 * rng.standard_normal((size, size), dtype=np.float32) + 0.16 * cloud(rng, size, 12, 5)
    sand = np.asarray((0.44, 0.37, 0.29), np.float32) * grains[:, :, None]
    return cover(sound, np.asarray(alpha, np.float32), np.clip(sand, 0, 1), lift=-4 * unit)


def _tuft(sound: Surface, rng: Generator) -> Surface:
    """Lay a tuft of grass or moss on the ground."""
    size, unit = sound.size, unit_of(sound.size)
    reach = log_uniform(rng, 9, 58) * unit
    at = place(rng, np.ones((size, size), np.float32), inside=0.8 * reach)
    shape = patch(rng, size, at, reach, ragged=0.16, long=1.6)
    blades = []
    for _ in range(int(14 + reach / unit)):
        angle = rng.uniform(0, 2 * pi)
        root = (at[0] + 0.6 * reach * np.cos(angle), at[1] + 0.6 * reach * np.sin(angle))
        blade = walk(rng, root, angle + rng.normal(0, 0.5), 0.75 * reach, step=0.2 * reach, wobble=0.15)
        blades.append((blade, rng.uniform(1.0, 2.2) * unit))
    shape = np.maximum(shape, strokes(size, blades))
    grass = _crop("grass", rng, size, (230, 400))
    grass = np.clip(0.5 + 1.25 * (grass - grass.mean()), 0.14, 1)
    green = np.asarray(((0.68, 0.84, 0.42), (0.86, 0.8, 0.5), (0.5, 0.62, 0.36))[int(rng.integers(3))], np.float32)
    body = gaussian_filter(shape, 1.6 * unit)
    raised = cover(sound, shape, np.clip(grass[:, :, None] * green * 1.15, 0, 1))
    lift = body * (3 * unit + 0.06 * reach) * (0.85 + 0.35 * grass)
    return Surface(raised.albedo, np.asarray(raised.height + lift, np.float32), raised.gloss)
