"""Tests of lvlm_ad.methods.crops: windows around regions, and regions cut into pieces."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lvlm_ad.methods.crops import Window, split

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)), fill=st.just(False)).filter(np.any)


@given(MASKS, st.integers(2, 20))
def test_pieces_are_a_partition_of_the_region(inside, pieces):
    """Each pixel of the region is in one piece, no other pixel is, and pieces are numbered without gaps."""
    labels = split(inside, pieces)
    assert ((labels > 0) == inside).all()
    assert 1 <= labels.max() <= pieces
    assert set(np.unique(labels[inside])) == set(range(1, labels.max() + 1))


def test_pieces_of_a_square_are_equal():
    """A square region of 24 x 24 pixels in 16 pieces is a grid of 4 x 4 squares."""
    inside = np.zeros((48, 48), bool)
    inside[24:, :24] = True
    labels = split(inside, 16)
    assert np.bincount(labels[inside])[1:].tolist() == [36] * 16
    assert all(np.ptp(np.nonzero(labels == number), axis=1).tolist() == [5, 5] for number in range(1, 17))


@given(MASKS, st.floats(0, 4))
def test_a_window_holds_its_region_and_lies_in_the_image(inside, margin):
    """Whatever the margin, the whole region is in the window, and the window in the image."""
    side = max(inside.shape)
    square = np.zeros((side, side), bool)
    square[: inside.shape[0], : inside.shape[1]] = inside
    window = Window.around(square, margin)
    assert 0 <= window.left <= side - window.side
    assert 0 <= window.top <= side - window.side
    assert window.cut(square).shape == (window.side, window.side)
    assert window.cut(square).sum() == square.sum()


def test_a_window_shows_the_pixels_of_the_file():
    """Where the picture has as many pixels as the file has in the window, they are the file's."""
    original = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    assert (Window(left=10, top=20, side=50, of=100).picture(original, 100) == original[40:140, 20:120]).all()


def test_a_window_of_a_stretched_image_is_stretched_likewise():
    """In a file twice as wide as high, a square window holds twice as many columns as rows."""
    original = np.zeros((200, 400, 3), np.uint8)
    original[40:140, 80:280] = 200
    assert (Window(left=20, top=20, side=50, of=100).picture(original, 64)[3:-3, 3:-3] == 200).all()
    around = Window(left=18, top=18, side=54, of=100).picture(original, 108)
    assert not around[[0, -1]].any()
    assert not around[:, [0, -1]].any()
