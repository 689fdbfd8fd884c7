"""A handful of two-coloured capsules with an imprint on a plain tray."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from lvlm_ad.datasets.demo.defects import crack, fibre
from lvlm_ad.datasets.demo.shapes import cloud, patch
from lvlm_ad.datasets.demo.sheet import Colour, font
from lvlm_ad.datasets.demo.surface import Surface, cover, unit_of

if TYPE_CHECKING:
    from numpy.random import Generator

    from lvlm_ad.datasets.demo.surface import Field

__all__ = ["KINDS", "draw"]

KINDS = ("broken", "crack", "foreign_body", "misprint", "swapped_part")

_LONG, _WIDE = 0.125, 0.058
"""From a capsule's middle to its tip and its radius, parts of the side."""

_OVER = 3
_IMPRINT = "LV 50"
_BODY: Colour = (0.9, 0.86, 0.74)
_CAP: Colour = (0.16, 0.42, 0.36)


@dataclass(frozen=True, slots=True)
class _Pill:
    """One capsule.

    Attributes:
        x: middle, part of the side.
        y: likewise.
        turn: radians, the direction of the capped end.
        body: colour of the half that bears the imprint.
        cap: colour of the other.
        imprint: the words on it.
    """

    x: float
    y: float
    turn: float
    body: Colour
    cap: Colour
    imprint: str = _IMPRINT


def draw(size: int, scene: Generator, fault: Generator, defect: str | None) -> tuple[Surface, Surface]:
    """Strew capsules on a tray.

    Args:
        size: pixels a side.
        scene: the source of chance for the capsules.
        fault: the source of chance for the defect.
        defect: one of ``KINDS``; None for sound ones.

    Returns:
        The sound surface and the one to be shown; the same if there is no defect.
    """
    pills = _strewn(scene)
    tray = _tray(size, scene)
    sound = _build(tray, pills)
    number = int(fault.integers(len(pills)))
    chosen = pills[number]
    if defect == "broken":
        return sound, _broken(tray, pills, number, fault)
    if defect == "crack":
        return sound, crack(sound, fault, _covered(chosen, size), longest=85)
    if defect == "foreign_body":
        return sound, fibre(sound, fault, np.ones((size, size), np.float32))
    if defect in {"misprint", "swapped_part"}:
        pills[number] = _misprinted(chosen, fault) if defect == "misprint" else _swapped(chosen, fault)
        return sound, _build(tray, pills)
    return sound, sound


def _strewn(rng: Generator) -> list[_Pill]:
    """Throw capsules until they lie apart."""
    pills: list[_Pill] = []
    wanted = int(rng.integers(6, 9))
    for _ in range(400):
        tone = rng.normal(1, 0.012, 6)
        body, cap = (
            (a * float(p), b * float(q), c * float(r)) for (a, b, c), (p, q, r) in ((_BODY, tone[:3]), (_CAP, tone[3:]))
        )
        x, y, turn = rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85), rng.uniform(0, 2 * pi)
        pill = _Pill(float(x), float(y), float(turn), body, cap)
        if all(_apart(pill, other) for other in pills):
            pills.append(pill)
        if len(pills) == wanted:
            break
    return pills


def _apart(one: _Pill, other: _Pill) -> bool:
    """Whether two capsules do not touch: no two points of their axes are closer than two radii."""
    along = np.linspace(-1, 1, 9) * (_LONG - _WIDE)
    first = np.stack([one.x + along * cos(one.turn), one.y + along * sin(one.turn)], axis=1)
    second = np.stack([other.x + along * cos(other.turn), other.y + along * sin(other.turn)], axis=1)
    gaps = first[:, None] - second[None]
    return bool(np.hypot(gaps[..., 0], gaps[..., 1]).min() > 2.2 * _WIDE)


def _tray(size: int, rng: Generator) -> Surface:
    """A matt plastic tray of pale blue."""
    level = 0.74 + 0.02 * cloud(rng, size, 3, 2) + 0.012 * cloud(rng, size, 90, 2)
    blue = np.asarray((0.86, 0.96, 1.04), np.float32) * np.float32(rng.uniform(0.94, 1.06))
    height = 0.25 * unit_of(size) * cloud(rng, size, 70, 2)
    return Surface(np.asarray(level[:, :, None] * blue, np.float32), height, np.full((size, size), 0.08, np.float32))


def _window(pill: _Pill, size: int) -> tuple[slice, slice]:
    """Return the rows and columns outside which a capsule certainly does not lie."""
    reach = _LONG * 1.05
    rows, columns = (slice(max(0, int((at - reach) * size)), int((at + reach) * size) + 2) for at in (pill.y, pill.x))
    return rows, columns


def _frame(pill: _Pill, size: int) -> tuple[Field, Field]:
    """Return each pixel's place along a capsule and its distance from the axis, in its window, parts of the side."""
    rows, columns = _window(pill, size)
    places = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    right, down = places[None, columns] - np.float32(pill.x), places[rows, None] - np.float32(pill.y)
    along = right * cos(pill.turn) + down * sin(pill.turn)
    across = down * cos(pill.turn) - right * sin(pill.turn)
    return along, np.hypot(np.maximum(np.abs(along) - (_LONG - _WIDE), 0), across)


