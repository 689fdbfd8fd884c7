"""Draw a division on its image: region borders in white and a readable number in each region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lvlm_ad.regions import Regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lvlm_ad.presets import Protocol

__all__ = ["MarkStyle", "NumberBox", "borders", "draw_grid", "draw_marks", "marks_alone", "place_numbers"]

_GREY = 128
"""The box under a number in the published pictures, and the level between a dark and a light background."""

_SMALLEST_NUMBER = 7
"""Digits of a smaller height, in pixels, look alike."""


@dataclass(frozen=True, slots=True)
class MarkStyle:
    """How marks look.

    Attributes:
        border_width: width of a region's border in pixels; 0 draws none.
        number_size: font size in pixels.
        number_style: "contrast" writes black on white where the image is dark, and white on black where it is light;
            "grey" writes white on grey, as published.
    """

    border_width: int = 2
    number_size: int = 18
    number_style: Literal["contrast", "grey"] = "contrast"

    @classmethod
    def of(cls, protocol: Protocol) -> MarkStyle:
        """Return the style that a protocol sets."""
        return cls(protocol.border_width, protocol.number_size, protocol.number_style)


@dataclass(frozen=True, slots=True)
class NumberBox:
    """Where a number stands.

    Attributes:
        number: the region's number.
        top: first row of the box.
        left: first column.
        height: rows.
        width: columns.
        size: font size in pixels.
    """

    number: int
    top: int
    left: int
    height: int
    width: int
    size: int


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


@lru_cache(maxsize=4096)
def _glyphs(name: int | str, size: int) -> NDArray[np.uint8]:
    """Render a number or a name with a margin of about a tenth of its height; uint8 ``(h, w)``, 255 is ink."""
    left, top, right, bottom = (round(side) for side in _font(size).getbbox(str(name)))
    margin = max(1, size // 8)
    image = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin))
    ImageDraw.Draw(image).text((margin - left, margin - top), str(name), fill=255, font=_font(size))
    return np.asarray(image)


def borders(regions: Regions, width: int = 1) -> NDArray[np.bool_]:
    """Find the inner boundaries of all regions: pixels of a region beside a pixel outside it, 4-connected.

    Args:
        regions: the division.
        width: 1 for the boundary itself; more dilates it by ``width - 1`` pixels.

    Returns:
        bool ``(H, W)``.

    Example:
        >>> borders(Regions.from_labels(np.array([[1, 1, 2, 2]])))
        array([[False,  True,  True, False]])
    """
    cells, membership = regions.cells, regions.membership
    # In most divisions each region is one cell and each cell one region: wherever cells differ, regions do.
    is_partition = (membership.sum(axis=0) == 1).all() and (membership.sum(axis=1) == 1).all()
    # covers[c]: a bit for each region, whether it covers cell c.
    covers = np.packbits(membership.T, axis=1)
    edge = np.zeros(cells.shape, dtype=np.bool_)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differs = cells[here] != cells[there]
        if is_partition:
            edge[here] |= differs
            edge[there] |= differs
            continue
        # Only where cells differ: most pixels are in the same cell as their neighbour to the right or below.
        at = np.nonzero(differs)
        one, other = covers[cells[here][at]], covers[cells[there][at]]
        edge[here][at] |= (one & ~other).any(axis=1)
        edge[there][at] |= (other & ~one).any(axis=1)
    for _ in range(width - 1):
        edge = _dilated(edge)
    return edge


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add the four neighbours of each pixel to a mask."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def place_numbers(regions: Regions, size: int) -> list[NumberBox]:
    """Choose a box for each number: inside the image, free of other numbers, centred on a pixel of its region.

    The first choice is the pixel nearest to the region's centroid. If another number stands there, the nearest free
    pixel of the region is next; if the region has none, the number becomes smaller; if even the smallest does not fit,
    the number stands where it overlaps others least.

    Args:
        regions: the division.
        size: font size in pixels.

    Returns:
        One box for each region, in the order of their numbers.

    Example:
        >>> (box,) = place_numbers(Regions.from_labels(np.ones((40, 40), int)), size=18)
        >>> box.number, box.size
        (1, 18)
    """
    placed: list[NumberBox] = []
    taken = np.zeros(regions.shape, dtype=np.bool_)
    windows = cache(lambda: _windows(regions))
    for number, (row, column) in enumerate(regions.positions(), start=1):
        box = _box(regions.shape, number, int(row), int(column), size)
        if taken[_area(box)].any():
            box = _nudge(regions, windows()[number - 1], number, (int(row), int(column)), size, taken)
        taken[_area(box)] = True
        placed.append(box)
    return placed


def _area(box: NumberBox) -> tuple[slice, slice]:
    return slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)


def _box(shape: tuple[int, int], number: int, row: int, column: int, size: int) -> NumberBox:
    """Centre a box on a pixel, moved as little as needed to lie inside the image; cut only if the image is smaller."""
    high, wide = _glyphs(number, size).shape
    height, width = min(high, shape[0]), min(wide, shape[1])
    top = min(max(row - height // 2, 0), shape[0] - height)
    left = min(max(column - width // 2, 0), shape[1] - width)
    return NumberBox(number, top, left, height, width, size)


def _windows(regions: Regions) -> list[tuple[slice, slice]]:
    """Return the smallest window that holds each region."""
    from scipy.ndimage import find_objects  # noqa: PLC0415 - half of what a process that draws would import

    of_cells = find_objects(regions.cells + 1)
    windows = []
    for covered in regions.membership:
        sides = zip(*(of_cells[cell] for cell in np.flatnonzero(covered)), strict=True)
        rows, columns = (slice(min(one.start for one in side), max(one.stop for one in side)) for side in sides)
        windows.append((rows, columns))
    return windows


def _nudge(
    regions: Regions,
    window: tuple[slice, slice],
    number: int,
    start: tuple[int, int],
    size: int,
    taken: NDArray[np.bool_],
) -> NumberBox:
    """Return the largest box on a pixel of the region that hides no other number, or the one that hides least."""
    rows, columns = np.nonzero(regions.membership[number - 1][regions.cells[window]])
    rows, columns = rows + window[0].start, columns + window[1].start
    distances = (rows - start[0]) ** 2 + (columns - start[1]) ** 2
    best: tuple[int, NumberBox] | None = None
    for smaller in range(size, _SMALLEST_NUMBER - 1, -2):
        sample = _box(regions.shape, number, 0, 0, smaller)
        top = np.clip(rows - sample.height // 2, 0, regions.shape[0] - sample.height)
        left = np.clip(columns - sample.width // 2, 0, regions.shape[1] - sample.width)
        hidden = _counts(taken, top, left, sample)
        # The nearest of the best; they come in reading order.
        fewest = np.flatnonzero(hidden == hidden.min())
        at = fewest[np.argmin(distances[fewest])]
        box = NumberBox(number, int(top[at]), int(left[at]), sample.height, sample.width, smaller)
        if best is None or hidden[at] < best[0]:
            best = (int(hidden[at]), box)
        if hidden[at] == 0:
            return box
    if best is None:
        return _box(regions.shape, number, *start, size)
    return best[1]


def _counts(
    mask: NDArray[np.bool_], top: NDArray[np.int64], left: NDArray[np.int64], box: NumberBox
) -> NDArray[np.int64]:
    """Count the pixels of a mask under a box at each of many places."""
    first, before = top.min(), left.min()
    top, left = top - first, left - before
    bottom, right = top + box.height, left + box.width
    # A summed-area table of the part that the boxes reach counts the pixels under any box in one step.
    part = mask[first : first + bottom.max(), before : before + right.max()]
    total = np.pad(part.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    counts: NDArray[np.int64] = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return counts


def draw_marks(
    image: NDArray[np.uint8], regions: Regions, style: MarkStyle, *, numbers: bool = True
) -> NDArray[np.uint8]:
    """Draw borders and numbers on an image.

    Args:
        image: uint8 ``(H, W, 3)``, RGB, of the division's size; it is not changed.
        regions: the division.
        style: how marks look.
        numbers: whether numbers are drawn, or borders alone.

    Returns:
        uint8 ``(H, W, 3)``.

    Example:
        >>> from lvlm_ad.regions import divide
        >>> image = np.zeros((96, 96, 3), np.uint8)
        >>> regions = divide(image, "grid", grid_rows=3, grid_columns=3)
        >>> draw_marks(image, regions, MarkStyle()).shape
        (96, 96, 3)
    """
    out = image.copy()
    if style.border_width:
        # Few pixels are on a border: writing them alone is faster than a mask over the whole image.
        out.reshape(-1, out.shape[2])[np.flatnonzero(borders(regions, style.border_width))] = 255
    if numbers:
        for box in place_numbers(regions, style.number_size):
            _write(out, box.number, box.size, _area(box), style, image)
    return out


def marks_alone(
    image: NDArray[np.uint8], regions: Regions, style: MarkStyle
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return what ``draw_marks`` draws on an image: levels of grey, uint8 ``(H, W)``, and where, bool ``(H, W)``."""
    where = borders(regions, style.border_width) if style.border_width else np.zeros(regions.shape, np.bool_)
    grey = where * np.uint8(255)
    for box in place_numbers(regions, style.number_size):
        area = _area(box)
        _write(grey[:, :, None], box.number, box.size, area, style, image)
        where[area] = True
    return grey, where


