"""Masks in an answer: pictures of probabilities, and polygons."""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import load_convention
from lvlm_ad.regions.shapes import Box, Mask, Polygon
from lvlm_ad.text2seg.places import read_masks


def png(pixels, mode=None):
    """A picture as base64."""
    file = BytesIO()
    Image.fromarray(pixels).convert(mode or "L").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def masks(mask, box=(100, 200, 300, 400), sent=(1000, 1000)):
    """Read one entry of Gemini's."""
    text = json.dumps([{"box_2d": [*box], "mask": mask, "label": "dent"}])
    return read_masks(Answer(text), load_convention("gemini_1000"), sent)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_picture_is_stretched_over_its_box(prefix, mode):
    """A pixel takes the value of the picture's pixel under its centre; above 127 it belongs to the mask."""
    picture = np.array([[127, 128], [255, 0]], np.uint8)
    finding = masks(prefix + png(picture, mode), box=(10, 20, 14, 28))
    (mask,) = finding.shapes
    assert isinstance(mask, Mask)
    assert (mask.left, mask.top, finding.status, finding.image) == (20, 10, "ok", 1.0)
    assert (mask.pixels == np.kron(picture > 127, np.ones((2, 4), bool))).all()


def test_a_picture_over_a_box_between_pixels_equals_brute_force():
    """In a box at fractions of pixels and cut at the edge, each pixel takes what lies under its centre."""
    picture = np.random.default_rng(0).integers(0, 256, (7, 5), np.uint8)
    (mask,) = masks(png(picture), box=(-21, 37, 255, 1020), sent=(97, 61)).shapes
    x1, y1, x2, y2 = 37 * 0.097, -21 * 0.061, 1020 * 0.097, 255 * 0.061
    expected = np.zeros((61, 97), bool)
    for row in range(61):
        for column in range(97):
            across, down = (column + 0.5 - x1) / (x2 - x1), (row + 0.5 - y1) / (y2 - y1)
            if 0 <= across < 1 and 0 <= down < 1:
                expected[row, column] = picture[int(down * 7), int(across * 5)] > 127
    assert (mask.mask(61, 97) == expected).all()


def test_a_polygon_is_read_in_its_own_order():
    """Corners are x before y, beside a box that is y before x."""
    finding = masks([[200, 100], [400, 100], [400, 300]], sent=(1000, 500))
    assert finding.shapes == (Polygon(((200.0, 50.0), (400.0, 50.0), (400.0, 150.0)), 1.0),)
    assert (finding.status, finding.flags) == ("ok", ())


@pytest.mark.parametrize(
    "mask",
    [
        "<start_of_mask><seg_4><seg_20>",
        "data:image/png;base64,AAAA",
        "not base64 !",
        "",
        [[1, 2], [3, 4]],
        [[1, 2], [3, 4], [5]],
        [1, 2, 3, 4, 5, 6],
        None,
        {"size": [3, 3]},
        png(np.zeros((1, 3000), np.uint8)),
        base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\xff" * 40).decode(),
        png(np.full((9, 9), 200, np.uint8))[:60],
    ],
)
def test_any_other_mask_leaves_the_box(mask):
    """What is neither picture nor polygon is flagged, and the box counts."""
    finding = masks(mask)
    assert finding.shapes == (Box(200.0, 100.0, 400.0, 300.0, 1.0),)
    assert (finding.status, finding.flags) == ("partial", ("no_mask",))


def test_a_polygon_that_ends_a_little_outside_is_flagged():
    """A corner up to a tenth of the range outside is no other convention; what lies outside is not painted."""
    finding = masks([[200, 100], [1050, 100], [400, 300]])
    assert (finding.flags, finding.status, len(finding.shapes)) == (("clipped",), "partial", 1)


def test_a_polygon_outside_the_convention_makes_all_doubtful():
    """A corner far outside the range is of another convention, so no place is used."""
    finding = masks([[200, 100], [400, 100], [400, 2000]])
    assert (finding.shapes, finding.flags, finding.status) == ((), ("not_convention",), "unparsable")


def test_a_box_between_pixels_stays_a_box():
    """Where a box holds no pixel's centre, a picture cannot be put into it: the box covers its one pixel."""
    finding = masks(png(np.full((3, 3), 255, np.uint8)), box=(100.1, 200.1, 100.3, 200.3))
    assert isinstance(finding.shapes[0], Box)
    assert finding.status == "ok"
