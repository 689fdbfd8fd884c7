"""A crown cap seen from above: crimped edge, painted top, printed emblem."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from lvlm_ad.datasets.demo.defects import scratch
from lvlm_ad.datasets.demo.shapes import cloud, log_uniform, patch, place
from lvlm_ad.datasets.demo.sheet import Colour, font
from lvlm_ad.datasets.demo.surface import Surface, cover, unit_of

if TYPE_CHECKING:
    from numpy.random import Generator

    from lvlm_ad.datasets.demo.surface import Field

__all__ = ["KINDS", "draw"]

KINDS = ("dent", "misprint", "scratch", "stain")

_CRIMPS = 21
_OVER = 2
_RIM_TEXT = "SPRING  WATER  *  CARBONATED  *  "
_CREAM: Colour = (0.93, 0.9, 0.8)


@dataclass(frozen=True, slots=True)
class _Cap:
    """One cap.

    Attributes:
        x: middle in pixels.
        y: likewise.
        radius: to the valleys of the crimp, in pixels.
        turn: radians; caps arrive at any angle.
        paint: the top's colour.
    """

    x: float
    y: float
    radius: float
    turn: float
    paint: Colour


@dataclass(frozen=True, slots=True)
class _Print:
    """How the emblem came out.

    Attributes:
        shift: x, y, parts of the cap's radius.
        text: the words around the rim.
        year: the line below the star.
        ghost: strength of a second, displaced impression, in [0, 1].
        points: the star's points.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    text: str = _RIM_TEXT
    year: str = "1897"
    ghost: float = 0.0
    points: int = 6


def draw(size: int, scene: Generator, fault: Generator, defect: str | None) -> tuple[Surface, Surface]:
    """Draw a crown cap.

    Args:
        size: pixels a side.
        scene: the source of chance for the cap.
        fault: the source of chance for the defect.
        defect: one of ``KINDS``; None for a sound cap.

    Returns:
        The sound surface and the one to be shown; the same if there is no defect.
    """
    tone = scene.normal(1, 0.04, 3)
    cap = _Cap(
        x=size * (0.5 + float(scene.normal(0, 0.02))),
        y=size * (0.5 + float(scene.normal(0, 0.02))),
        radius=size * float(scene.uniform(0.36, 0.385)),
        turn=float(scene.uniform(0, 2 * pi)),
        paint=(0.66 * float(tone[0]), 0.09 * float(tone[1]), 0.1 * float(tone[2])),
    )
    table = _table(size, scene)
    flake = 1 + 0.035 * cloud(scene, size, 60, 2)
    sound = _build(cap, _Print(), table, flake)
    area = _inside(cap, size, 0.94)
    if defect == "misprint":
        return sound, _build(cap, _misprinted(fault), table, flake)
    if defect == "scratch":
        return sound, scratch(sound, fault, area, (0.78, 0.78, 0.76))
    if defect == "dent":
        return sound, _dented(sound, fault, _inside(cap, size, 0.74))
    if defect == "stain":
        return sound, _rusted(sound, fault, cap)
    return sound, sound


def _polar(cap: _Cap, size: int) -> tuple[Field, Field]:
    """Return each pixel's distance from the cap's middle in radii and its angle on the cap."""
    row, column = np.mgrid[0:size, 0:size].astype(np.float32) + np.float32(0.5)
    across, down = column - np.float32(cap.x), row - np.float32(cap.y)
    angle = np.arctan2(down, across) - np.float32(cap.turn)
    return np.asarray(np.hypot(across, down) / np.float32(cap.radius), np.float32), np.asarray(angle, np.float32)


def _inside(cap: _Cap, size: int, radius: float) -> Field:
    far, _ = _polar(cap, size)
    return np.asarray(np.clip((radius - far) * cap.radius + 0.5, 0, 1), np.float32)


