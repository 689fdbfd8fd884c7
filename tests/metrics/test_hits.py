"""Hits: which defects named places touch, and how often, with an interval that covers."""

import numpy as np
import pytest

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.hits import defect_hits, hit_rate
from lvlm_ad.metrics.stability.measured import wilson


def test_one_pixel_is_a_hit():
    """A defect counts as hit if a named place touches it; diagonal neighbours are one defect."""
    mask = np.zeros((5, 5))
    mask[0, 0] = mask[1, 1] = 1
    mask[4, 2:5] = 255
    named = np.zeros((5, 5), bool)
    named[1, 1:3] = True
    found = defect_hits(named, mask)
    assert found.hit.tolist() == [True, False]
    assert found.shares.tolist() == [2 / 25, 3 / 25]
    assert found.false_share == 1 / 20


def test_naming_everything_or_nothing():
    """Everything hits all defects and all normal pixels; nothing hits none; a good image has no defects."""
    mask = np.eye(4)
    everything, nothing = defect_hits(mask >= 0, mask), defect_hits(mask > 2, mask)
    assert (everything.hit.tolist(), everything.false_share) == ([True], 1.0)
    assert (nothing.hit.tolist(), nothing.false_share) == ([False], 0.0)
    assert defect_hits(mask > 2, np.ones((4, 4))).false_share is None
    assert defect_hits(mask > 2, np.zeros((4, 4))).hit.size == 0
    with pytest.raises(MetricError, match="both must be"):
        defect_hits(mask > 2, np.zeros((4, 5)))


def test_one_defect_an_image_is_a_plain_fraction():
    """With one defect in each image the interval is nearly Wilson's of so many images."""
    found = hit_rate([1.0] * 30 + [0.0] * 10, np.ones(40))
    assert found.value == 0.75
    assert found.interval == pytest.approx(wilson(0.75, 40), abs=0.003)
    assert hit_rate([0, 0, 0], [2, 1, 0]).interval == wilson(0.0, 2)
    assert hit_rate([], []).reason == "no defect has this size"
    with pytest.raises(MetricError, match="no image has more hits"):
        hit_rate([2], [1])


def test_defects_of_one_image_are_no_independent_ones():
    """Ten defects an image that are hit together say no more than one; the interval covers all the same."""
    alike = hit_rate([10.0] * 15 + [0.0] * 15, [10.0] * 30)
    assert alike.interval == pytest.approx(wilson(0.5, 30), abs=0.01)
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        defects = draw.integers(1, 6, 40)
        hits = draw.binomial(defects, draw.beta(1.4, 0.6, 40))
        low, high = hit_rate(hits, defects).interval
        covered += low <= 0.7 <= high
    assert covered / 400 >= 0.92
