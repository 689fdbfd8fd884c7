"""Repeats of a question: flip rate, spread within images and ICC, against plain computations."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f as f_distribution

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability import icc, map_disagreement, mean_map_disagreement, paired_shift, repeats

SCORES = st.lists(st.lists(st.none() | st.integers(0, 10), min_size=4, max_size=4), min_size=1, max_size=8)


@given(SCORES)
def test_figures_are_those_of_pairs_of_answers(tenths):
    """The flip rate counts pairs that disagree, the SD is pooled over images, missing answers left out."""
    found = repeats([[None if one is None else one / 10 for one in row] for row in tenths], threshold=0.5)
    rows = [[one for one in row if one is not None] for row in tenths]
    rows = [row for row in rows if len(row) > 1]
    assert found.images == len(rows)
    if not rows:
        assert (found.flip_rate.value, found.within_sd, found.flip_rate.interval) == (None, None, None)
        assert found.flip_rate.reason == "no image has two answers"
        return
    flips = [np.mean([(one >= 5) != (other >= 5) for one, other in combinations(row, 2)]) for row in rows]
    assert found.flip_rate.value == pytest.approx(np.mean(flips), abs=1e-12)
    assert found.unstable_fraction == pytest.approx(np.mean(np.array(flips) > 0), abs=1e-12)
    squares, freedom = sum(np.var(row) * len(row) for row in rows), sum(len(row) - 1 for row in rows)
    assert found.within_sd == pytest.approx(math.sqrt(squares / freedom) / 10, abs=1e-9)
    low, high = found.flip_rate.interval
    assert 0 <= low <= found.flip_rate.value <= high <= 1
    assert high - low > 0.01


def test_icc_is_that_of_one_way_analysis_of_variance():
    """Value and interval equal those from mean squares and the F distribution."""
    table = np.random.default_rng(0).normal(size=(9, 1)) + np.random.default_rng(1).normal(size=(9, 4))
    between, within = 4 * table.mean(axis=1).var(ddof=1), table.var(axis=1, ddof=1).mean()
    found = icc(table)
    assert found.value == pytest.approx((between - within) / (between + 3 * within), abs=1e-12)
    low = between / within / f_distribution.ppf(0.975, 8, 27)
    high = between / within * f_distribution.ppf(0.975, 27, 8)
    assert found.interval == pytest.approx(((low - 1) / (low + 3), (high - 1) / (high + 3)), abs=1e-12)


def test_icc_says_why_it_is_undefined():
    """One image, unequal numbers of answers, and equal scores have a reason each; equal means have no interval."""
    assert icc([[0.1, 0.2]]).reason == "fewer than 2 images"
    assert "different numbers" in icc([[0.1, 0.2, None], [0.1, 0.2, 0.3]]).reason
    assert icc([[0.3, 0.3], [0.3, 0.3]]).reason == "all scores are equal"
    alike = icc([[0.0, 1.0], [1.0, 0.0]])
    assert (alike.value, alike.interval, alike.reason) == (-1.0, None, "all images have the same mean")


def test_icc_takes_any_answers_that_are_there_if_all_images_have_as_many():
    """Which repeats are missing does not matter: repeats have no order."""
    assert icc([[0.1, None, 0.2], [None, 0.5, 0.9]]) == icc([[0.1, 0.2], [0.5, 0.9]])


def test_a_model_that_repeats_itself_has_exactly_zero():
    """0.1 three times has a mean that is not 0.1 in floating point; no figure may show that."""
    scores = [[0.1] * 3, [0.3] * 3, [0.7] * 3]
    found = repeats(scores, threshold=0.5)
    assert (found.flip_rate.value, found.unstable_fraction, found.within_sd) == (0.0, 0.0, 0.0)
    assert (found.icc.value, found.icc.interval) == (1.0, (1.0, 1.0))
    assert found.flip_rate.interval[1] > 0.5  # three images that never flip are not certainty
    maps = [np.repeat(np.array(row)[:1, None], 3, axis=0) * np.ones(4) for row in scores]
    assert mean_map_disagreement(maps).value == 0.0


@given(st.integers(2, 5), st.integers(1, 6))
def test_maps_of_cells_differ_as_much_as_the_painted_ones(repeats_asked, cells):
    """Cells weighted by area give what all pixels give."""
    draw = np.random.default_rng(cells)
    owner = np.append(np.arange(cells), draw.integers(0, cells, 60 - cells)).reshape(6, 10)
    values = draw.random((repeats_asked, cells))
    areas = np.bincount(owner.ravel(), minlength=cells)
    assert map_disagreement(values, areas) == pytest.approx(map_disagreement(values[:, owner]), abs=1e-12)


def test_a_missing_map_is_left_out():
    """A map of NaN is no map; one map alone does not differ from anything, and images are averaged over the others."""
    maps = np.array([[0.0, 1.0], [np.nan, np.nan], [0.5, 1.0]])
    assert map_disagreement(maps) == 0.25
    assert map_disagreement(maps[:2]) is None
    assert mean_map_disagreement([maps, maps[:2]], [[1, 1], [3, 1]]).value == 0.25
    assert mean_map_disagreement([maps[:2]]).reason == "no image has an answer to each"


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.0, 0.0]])
def test_areas_that_do_not_belong_to_the_map_are_refused(weights):
    """Another number of areas, or none above 0, is an error."""
    with pytest.raises(MetricError, match="area of each cell"):
        map_disagreement([[0.1, 0.2], [0.3, 0.4]], weights)


def test_a_shift_of_nothing_is_certain_and_one_shift_for_all_is_not():
    """No difference at all gives (0, 0); the same difference everywhere gives no interval but the reason."""
    assert paired_shift([0.1, 0.3], [0.1, 0.3]).interval == (0.0, 0.0)
    found = paired_shift([0.3, 0.8, None], [0.1, 0.6, 0.5])
    assert (round(found.value, 12), found.interval, found.reason) == (0.2, None, "all images alike")
    assert paired_shift([None], [0.1]).value is None
    assert paired_shift([0.1], [0.1]).interval is None


@pytest.mark.parametrize("scores", [[0.1, 0.2], [["high", "low"]], [[0.1, math.inf]]])
def test_scores_that_are_no_table_are_refused(scores):
    """Each is one clear error."""
    with pytest.raises(MetricError, match="scores"):
        repeats(scores, threshold=0.5)


def test_shifts_of_different_images_are_refused():
    """Pairs need as many of the one as of the other."""
    with pytest.raises(MetricError, match="must be pairs"):
        paired_shift([0.1, 0.2], [0.1])
