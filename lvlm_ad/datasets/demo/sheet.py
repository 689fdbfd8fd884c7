"""A drawing board for man-made things: each mark sets colour, height and gloss at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from lvlm_ad.datasets.demo.surface import Surface, unit_of

if TYPE_CHECKING:
    from lvlm_ad.datasets.demo.surface import Field

__all__ = ["Colour", "Sheet", "font"]

Colour: TypeAlias = tuple[float, float, float]
"""RGB in [0, 1]."""

_OVER = 2
_HEIGHT_STEPS = 12
"""Grey levels of the height layer for one drawing unit; it holds up to 21 units."""


@lru_cache(maxsize=64)
def font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, the only one that is there on every machine."""
    return ImageFont.load_default(size=pixels)


def _ink(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(255 * part))) for part in colour)
    return red, green, blue


@dataclass
class Sheet:
    """An empty sheet of which one draws with coordinates from 0 to 1; x to the right, y down.

    Attributes:
        size: pixels a side of the surface to be made.
        ground: the colour of the empty sheet.
        gloss: the gloss of the empty sheet, in [0, 1].
    """

    size: int
    ground: Colour
    gloss: float = 0.0
    _paint: Image.Image = field(init=False)
    _relief: Image.Image = field(init=False)
    _pens: tuple[ImageDraw.ImageDraw, ImageDraw.ImageDraw] = field(init=False)

    def __post_init__(self) -> None:
        side = (self.size * _OVER, self.size * _OVER)
        self._paint = Image.new("RGB", side, _ink(self.ground))
        self._relief = Image.new("RGB", side, self._level(0, self.gloss))
        self._pens = (ImageDraw.Draw(self._paint), ImageDraw.Draw(self._relief))

    @staticmethod
    def _level(height: float, gloss: float) -> tuple[int, int, int]:
        return round(height * _HEIGHT_STEPS), round(255 * gloss), 0

    def _px(self, values: Sequence[float]) -> list[float]:
        return [value * self.size * _OVER for value in values]

    def disc(
        self, x: float, y: float, radius: float, colour: Colour, *, height: float | None = None, gloss: float = 0.0
    ) -> None:
        """Draw a disc; a height of None prints it flat on what is there."""
        box = self._px((x - radius, y - radius, x + radius, y + radius))
        self._pens[0].ellipse(box, fill=_ink(colour))
        if height is not None:
            self._pens[1].ellipse(box, fill=self._level(height, gloss))

    def box(
        self,
        corners: tuple[float, float, float, float],
        colour: Colour,
        *,
        height: float | None = None,
        gloss: float = 0.0,
        rounded: float = 0.0,
    ) -> None:
        """Draw an upright rectangle (left, top, right, bottom); a height of None prints it flat."""
        box, radius = self._px(corners), rounded * self.size * _OVER
        self._pens[0].rounded_rectangle(box, radius, fill=_ink(colour))
        if height is not None:
            self._pens[1].rounded_rectangle(box, radius, fill=self._level(height, gloss))

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: Colour,
        width: float,
        *,
        height: float | None = None,
        gloss: float = 0.0,
    ) -> None:
        """Draw a polyline; a height of None prints it flat."""
        flat, wide = self._px([part for point in points for part in point]), max(1, round(width * self.size * _OVER))
        self._pens[0].line(flat, fill=_ink(colour), width=wide, joint="curve")
        if height is not None:
            self._pens[1].line(flat, fill=self._level(height, gloss), width=wide, joint="curve")

    def outline(self, corners: tuple[float, float, float, float], colour: Colour, width: float) -> None:
        """Print the border of a rectangle."""
        self._pens[0].rectangle(self._px(corners), outline=_ink(colour), width=max(1, round(width * self.size * _OVER)))

    def text(self, x: float, y: float, words: str, colour: Colour, tall: float, *, upright: bool = True) -> None:
        """Print words around a middle; not upright: read from bottom to top."""
        face, middle = font(max(4, round(tall * self.size * _OVER))), self._px((x, y))
        if upright:
            self._pens[0].text((middle[0], middle[1]), words, fill=_ink(colour), font=face, anchor="mm")
            return
        left, top, right, bottom = face.getbbox(words)
        stencil = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
        ImageDraw.Draw(stencil).text((1 - left, 1 - top), words, fill=255, font=face)
        stencil = stencil.transpose(Image.Transpose.ROTATE_90)
        corner = (round(middle[0] - stencil.width / 2), round(middle[1] - stencil.height / 2))
        self._paint.paste(_ink(colour), corner, stencil)

    def surface(self, *, turn: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Surface:
        """Return the sheet as a surface.

        Args:
            turn: degrees, anticlockwise around the middle.
            shift: to the right and down, as parts of the side.
        """
        move = (round(shift[0] * self.size * _OVER), round(shift[1] * self.size * _OVER))
        grounds = (_ink(self.ground), self._level(0, self.gloss))
        albedo, relief = (
            _reduced(_moved(layer, turn, move, ground))
            for layer, ground in zip((self._paint, self._relief), grounds, strict=True)
        )
        unit = unit_of(self.size)
        # Drawn steps are vertical; a bevel of about a unit is what catches the light on real edges.
        height = gaussian_filter(relief[:, :, 0], 0.8 * unit) * np.float32(255 / _HEIGHT_STEPS * unit)
        return Surface(albedo, np.asarray(height, np.float32), np.ascontiguousarray(relief[:, :, 1]))


def _moved(layer: Image.Image, turn: float, move: tuple[int, int], ground: tuple[int, int, int]) -> Image.Image:
    if turn:
        return layer.rotate(turn, Image.Resampling.BILINEAR, translate=move, fillcolor=ground)
    # Turning by nothing would still resample every pixel.
    whole = Image.new("RGB", layer.size, ground)
    whole.paste(layer, move)
    return whole


def _reduced(layer: Image.Image) -> Field:
    return np.asarray(layer.reduce(_OVER), np.float32) / np.float32(255)
