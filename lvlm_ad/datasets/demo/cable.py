"""The end of a cable, cut square: three insulated cores of copper strands inside a sheath."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from lvlm_ad.datasets.demo.defects import crack, hole
from lvlm_ad.datasets.demo.shapes import cloud
from lvlm_ad.datasets.demo.sheet import Colour, Sheet
from lvlm_ad.datasets.demo.surface import Surface, unit_of

if TYPE_CHECKING:
    from numpy.random import Generator

    from lvlm_ad.datasets.demo.surface import Field

__all__ = ["KINDS", "draw"]

KINDS = ("crack", "hole", "missing_part", "swapped_part")

_SHEATH, _CORE, _BORE = 0.41, 0.143, 0.094
_RING = 0.178
_STRAND = 0.0124


@dataclass(frozen=True, slots=True)
class _Core:
    """One insulated core.

    Attributes:
        x: middle, part of the side.
        y: likewise.
        colour: of the insulation.
        strands: x, y and brightness of each copper strand, float64 ``(N, 3)``.
    """

    x: float
    y: float
    colour: Colour
    strands: np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def draw(size: int, scene: Generator, fault: Generator, defect: str | None) -> tuple[Surface, Surface]:
    """Draw a cable's end.

    Args:
        size: pixels a side.
        scene: the source of chance for the cable.
        fault: the source of chance for the defect.
        defect: one of ``KINDS``; None for a sound cable.

    Returns:
        The sound surface and the one to be shown; the same if there is no defect.
    """
    cores = _cores(scene)
    shade = float(scene.uniform(0.93, 1.07))
    middle = (0.5 + float(scene.normal(0, 0.012)), 0.5 + float(scene.normal(0, 0.012)))
    texture = _cut_marks(size, scene)
    sound = _build(size, cores, shade, middle, texture)
    if defect == "swapped_part":
        one, other = fault.permutation(len(cores))[:2]
        wrong = list(cores)
        wrong[one] = replace(cores[one], colour=cores[other].colour)
        if fault.random() < 0.6:  # noqa: PLR2004 - else both cores have one colour
            wrong[other] = replace(cores[other], colour=cores[one].colour)
        return sound, _build(size, wrong, shade, middle, texture)
    if defect == "missing_part":
        return sound, _build(size, _incomplete(cores, fault), shade, middle, texture)
    if defect == "crack":
        inner = _disc(size, middle, _SHEATH * 0.83)
        return sound, crack(sound, fault, _disc(size, middle, _SHEATH * 0.985) * (1 - inner), longest=120)
    if defect == "hole":
        core = cores[int(fault.integers(len(cores)))]
        at = (core.x + middle[0] - 0.5, core.y + middle[1] - 0.5)
        ring = _disc(size, at, _CORE * 0.97) * (1 - _disc(size, at, _BORE * 1.03))
        return sound, hole(sound, fault, ring, (0.16, 0.12, 0.1), radius=(4.5, 15))
    return sound, sound


def _cores(rng: Generator) -> list[_Core]:
    """Place the cores; their order is the same in every sound cable."""
    colours: tuple[Colour, ...] = ((0.42, 0.26, 0.17), (0.17, 0.33, 0.58), (0.36, 0.53, 0.22))
    turn = float(rng.normal(0, 0.16))
    cores = []
    for number, colour in enumerate(colours):
        angle = turn - pi / 2 + number * 2 * pi / 3
        tone = rng.normal(1, 0.03, 3)
        red, green, blue = (float(part * change) for part, change in zip(colour, tone, strict=True))
        x, y = 0.5 + _RING * cos(angle), 0.5 + _RING * sin(angle)
        cores.append(_Core(x, y, (red, green, blue), _bundle(rng, x, y)))
    return cores


def _bundle(rng: Generator, x: float, y: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Pack strands hexagonally, with the disorder of a real cut."""
    row, column = np.mgrid[-6:7, -6:7]
    across = (column + row / 2).ravel() * 2.02 * _STRAND
    down = (row * np.sqrt(3) / 2).ravel() * 2.02 * _STRAND
    inside = np.hypot(across, down) < _BORE - 0.98 * _STRAND
    turn = rng.uniform(0, pi / 3)
    across, down = across[inside], down[inside]
    jitter = rng.normal(0, 0.09 * _STRAND, (2, len(across)))
    return np.stack(
        [
            x + across * cos(turn) - down * sin(turn) + jitter[0],
            y + across * sin(turn) + down * cos(turn) + jitter[1],
            rng.normal(1, 0.16, len(across)).clip(0.55, 1.35),
        ],
        axis=1,
    )


