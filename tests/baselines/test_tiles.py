from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lvlm_ad_baselines.clip.tiles import Tile, enlarged, merged, squared, tiles
from scipy.ndimage import zoom

sides = st.integers(1, 400)


@given(sides, sides)
def test_tiles_cover_the_picture_and_stay_in_it(height, width):
    """Tiles cover the picture and stay inside it; up to an aspect ratio of 25 they are squares."""
    parts = tiles(height, width)
    side = min(height, width)
    (across, extent) = min((tile.height, tile.width) for tile in parts), max(max(t.height, t.width) for t in parts)
    assert min(across) == side
    assert all({tile.height, tile.width} == {side, extent} for tile in parts)
    assert extent == side or max(height, width) > 25 * side
    starts = [tile.left if width > height else tile.top for tile in parts]
    assert starts[0] == 0
    assert starts[-1] == max(height, width) - extent
    assert starts == sorted(set(starts))
    assert all(later - earlier <= extent for earlier, later in pairwise(starts))
    assert len(parts) <= 33


@pytest.mark.parametrize(("height", "width", "count"), [(300, 300, 1), (1000, 1500, 2), (500, 890, 2), (100, 500, 6)])
def test_a_square_is_one_tile_and_a_longer_side_gets_more(height, width, count):
    """Tiles are 0.8 of a side apart, so a picture with an aspect ratio below 1.8 has two."""
    assert len(tiles(height, width)) == len(tiles(width, height)) == count


def test_a_picture_is_squeezed_whole():
    """Both sides are resized, nothing is cropped: a stripe at the right edge is still there."""
    image = np.zeros((60, 200, 3), np.uint8)
    image[:, 180:] = 255
    small = squared(image, Tile(0, 0, 60, 200), 48)
    assert small.shape == (48, 48, 3)
    assert small[:, -3:].min() > 240
    assert small[:, :40].max() < 20


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 40), st.integers(1, 40))
def test_growing_keeps_a_constant_and_the_range(rows, columns, height, width):
    """An enlarged map stays within the range of its values."""
    draw = np.random.default_rng(rows * 7 + columns)
    small = draw.random((rows, columns))
    large = enlarged(small, (height, width))
    assert large.shape == (height, width)
    assert small.min() - 1e-6 <= large.min() <= large.max() <= small.max() + 1e-6
    assert np.allclose(enlarged(np.full((rows, columns), 0.25), (height, width)), 0.25)


def test_growing_is_bilinear_with_half_pixel_centres():
    """Enlarging equals SciPy's linear zoom on pixel areas."""
    small = np.random.default_rng(0).random((15, 15))
    expected = zoom(small, 16, order=1, mode="nearest", grid_mode=True)
    assert np.allclose(enlarged(small, (240, 240)), expected, atol=1e-6)


def test_maps_of_tiles_meet_in_the_middle():
    """Overlapping tiles are averaged, in wide and in tall pictures."""
    parts = tiles(100, 160)
    maps = [np.full((4, 4), 0.2), np.full((4, 4), 0.6)]
    wide = merged(maps, parts, (100, 160), (50, 80))
    assert np.allclose(wide[:, :29], 0.2)
    assert np.allclose(wide[:, 31:49], 0.4)
    assert np.allclose(wide[:, 51:], 0.6)
    assert np.allclose(merged(maps, tiles(160, 100), (160, 100), (80, 50)), wide.T)


def test_a_map_of_tiles_is_where_its_picture_is():
    """The merged tiles of a smooth surface are that surface."""
    parts = tiles(60, 150)
    centres = (np.arange(30) + 0.5) / 30 * 60
    maps = [np.tile((tile.left + centres) / 150, (30, 1)) for tile in parts]
    found = merged(maps, parts, (60, 150), (32, 64))
    expected = (np.arange(64) + 0.5) / 64
    assert np.allclose(found[:, 2:-2], expected[2:-2], atol=0.01)
