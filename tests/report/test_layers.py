"""Layers hold the colours that they stand for, within what an eye can see."""

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.prompts import MarkStyle, draw_marks, marks_alone
from lvlm_ad.regions import Regions
from lvlm_ad.report import heat
from lvlm_ad.report.layers import map_layer, marks_layer, outline_layer, save_layer
from lvlm_ad.text2seg import paint

SIDE = 96


@pytest.fixture
def regions():
    """A division into four squares, with a rest that no region covers."""
    labels = np.zeros((SIDE, SIDE), int)
    labels[:40, :40], labels[:40, 40:], labels[40:80, :40], labels[40:80, 40:] = 1, 2, 3, 4
    return Regions.from_labels(labels)


@pytest.fixture
def written(tmp_path):
    """Writes a layer and reads its file again, as RGBA."""

    def read(layer, side=SIDE):
        save_layer(layer, tmp_path / "layer.png", side)
        return np.asarray(Image.open(tmp_path / "layer.png").convert("RGBA")).astype(int)

    return read


def test_marks_cover_what_they_change_and_nothing_else(regions, written):
    """Over the image, the layer gives the marked image."""
    image = np.random.default_rng(2).integers(30, 200, (SIDE, SIDE, 3)).astype(np.uint8)
    marked = draw_marks(image, regions, MarkStyle())
    layer = written(marks_layer(*marks_alone(image, regions, MarkStyle())))
    opaque = layer[..., 3:] == 255
    assert np.array_equal(opaque[..., 0], (marked != image).any(axis=2))
    assert np.array_equal(np.where(opaque, layer[..., :3], image), marked)


def test_a_map_has_the_colours_of_its_scores(regions, written):
    """Each pixel is coloured by its region's share of the highest score; the rest counts as 0."""
    scores = paint({1: 0.1, 2: 0.4, 4: 0.31}, regions)
    expected = heat(scores.dense() / 0.4).astype(int)
    assert np.abs(written(map_layer(scores, 0.4))[..., :3] - expected).max() <= 1


def test_an_outline_runs_just_outside_of_a_defect(written):
    """It is magenta, one pixel wide on a small image, also at the image's border, and the defect itself stays free."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:20, 90:96] = True
    layer = written(outline_layer(mask))
    expected = np.zeros((SIDE, SIDE), bool)
    expected[9:21, 89:96] = True
    assert np.array_equal(layer[..., 3] == 255, expected & ~mask)
    assert (layer[layer[..., 3] == 255][:, :3] == (255, 0, 200)).all()


@pytest.mark.parametrize("width", [1, 8, 13])
def test_an_outline_of_any_width_is_read_as_it_was_drawn(width, written):
    """A layer of two colours, whose pixels are bits, has every pixel in its place where a row ends within a byte."""
    mask = np.zeros((9, width), bool)
    mask[4, width // 2] = True
    expected = np.asarray(outline_layer(mask).convert("RGBA"))
    assert np.array_equal(written(outline_layer(mask)), expected)


def test_a_large_layer_is_averaged_down(regions, written):
    """A layer of twice the size allowed is written at half its size, and a border stays visible."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    layer = written(marks_layer(*marks_alone(image, regions, MarkStyle())), SIDE // 2)
    assert layer.shape == (SIDE // 2, SIDE // 2, 4)
    assert layer[10, 20].tolist() == [255, 255, 255, 255]
