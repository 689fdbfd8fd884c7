"""Intervals of image AUROC, AP, F1-max and pixel metrics, of their means, and of differences."""

import numpy as np
import pytest

from lvlm_ad.metrics.differences import PairedDifference, mean_auroc_difference
from lvlm_ad.metrics.intervals import auroc_interval, mean_auroc_interval, mover_mean, over_categories
from lvlm_ad.metrics.resampled_intervals import pixel_interval, pixel_mean, smoothed_interval


def _width(interval):
    return interval[1] - interval[0]


def _separated(n, *, errors=0):
    """Return labels and scores of n defective and n good images, all right but the first good ones."""
    labels = np.arange(2 * n) < n
    scores = labels.astype(float)
    scores[n : n + errors] = 1.5
    return labels, scores


@pytest.mark.parametrize("n", [2, 5, 40])
def test_all_right_is_not_certainty(n):
    """AUROC 1 has an interval wider than 0, which ends at 1 and starts below the bound that holds for certain."""
    result = auroc_interval(*_separated(n))
    low, high = result.interval
    assert result.auroc == high == 1
    assert 0 < low < 1
    assert result.bound_at_extreme == pytest.approx(0.025 ** (1 / n))


def test_all_wrong_mirrors_all_right():
    """Scores upside down give the interval upside down."""
    labels, scores = _separated(5)
    low, high = auroc_interval(labels, scores).interval
    mirrored = auroc_interval(labels, -scores)
    assert mirrored.auroc == 0
    assert mirrored.interval == pytest.approx((1 - high, 1 - low))


def test_equal_scores_have_a_wide_interval():
    """A model that always says the same has AUROC 0.5, and two images of a kind do not tell it from a good one."""
    result = auroc_interval(np.array([1, 1, 0, 0], bool), np.full(4, 0.5))
    assert result.auroc == 0.5
    assert result.interval[0] < 0.2
    assert result.interval[1] > 0.8


@pytest.mark.parametrize(("labels", "value"), [([1, 0, 0], 1.0), ([0, 0, 0], None), ([], None)])
def test_too_few_images_have_no_interval(labels, value):
    """One image of a kind gives a number without an interval; a missing kind gives neither."""
    result = auroc_interval(np.array(labels, bool), np.array(labels, float))
    assert (result.auroc, result.interval) == (value, None)


def test_one_more_error_does_not_blow_the_interval_up():
    """One wrong image of 80 moves the lower end a little: [.29, .9997] was the old rule's answer."""
    right, wrong = (auroc_interval(*_separated(40, errors=errors)).interval for errors in (0, 1))
    assert right[0] - wrong[0] < 0.12
    assert _width(wrong) < 0.2


@pytest.mark.parametrize("value", [1.0, 0.8, 0.5, 0.0])
def test_a_mean_is_surer_than_its_categories(value):
    """The mean of two equal categories has a narrower interval than one of them."""
    one, two = (mean_auroc_interval([value] * n, [5] * n, [5] * n, [1.0] * n) for n in (1, 2))
    assert 0 < _width(two) < _width(one)


def test_a_mean_of_one_category_is_that_category():
    """The interval of the mean over one category is the category's."""
    labels, scores = _separated(10, errors=2)
    one = auroc_interval(labels, scores)
    assert mean_auroc_interval([one.auroc], [10], [10], [one.factor]) == one.interval


def test_a_mean_needs_two_images_of_each_kind_everywhere():
    """One category with a single image of a kind leaves the mean without an interval."""
    assert mean_auroc_interval([0.9, 0.8], [5, 1], [5, 5], [1.0, 1.0]) is None
    assert mean_auroc_interval([], [], [], []) is None


def test_order_preserving_maps_of_scores_change_nothing():
    """Only the order of scores counts."""
    draw = np.random.default_rng(0)
    labels, scores = np.arange(30) % 3 == 0, draw.integers(0, 11, 30) / 10
    assert auroc_interval(labels, scores) == auroc_interval(labels, np.exp(5 * scores) - 7)


def test_other_kinds_of_objects():
    """Categories that differ say how much; fewer than three, or equal ones, do not."""
    low, high = over_categories([0.9, 0.8, 0.95, 0.7], 1e-6)
    assert 0.5 < low < 0.7
    assert 0.9 < high < 1
    assert over_categories([0.9, 0.8], 1e-6) is None
    assert over_categories([1.0] * 5, 1e-6) is None
    assert over_categories([0.1 + 0.2, 0.3, 0.3], 1e-6) is None


