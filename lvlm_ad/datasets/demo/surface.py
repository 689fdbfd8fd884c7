"""A lit surface: colour, height and gloss of every pixel, and the lamp and camera that make a picture of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, hypot, pi, sin, tan
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

    Field: TypeAlias = NDArray[np.float32]

__all__ = ["Camera", "Lamp", "Surface", "cover", "unit_of"]

_SHADOW_STEPS = 6


def unit_of(size: int) -> float:
    """Return how many pixels one drawing unit has; everything is designed for pictures of 384 pixels a side."""
    return size / 384


@dataclass(frozen=True, slots=True)
class Surface:
    """What lies under the camera, seen straight from above.

    Attributes:
        albedo: float32 ``(H, W, 3)`` in [0, 1], RGB.
        height: float32 ``(H, W)``, pixels above the ground.
        gloss: float32 ``(H, W)`` in [0, 1], the strength of the highlight.
    """

    albedo: Field
    height: Field
    gloss: Field

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.height.shape[0])


def cover(
    surface: Surface, alpha: Field, colour: ArrayLike, *, lift: ArrayLike = 0.0, gloss: float | None = None
) -> Surface:
    """Lay a coat over part of a surface.

    Args:
        surface: what is there.
        alpha: float32 ``(H, W)`` in [0, 1], how much of each pixel the coat hides.
        colour: the coat's RGB, ``(3,)`` or ``(H, W, 3)`` in [0, 1].
        lift: pixels that a full coat adds to the height (negative: it cuts in), a number or ``(H, W)``.
        gloss: the coat's gloss; None keeps what is there.

    Returns:
        The covered surface; the one given is left as it was.
    """
    layer = alpha[:, :, None]
    shine = surface.gloss if gloss is None else surface.gloss + alpha * (gloss - surface.gloss)
    return replace(
        surface,
        albedo=np.asarray(surface.albedo + layer * (np.asarray(colour, np.float32) - surface.albedo), np.float32),
        height=np.asarray(surface.height + alpha * np.asarray(lift, np.float32), np.float32),
        gloss=np.asarray(shine, np.float32),
    )


@dataclass(frozen=True, slots=True)
class Lamp:
    """One large lamp above the surface and the light that the room scatters.

    Attributes:
        azimuth: where the lamp stands, radians, 0 to the right and pi / 2 to the bottom of the picture.
        elevation: radians above the ground.
        ambient: the part of the light that has no direction, in [0, 1].
        softness: pixels by which a shadow's border is blurred.
    """

    azimuth: float
    elevation: float
    ambient: float
    softness: float

    @classmethod
    def draw(cls, rng: Generator, size: int) -> Lamp:
        """Choose a lamp, most often to the upper left, as photographers place it."""
        return cls(
            azimuth=float(rng.normal(-0.72 * pi, 0.45)),
            elevation=float(rng.uniform(0.24, 0.34) * pi),
            ambient=float(rng.uniform(0.42, 0.58)),
            softness=float(rng.uniform(1.2, 2.6) * unit_of(size)),
        )

    def light(self, surface: Surface) -> Field:
        """Return what reaches the camera, float32 ``(H, W, 3)``, about [0, 1] but not clipped."""
        east, south = cos(self.azimuth) * cos(self.elevation), sin(self.azimuth) * cos(self.elevation)
        up = sin(self.elevation)
        slope_y, slope_x = np.gradient(surface.height)
        steep = np.sqrt(slope_x**2 + slope_y**2 + 1)
        facing = np.maximum((up - slope_x * east - slope_y * south) / steep, 0) / up
        around = gaussian_filter(surface.height, 3 * self.softness, truncate=2)
        open_sky = 1 - np.clip((around - surface.height) * 0.06, 0, 0.45)
        lit = self.ambient * open_sky + (1 - self.ambient) * facing * (1 - 0.85 * self._shadow(surface.height))
        # Blinn's highlight: the vector half-way between the lamp and the camera, which looks straight down.
        length = hypot(east, south, up + 1)
        mirror = np.maximum(((up + 1) - slope_x * east - slope_y * south) / (steep * length), 0)
        highlight = surface.gloss * (0.55 * mirror**60 + 0.25 * mirror**14)
        return np.asarray(surface.albedo * lit[:, :, None] + highlight[:, :, None], np.float32)

    def _shadow(self, height: Field) -> Field:
        """Return how much of the lamp is hidden, float32 ``(H, W)`` in [0, 1]."""
        rise = tan(self.elevation)
        longest = float(np.ptp(height)) / rise
        if longest < 1:
            return np.zeros_like(height)
        pad = int(longest) + 1
        wide = np.pad(height, pad, mode="edge")
        rows, columns = height.shape
        hidden = np.zeros_like(height)
        for step in range(1, _SHADOW_STEPS + 1):
            far = longest * step / _SHADOW_STEPS
            top, left = pad + round(far * sin(self.azimuth)), pad + round(far * cos(self.azimuth))
            towards_lamp = wide[top : top + rows, left : left + columns]
            np.maximum(hidden, towards_lamp - far * rise - height, out=hidden)
        return np.asarray(gaussian_filter(np.minimum(hidden, 1), self.softness, truncate=3), np.float32)


@dataclass(frozen=True, slots=True)
class Camera:
    """Exposure, uneven light, white balance, focus and grain of one picture.

    Attributes:
        gain: brightness of the whole picture.
        tilt: change of brightness from the middle to the border, to the right and to the bottom.
        vignette: loss of light in the corners, in [0, 1].
        balance: factor for each of red, green and blue.
        blur: pixels.
        grain: standard deviation of the noise at full brightness, in [0, 1].
    """

    gain: float
    tilt: tuple[float, float]
    vignette: float
    balance: tuple[float, float, float]
    blur: float
    grain: float

    @classmethod
    def draw(cls, rng: Generator, size: int) -> Camera:
        """Choose a camera's state for one picture."""
        turn, strength = rng.uniform(0, 2 * pi), rng.uniform(0, 0.13)
        warmth, green = rng.normal(0, 0.02), rng.normal(0, 0.008)
        return cls(
            gain=float(rng.uniform(0.9, 1.1)),
            tilt=(float(strength * cos(turn)), float(strength * sin(turn))),
            vignette=float(rng.uniform(0.02, 0.16)),
            balance=(float(1 + warmth), float(1 + green), float(1 - warmth)),
            blur=float(rng.uniform(0.35, 0.6) * unit_of(size)),
            grain=float(rng.uniform(0.008, 0.016)),
        )

    def develop(self, light: Field) -> Field:
        """Return the picture before grain, float32 ``(H, W, 3)`` in [0, 1]."""
        rows, columns = light.shape[:2]
        down = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
        across = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
        level = self.gain * (1 + self.tilt[0] * across + self.tilt[1] * down)
        level = level * (1 - self.vignette * (across**2 + down**2) / 2)
        exposed = gaussian_filter(light, (self.blur, self.blur, 0)) * level[:, :, None]
        exposed *= np.asarray(self.balance, np.float32)
        # A shoulder from 0.8 on, so that highlights run into white softly, as film and sensors make them do.
        over = np.maximum(exposed - 0.8, 0)
        return np.asarray(np.clip(exposed - over + over / (1 + 5 * over), 0, 1), np.float32)

    def expose(self, picture: Field, grain: Field) -> NDArray[np.uint8]:
        """Add grain, stronger in bright parts (photon noise), and return uint8 ``(H, W, 3)``.

        Args:
            picture: float32 ``(H, W, 3)`` in [0, 1].
            grain: float32 ``(H, W, 3)``, standard normal noise.
        """
        noisy = picture + grain * (self.grain * np.sqrt(0.25 + 0.75 * picture))
        return np.asarray(np.clip(noisy * np.float32(255) + np.float32(0.5), 0, 255), np.uint8)
