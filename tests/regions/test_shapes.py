"""Shapes: which pixels they hold, and their JSON."""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.regions import divide
from lvlm_ad.regions.shapes import Box, Cell, Mask, Point, Polygon, Region, shape_from_json, shape_to_json

HEIGHT, WIDTH = 20, 24


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def centres():
    """Return x and y of each pixel's centre, (H, W) each."""
    return np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)


def corners(rng, count):
    """Random coordinates, some exactly on centres and edges of pixels, some outside the image."""
    numbers = rng.uniform(-4, 28, (count, 4))
    halves = rng.random((count, 4)) < 0.5
    return np.where(halves, np.round(2 * numbers) / 2, numbers)


def test_a_box_holds_the_pixels_whose_centres_it_holds(rng):
    """A box of any size and place, also outside the image, has the pixels of the formula, or the one in its middle."""
    x, y = centres()
    between = 0
    for one in corners(rng, 2000):
        x1, x2 = np.clip(sorted(one[:2]), 0, WIDTH)
        y1, y2 = np.clip(sorted(one[2:]), 0, HEIGHT)
        expected = (x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)
        if not expected.any() and x1 < x2 and y1 < y2:
            expected[int((y1 + y2) / 2), int((x1 + x2) / 2)] = True
            between += 1
        box = Box(min(one[:2]), min(one[2:]), max(one[:2]), max(one[2:]), 0.5)
        assert (box.mask(HEIGHT, WIDTH) == expected).all(), box
    assert between > 5


def test_a_box_between_centres_holds_one_pixel():
    """A sliver at the image's last edge has the last pixel, and a box of the size of a pixel exactly that pixel."""
    assert np.argwhere(Box(WIDTH - 0.1, 3.6, WIDTH, 9, 1).mask(HEIGHT, WIDTH))[0].tolist() == [6, WIDTH - 1]
    assert np.argwhere(Box(4, 3, 5, 4, 1).mask(HEIGHT, WIDTH)).tolist() == [[3, 4]]


