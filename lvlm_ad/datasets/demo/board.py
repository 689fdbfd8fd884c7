"""A small printed circuit board: tracks, pads, chips and printed labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.datasets.demo.defects import scratch, shaving, stain
from lvlm_ad.datasets.demo.shapes import cloud
from lvlm_ad.datasets.demo.sheet import Colour, Sheet

if TYPE_CHECKING:
    from numpy.random import Generator

    from lvlm_ad.datasets.demo.surface import Field, Surface

__all__ = ["KINDS", "draw"]

KINDS = ("foreign_body", "missing_part", "scratch", "stain", "swapped_part")

_EDGE = (0.085, 0.125, 0.915, 0.875)
_SILVER: Colour = (0.72, 0.72, 0.7)
_GOLD: Colour = (0.83, 0.66, 0.32)
_WHITE: Colour = (0.86, 0.88, 0.84)
_BLACK: Colour = (0.075, 0.078, 0.085)


@dataclass(frozen=True, slots=True)
class _Part:
    """One component, always mounted on its own pads.

    Attributes:
        name: the label printed beside it.
        kind: "quad" (pins on four sides), "dual" (on two), "chip" (two ends), "can", "crystal", "header" or "led".
        x: middle, part of the side.
        y: likewise.
        wide: breadth of its body.
        tall: likewise.
        body: colour.
        mark: what is written on it.
        pins: how many a side.
    """

    name: str
    kind: str
    x: float
    y: float
    wide: float
    tall: float
    body: Colour = _BLACK
    mark: str = ""
    pins: int = 0


_TAN: Colour = (0.62, 0.47, 0.3)
_RESISTORS = tuple(
    _Part(f"R{n + 1}", "chip", 0.46 + 0.07 * n, 0.235, 0.024, 0.046, _BLACK, ("103", "472", "103", "220", "103")[n])
    for n in range(5)
)
_CAPACITORS = tuple(
    _Part(f"C{n + 1}", "chip", x, y, 0.026, 0.044, _TAN)
    for n, (x, y) in enumerate(((0.185, 0.46), (0.185, 0.57), (0.585, 0.46), (0.585, 0.57)))
)
_PARTS: tuple[_Part, ...] = (
    _Part("U1", "quad", 0.385, 0.52, 0.18, 0.18, _BLACK, "STM8\nA4X7", 9),
    _Part("U2", "dual", 0.745, 0.43, 0.085, 0.115, _BLACK, "LM358", 4),
    _Part("U3", "dual", 0.745, 0.62, 0.085, 0.115, _BLACK, "24C08", 4),
    *_RESISTORS,
    *_CAPACITORS,
    _Part("C5", "can", 0.2, 0.32, 0.056, 0.056, (0.66, 0.67, 0.68), "47"),
    _Part("C6", "can", 0.335, 0.32, 0.045, 0.045, (0.66, 0.67, 0.68), "10"),
    _Part("Y1", "crystal", 0.39, 0.705, 0.125, 0.05, (0.74, 0.74, 0.72), "16.000"),
    _Part("D1", "led", 0.845, 0.29, 0.032, 0.046, (0.85, 0.3, 0.22)),
    _Part("J1", "header", 0.5, 0.815, 0.43, 0.046, _BLACK, "", 10),
)
_TRACKS: tuple[tuple[tuple[float, float], ...], ...] = (
    *(((0.46 + 0.07 * n, 0.27), (0.46 + 0.07 * n, 0.31 + 0.012 * n), (0.425, 0.35 + 0.045 * n)) for n in range(1)),
    *(
        ((0.53 + 0.07 * n, 0.27), (0.53 + 0.07 * n, 0.33 - 0.012 * n), (0.7, 0.37 + 0.012 * n), (0.69, 0.39 + 0.03 * n))
        for n in range(3)
    ),
    ((0.495, 0.48), (0.63, 0.48), (0.66, 0.42), (0.7, 0.42)),
    ((0.495, 0.5), (0.64, 0.5), (0.665, 0.45), (0.7, 0.45)),
    ((0.495, 0.54), (0.64, 0.54), (0.67, 0.6), (0.7, 0.6)),
    ((0.495, 0.56), (0.63, 0.56), (0.66, 0.63), (0.7, 0.63)),
    ((0.275, 0.48), (0.185, 0.48), (0.14, 0.435), (0.14, 0.33), (0.19, 0.31)),
    ((0.275, 0.54), (0.15, 0.54), (0.125, 0.565), (0.125, 0.72), (0.2, 0.79), (0.31, 0.81)),
    ((0.275, 0.56), (0.17, 0.575), (0.15, 0.6), (0.15, 0.7), (0.24, 0.77), (0.35, 0.81)),
    ((0.34, 0.63), (0.34, 0.7)),
    ((0.43, 0.63), (0.43, 0.7)),
    ((0.46, 0.61), (0.49, 0.66), (0.49, 0.81)),
    ((0.48, 0.59), (0.53, 0.64), (0.53, 0.81)),
    ((0.79, 0.6), (0.85, 0.6), (0.865, 0.63), (0.865, 0.71), (0.76, 0.79), (0.66, 0.81)),
    ((0.79, 0.65), (0.825, 0.65), (0.84, 0.68), (0.72, 0.77), (0.62, 0.81)),
    ((0.79, 0.4), (0.84, 0.4), (0.87, 0.36), (0.87, 0.27), (0.845, 0.25)),
    ((0.335, 0.33), (0.335, 0.42)),
    ((0.36, 0.31), (0.4, 0.31), (0.46, 0.25)),
    ((0.57, 0.81), (0.57, 0.72), (0.64, 0.65), (0.7, 0.65)),
)
_VIAS = ((0.14, 0.4), (0.56, 0.66), (0.62, 0.36), (0.65, 0.69), (0.25, 0.66), (0.29, 0.75), (0.83, 0.52), (0.66, 0.53))
_HOLES = ((0.13, 0.17), (0.87, 0.17), (0.13, 0.83), (0.87, 0.83))


def draw(size: int, scene: Generator, fault: Generator, defect: str | None) -> tuple[Surface, Surface]:
    """Draw a board.

    Args:
        size: pixels a side.
        scene: the source of chance for the board and its place.
        fault: the source of chance for the defect.
        defect: one of ``KINDS``; None for a sound board.

    Returns:
        The sound surface and the one to be shown; the same if there is no defect.
    """
    tone = scene.normal(1, 0.05, 3)
    mask: Colour = (0.05 * float(tone[0]), 0.3 * float(tone[1]), 0.17 * float(tone[2]))
    pose = (float(scene.normal(0, 2.2)), float(scene.normal(0, 0.011)), float(scene.normal(0, 0.011)))
    # Pick-and-place machines leave each part a little off.
    parts = [
        replace(part, x=part.x + float(scene.normal(0, 0.0011)), y=part.y + float(scene.normal(0, 0.0011)))
        for part in _PARTS
    ]
    texture = 1 + 0.03 * cloud(scene, size, 4, 2) + 0.035 * cloud(scene, size, 110, 1)
    sound = _build(size, parts, mask, pose, texture)
    if defect in {"missing_part", "swapped_part"}:
        at = int(fault.integers(len(parts)))
        wrong = parts[:at] + parts[at + 1 :] if defect == "missing_part" else _swapped(parts, fault)
        return sound, _build(size, wrong, mask, pose, texture)
    area = np.asarray(_area(size, pose), np.float32)
    if defect == "scratch":
        return sound, scratch(sound, fault, area, ((0.78, 0.5, 0.32), (0.5, 0.62, 0.5))[int(fault.integers(2))])
    if defect == "stain":
        return sound, stain(sound, fault, area, _SPILLS[int(fault.integers(len(_SPILLS)))], radius=(10, 60))
    if defect == "foreign_body":
        return sound, shaving(sound, fault, area)
    return sound, sound


_SPILLS: tuple[Colour, ...] = ((0.5, 0.38, 0.3), (2.6, 1.7, 1.9), (1.9, 1.25, 0.7))
"""A burn, white residue, flux."""


def _swapped(parts: list[_Part], rng: Generator) -> list[_Part]:
    """Mount one part of another kind: a chip, a resistor, a capacitor, a lamp of another colour."""
    by_name = {part.name: number for number, part in enumerate(parts)}
    changed = list(parts)

    def become(name: str, body: Colour, mark: str) -> None:
        changed[by_name[name]] = replace(parts[by_name[name]], body=body, mark=mark)

    how = int(rng.integers(5))
    if how == 0:
        name = ("U2", "U3")[int(rng.integers(2))]
        become(name, (0.2, 0.22, 0.3), ("NE555", "TL072")[int(rng.integers(2))])
    elif how == 1:
        become(f"R{int(rng.integers(1, 6))}", _TAN, "")
    elif how == 2:  # noqa: PLR2004 - the third way
        become(f"C{int(rng.integers(1, 5))}", _BLACK, "472")
    elif how == 3:  # noqa: PLR2004 - the fourth way
        become("D1", ((0.3, 0.7, 0.35), (0.85, 0.82, 0.6))[int(rng.integers(2))], "")
    else:
        become("C6", (0.2, 0.3, 0.55), "33")
    return changed


def _area(size: int, pose: tuple[float, float, float]) -> Field:
    sheet = Sheet(size, (0, 0, 0))
    sheet.box(_EDGE, (1, 1, 1), rounded=0.02)
    return np.ascontiguousarray(sheet.surface(turn=pose[0], shift=pose[1:]).albedo[:, :, 0])


def _build(size: int, parts: list[_Part], mask: Colour, pose: tuple[float, float, float], texture: Field) -> Surface:
    sheet = Sheet(size, (0.62, 0.61, 0.59), gloss=0.02)
    sheet.box(_EDGE, mask, height=4, gloss=0.22, rounded=0.02)
    copper: Colour = (mask[0] + 0.06, mask[1] + 0.13, mask[2] + 0.07)
    for track in _TRACKS:
        sheet.line(track, copper, 0.0075, height=4.35, gloss=0.3)
    for x, y in _VIAS:
        sheet.disc(x, y, 0.0095, copper, height=4.3, gloss=0.3)
        sheet.disc(x, y, 0.0045, (0.1, 0.12, 0.1), height=3)
    for x, y in _HOLES:
        sheet.disc(x, y, 0.03, _GOLD, height=4.4, gloss=0.7)
        sheet.disc(x, y, 0.019, (0.3, 0.3, 0.3), height=0)
    # Pads and labels belong to the board: they stay where a part is missing.
    for part in _PARTS:
        _pads(sheet, part)
    sheet.text(0.3, 0.185, "MOTOR CTRL B", _WHITE, 0.03)
    for part in parts:
        _MOUNT[part.kind](sheet, part)
    surface = sheet.surface(turn=pose[0], shift=pose[1:])
    return replace(surface, albedo=np.asarray(surface.albedo * texture[:, :, None], np.float32))


def _at(
    part: _Part, wide: float, tall: float, *, right: float = 0, down: float = 0
) -> tuple[float, float, float, float]:
    """Return a rectangle around a point of a part."""
    x, y = part.x + right, part.y + down
    return x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2


def _legs(part: _Part) -> list[tuple[float, float, bool]]:
    """Return each leg's place against the middle and whether it points sideways."""
    spread = (np.arange(part.pins) - (part.pins - 1) / 2) * (part.tall / (part.pins + 0.2))
    legs = [(side * (part.wide / 2 + 0.008), float(s), True) for side in (-1, 1) for s in spread]
    if part.kind == "quad":
        legs += [(float(s), side * (part.tall / 2 + 0.008), False) for side in (-1, 1) for s in spread]
    return legs


