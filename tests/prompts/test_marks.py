from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from lvlm_ad.datasets.images import resize_image
from lvlm_ad.prompts import MarkStyle, borders, draw_grid, draw_marks, place_numbers
from lvlm_ad.regions import Regions, divide


@cache
def written(number, size):
    """Draw a number alone, white on black, cropped to its ink."""
    font = ImageFont.load_default(size=size)
    image = Image.new("L", (8 * size, 3 * size))
    ImageDraw.Draw(image).text((size, size), str(number), fill=255, font=font)
    return np.asarray(image.crop(image.getbbox()), float)


def read_number(patch, candidates, size):
    """Read the number in a patch of a picture, knowing the font but not the number: the best of all candidates."""
    grey = patch.astype(float).mean(axis=2)
    ink = np.abs(grey - grey[0].mean())
    ink *= 255 / max(ink.max(), 1)
    rows, columns = np.nonzero(ink > 60)
    cut = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

    def distance(number):
        model = written(number, size)
        height, width = (max(a, b) for a, b in zip(cut.shape, model.shape, strict=True))
        padded = [np.pad(a, ((0, height - a.shape[0]), (0, width - a.shape[1]))) for a in (cut, model)]
        return np.abs(padded[0] - padded[1]).mean()

    return min(candidates, key=distance)


def overlaps(a, b):
    return (
        a.top < b.top + b.height
        and b.top < a.top + a.height
        and a.left < b.left + b.width
        and b.left < a.left + a.width
    )


def divided(photo, method):
    """A photograph of 384 pixels a side, and about fifty regions of it."""
    image = resize_image(photo, (384, 384))
    options = {"grid_rows": 7, "grid_columns": 7} if method == "grid" else {"n_segments": 60}
    return image, divide(image, method, min_area=0, **options)


@pytest.mark.parametrize("style", [MarkStyle(), MarkStyle(1, 10, "grey")], ids=["default", "published"])
@pytest.mark.parametrize("method", ["grid", "superpixel"])
def test_every_number_can_be_read_back_from_the_picture(photo, method, style):
    """Each region's number, cut from the finished picture, reads as that number and no other."""
    image, regions = divided(photo, method)
    picture = draw_marks(image, regions, style)
    wrong = []
    for box in place_numbers(regions, style.number_size):
        patch = picture[box.top : box.top + box.height, box.left : box.left + box.width]
        if read_number(patch, range(1, regions.count + 1), box.size) != box.number:
            wrong.append(box.number)
    assert regions.count > 40
    assert wrong == []


@pytest.mark.parametrize("method", ["grid", "superpixel"])
def test_no_number_hides_another_or_leaves_the_image(photo, method):
    """Boxes lie inside the image, do not overlap, and are centred on their own region or moved in by its edge."""
    _, regions = divided(photo, method)
    boxes = place_numbers(regions, 18)
    for at, box in enumerate(boxes):
        assert box.top >= 0 <= box.left
        assert box.top + box.height <= 384 >= box.left + box.width
        assert not any(overlaps(box, other) for other in boxes[:at])
        row, column = box.top + box.height // 2, box.left + box.width // 2
        inside = regions.membership[box.number - 1][regions.cells[row, column]]
        at_edge = {box.top, box.left, 384 - box.top - box.height, 384 - box.left - box.width} & {0}
        assert inside or at_edge


def test_numbers_that_would_collide_are_moved_or_made_smaller():
    """Two regions with one centroid, a square and its middle, get two places that do not overlap."""
    labels = np.ones((200, 200), int)
    labels[60:140, 60:140] = 2
    masks = np.stack([labels >= 1, labels == 2])
    first, second = place_numbers(Regions.from_masks(masks), 40)
    assert not overlaps(first, second)


@settings(max_examples=30, deadline=None)
@given(labels=hnp.arrays(np.int64, st.tuples(st.integers(2, 12), st.integers(2, 12)), elements=st.integers(0, 3)))
def test_borders_are_the_inner_boundaries(labels):
    """One pixel wide, they are what scikit-image calls the inner boundary of the kept regions."""
    _, dense = np.unique(labels, return_inverse=True)
    kept = dense.reshape(labels.shape) if 0 in labels else dense.reshape(labels.shape) + 1
    expected = find_boundaries(kept, mode="inner", connectivity=1)
    assert np.array_equal(borders(Regions.from_labels(kept)), expected)


def test_wider_borders_contain_the_narrow_ones(photo):
    """Width dilates: each width contains the one before."""
    _, regions = divided(photo, "superpixel")
    narrow, wide = borders(regions, 1), borders(regions, 4)
    assert wide[narrow].all()
    assert wide.sum() > 2 * narrow.sum()


def test_numbers_stand_out_on_dark_and_on_light_ground():
    """The box is white over dark ground and black over light ground."""
    regions = divide(np.zeros((96, 96, 3), np.uint8), "grid", grid_rows=1, grid_columns=1, max_area=1e9)
    box = place_numbers(regions, 18)[0]
    for level, ground in ((0, 255), (255, 0)):
        picture = draw_marks(np.full((96, 96, 3), level, np.uint8), regions, MarkStyle(border_width=0))
        assert picture[box.top, box.left].tolist() == [ground] * 3


def test_marks_change_no_other_pixel(photo):
    """Borders are white, all other pixels are the image's, and the array that was given stays as it was."""
    image = resize_image(photo, (96, 96))
    before = image.copy()
    regions = divide(image, n_segments=12)
    edge = borders(regions)
    bordered = draw_marks(image, regions, MarkStyle(1, 10, "grey"), numbers=False)
    assert (bordered[edge] == 255).all()
    assert np.array_equal(bordered[~edge], image[~edge])
    boxes = np.zeros(edge.shape, bool)
    for box in place_numbers(regions, 10):
        boxes[box.top : box.top + box.height, box.left : box.left + box.width] = True
    marked = draw_marks(image, regions, MarkStyle(1, 10, "grey"))
    assert np.array_equal(marked[~boxes], bordered[~boxes])
    assert (marked[boxes] != bordered[boxes]).any()
    assert np.array_equal(image, before)


def test_a_grid_bears_names_at_its_corners_and_borders_where_the_division_has_them():
    """The borders are those of the division grid; each name begins at its cell's upper left pixel, inside the cell."""
    image = np.full((90, 140, 3), 128, np.uint8)
    rows, columns = 4, 3
    grid = divide(image, "grid", grid_rows=rows, grid_columns=columns, min_area=0)
    lines = draw_marks(image, grid, MarkStyle(), numbers=False)
    named = draw_grid(image, rows, columns, MarkStyle(), lambda row, column: f"{row}{column}")
    written = (named != lines).any(axis=2)
    for number in range(1, grid.count + 1):
        y, x = np.nonzero(grid.membership[number - 1][grid.cells])
        inside = written[y.min() : y.max() + 1, x.min() : x.max() + 1]
        assert inside[:3, :3].any()
        assert not inside[22:].any()
        assert not inside[:, 30:].any()
    assert written.any()
    assert (image == 128).all()
