"""The variance between chosen levels: its interval against Student's, and where nothing can be said."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from lvlm_ad.metrics.stability.level_effects import level_variance


def uneven(draw, n):
    """Levels with the variance 0.0025; images disagree about the last one three times as much as about the others."""
    offsets = np.array([-0.0612, 0.0, 0.0, 0.0612])
    return draw.normal(0.5, 0.2, (n, 1)) + offsets + draw.normal(0, [0.1, 0.1, 0.1, 0.3], (n, 4))


@pytest.mark.parametrize("shift", [0.3, 5.0])
def test_two_levels_have_the_interval_of_their_difference(shift):
    """Far from 0 the squared ends of Student's interval, halved: the variance of two numbers from their difference."""
    draw = np.random.default_rng(0)
    cells = draw.normal(0, 0.1, (12, 2)) + np.array([0.0, shift])
    ends = np.array(ttest_1samp(cells[:, 1] - cells[:, 0], 0).confidence_interval())
    assert level_variance(cells).interval == pytest.approx(ends**2 / 2, rel=0.01)


def test_the_interval_does_not_jump_where_the_length_counts_as_normal():
    """At the limit between both formulas the ends move by less than 0.1 % of the value."""
    noise = np.random.default_rng(1).normal(0, 0.01, (10, 4))
    found = [level_variance(noise + np.array([0, 0, 0, shift])).interval for shift in np.linspace(0.55, 0.75, 21)]
    steps = np.diff(np.sqrt(found), axis=0)
    assert steps.max() / steps.min() < 1.5


def test_levels_that_may_be_equal_have_an_interval_from_zero():
    """An estimate above 0 that noise explains has the lower end 0; an estimate below 0 is itself the lower end."""
    found = [level_variance(np.random.default_rng(seed).normal(0, 0.1, (8, 3))) for seed in range(20)]
    known = [one for one in found if one.interval]
    assert {min(one.value, 0.0) for one in known} == {one.interval[0] for one in known}
    assert any(one.value < 0 for one in known)
    assert all(one.interval[1] > max(one.value, 0.0) for one in known)


def test_a_mean_of_zero_on_an_axis_is_no_obstacle():
    """The upper end is found although no multiple of the observed mean is as long along the axis of most noise."""
    cells = np.array([[0.0, 0.2, 1.0], [0.0, 0.2, -0.8], [0.1, 0.3, 0.15], [-0.1, 0.1, 0.05]])
    found = level_variance(cells)
    assert found.interval is not None
    assert found.interval[1] > found.value


def test_no_interval_has_a_reason():
    """Images that are all alike, and levels that lie closer together than noise lets them."""
    alike = level_variance(np.array([[0.1, 0.4]] * 3))
    assert (alike.value, alike.interval, alike.reason) == (pytest.approx(0.045), None, "all images alike")
    opposite = level_variance(np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]]))
    assert opposite.value < 0
    assert (opposite.interval, "closer together" in opposite.reason) == (None, True)


def test_the_interval_covers_where_images_disagree_about_one_level():
    """In 93 % of 200 sets of 50 images at least; with one variance for all levels it would be 90 %."""
    draw = np.random.default_rng(2)
    ends = [level_variance(uneven(draw, 50)).interval for _ in range(200)]
    assert np.mean([low <= 2 * 0.0612**2 / 3 <= high for low, high in ends]) >= 0.93
