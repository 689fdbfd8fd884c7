"""Where variance comes from: recovered from simulated answers, and exactly 0 where nothing varies."""

import numpy as np
import pytest

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability import one_factor, variance_components

CONDITIONS = np.array([-0.0612, 0.0, 0.0, 0.0612])


def simulated(draw, n):
    """Answers with known components: image 0.04, condition 0.0025, interaction 0.01, repeat 0.0225."""
    parts = draw.normal(0, 0.2, (n, 1, 1)), draw.normal(0, 0.1, (n, 4, 1)), draw.normal(0, 0.15, (n, 4, 3))
    return sum(parts) + CONDITIONS[:, None]


def slow_components(y):
    """The expected mean squares, solved by plain sums over the table."""
    n, conditions, repeats = y.shape
    grand, image, condition, cell = y.mean(), y.mean(axis=(1, 2)), y.mean(axis=(0, 2)), y.mean(axis=2)
    of_image = conditions * repeats * ((image - grand) ** 2).sum() / (n - 1)
    of_condition = n * repeats * ((condition - grand) ** 2).sum() / (conditions - 1)
    residual = cell - image[:, None] - condition + grand
    of_both = repeats * (residual**2).sum() / ((n - 1) * (conditions - 1))
    within = ((y - cell[:, :, None]) ** 2).sum() / (n * conditions * (repeats - 1))
    apart = (of_image - of_both) / (conditions * repeats), (of_condition - of_both) / (n * repeats)
    return (*apart, (of_both - within) / repeats, within)


def test_components_are_those_of_the_mean_squares():
    """Every estimate equals a plain computation."""
    y = simulated(np.random.default_rng(0), 7)
    found = variance_components(y)
    values = [found.image.value, found.condition.value, found.interaction.value, found.repeat.value]
    assert values == pytest.approx(slow_components(y), abs=1e-12)
    assert found.interaction_and_repeat.value is None


def test_a_negative_estimate_is_kept_and_shown_as_zero():
    """Rounding it up at once would make averages too high."""
    found = variance_components([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.6], [0.6, 0.5]]])
    assert found.interaction.value < 0
    assert found.interaction.shown == 0.0


def test_a_model_that_repeats_itself_varies_only_by_image():
    """Exactly 0.0 for every component but the image's, with a reason instead of an interval."""
    found = variance_components(np.array([0.1, 0.3, 0.7])[:, None, None] * np.ones((3, 3, 3)))
    assert (found.condition.value, found.interaction.value, found.repeat.value) == (0.0, 0.0, 0.0)
    assert found.repeat.interval is None
    assert found.repeat.reason == "all images alike"
    assert found.image.value > 0
    single = one_factor([[0.1] * 3, [0.3] * 3, [0.7] * 3], [[0.1] * 4, [0.3] * 4, [0.7] * 4])
    assert (single.repeat.value, single.total.value, single.excess.value, single.shift_variance) == (0.0,) * 4
    assert {one.value for one in single.shifts} == {0.0}
    assert (single.share.value, single.share.reason) == (None, "no answer varies")


def test_a_model_that_repeats_itself_under_each_condition_has_no_repeat_variance():
    """Conditions may differ and the repeat component is still exactly 0.0."""
    y = np.random.default_rng(2).random((5, 3, 1)) * np.ones(4)
    assert variance_components(y).repeat.value == 0.0
    assert variance_components(y).interaction.value > 0


def test_without_noise_of_repeats_the_interaction_is_surely_above_zero():
    """Nothing is taken off, so its interval is that of a variance; with noise it is wider and may reach below 0."""
    cells = np.random.default_rng(6).random((6, 3, 1)) * np.ones(4)
    low, high = variance_components(cells).interaction.interval
    assert 0 < low < high
    noise = np.random.default_rng(7).normal(0, 0.5, cells.shape)
    assert variance_components(cells + noise).interaction.interval[0] < 0


def test_images_with_a_missing_answer_do_not_enter():
    """The table must be complete; how many images remain is said."""
    y = simulated(np.random.default_rng(3), 6)
    y[2, 1, 0] = np.nan
    assert variance_components(y) == variance_components(np.delete(y, 2, axis=0))
    assert variance_components(y).images == 5
    assert "every answer" in variance_components(y[1:3]).image.reason
    assert variance_components(y[:2]).image.reason == "fewer than 3 images"


def test_with_one_repeat_interaction_and_repeats_are_one():
    """The two cannot be told apart, and the reason says so."""
    found = variance_components(simulated(np.random.default_rng(4), 6)[:, :, :1])
    assert found.interaction_and_repeat.value > 0
    assert (found.repeat.value, found.interaction.value) == (None, None)
    assert "asked once" in found.repeat.reason


@pytest.mark.parametrize("shape", [(5, 4), (5, 1, 3), (5, 3, 0)])
def test_tables_without_conditions_or_repeats_are_refused(shape):
    """One clear error."""
    with pytest.raises(MetricError, match="shape"):
        variance_components(np.ones(shape))


def test_a_factor_adds_what_its_levels_vary_beyond_repeats():
    """A shift of levels and the variance of repeats are told apart; each level's shift is found in its interval."""
    draw = np.random.default_rng(5)
    image, offsets = draw.normal(0, 0.3, (400, 1)), np.array([-0.2, 0.0, 0.1])
    base = image + draw.normal(0, 0.1, (400, 3))
    found = one_factor(base, image + offsets + draw.normal(0, 0.1, (400, 3)))
    assert found.repeat.interval[0] < 0.01 < found.repeat.interval[1]
    true_excess = offsets.var(ddof=1)
    assert found.excess.interval[0] < true_excess < found.excess.interval[1]
    assert found.share.interval[0] < true_excess / (0.01 + true_excess) < found.share.interval[1]
    assert found.shift_variance == pytest.approx(true_excess, rel=0.1)
    for shift, offset in zip(found.shifts, offsets, strict=True):
        assert shift.interval[0] < offset < shift.interval[1]


def test_missing_answers_leave_out_as_little_as_possible():
    """A level that lacks an image has its shift from the others; level means are of complete images only."""
    base = [[0.1, 0.2], [0.4, None], [0.8, 0.6]]
    found = one_factor(base, [[0.3, 0.2], [0.5, 0.1], [None, 0.9]])
    assert found.shifts[0].value == pytest.approx((0.15 + 0.1) / 2)
    assert found.shifts[1].value == pytest.approx((0.05 - 0.3 + 0.2) / 3)
    assert found.level_means == pytest.approx((0.4, 0.15))
    assert found.repeat.value == pytest.approx((0.005 + 0.02) / 2)
    assert found.total.value == pytest.approx((0.005 + 0.08) / 2)


def test_a_base_asked_once_and_a_single_level_say_what_is_missing():
    """Each figure that cannot be had has its reason, and the shift is given all the same."""
    once = one_factor([[0.1], [0.2]], [[0.2, 0.3], [0.2, 0.1]])
    assert once.repeat.reason == once.excess.reason == "no image was asked the base twice"
    level = one_factor([[0.1, 0.2], [0.2, 0.2]], [[0.2], [0.4]])
    assert level.total.reason == level.share.reason == "no image was asked at two levels"
    assert level.shift_variance is None
    assert level.shifts[0].value == pytest.approx(0.125)
    with pytest.raises(MetricError, match="same images"):
        one_factor([[0.1, 0.2]], [[0.2], [0.4]])