def _pads(sheet: Sheet, part: _Part) -> None:
    solder: Colour = (0.66, 0.66, 0.62)
    look = {"height": 4.5, "gloss": 0.6}
    label = (part.x, part.y - part.tall / 2 - 0.017)
    if part.kind in {"quad", "dual"}:
        for right, down, sideways in _legs(part):
            long, short = 0.026, min(0.014, 0.62 * part.tall / part.pins)
            wide, tall = (long, short) if sideways else (short, long)
            sheet.box(_at(part, wide, tall, right=right * 1.03, down=down * 1.03), solder, **look)
        sheet.disc(part.x - part.wide / 2 - 0.022, part.y - part.tall / 2 - 0.022, 0.005, _WHITE)
        label = (part.x, part.y - part.tall / 2 - (0.04 if part.kind == "quad" else 0.017))
    elif part.kind in {"chip", "led"}:
        for side in (-1, 1):
            sheet.box(_at(part, part.wide * 1.2, 0.02, down=side * part.tall / 2), solder, **look)
        sheet.outline(_at(part, part.wide + 0.018, part.tall + 0.034), _WHITE, 0.002)
        label = (part.x, part.y - part.tall / 2 - 0.03)
    elif part.kind == "can":
        for side in (-1, 1):
            sheet.box(_at(part, 0.022, 0.016, right=side * part.wide), solder, **look)
        sheet.outline(_at(part, 2.3 * part.wide, 2.3 * part.wide), _WHITE, 0.0025)
        label = (part.x, part.y - 1.15 * part.wide - 0.016)
    elif part.kind == "crystal":
        for side in (-1, 1):
            sheet.disc(part.x + side * 0.045, part.y, 0.012, solder, **look)
        label = (part.x - part.wide / 2 - 0.02, part.y)
    else:
        for n in range(part.pins):
            sheet.disc(part.x + (n - (part.pins - 1) / 2) * part.wide / part.pins, part.y, 0.014, _GOLD, **look)
        label = (part.x - part.wide / 2 - 0.025, part.y)
    sheet.text(*label, part.name, _WHITE, 0.024)


