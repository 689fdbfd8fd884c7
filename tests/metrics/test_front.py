"""Which rows are worth their cost, as observed and for sure."""

import math

import numpy as np

from lvlm_ad.metrics.front import (
    front,
    front_probability,
    possible_front,
    step_curve,
    surely_dominated,
    usd_per_point,
)


def test_a_dearer_row_of_equal_quality_is_dominated():
    """Equal rows stay both; unknown quality or cost is neither on nor off the front."""
    assert front([0.8, 0.8, 0.8, 0.9, None, 0.95], [1.0, 2.0, 1.0, 3.0, 0.0, None]) == [
        *(True, False, True, True),
        *(None, None),
    ]


def test_several_costs_are_weighed_together():
    """What is dearer in one cost may be cheaper in another."""
    assert front([0.8, 0.8, 0.7], [[1.0, 9.0], [2.0, 3.0], [2.0, 9.0]]) == [True, True, False]


def test_only_what_is_better_for_sure_and_never_dearer_dominates_for_sure():
    """Being cheaper on average is not enough where the costs of images vary."""
    better = np.array([[False, True, True], [False, False, False], [False, False, False]])
    costs, spread = np.array([1.0, 1.1, 1.0]), np.array([0.0, 0.2, 0.0])
    difference = np.subtract.outer(costs, costs)
    variance = np.add.outer(spread, spread) ** 2
    assert surely_dominated(better, difference, variance, 1.96).tolist() == [False, False, True]


def test_rows_of_one_price_share_the_front_where_they_are_equal():
    """The order of the rows changes nothing."""
    draws, cost = np.array([[0.5, 0.5, 0.4], [0.5, 0.6, 0.9]]), np.array([1.0, 1.0, 2.0])
    assert front_probability(draws, cost).tolist() == [0.5, 1.0, 0.5]
    assert front_probability(draws[:, ::-1], cost[::-1]).tolist() == [0.5, 1.0, 0.5]


def test_a_table_without_rows_has_an_empty_front():
    """Where no row can be on the front, the front is empty: a table of unranked rows is drawn without one."""
    assert front([], []) == []


def test_the_curve_steps_up_where_a_cost_buys_more():
    """Of rows of one price the best counts; what costs more and is no better is no corner; unknown rows are out."""
    costs = [1.0, 1.0, 2.0, 3.0, None, 0.5]
    assert step_curve([0.7, 0.8, 0.8, 0.9, 0.99, None], costs) == [(1.0, 0.8), (3.0, 0.9)]
    assert step_curve([], []) == []


def test_corners_of_the_curve_are_the_front():
    """Whichever rows there are, the curve passes through the rows of the front and no others."""
    draw = np.random.default_rng(0)
    for _ in range(50):
        quality, cost = draw.integers(0, 6, 12) / 10, draw.integers(0, 6, 12) / 10
        on_front = {(c, q) for q, c, on in zip(quality, cost, front(quality, cost), strict=True) if on}
        assert set(step_curve(quality, cost)) == on_front


def test_a_point_has_a_price_only_above_chance():
    """Where AUROC may be that of a guess, or cost or interval are unknown, there is no price."""
    assert math.isclose(usd_per_point(1.0, 0.75, (0.6, 0.9)), 0.04)
    assert usd_per_point(1.0, 0.75, (0.5, 0.9)) is None
    assert usd_per_point(None, 0.75, (0.6, 0.9)) is None
    assert usd_per_point(1.0, None, None) is None
    assert usd_per_point(1.0, 0.75, None) is None


def test_costs_that_vary_by_image_are_compared_image_by_image():
    """A row that saves a little on every image surely costs less, however much images differ; else it may not."""
    better = np.zeros((3, 3), dtype=bool)
    better[0, 1:] = True
    first = np.random.default_rng(1).lognormal(0, 1, 30)
    noise = np.random.default_rng(2).normal(0, 1, 30)
    costs = np.stack([first, first + 0.01 + 0.001 * noise, first + 0.01 + noise])
    assert possible_front(better, costs) == [True, False, True]


def test_a_row_of_equal_price_is_dominated_by_a_better_one():
    """One list price for every image leaves nothing uncertain; a row with an unknown cost is neither on nor off."""
    better = np.array([[False, True, True], [False, False, False], [False, False, False]])
    assert possible_front(better, [[2.0, 2.0], [2.0, 2.0], [1.0, np.nan]]) == [True, False, None]
    assert possible_front(better, [[1.0], [2.0], [3.0]]) == [True, True, True]  # one image
