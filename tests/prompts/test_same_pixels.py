"""Resized images, marks and digests are those of plain functions, which are written out here.

Stored answers are found by the digest of the pixels: one pixel that differs, and a question would be paid for again.
"""

import hashlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy.ndimage import binary_dilation

from lvlm_ad.backend import Picture
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.png import png_bytes
from lvlm_ad.prompts import MarkStyle, NumberBox, borders, draw_grid, draw_marks, place_numbers
from lvlm_ad.prompts.marks import _SMALLEST_NUMBER, _area, _box, _glyphs
from lvlm_ad.regions import Regions, divide

STYLES = [MarkStyle(), MarkStyle(1, 10, "grey"), MarkStyle(0, 7), MarkStyle(5, 31), MarkStyle(3, 40, "grey")]


def resized(image, size):
    """Have Pillow interpolate floats, one channel at a time."""
    height, width = image.shape[:2]
    matrix = (width / size[1], 0.0, 0.0, 0.0, height / size[0], 0.0)
    channels = [
        Image.fromarray(image[:, :, channel])
        .convert("F")
        .transform((size[1], size[0]), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)
        for channel in range(image.shape[2])
    ]
    return np.rint(np.stack([np.asarray(channel) for channel in channels], axis=2)).astype(np.uint8)


def bordered(regions, width):
    """Look at the four neighbours of each pixel, and dilate."""
    inside = regions.membership.astype(np.int64)
    leaves = (inside.T @ (1 - inside)) > 0
    cells = regions.cells
    edge = np.zeros(cells.shape, dtype=np.bool_)
    for here, there in (
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        edge[here] |= leaves[cells[here], cells[there]]
    return binary_dilation(edge, iterations=width - 1) if width > 1 else edge


def centres(regions):
    """Measure the distance of each pixel of a region from its centroid."""
    for covered in regions.membership:
        rows, columns = np.nonzero(covered[regions.cells])
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        yield int(rows[nearest]), int(columns[nearest])


def placed(regions, size):
    """Try all pixels of a region in the order of their distance where a number stands already."""
    taken = np.zeros(regions.shape, dtype=np.bool_)
    for number, start in enumerate(centres(regions), start=1):
        box = _box(regions.shape, number, *start, size)
        if taken[_area(box)].any():
            box = nudged(regions, number, start, size, taken)
        taken[_area(box)] = True
        yield box


def nudged(regions, number, start, size, taken):
    """Count the pixels taken under each box in a table of the whole image."""
    rows, columns = np.nonzero(regions.membership[number - 1][regions.cells])
    order = np.argsort((rows - start[0]) ** 2 + (columns - start[1]) ** 2, kind="stable")
    rows, columns = rows[order], columns[order]
    total = np.pad(taken.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    best = None
    for smaller in range(size, _SMALLEST_NUMBER - 1, -2):
        sample = _box(regions.shape, number, 0, 0, smaller)
        top = np.clip(rows - sample.height // 2, 0, regions.shape[0] - sample.height)
        left = np.clip(columns - sample.width // 2, 0, regions.shape[1] - sample.width)
        bottom, right = top + sample.height, left + sample.width
        hidden = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        at = int(np.argmin(hidden))
        box = NumberBox(number, int(top[at]), int(left[at]), sample.height, sample.width, smaller)
        if best is None or hidden[at] < best[0]:
            best = (hidden[at], box)
        if hidden[at] == 0:
            return box
    return best[1]


def marked(image, regions, style):
    """Draw all borders, then each number by the mean brightness of the image's floats."""
    out = image.copy()
    if style.border_width:
        out[bordered(regions, style.border_width)] = 255
    brightness = image.mean(axis=2)
    for box in placed(regions, style.number_size):
        out[_area(box)] = inked(_glyphs(box.number, box.size), brightness[_area(box)], style)
    return out


def inked(glyphs, brightness, style):
    """Mix ink and ground in floating point, cut to the area whose brightness is given."""
    ink = glyphs[: brightness.shape[0], : brightness.shape[1], None] / 255
    light = brightness.mean() > 128
    front, back = (255.0, 128.0) if style.number_style == "grey" else (255.0, 0.0) if light else (0.0, 255.0)
    return np.rint(ink * front + (1 - ink) * back)


sides = st.integers(1, 40)
shapes = st.tuples(st.integers(7, 60), st.integers(7, 60))
seeds = st.integers(0, 2**32 - 1)


@st.composite
def regions_of(draw, shape):
    """Draw a partition, with or without pixels outside all regions, or masks that overlap."""
    random, kind = np.random.default_rng(draw(seeds)), draw(st.sampled_from(["partition", "gaps", "masks"]))
    if kind == "masks":
        y, x = np.mgrid[: shape[0], : shape[1]]
        centre, radius = random.uniform(0, shape, (draw(st.integers(1, 9)), 2)), random.uniform(2, 30, 9)
        masks = [(y - row) ** 2 + (x - column) ** 2 < r**2 for (row, column), r in zip(centre, radius, strict=False)]
        return Regions.from_masks(np.stack([mask for mask in masks if mask.any()] or [y >= 0]))
    block = draw(st.integers(1, 12))
    coarse = random.integers(0, draw(st.integers(1, 30)), (-(-shape[0] // block), -(-shape[1] // block)))
    _, labels = np.unique(np.kron(coarse, np.ones((block, block), int))[: shape[0], : shape[1]], return_inverse=True)
    return Regions.from_labels(labels.reshape(shape) + (kind == "partition"))


@st.composite
def pictures(draw, shape):
    """Draw an image: in colour or grey, of all levels or around the middle, where a number's colours are decided."""
    random = np.random.default_rng(draw(seeds))
    low, high = draw(st.sampled_from([(0, 256), (127, 130), (128, 129)]))
    channels = draw(st.sampled_from([1, 3]))
    return np.repeat(random.integers(low, high, (*shape, channels), dtype=np.uint8), 3 // channels, axis=2)


@settings(max_examples=80, deadline=None)
@given(image=st.tuples(sides, sides).flatmap(pictures), size=st.tuples(sides, sides))
def test_resized_pixels_are_those_of_pillows_float_interpolation(image, size):
    """Larger or smaller, in colour or grey, by any ratio: every pixel is the same."""
    assert np.array_equal(resize_image(image, size), resized(image, size) if image.shape[:2] != size else image)


@pytest.mark.parametrize("size", [(768, 768), (448, 333), (401, 600)])
def test_a_resized_photograph_has_the_same_pixels(photo, size):
    """In colour and grey, at the sizes of real questions, most of which do not fit into one step."""
    for image in (photo, np.repeat(photo[:, :, :1], 3, axis=2)):
        assert np.array_equal(resize_image(image, size), resized(image, size))


@settings(max_examples=80, deadline=None)
@given(regions=shapes.flatmap(regions_of), width=st.integers(1, 4))
@example(regions=Regions.from_labels(np.array([[1], [2]])), width=1)
@example(regions=Regions.from_labels(np.zeros((3, 4), int)), width=2)
def test_borders_and_places_of_numbers_are_the_same(regions, width):
    """Partitions, gaps and masks that overlap: the same pixels are borders, and numbers stand on the same pixels."""
    assert np.array_equal(borders(regions, width), bordered(regions, width))
    assert regions.positions().tolist() == [list(one) for one in centres(regions)]


@settings(max_examples=40, deadline=None)
@given(drawn=shapes.flatmap(lambda shape: st.tuples(pictures(shape), regions_of(shape))), style=st.sampled_from(STYLES))
def test_marks_have_the_same_pixels(drawn, style):
    """In every style, with numbers that fit and numbers that collide, are made smaller or are cut."""
    image, regions = drawn
    assert np.array_equal(draw_marks(image, regions, style), marked(image, regions, style))


@pytest.mark.parametrize("method", ["grid", "superpixel"])
@pytest.mark.parametrize("style", STYLES, ids=str)
def test_a_marked_photograph_has_the_same_pixels(photo, method, style):
    """Also with the divisions of real questions."""
    image = resize_image(photo, (240, 240))
    options = {"grid_rows": 8, "grid_columns": 8} if method == "grid" else {"n_segments": 40}
    regions = divide(image, method, min_area=0, **options)
    assert place_numbers(regions, style.number_size) == list(placed(regions, style.number_size))
    assert np.array_equal(draw_marks(image, regions, style), marked(image, regions, style))


@settings(max_examples=40, deadline=None)
@given(
    image=st.tuples(sides, sides).flatmap(pictures),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    style=st.sampled_from(STYLES),
)
def test_a_grid_with_names_has_the_same_pixels(image, rows, columns, style):
    """Names are written as numbers are, and cut at the picture's end."""
    height, width = image.shape[:2]
    rows, columns = min(rows, height), min(columns, width)
    grid = np.add.outer(np.arange(height) * rows // height * columns, np.arange(width) * columns // width) + 1
    expected = image.copy()
    if style.border_width:
        expected[bordered(Regions.from_labels(grid), style.border_width)] = 255
    brightness = image.mean(axis=2)
    for row, column in np.ndindex(rows, columns):
        glyphs = _glyphs(f"{row + 1},{column + 1}", style.number_size)
        top, left = -(-row * height // rows), -(-column * width // columns)
        area = np.s_[top : top + len(glyphs), left : left + glyphs.shape[1]]
        expected[area] = inked(glyphs, brightness[area], style)
    assert np.array_equal(draw_grid(image, rows, columns, style, lambda row, column: f"{row},{column}"), expected)


@settings(max_examples=40, deadline=None)
@given(pixels=hnp.arrays(np.uint8, st.tuples(sides, sides, st.sampled_from([1, 2, 3, 4]))), is_flat=st.booleans())
def test_a_png_holds_the_pixels_that_were_written(pixels, is_flat):
    """Pillow reads what was written, for every number of channels; grey images may be (H, W) too."""
    channels = pixels.shape[2]
    grey = channels == 1
    written = png_bytes(pixels[:, :, 0] if grey and is_flat else pixels)
    with Image.open(BytesIO(written)) as image:
        image.verify()
    with Image.open(BytesIO(written)) as image:
        equal = channels == 3 and (pixels == pixels[:, :, :1]).all()
        assert image.mode == ("L" if equal else ("L", "LA", "RGB", "RGBA")[channels - 1])
        read = np.asarray(image.convert("RGB") if equal else image)
        assert np.array_equal(read, pixels[:, :, 0] if grey else pixels)


@settings(max_examples=40, deadline=None)
@given(grey=hnp.arrays(np.uint8, st.tuples(sides, sides)), where=st.data())
def test_rgb_is_written_as_grey_only_if_no_pixel_has_a_colour(grey, where):
    """One value in one channel that differs by one keeps all three; the picture read as RGB is the same either way."""
    pixels = np.repeat(grey[:, :, None], 3, axis=2)
    for mode in ("L", "RGB"):
        picture = Picture.from_pixels(pixels)
        with Image.open(BytesIO(picture.data)) as image:
            assert image.mode == mode
            assert np.array_equal(np.asarray(image.convert("RGB")), pixels)
        assert picture.size == grey.shape[::-1]
        assert picture.digest == hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        place = tuple(where.draw(st.integers(0, side - 1)) for side in pixels.shape)
        pixels[place] ^= 1


def test_the_digest_is_the_hash_of_shape_and_pixels_and_the_file_is_hardly_larger(photo):
    """Also of pixels that lie in memory in another order; Pillow's quickest file is at least 1 / 1.3 as large."""
    for pixels in (photo, photo[::2, ::-1], np.repeat(photo[:, :, 1:2], 3, axis=2)):
        picture = Picture.from_pixels(pixels)
        assert picture.digest == hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        buffer = BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", compress_level=1)
        assert len(picture.data) < 1.3 * len(buffer.getvalue())