def _mount_legged(sheet: Sheet, part: _Part) -> None:
    for right, down, sideways in _legs(part):
        long, short = 0.021, min(0.009, 0.42 * part.tall / part.pins)
        wide, tall = (long, short) if sideways else (short, long)
        sheet.box(_at(part, wide, tall, right=right, down=down), _SILVER, height=6.5, gloss=0.8)
    sheet.box(_at(part, part.wide, part.tall), part.body, height=10, gloss=0.12, rounded=0.005)
    sheet.disc(part.x - part.wide * 0.36, part.y - part.tall * 0.38, 0.0075, (0.15, 0.15, 0.16), height=9.6)
    grey: Colour = (0.55, 0.56, 0.56)
    if part.kind == "dual":
        sheet.text(part.x, part.y, part.mark, grey, 0.028, upright=False)
        return
    for row, words in enumerate(part.mark.split("\n")):
        sheet.text(part.x, part.y + (row - 0.5) * 0.042, words, grey, 0.038)


def _mount_chip(sheet: Sheet, part: _Part) -> None:
    sheet.box(_at(part, part.wide, part.tall), _SILVER, height=6.6, gloss=0.7, rounded=0.002)
    sheet.box(_at(part, part.wide, part.tall * 0.62), part.body, height=7, gloss=0.25)
    if part.mark:
        sheet.text(part.x, part.y, part.mark, (0.8, 0.8, 0.78), 0.02, upright=False)