def _table(size: int, rng: Generator) -> Field:
    """A conveyor belt of brushed grey, float32 ``(size, size, 3)``."""
    grain = rng.standard_normal((size, size), dtype=np.float32)
    brushed = gaussian_filter(grain, (0.6, 9 * unit_of(size))) * 3
    level = 0.47 + 0.022 * brushed + 0.03 * cloud(rng, size, 4, 2)
    tint = np.asarray((0.97, 1.0, 1.04), np.float32) * np.float32(rng.uniform(0.85, 1.15))
    return np.asarray(level[:, :, None] * tint, np.float32)


def _build(cap: _Cap, emblem: _Print, table: Field, flake: Field) -> Surface:
    size = table.shape[0]
    unit = unit_of(size)
    far, angle = _polar(cap, size)
    wave = np.cos(_CRIMPS * angle)
    shoulder = np.clip((far - 0.74) / 0.26, 0, 1.2)
    edge = 1 + 0.034 * wave
    alpha = np.clip((edge - far) * cap.radius + 0.5, 0, 1)
    # A nearly flat top, a round shoulder, and a skirt whose flutes grow towards the edge.
    profile = 15 - 1.6 * far**2 - 9.5 * shoulder**1.8 + 2.6 * wave * np.clip(shoulder * 1.3 - 0.2, 0, 1)
    # A pressed ring separates the emblem from the words.
    profile -= 0.7 * np.exp(-(((far - 0.5) / 0.016) ** 2)) - 0.5 * np.exp(-(((far - 0.77) / 0.02) ** 2))
    height = np.asarray(np.where(alpha > 0, np.maximum(profile, 1.5), 0) * alpha * unit, np.float32)
    paint = _printed(cap, emblem, size) * flake[:, :, None]
    # The flutes' crests lose some paint to the crimping tool.
    worn = np.clip(wave * 1.5 - 0.55, 0, 1) * np.clip((far - 0.9) * 9, 0, 1) * 0.55
    paint = paint + worn[:, :, None] * (np.float32(0.7) - paint)
    ground = Surface(table, height, np.full_like(height, 0.05))
    return cover(ground, np.asarray(alpha, np.float32), np.asarray(paint, np.float32), gloss=0.75)


def _printed(cap: _Cap, emblem: _Print, size: int) -> Field:
    """Print the emblem on paint, float32 ``(size, size, 3)``."""
    disc = round(2 * cap.radius * 0.84)
    cream, gold = _emblem(disc * _OVER, emblem)
    shown = np.zeros((size, size, 3), np.float32) + np.asarray(cap.paint, np.float32)
    degrees = -np.degrees(cap.turn)
    left = cap.x + emblem.shift[0] * cap.radius - disc / 2
    top = cap.y + emblem.shift[1] * cap.radius - disc / 2
    for stencil, ink in ((cream, _CREAM), (gold, (0.85, 0.66, 0.3))):
        turned = stencil.rotate(degrees, Image.Resampling.BILINEAR).reduce(_OVER)
        for strength, offset in ((1.0, 0.0), (emblem.ghost, 0.035 * cap.radius)):
            if strength:
                layer = Image.new("L", (size, size))
                layer.paste(turned, (round(left + offset), round(top + offset)))
                alpha = np.asarray(layer, np.float32)[:, :, None] / 255 * np.float32(0.94 * strength)
                shown += alpha * (np.asarray(ink, np.float32) - shown)
    return shown


def _emblem(side: int, emblem: _Print) -> tuple[Image.Image, Image.Image]:
    """Draw the two stencils, for cream and for gold ink."""
    cream, gold = Image.new("L", (side, side)), Image.new("L", (side, side))
    half = side / 2
    pen = ImageDraw.Draw(cream)
    for radius, wide in ((0.96, 0.016), (0.6, 0.022)):
        reach = radius * half
        pen.ellipse((half - reach, half - reach, half + reach, half + reach), outline=255, width=round(wide * side / 2))
    _around(cream, emblem.text, 0.78 * half, round(0.21 * half))
    star = ImageDraw.Draw(gold)
    tips = [
        (half + reach * half * sin(pi * k / emblem.points), 0.86 * half - reach * half * cos(pi * k / emblem.points))
        for k in range(2 * emblem.points)
        for reach in ((0.34, 0.17)[k % 2],)
    ]
    star.polygon(tips, fill=255)
    pen.text((half, 1.36 * half), emblem.year, fill=255, font=font(max(4, round(0.2 * half))), anchor="mm")
    return cream, gold


