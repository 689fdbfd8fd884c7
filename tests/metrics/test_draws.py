"""Intervals and p-values from resampled values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from lvlm_ad.metrics.draws import Draws, influence_of, mean_of, mean_over_drawn
from lvlm_ad.metrics.uncertainty import CategoryImages, draws_of, measured


def draws(values, point=None, influence=(0.0,)):
    values = np.asarray(values, dtype=float)
    return Draws(float(np.median(values)) if point is None else point, values, np.asarray(influence))


def test_an_unbiased_number_has_its_percentiles():
    """Where half of the resamples lie below and no image pulls harder than others, 95 % of them lie within."""
    values = np.arange(1001) / 1000
    assert draws(values).interval() == pytest.approx((0.025, 0.975), abs=1e-3)
    assert draws(values).interval(0.5) == pytest.approx((0.25, 0.75), abs=1e-3)


def test_bias_and_skewness_move_an_interval():
    """Efron's formula, by hand: 84 % of the resamples above the number move both ends down; so does acceleration."""
    values = np.arange(10001) / 10000
    low, high = draws(values, point=norm.cdf(-1)).interval()
    assert (low, high) == pytest.approx((norm.cdf(-2 - 1.96), norm.cdf(-2 + 1.96)), abs=1e-3)
    # Influences of 1, 1 and -2: sum of cubes -6, of squares 6; acceleration -6 / (6 * 6 ** 1.5).
    a = -1 / 6**1.5
    expected = [norm.cdf(z / (1 - a * z)) for z in (-1.96, 1.96)]
    assert draws(values, influence=[1, 1, -2]).interval() == pytest.approx(expected, abs=1e-3)


def test_too_many_undefined_resamples_leave_no_interval():
    """One in twenty is left out; more, and there is none."""
    values = np.arange(1000) / 1000
    some, many = np.where(values < 0.04, np.nan, values), np.where(values < 0.1, np.nan, values)
    assert draws(some, 0.5).interval() is not None
    assert (draws(many, 0.5).interval(), draws(many, 0.5).p_value()) == (None, None)


def test_no_difference_is_certain():
    """A run against itself: 0, from 0 to 0, p = 1."""
    one = draws(np.random.default_rng(0).random(500), influence=np.random.default_rng(1).normal(size=30))
    nothing = one.minus(one)
    assert (nothing.point, nothing.interval(), nothing.p_value()) == (0, (0, 0), 1)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_an_interval_holds_zero_as_its_p_value_says(seed, shift):
    """The p-value is below 5 % where the 95 % interval leaves 0 out, and the other way round."""
    draw = np.random.default_rng(seed)
    values = draw.normal(shift, 1, 1000)
    one = draws(values, shift, draw.normal(size=40) ** 3)
    (low, high), p_value = one.interval(), one.p_value()
    # The interval's ends lie between two resampled values.
    inside = low <= 0 <= high
    assert inside == (p_value >= 0.05) or abs(p_value - 0.05) < 0.01


def test_a_p_value_claims_no_more_than_the_resamples_tell():
    """A thousand resamples that all lie above 0 say 2 / 1001."""
    assert draws(np.linspace(0.1, 0.2, 1000)).p_value() == pytest.approx(2 / 1001)


def test_categories_fixed_or_drawn():
    """The mean over fixed categories varies with their images alone; with drawn ones also with the kinds of objects."""
    draw = np.random.default_rng(0)
    table = [draws(point + draw.normal(0, 0.01, 2000), point) for point in (0.2, 0.5, 0.8)]
    fixed, drawn = mean_of(table), mean_over_drawn(table, np.random.default_rng(1))
    assert fixed.point == drawn.point == pytest.approx(0.5)
    assert fixed.values.std() == pytest.approx(0.01 / np.sqrt(3), rel=0.1)
    assert drawn.values.std() == pytest.approx(np.sqrt(0.06 / 3), rel=0.1)


def test_influence_is_taken_within_each_kind():
    """Of good and of defective images the influences sum to 0; an undefined value leaves none."""
    labels = np.array([True, True, False, False, False])
    found = influence_of(np.array([0.5, 0.7, 0.1, 0.2, 0.6]), labels)
    assert found == pytest.approx([0.05, -0.05, 0.4 / 3, 0.2 / 3, -0.6 / 3])
    assert not influence_of(np.array([0.5, np.nan, 0.1, 0.2, 0.6]), labels).any()


@pytest.mark.parametrize(("separation", "anomalous", "good"), [(1.0, 60, 40), (2.0, 40, 30)])
def test_intervals_cover_the_truth(separation, anomalous, good):
    """Of 400 simulated test sets 93 to 97 % hold the true AUROC; of AP and of the optimistic F1-max at least 85 %."""
    draw = np.random.default_rng(7)
    labels = np.arange(anomalous + good) < anomalous
    many = np.arange(200_000) < 200_000 * anomalous / labels.size
    truth = measured(CategoryImages(many, draw.normal(separation * many), None))
    truth["image_auroc"] = float(norm.cdf(separation / np.sqrt(2)))
    inside = dict.fromkeys(truth, 0)
    for trial in range(400):
        tested = CategoryImages(labels, draw.normal(separation * labels), None)
        for name, one in draws_of(tested, measured(tested), 400, trial).items():
            low, high = one.interval()
            inside[name] += low <= truth[name] <= high
    assert 0.93 <= inside["image_auroc"] / 400 <= 0.97
    assert inside["image_ap"] / 400 >= 0.85
    assert inside["image_f1_max"] / 400 >= 0.85
