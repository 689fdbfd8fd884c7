"""Masks: which pixels of a mask file are defective."""

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets.masks import file_threshold, read_mask, resize_mask


@pytest.mark.parametrize(
    ("values", "expected", "threshold"),
    [
        ([0, 1, 2], [False, True, True], 0),
        ([0, 3, 200], [False, False, True], 127),
        ([0, 127, 128], [False, False, True], 127),
        ([0, 255, 255], [False, True, True], 127),
        ([0, 0, 0], [False, False, False], 0),
    ],
)
def test_the_threshold_is_chosen_from_the_values(tmp_path, values, expected, threshold):
    """A mask of small integers is defective above 0, one of grey levels above 127."""
    Image.fromarray(np.array([values], dtype=np.uint8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [expected]
    assert file_threshold(tmp_path / "m.png") == threshold


def test_a_given_threshold_is_used(tmp_path):
    """A pixel is defective above the threshold, not at it."""
    Image.fromarray(np.array([[10, 11, 255]], dtype=np.uint8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", 10).tolist() == [[False, True, True]]


def test_bilevel_sixteen_bit_and_colour_masks_are_read(tmp_path):
    """One-bit, 16-bit and coloured masks mark the same pixel."""
    marked = np.array([[False, True]])
    green = np.stack([marked * 0, marked * 255, marked * 0], axis=2).astype(np.uint8)
    Image.fromarray(marked).save(tmp_path / "bits.png")
    Image.fromarray((marked * 65535).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(green).save(tmp_path / "rgb.png")
    for name in ("bits.png", "deep.png", "rgb.png"):
        assert (read_mask(tmp_path / name) == marked).all(), name


@pytest.mark.parametrize(
    ("colours", "expected", "threshold"),
    [([0, 0, 0, 128, 0, 0, 0, 64, 0], [False, True, True], 0), ([255, 255, 255, 0, 0, 0], [True, False, False], 127)],
    ids=["ids", "a packed grey picture"],
)
def test_palette_masks(tmp_path, colours, expected, threshold):
    """A palette mask's indices are defect ids; a grey picture packed with white first is read by its colours."""
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    image.putpalette(colours)
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [expected]
    assert file_threshold(tmp_path / "m.png") == threshold


@pytest.mark.parametrize(("shape", "size"), [((10, 7), (4, 5)), ((4, 5), (11, 23)), ((1, 3), (2, 2)), ((4, 5), (4, 5))])
def test_a_resized_mask_takes_the_pixel_at_the_floor(shape, size):
    """A mask's pixel i comes from floor(i * source / target), as OpenCV's nearest-neighbour resizing has it."""
    mask = np.random.default_rng(7).random(shape) > 0.5
    expected = [
        [mask[i * shape[0] // size[0], j * shape[1] // size[1]] for j in range(size[1])] for i in range(size[0])
    ]
    assert resize_mask(mask, size).tolist() == expected