def _mount_led(sheet: Sheet, part: _Part) -> None:
    sheet.box(_at(part, part.wide, part.tall), (0.88, 0.88, 0.84), height=6.5, gloss=0.2)
    sheet.disc(part.x, part.y, 0.4 * part.wide, part.body, height=8, gloss=0.9)


def _mount_can(sheet: Sheet, part: _Part) -> None:
    sheet.box(_at(part, 2.05 * part.wide, 2.05 * part.wide), (0.1, 0.1, 0.11), height=6, gloss=0.1, rounded=0.012)
    rim: Colour = (0.75 * part.body[0], 0.75 * part.body[1], 0.75 * part.body[2])
    sheet.disc(part.x, part.y, part.wide * 0.98, rim, height=14, gloss=0.5)
    sheet.disc(part.x, part.y, part.wide * 0.9, part.body, height=15, gloss=0.45)
    sheet.box(_at(part, 1.5 * part.wide, 0.34 * part.wide, down=-0.5 * part.wide), (0.16, 0.16, 0.2))
    sheet.text(part.x, part.y + 0.2 * part.wide, part.mark, (0.14, 0.14, 0.16), 0.036)


def _mount_crystal(sheet: Sheet, part: _Part) -> None:
    sheet.box(_at(part, part.wide, part.tall), (0.5, 0.5, 0.49), height=8, gloss=0.5, rounded=0.025)
    sheet.box(_at(part, part.wide - 0.012, part.tall - 0.012), part.body, height=11, gloss=0.6, rounded=0.02)
    sheet.text(part.x, part.y, part.mark, (0.25, 0.25, 0.26), 0.026)


def _mount_header(sheet: Sheet, part: _Part) -> None:
    sheet.box(_at(part, part.wide, part.tall), part.body, height=9, gloss=0.15, rounded=0.004)
    for n in range(part.pins):
        x = part.x + (n - (part.pins - 1) / 2) * part.wide / part.pins
        sheet.box((x - 0.0085, part.y - 0.0085, x + 0.0085, part.y + 0.0085), _GOLD, height=16, gloss=0.9)


_MOUNT = {
    "quad": _mount_legged,
    "dual": _mount_legged,
    "chip": _mount_chip,
    "led": _mount_led,
    "can": _mount_can,
    "crystal": _mount_crystal,
    "header": _mount_header,
}
