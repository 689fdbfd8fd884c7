"""What a method of somebody else returns is checked before it is measured."""

from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad.methods import View
from lvlm_ad.methods.flaws import flaw_of
from lvlm_ad.presets import Protocol
from lvlm_ad.regions import divide
from lvlm_ad.regions.shapes import Box, Cell, Mask, Point, Polygon, Region
from lvlm_ad.text2seg.finding import Finding

IMAGE = np.zeros((96, 96, 3), np.uint8)
VIEW = View(
    image=IMAGE,
    original=IMAGE,
    category="bolt",
    class_name="bolt",
    regions=divide(IMAGE, "grid", grid_rows=2, grid_columns=2, min_area=0, max_area=1e9),
    seed="0/bolt/000",
    protocol=Protocol(image_size=96),
    fill=str,
)
SOUND = [
    Region(4, 0.5),
    Box(0, 0, 96, 96, 1.0),
    Point(96, 0, 0.0, radius=200),
    Cell(2, 3, rows=2, columns=3, score=1),
    Polygon(((0, 0), (96, 0), (5.5, 96)), 0.25),
    Mask(90, 95, np.ones((1, 6), np.bool_), 0.5),
]


@pytest.mark.parametrize("shape", SOUND, ids=lambda shape: type(shape).__name__)
def test_a_sound_place_of_each_kind_passes(shape):
    """The borders of the image belong to it."""
    assert flaw_of(Finding(0.5, (shape,), spread=0.0), VIEW) == ""


@pytest.mark.parametrize(
    ("finding", "flaw"),
    [
        (None, "returned NoneType; it must return a Finding"),
        (Finding(float("nan")), "returned nan as image score"),
        (Finding("0.5"), "returned '0.5' as image score"),
        (Finding(True), "returned True as image score"),
        (Finding(np.float32(0.5)), "it must be a float in [0, 1], or None"),
        (Finding(0.5, status="fine"), "returned the status 'fine'"),
        (Finding(0.5, [Region(1, 0.5)]), "returned shapes as list; they must be a tuple"),
        (Finding(0.5, notes=("x", 3)), "notes or flags that are no text"),
        (Finding(0.5, spread=-0.1), "returned the spread -0.1"),
        (Finding(0.5, ((1, 0.5),)), "returned tuple as a place"),
        (Finding(0.5, (Region(1, 1.5),)), "a place with 1.5 as score"),
        (Finding(0.5, (Region(5, 0.5),)), "returned region 5; the image has 4"),
        (Finding(0.5, (Region(0, 0.5),)), "returned region 0; the image has 4"),
        (Finding(0.5, (Cell(3, 1, rows=2, columns=2, score=0.5),)), "a cell that does not exist"),
        (Finding(0.5, (Box(-1, 0, 5, 5, 0.5),)), "returned a Box outside the image of 96 x 96 pixels"),
        (Finding(0.5, (Box(0, 0, float("inf"), 5, 0.5),)), "returned a Box outside"),
        (Finding(0.5, (Box(5, 0, 5, 5, 0.5),)), "sides are swapped or equal"),
        (Finding(0.5, (Point(97, 0, 0.5, radius=1),)), "returned a Point outside"),
        (Finding(0.5, (Polygon(((0, 0), (0, 97), (1, 1)), 0.5),)), "returned a Polygon outside"),
        (Finding(0.5, (Mask(0, 0, np.ones((97, 1), np.bool_), 0.5),)), "returned a Mask outside"),
        (Finding(0.5, (Mask(0, 0, np.ones((5, 5)), 0.5),)), "no bool array"),
    ],
)
def test_what_cannot_be_measured_is_named(finding, flaw):
    """With the value."""
    assert flaw in flaw_of(finding, VIEW)


def test_regions_and_places_that_the_method_does_not_declare_are_named():
    """A method without a division names no region; one without places gives none."""
    finding = Finding(0.5, (Region(1, 0.5),))
    assert "the image has 0" in flaw_of(finding, replace(VIEW, regions=None))
    assert "its attribute places is empty" in flaw_of(finding, VIEW, places="")