def _around(stencil: Image.Image, words: str, radius: float, tall: int) -> None:
    """Write words along a circle around the middle."""
    half = stencil.width / 2
    face = font(max(4, tall))
    box = int(1.5 * max(4, tall))
    for number, letter in enumerate(words):
        if letter == " ":
            continue
        angle = 2 * pi * number / len(_RIM_TEXT)
        glyph = Image.new("L", (box, box))
        ImageDraw.Draw(glyph).text((box / 2, box / 2), letter, fill=255, font=face, anchor="mm")
        glyph = glyph.rotate(-np.degrees(angle), Image.Resampling.BICUBIC)
        at = (round(half + radius * sin(angle) - box / 2), round(half - radius * cos(angle) - box / 2))
        stencil.paste(255, at, glyph)


def _misprinted(rng: Generator) -> _Print:
    """Choose how the print went wrong: displaced, doubled, another year, words missing or another star."""
    how = int(rng.integers(5))
    if how == 0:
        angle, far = rng.uniform(0, 2 * pi), rng.uniform(0.06, 0.16)
        return _Print(shift=(float(far * cos(angle)), float(far * sin(angle))))
    if how == 1:
        return _Print(ghost=float(rng.uniform(0.45, 0.9)))
    if how == 2:  # noqa: PLR2004 - the third way
        return _Print(year=("1879", "18 7", "7681", "")[int(rng.integers(4))])
    if how == 3:  # noqa: PLR2004 - the fourth way
        letters = [place for place, letter in enumerate(_RIM_TEXT) if letter.isalpha()]
        first, count = letters[int(rng.integers(len(letters)))], int(rng.integers(2, 9))
        return _Print(text=_RIM_TEXT[:first] + " " * count + _RIM_TEXT[first + count :])
    return _Print(points=5 if rng.random() < 0.5 else 8)  # noqa: PLR2004 - a coin


def _dented(sound: Surface, rng: Generator, area: Field) -> Surface:
    """Push a dent into the top: nothing but the light on it changes."""
    unit = unit_of(sound.size)
    reach = log_uniform(rng, 14, 46) * unit
    dip = gaussian_filter(
        patch(rng, sound.size, place(rng, area, inside=reach), reach, ragged=0.12, long=2.2), 0.28 * reach
    )
    return replace(sound, height=np.asarray(sound.height - dip * (1.8 * unit + 0.22 * reach), np.float32))


def _rusted(sound: Surface, rng: Generator, cap: _Cap) -> Surface:
    """Let rust creep in from a place at the crimped edge."""
    size, unit = sound.size, unit_of(sound.size)
    reach, angle = log_uniform(rng, 10, 52) * unit, rng.uniform(0, 2 * pi)
    at = (cap.x + 0.9 * cap.radius * cos(angle), cap.y + 0.9 * cap.radius * sin(angle))
    shape = gaussian_filter(patch(rng, size, at, reach, ragged=0.3, long=2.0), 0.12 * reach)
    speckled = np.clip((shape + 0.45 * cloud(rng, size, 55, 3) - 0.4) * 2.8, 0, 1)
    alpha = speckled * (shape > 0.05) * _inside(cap, size, 0.98) * rng.uniform(0.6, 1.0)  # noqa: PLR2004 - its outskirts
    grain = 1 + 0.35 * cloud(rng, size, 80, 2)[:, :, None]
    return cover(
        sound,
        np.asarray(alpha, np.float32),
        np.clip(np.asarray((0.4, 0.2, 0.08), np.float32) * grain, 0, 1),
        gloss=0.05,
    )
