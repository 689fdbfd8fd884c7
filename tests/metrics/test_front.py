"""Which rows are worth their cost, as observed and for sure."""

import numpy as np

from lvlm_ad.metrics.front import certainly_dominated, front, front_probability


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
    assert certainly_dominated(better, difference, variance, 1.96).tolist() == [False, False, True]


def test_rows_of_one_price_share_the_front_where_they_are_equal():
    """The order of the rows changes nothing."""
    draws, cost = np.array([[0.5, 0.5, 0.4], [0.5, 0.6, 0.9]]), np.array([1.0, 1.0, 2.0])
    assert front_probability(draws, cost).tolist() == [0.5, 1.0, 0.5]
    assert front_probability(draws[:, ::-1], cost[::-1]).tolist() == [0.5, 1.0, 0.5]


def test_a_table_without_rows_has_an_empty_front():
    """Where no row can be on the front, the front is empty: a table of unranked rows is drawn without one."""
    assert front([], []) == []