def test_a_copy_does_not_differ():
    """Two rows with the same scores differ by 0, and the interval says that nothing is certain."""
    labels, scores = _separated(5, errors=1)
    found = mean_auroc_difference([labels], [scores], [scores])
    assert found.difference == 0
    assert found.correlation == pytest.approx(1 - 2 / 5)
    low, high = found.interval
    assert low < 0 < high
    assert low == pytest.approx(-high)


def test_a_difference_stays_between_its_bounds():
    """All right against all wrong on two images of a kind: the largest difference, not sure to be above 0.2."""
    labels, scores = _separated(2)
    found = mean_auroc_difference([labels], [scores], [-scores])
    low, high = found.interval
    assert found.difference == high == 1
    assert 0 < low < 0.2
    one_defective = mean_auroc_difference([np.array([1, 0, 0], bool)], [scores[:3]], [scores[:3]])
    assert one_defective.interval is None
    assert mean_auroc_difference([np.ones(3, bool)], [scores[:3]], [scores[:3]]) == PairedDifference(None, 0.0, None)


def test_smoothed_resamples_keep_the_number():
    """The interval of AP and F1-max contains the number, and reaches lower by the optimism of plain resamples."""
    draws = np.linspace(0.6, 0.95, 40)
    (low, high), optimism = smoothed_interval("f1_max", 0.8, draws, np.full(40, 0.85), 5)
    (without, same), none = smoothed_interval("f1_max", 0.8, draws, np.full(40, 0.75), 5)
    assert (optimism, none) == (pytest.approx(0.05), 0)
    assert low == pytest.approx(without - optimism)
    assert low < 0.8 < high == same < 1
    assert smoothed_interval("ap", 1.0, [0.7, 0.9], [1.0, 1.0], 2)[0][1] == 1
    assert smoothed_interval("ap", 1.0, [1.0, 1.0], [1.0, 1.0], 2)[0] is None


def test_square_and_add():
    """Independent categories of one width make a mean that is narrower by the root of their number."""
    low, high = mover_mean([0.5] * 4, [(0.3, 0.6)] * 4)
    assert (low, high) == (pytest.approx(0.4), pytest.approx(0.55))


def test_few_large_defects_make_a_wide_interval():
    """What counts is how many images carry the defect pixels; below three there is no interval."""
    draws = np.random.default_rng(0).normal(0.8, 0.03, 200)
    equal, uneven = (pixel_interval(0.8, draws, weights) for weights in ([50] * 10, [2000, 900, 900, *[5] * 7]))
    assert equal[0] == pytest.approx(10)
    assert 2 < uneven[0] < 4
    assert _width(uneven[1]) > 1.5 * _width(equal[1])
    assert pixel_interval(0.8, draws, [50, 50, 0]) == (2.0, None)
    assert pixel_interval(0.8, draws, [5000, 5, 5])[1] is None


def test_pixel_resamples_that_say_nothing():
    """No interval if all resamples agree or many are undefined; a few undefined ones are left out."""
    draws = np.random.default_rng(0).normal(0.8, 0.03, 200)
    assert pixel_interval(1.0, np.ones(20), [5, 5, 5])[1] is None
    few, many = draws.copy(), draws.copy()
    few[:10], many[:11] = np.nan, np.nan
    assert pixel_interval(0.8, few, [5] * 5)[1] is not None
    assert pixel_interval(0.8, many, [5] * 5)[1] is None


def test_pixel_resamples_at_the_edge():
    """A resample at 1, where log odds are infinite, leaves an interval that contains the number."""
    low, high = pixel_interval(0.9995, [0.999, 0.9995, 1.0] * 10, [5] * 5)[1]
    assert 0.99 < low < 0.9995 <= high < 1


def test_the_mean_of_a_pixel_metric():
    """Two like categories make a narrower interval, with the degrees of freedom of both."""
    draws = np.random.default_rng(0).normal(0.8, 0.03, (2, 500))
    one, freedom = pixel_mean([0.8], draws[:1], [5.0])
    two, more = pixel_mean([0.8, 0.8], draws, [5.0, 5.0])
    assert (freedom, more) == (pytest.approx(4), pytest.approx(8, rel=0.02))
    assert _width(two) < _width(one)


def test_undefined_resamples_of_other_categories_do_not_add_up():
    """Each of 30 categories has 1 resample in 25 without a value: more than one in twenty together, and yet a mean."""
    draws = np.random.default_rng(0).normal(0.8, 0.03, (30, 500))
    whole, _ = pixel_mean([0.8] * 30, draws, [5.0] * 30)
    for category, row in enumerate(draws):
        row[category::25] = np.nan
    assert pixel_mean([0.8] * 30, draws, [5.0] * 30)[0] == pytest.approx(whole, abs=0.002)