def _cut_marks(size: int, rng: Generator) -> Field:
    """Return what the saw left on all it cut, a factor, float32 ``(size, size)``."""
    unit = unit_of(size)
    marks = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), (0.7 * unit, 14 * unit)) * 4 * unit
    turned = Image.fromarray(marks).rotate(float(rng.uniform(0, 180)), Image.Resampling.BILINEAR)
    return np.asarray(1 + 0.035 * np.asarray(turned) + 0.05 * cloud(rng, size, 5, 4), np.float32)


def _incomplete(cores: list[_Core], rng: Generator) -> list[_Core]:
    """Take out a few neighbouring strands, a core's whole copper, or a whole core."""
    number = int(rng.integers(len(cores)))
    core = cores[number]
    how = rng.random()
    if how < 0.2:  # noqa: PLR2004 - one in five lacks a core
        return cores[:number] + cores[number + 1 :]
    if how < 0.35:  # noqa: PLR2004 - and fewer an empty bore
        left = core.strands[:0]
    else:
        centre = core.strands[int(rng.integers(len(core.strands)))]
        far = np.hypot(core.strands[:, 0] - centre[0], core.strands[:, 1] - centre[1])
        left = core.strands[np.argsort(far, kind="stable")[int(rng.integers(2, 10)) :]]
    return [*cores[:number], replace(core, strands=left), *cores[number + 1 :]]


def _build(size: int, cores: list[_Core], shade: float, middle: tuple[float, float], texture: Field) -> Surface:
    sheet = Sheet(size, (0.115, 0.12, 0.13), gloss=0.05)
    grey: Colour = (0.7 * shade, 0.7 * shade, 0.68 * shade)
    sheet.disc(0.5, 0.5, _SHEATH, grey, height=9, gloss=0.12)
    sheet.disc(0.5, 0.5, _SHEATH * 0.83, (0.5 * shade, 0.49 * shade, 0.46 * shade), height=5, gloss=0.03)
    sheet.disc(0.5, 0.5, _SHEATH * 0.79, (0.33, 0.32, 0.3), height=3)
    for core in cores:
        red, green, blue = core.colour
        sheet.disc(core.x, core.y, _CORE, (0.86 * red, 0.86 * green, 0.86 * blue), height=9.5, gloss=0.22)
        sheet.disc(core.x, core.y, _CORE * 0.93, core.colour, height=10.5, gloss=0.22)
        sheet.disc(core.x, core.y, _BORE, (0.09, 0.05, 0.03), height=4)
        for x, y, bright in core.strands:
            _strand(sheet, float(x), float(y), float(bright))
    surface = sheet.surface(shift=(middle[0] - 0.5, middle[1] - 0.5))
    return replace(surface, albedo=np.asarray(surface.albedo * texture[:, :, None], np.float32))


def _strand(sheet: Sheet, x: float, y: float, bright: float) -> None:
    copper: Colour = (0.8 * bright, 0.46 * bright, 0.26 * bright)
    rim: Colour = (0.55 * bright, 0.28 * bright, 0.15 * bright)
    sheet.disc(x, y, _STRAND, rim, height=8.5, gloss=0.3)
    sheet.disc(x, y, 0.72 * _STRAND, copper, height=9.6, gloss=0.75)


def _disc(size: int, middle: tuple[float, float], radius: float) -> Field:
    row, column = np.mgrid[0:size, 0:size].astype(np.float32) + np.float32(0.5)
    far = np.hypot(column - middle[0] * size, row - middle[1] * size)
    return np.asarray(np.clip(radius * size - far + 0.5, 0, 1), np.float32)