def test_a_point_holds_a_disc(rng):
    """A point has the pixels whose centre is within its radius, and its own pixel whatever the radius."""
    x, y = centres()
    for px, py, radius, _ in corners(rng, 2000):
        expected = (x - px) ** 2 + (y - py) ** 2 <= max(radius, 0) ** 2
        if 0 <= px <= WIDTH and 0 <= py <= HEIGHT:
            expected[min(int(py), HEIGHT - 1), min(int(px), WIDTH - 1)] = True
        assert (Point(px, py, 0.5, max(radius, 0)).mask(HEIGHT, WIDTH) == expected).all()


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (16, 16), (20, 24), (1, 1), (7, 24)])
def test_cells_are_those_of_the_grid(rows, columns):
    """Each cell has the pixels of the region that the division "grid" numbers row by row."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    limits = {"min_area": 0, "max_area": 1e9}
    grid = divide(image, "grid", grid_rows=rows, grid_columns=columns, **limits).cells
    for row in range(rows):
        for column in range(columns):
            cell = Cell(row + 1, column + 1, rows, columns, 0.5)
            assert (cell.mask(HEIGHT, WIDTH) == (grid == row * columns + column)).all()


def test_a_grid_finer_than_the_pixels_loses_none():
    """Cells of a grid with more rows than the image has pixels cover each pixel once."""
    covered = sum(Cell(row, 1, 50, 1, 0.5).mask(HEIGHT, WIDTH).astype(int) for row in range(1, 51))
    assert (covered == 1).all()


def test_a_polygon_holds_what_is_inside(rng):
    """A polygon of any number of corners, crossing itself or not, has the pixels that the even-odd rule gives."""
    x, y = centres()
    for count in rng.integers(3, 9, 300):
        points = [(float(a), float(b)) for a, b, *_ in corners(rng, count)]
        expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
        for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
            crossed = (min(y1, y2) <= y) & (y < max(y1, y2))
            at = x1 + (y - y1) * (x2 - x1) / (y2 - y1) if y1 != y2 else np.inf
            expected ^= crossed & (at <= x)
        assert (Polygon(tuple(points), 0.5).mask(HEIGHT, WIDTH) == expected).all()


def test_a_side_through_a_centre_is_not_moved_by_rounding():
    """A pixel whose centre lies exactly on the left side of a polygon belongs to it."""
    assert Polygon(((0, 0), (18, 14), (24, 0)), 0.5).mask(HEIGHT, WIDTH)[10, 13]


def test_a_rectangular_polygon_is_a_box():
    """Four corners of a rectangle have the pixels of the box with these corners."""
    box = Box(2.5, 3.5, 10.2, 9, 0.5)
    same = Polygon(((2.5, 3.5), (10.2, 3.5), (10.2, 9), (2.5, 9)), 0.5)
    assert (box.mask(HEIGHT, WIDTH) == same.mask(HEIGHT, WIDTH)).all()


def test_a_mask_is_cut_to_the_image(rng):
    """A mask has its pixels where they lie; those outside the image are left out."""
    for left, top in rng.integers(-12, 30, (200, 2)).tolist():
        pixels = rng.random((8, 9)) < 0.5
        padded = np.zeros((HEIGHT + 80, WIDTH + 80), dtype=bool)
        padded[top + 40 : top + 48, left + 40 : left + 49] = pixels
        assert (Mask(left, top, pixels, 0.5).mask(HEIGHT, WIDTH) == padded[40 : 40 + HEIGHT, 40 : 40 + WIDTH]).all()


SHAPES = [
    Region(3, 0.25),
    Box(1.5, 2, 1e3 + 0.1, 40, 0.125),
    Point(3.25, 4, 1, radius=44.8),
    Cell(2, 3, 4, 5, 0),
    Polygon(((0, 0), (4.5, 0), (4, 4)), 0.5),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda one: type(one).__name__)
def test_json_keeps_every_number(shape):
    """A shape read from its JSON is the shape."""
    assert shape_from_json(json.loads(json.dumps(shape_to_json(shape)))) == shape


def test_json_keeps_every_pixel(rng):
    """A mask read from its JSON has the place, the pixels and the score."""
    mask = Mask(-3, 7, rng.random((11, 13)) < 0.3, 0.75)
    value = json.loads(json.dumps(shape_to_json(mask)))
    read = shape_from_json(value)
    assert (read.left, read.top, read.score) == (-3, 7, 0.75)
    assert read.pixels.dtype == np.bool_
    assert (read.pixels == mask.pixels).all()


def png(mode, size):
    file = BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"box": [1, 2, 3, 4]}, "score must be a number from 0 to 1"),
        ({"box": [1, 2, 3, 4], "score": 1.5}, "score must be"),
        ({"box": [1, 2, 3, 4], "score": True}, "score must be"),
        ({"box": [1, 2, 3], "score": 1}, "box must be 4 numbers"),
        ({"box": [3, 2, 1, 4], "score": 1}, "no area"),
        ({"box": [1, 2, float("inf"), 4], "score": 1}, "box must be"),
        ({"box": [1, 2, float("nan"), 4], "score": 1}, "box must be"),
        ({"box": [1, 2, 10**400, 4], "score": 1}, "box must be"),
        ({"box": "1234", "score": 1}, "box must be"),
        ({"point": [1, 2], "score": 1}, "radius must be a number"),
        ({"point": [1, 2], "radius": -1, "score": 1}, "radius must be"),
        ({"cell": [4, 1], "grid": [3, 6], "score": 1}, "is not one of the 3 x 6"),
        ({"cell": [1, 0], "grid": [3, 6], "score": 1}, "cell must be"),
        ({"cell": [1, 1.5], "grid": [3, 6], "score": 1}, "cell must be whole"),
        ({"cell": [1, 1], "score": 1}, "grid must be"),
        ({"region": 0, "score": 1}, "region must be"),
        ({"polygon": [[0, 0], [1, 1]], "score": 1}, "3 to 10,000 corners"),
        ({"polygon": [[0, 0]] * 10_001, "score": 1}, "3 to 10,000 corners"),
        ({"polygon": [[0, 0], [1, 1], [2]], "score": 1}, "polygon must be 2 numbers"),
        ({"mask": "####", "at": [0, 0], "score": 1}, "no PNG in base64"),
        ({"mask": 5, "at": [0, 0], "score": 1}, "no PNG in base64"),
        ({"mask": png("L", (3, 3)), "at": [0, 0], "score": 1}, "one bit a pixel"),
        ({"mask": png("1", (8193, 1)), "at": [0, 0], "score": 1}, "at most 8192"),
        ({"mask": png("1", (3, 3))[:60], "at": [0, 0], "score": 1}, "no PNG in base64"),
        ({"mask": png("1", (3, 3)), "score": 1}, "at must be 2 numbers"),
        ({"circle": [1, 2], "score": 1}, "a shape is a region, box"),
    ],
)
def test_what_is_no_shape_is_named(value, problem):
    """Values that no shape has raise a ValueError that says which."""
    with pytest.raises(ValueError, match=problem):
        shape_from_json(value)