def draw_grid(
    image: NDArray[np.uint8], rows: int, columns: int, style: MarkStyle, name: Callable[[int, int], str]
) -> NDArray[np.uint8]:
    """Draw the borders of a grid on an image, and in the upper left corner of each cell its name.

    Args:
        image: uint8 ``(H, W, 3)``, RGB; it is not changed.
        rows: rows of the grid, at most H.
        columns: columns of the grid, at most W.
        style: how borders and names look.
        name: from row and column, both from 1, to the cell's name.

    Returns:
        uint8 ``(H, W, 3)``.

    Example:
        >>> draw_grid(np.zeros((96, 96, 3), np.uint8), 3, 3, MarkStyle(), lambda row, column: f"{row},{column}").shape
        (96, 96, 3)
    """
    height, width = image.shape[:2]
    row_of, column_of = np.arange(height) * rows // height, np.arange(width) * columns // width
    grid = Regions.from_labels(row_of[:, None] * columns + column_of[None, :] + 1)
    out = draw_marks(image, grid, style, numbers=False)
    for row, column in np.ndindex(rows, columns):
        text, size = name(row + 1, column + 1), style.number_size
        high, wide = _glyphs(text, size).shape
        top, left = -(-row * height // rows), -(-column * width // columns)
        area = slice(top, min(top + high, height)), slice(left, min(left + wide, width))
        _write(out, text, size, area, style, image)
    return out


def _write(
    out: NDArray[np.uint8],
    name: int | str,
    size: int,
    area: tuple[slice, slice],
    style: MarkStyle,
    image: NDArray[np.uint8],
) -> None:
    """Write a number or a name of a font size into an area, cut to it; the image decides the colours."""
    if style.number_style == "grey":
        front, back = 255, _GREY
    else:
        front, back = (255, 0) if _is_light(image, area) else (0, 255)
    rows, columns = area
    written = _written(name, size, front, back)
    out[area] = written[: rows.stop - rows.start, : columns.stop - columns.start]


@lru_cache(maxsize=4096)
def _written(name: int | str, size: int, front: int, back: int) -> NDArray[np.uint8]:
    """Render a number or a name between two levels of grey; uint8 ``(h, w, 1)``."""
    ink = _glyphs(name, size)[:, :, None] / 255
    return np.asarray(np.rint(ink * front + (1 - ink) * back), dtype=np.uint8)


def _is_light(image: NDArray[np.uint8], area: tuple[slice, slice]) -> bool:
    """Tell whether an area's mean brightness is above ``_GREY``."""
    total, middle = int(image[area].sum()), _GREY * image[area].size
    if total != middle:
        return total > middle
    # Between the two, the rounding of this very expression decides, as for all pictures whose answers are stored.
    rows, columns = area
    return bool(image[rows].mean(axis=2)[:, columns].mean() > _GREY)