def _covered(pill: _Pill, size: int) -> Field:
    """Return where a capsule lies, float32 ``(size, size)`` in [0, 1]."""
    area = np.zeros((size, size), np.float32)
    _, far = _frame(pill, size)
    area[_window(pill, size)] = np.clip((_WIDE - far) * size + 0.5, 0, 1)
    return area


def _build(tray: Surface, pills: list[_Pill]) -> Surface:
    surface = Surface(tray.albedo.copy(), tray.height.copy(), tray.gloss.copy())
    for pill in pills:
        _lay(surface, pill)
    return surface


def _lay(surface: Surface, pill: _Pill, kept: Field | None = None) -> None:
    """Lay one capsule on a surface, in place; ``kept`` is the part of it that is left, float32 ``(H, W)`` in [0, 1]."""
    size, window = surface.size, _window(pill, surface.size)
    along, far = _frame(pill, size)
    # The cap is slid over the body, so it is a little thicker.
    capped = np.clip((along - 0.006) * size + 0.5, 0, 1)
    radius = _WIDE * (0.965 + 0.035 * capped)
    alpha = np.clip((radius - far) * size + 0.5, 0, 1)
    if kept is not None:
        alpha = alpha * kept[window]
    body, cap = np.asarray(pill.body, np.float32), np.asarray(pill.cap, np.float32)
    colour = body + capped[:, :, None] * (cap - body)
    ink = _inked(pill, size)[window][:, :, None]
    colour = colour + ink * (np.asarray((0.14, 0.13, 0.15), np.float32) - colour)
    bulge = np.sqrt(np.maximum(radius**2 - far**2, 0)) * size * 0.72
    below = Surface(surface.albedo[window], surface.height[window], surface.gloss[window])
    laid = cover(below, alpha, colour, lift=bulge, gloss=0.7)
    surface.albedo[window], surface.height[window] = laid.albedo, laid.height
    # Ink is matt, or a highlight would wipe letters out and make a sound imprint look misprinted.
    surface.gloss[window] = laid.gloss * (1 - 0.9 * ink[:, :, 0])


def _inked(pill: _Pill, size: int) -> Field:
    """Print the imprint along the capsule's body, float32 ``(size, size)`` in [0, 1]."""
    tall = max(5, round(0.037 * size * _OVER))
    wide = round(0.15 * size * _OVER)
    stencil = Image.new("L", (wide, wide))
    ImageDraw.Draw(stencil).text((wide / 2, wide / 2), pill.imprint, fill=225, font=font(tall), anchor="mm")
    turned = stencil.rotate(-np.degrees(pill.turn), Image.Resampling.BICUBIC).reduce(_OVER)
    layer = Image.new("L", (size, size))
    x, y = pill.x - 0.046 * cos(pill.turn), pill.y - 0.046 * sin(pill.turn)
    layer.paste(turned, (round(x * size - turned.width / 2), round(y * size - turned.height / 2)))
    return np.asarray(layer, np.float32) / np.float32(255)


def _broken(tray: Surface, pills: list[_Pill], number: int, rng: Generator) -> Surface:
    """Break a piece out of one capsule, so that its pale filling shows."""
    size, pill = tray.size, pills[number]
    rest = _build(tray, pills[:number] + pills[number + 1 :])
    end = rng.choice([-1, 1]) * rng.uniform(0.55, 1.0) * _LONG
    side = rng.uniform(-0.8, 0.8) * _WIDE
    at = (
        size * (pill.x + end * cos(pill.turn) - side * sin(pill.turn)),
        size * (pill.y + end * sin(pill.turn) + side * cos(pill.turn)),
    )
    reach = size * _WIDE * rng.uniform(0.45, 1.05)
    bite = patch(rng, size, at, reach, ragged=0.3)
    inner = patch(rng, size, at, 0.62 * reach, ragged=0.3)
    grain = np.clip(0.8 + 0.14 * cloud(rng, size, 90, 2)[:, :, None] * np.ones(3, np.float32), 0, 1)
    powder = _covered(pill, size) * bite * (1 - inner)
    filled = cover(rest, powder, grain, lift=0.45 * _WIDE * size, gloss=0.0)
    _lay(filled, pill, kept=np.asarray(1 - bite, np.float32))
    return filled


def _misprinted(pill: _Pill, rng: Generator) -> _Pill:
    return replace(pill, imprint=("LV 20", "V 50", "", "LV S0", "VL 05", "88 50")[int(rng.integers(6))])


def _swapped(pill: _Pill, rng: Generator) -> _Pill:
    """Put a capsule of another kind in the place: one or both halves have another colour."""
    others: tuple[tuple[Colour, Colour], ...] = (
        (_BODY, (0.62, 0.14, 0.13)),
        (_BODY, (0.2, 0.38, 0.46)),
        ((0.92, 0.66, 0.28), _CAP),
        ((0.85, 0.84, 0.83), (0.78, 0.78, 0.8)),
        (_CAP, _CAP),
    )
    body, cap = others[int(rng.integers(len(others)))]
    return replace(pill, body=body, cap=cap)
