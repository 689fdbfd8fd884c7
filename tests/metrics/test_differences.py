"""Differences of two methods: intervals that agree with their p-values, and many tests at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvlm_ad.metrics.curves import placements
from lvlm_ad.metrics.differences import holm, mean_auroc_difference, p_value, shrunk_correlation, square_and_add
from lvlm_ad.metrics.intervals import delong_covariance

FRACTIONS = st.floats(0, 1).map(lambda value: round(value, 6))


def drawn(seed, sizes, skill=1.0):
    """Labels and two methods' scores in tenths of categories with these sizes; half of each score is shared."""
    draw = np.random.default_rng(seed)
    labels, first, second = [], [], []
    for defective, good in sizes:
        kind = np.arange(defective + good) < defective
        shared = draw.normal(size=kind.size) + skill * kind
        labels.append(kind)
        first.append(np.round(shared + draw.normal(size=kind.size), 1))
        second.append(np.round(shared + draw.normal(size=kind.size), 1))
    return labels, first, second


def test_delong_by_hand():
    """Three anomalous and two normal images, every number worked out on paper.

    First scores: anomalous 0.9 0.7 0.4, normal 0.5 0.1. Placements of the anomalous: 1, 1, 1/2; AUROC 5/6. Of the
    normal: 2/3, 1. Second scores: anomalous 0.6 0.2 0.8, normal 0.3 0.2. Placements: 1, (0 + 1/2)/2 = 1/4, 1; AUROC
    3/4. Of the normal: 2/3, 2.5/3. Differences: anomalous 0, 3/4, -1/2 (mean 1/12, squares about it 1/144 + 64/144 +
    49/144 = 114/144, variance 57/144); normal 0, 1/6 (variance 1/72). The variance of the difference is 57/432 + 1/144
    = 60/432 = 5/36.
    """
    labels = np.array([True, True, True, False, False])
    first, second = np.array([0.9, 0.7, 0.4, 0.5, 0.1]), np.array([0.6, 0.2, 0.8, 0.3, 0.2])
    one, other = placements(labels, first), placements(labels, second)
    assert one == pytest.approx([1, 1, 1 / 2, 2 / 3, 1])
    assert other == pytest.approx([1, 1 / 4, 1, 2 / 3, 2.5 / 3])
    variances = delong_covariance(labels, one, one) + delong_covariance(labels, other, other)
    assert variances - 2 * delong_covariance(labels, one, other) == pytest.approx(5 / 36)
    assert mean_auroc_difference([labels], [first], [second]).difference == pytest.approx(1 / 12)


def test_a_difference_of_means_swaps_sign_with_the_methods():
    """Swapping the methods mirrors difference and interval; the correlation stays."""
    labels, first, second = drawn(0, [(4, 12), (20, 20), (7, 3)])
    one, other = mean_auroc_difference(labels, first, second), mean_auroc_difference(labels, second, first)
    assert one.interval[0] < one.difference < one.interval[1]
    assert other.difference == pytest.approx(-one.difference)
    assert other.interval == pytest.approx([-end for end in reversed(one.interval)])
    assert other.correlation == pytest.approx(one.correlation)


def test_a_shared_image_makes_a_difference_more_certain():
    """With scores that share much the interval is narrower than with the same scores in another order."""
    labels, first, second = drawn(1, [(30, 30)] * 3)
    draw = np.random.default_rng(2)
    apart = []
    for kind, scores in zip(labels, second, strict=True):
        mixed = scores.copy()
        for chosen in (kind, ~kind):
            mixed[chosen] = draw.permutation(scores[chosen])
        apart.append(mixed)
    paired, unpaired = mean_auroc_difference(labels, first, second), mean_auroc_difference(labels, first, apart)
    assert paired.difference == pytest.approx(unpaired.difference)
    assert paired.correlation > unpaired.correlation + 0.2
    assert np.ptp(paired.interval) < 0.9 * np.ptp(unpaired.interval)


def test_methods_that_agree_on_few_images_may_still_differ():
    """Equal scores give difference 0 and an interval with a width, also where both are perfect."""
    labels, first, _ = drawn(3, [(5, 5)])
    for scores in (first, [labels[0] * 1.0]):
        found = mean_auroc_difference(labels, scores, scores)
        assert found.difference == 0
        assert found.interval[0] < -0.05
        assert found.interval[1] > 0.05


def test_categories_of_one_kind_are_left_out():
    """A category without good images has no AUROC; one with a single good image leaves the mean without an interval."""
    labels, first, second = drawn(4, [(6, 6), (8, 8)])
    whole = mean_auroc_difference(labels, first, second)
    kinds, more = np.ones(3, dtype=bool), np.arange(3.0)
    assert mean_auroc_difference([*labels, kinds], [*first, more], [*second, more]) == whole
    kinds = np.array([True, True, False])
    found = mean_auroc_difference([*labels, kinds], [*first, more], [*second, more])
    assert found.interval is None
    assert found.difference == pytest.approx(whole.difference * 2 / 3)
    assert mean_auroc_difference([kinds[:2]], [more[:2]], [more[:2]]).difference is None


def test_a_correlation_is_believed_as_far_as_there_are_images():
    """Of two images nothing, of many nearly all; it stays within -1..1."""
    assert shrunk_correlation(1.0, 1.0, 1.0, 2) == 0
    assert shrunk_correlation(1.0, 1.0, 1.0, 200) == pytest.approx(0.99)
    assert shrunk_correlation(5.0, 1.0, 1.0, 4) == 0.5


@given(st.lists(FRACTIONS, min_size=6, max_size=6), st.floats(-1, 1))
def test_a_p_value_agrees_with_its_interval(values, correlation):
    """It is below 0.05 exactly where the interval, which contains the difference, excludes 0."""
    one, other = sorted(values[:3]), sorted(values[3:])
    low, high = square_and_add(one[1], (one[0], one[2]), other[1], (other[0], other[2]), correlation)
    difference = one[1] - other[1]
    assert -1 <= low <= difference <= high <= 1
    value = p_value(difference, (low, high))
    assert 0 <= value <= 1
    if difference and min(abs(low), abs(high)) > 1e-12:
        assert (value < 0.05) == (low > 0 or high < 0)


def test_holm_by_hand():
    """The smallest of four counts four times, the next three times, and none less than the one before."""
    assert holm([0.01, 0.5, 0.012, 0.2]) == pytest.approx([0.04, 0.5, 0.04, 0.4])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([]).size == 0


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[(2, 2)] * 15, [(10, 10)], [(20, 20)] * 15], ids=["15x(2+2)", "10+10", "15x(20+20)"])
def test_a_difference_of_means_covers_zero(sizes):
    """Two methods of equal skill: at least 95 % of the intervals contain 0, short of the noise of 200 sets."""
    found = [mean_auroc_difference(*drawn(seed, sizes, skill=1.5)).interval for seed in range(200)]
    assert np.mean([low <= 0 <= high for low, high in found]) > 0.92
