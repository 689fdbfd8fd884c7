"""One picture of the demo set: which categories there are, and how a surface becomes an image and its mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

import numpy as np
from scipy.ndimage import binary_closing, generate_binary_structure, iterate_structure, label

from lvlm_ad.datasets.demo import board, bottle_top, cable, pills, textures
from lvlm_ad.datasets.demo.surface import Camera, Lamp, Surface, unit_of

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from lvlm_ad.datasets.demo.surface import Field

    Draw: TypeAlias = Callable[[int, Generator, Generator, str | None], tuple[Surface, Surface]]

__all__ = ["CATEGORIES", "Category", "Picture", "take"]

_VISIBLE = 0.032
"""A pixel is defective if a channel differs by more than this from the sound twin; about twice the strongest grain."""

_PLAIN = 0.05
"""A difference that is plain to see even in one pixel."""

_SMALLEST = 8
"""Pixels of the smallest mask, at 384 pixels a side and below."""


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of object or texture.

    Attributes:
        kinds: its defects, in alphabetical order.
        draw: (size, chance of the scene, chance of the defect, defect or None) -> the sound and the shown surface.
    """

    kinds: tuple[str, ...]
    draw: Draw


CATEGORIES: Mapping[str, Category] = {
    "board": Category(board.KINDS, board.draw),
    "bottle_top": Category(bottle_top.KINDS, bottle_top.draw),
    "brick": Category(textures.BRICK_KINDS, textures.draw_brick),
    "cable": Category(cable.KINDS, cable.draw),
    "gravel": Category(textures.GRAVEL_KINDS, textures.draw_gravel),
    "pills": Category(pills.KINDS, pills.draw),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with its ground truth.

    Attributes:
        image: uint8 ``(H, W, 3)``, RGB.
        twin: the same scene, light and grain without the defect; equal to ``image`` if there is none.
        mask: bool ``(H, W)``, True where the defect is to be seen.
    """

    image: NDArray[np.uint8]
    twin: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def take(category: str, place: str, index: int, *, seed: int, size: int) -> Picture:
    """Take one picture; it depends on the arguments alone, not on any picture taken before.

    Args:
        category: a key of ``CATEGORIES``.
        place: "train/good", "test/good" or "test/" and a defect of the category.
        index: number of the picture in its folder, from 0.
        seed: 0 or more.
        size: pixels a side.
    """
    defect = place.rpartition("/")[2]
    words = (seed, crc32(category.encode()), crc32(place.encode()), index)
    for attempt in count():
        picture = _taken(CATEGORIES[category], None if defect == "good" else defect, (*words, attempt), size)
        # A black spot on a black chip is no defect that anybody could find: take another.
        if defect == "good" or picture.mask.sum() >= max(_SMALLEST, _SMALLEST * unit_of(size) ** 2):
            break
    return picture


def _taken(category: Category, defect: str | None, words: tuple[int, ...], size: int) -> Picture:
    """Take one picture with the chance that ``words`` stand for; its mask may be empty."""
    scene, fault, light, noise = (np.random.default_rng(part) for part in np.random.SeedSequence(words).spawn(4))
    sound, shown = category.draw(size, scene, fault, defect)
    lamp, camera = Lamp.draw(light, size), Camera.draw(light, size)
    clean = camera.develop(lamp.light(sound))
    grain = noise.standard_normal(clean.shape, dtype=np.float32)
    twin = camera.expose(clean, grain)
    if shown is sound:
        return Picture(twin, twin, np.zeros((size, size), np.bool_))
    flawed = camera.develop(lamp.light(shown))
    return Picture(camera.expose(flawed, grain), twin, _changed(clean, flawed))


def _changed(clean: Field, flawed: Field) -> NDArray[np.bool_]:
    """Return where two pictures differ visibly, bool ``(H, W)``, without pinholes and single faint pixels."""
    unit = unit_of(clean.shape[0])
    difference = np.abs(flawed - clean).max(axis=2)
    # Where two textures happen to agree the defect goes on; gaps of a few pixels are closed.
    reach = iterate_structure(generate_binary_structure(2, 1), max(1, round(2 * unit)))
    margin = 2 * reach.shape[0]
    closed = binary_closing(np.pad(difference > _VISIBLE, margin), reach)[margin:-margin, margin:-margin]
    whole = _without_pinholes(closed, largest=60 * unit**2)
    # A faint speck is a shadow's outskirts, unless that is all there is.
    pieces, number = label(whole, np.ones((3, 3)))
    areas = np.bincount(pieces.ravel(), minlength=number + 1)
    plain = np.bincount(pieces[difference > _PLAIN], minlength=number + 1)
    kept = (areas >= max(4, 12 * unit**2)) | (plain > 0)
    kept[0] = False
    return np.asarray(kept[pieces] if kept.any() else whole)


def _without_pinholes(mask: NDArray[np.bool_], largest: float) -> NDArray[np.bool_]:
    """Fill the gaps of up to ``largest`` pixels; what a ring encloses is sound and stays out."""
    gaps, _ = label(~mask)
    areas = np.bincount(gaps.ravel())
    return np.asarray(mask | (areas <= largest)[gaps])
