"""How many images and answers: the figures of the specification, and the smallest number that is enough."""

from math import comb

import numpy as np
import pytest

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.intervals import mean_auroc_interval
from lvlm_ad.metrics.stability import design, images_for_auroc, images_for_flip_rate, within_sd_relative_error


def test_the_cheapest_design_is_cheapest():
    """No other number of answers costs less at the same precision."""
    found = design(between=0.02, within=0.06, cost_image=0.5, cost_answer=0.1, half_width=0.03)

    def price(k):
        return (0.02 + 0.06 / k) * (0.5 + 0.1 * k)

    assert min(range(1, 50), key=price) == found.repeats
    assert 1.96**2 * (0.02 + 0.06 / found.repeats) / found.images <= 0.03**2 * 1.001


def test_images_come_before_repeats_where_both_cost_alike():
    """An image that costs nothing but its answer is asked about once."""
    assert design(between=0.04, within=0.02, cost_image=0.0, cost_answer=0.01, half_width=0.03).repeats == 1
    assert design(between=0.04, within=0.0, cost_image=0.5, cost_answer=0.01, half_width=0.03).repeats == 1


def test_repeats_always_pay_where_images_do_not_differ():
    """Then there is no best number, and none is invented."""
    found = design(between=0.0, within=0.02, cost_image=0.5, cost_answer=0.01, half_width=0.03)
    assert (found.best_repeats, found.repeats, found.images) == (None, None, None)


def share_squared(p, repeats):
    """Return the mean of an image's share of disagreeing pairs, and of its square, if each answer alarms with p."""
    pairs = [
        (c * (repeats - c) / comb(repeats, 2), comb(repeats, c) * p**c * (1 - p) ** (repeats - c))
        for c in range(repeats + 1)
    ]
    return sum(u * weight for u, weight in pairs), sum(u * u * weight for u, weight in pairs)


@pytest.mark.parametrize("repeats", range(2, 11))
def test_no_model_flips_more_variably_than_is_planned_for(repeats):
    """Whatever the images' probabilities, the flip rate varies at most as the number of images takes it to."""
    most = (1 + 1 / comb(repeats, 2)) / 2
    for p in np.linspace(0.01, 0.5, 50):
        mean, square = share_squared(p, repeats)
        assert square <= most * mean + 1e-12
    mean, square = share_squared(0.5, repeats)
    assert square == pytest.approx(most * mean)


def test_more_repeats_need_fewer_images():
    """A third answer tells more about an image, though not half as much again."""
    needed = [images_for_flip_rate(0.1, 0.03, repeats) for repeats in (2, 3, 5, 20)]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] < 2 * needed[3] * 1.2


@pytest.mark.parametrize(
    ("auroc", "half_width", "stated"),
    [(0.8, 0.05, (152, 31, 11)), (0.9, 0.05, (84, 18, 7)), (0.95, 0.05, (48, 11, 4)), (0.9, 0.03, (226, 45, 16))],
)
def test_images_for_auroc_are_the_fewest_that_are_enough(auroc, half_width, stated):
    """One image fewer is too few; the figures are those of the specification, found there to 2 %."""
    for categories, about in zip((1, 5, 15), stated, strict=True):
        found = images_for_auroc(auroc, half_width, categories)
        assert found == pytest.approx(about, rel=0.02)
        widths = []
        for images in (found - 1, found):
            low, high = mean_auroc_interval([auroc] * categories, *([images] * categories,) * 2, [1.0] * categories)
            widths.append((high - low) / 2)
        assert widths[1] <= half_width < widths[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: design(-1, 0.1, 1, 1, 0.1),
        lambda: design(1, 0.1, 1, 1, 0.0),
        lambda: within_sd_relative_error(10, 1),
        lambda: images_for_flip_rate(0.6, 0.05),
        lambda: images_for_flip_rate(0.1, 0.05, 1),
        lambda: images_for_auroc(1.1, 0.05),
        lambda: images_for_auroc(0.5, 1e-6),
    ],
)
def test_what_no_design_can_give_is_refused(call):
    """A number out of its range is one clear error."""
    with pytest.raises(MetricError, match=r"0|images"):
        call()
