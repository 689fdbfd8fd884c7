import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lvlm_ad.regions import Regions
from lvlm_ad.text2seg import paint

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 8)))


@settings(max_examples=40, deadline=None)
@given(masks=MASKS, data=st.data())
def test_a_pixel_takes_the_highest_score_that_covers_it(masks, data):
    """Overlaps take the maximum, uncovered pixels 0; equal to painting pixel by pixel."""
    numbers = st.integers(1, len(masks))
    scores = data.draw(st.dictionaries(numbers, st.floats(0, 1)))
    painted = paint(scores, Regions.from_masks(masks)).dense()
    by_hand = np.zeros(masks.shape[1:])
    for number, score in scores.items():
        by_hand = np.maximum(by_hand, masks[number - 1] * score)
    assert np.array_equal(painted, by_hand)


def test_binary_painting_names_regions():
    """Binary paints 1 for every region with a score above 0, whatever the score."""
    regions = Regions.from_labels(np.array([[1, 2, 3, 0]]))
    assert paint({1: 0.2, 2: 0.0}, regions, binary=True).dense().tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_a_region_that_does_not_exist_cannot_be_painted():
    """A wrong number is an error, not silently dropped."""
    with pytest.raises(IndexError, match="no region 2; the division has 1"):
        paint({2: 0.5}, Regions.from_labels(np.array([[1]])))
