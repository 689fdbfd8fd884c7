"""Best-arm identification: bounds, drops and the choice."""

from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad.metrics.elimination import Race, ScoreTable, after_round, choice, critical_z, difference_bounds

Z = critical_z(3, 1)


def table_of(*sizes, images=200, seed=0):
    """Return a table of models whose scores of anomalous images are so many standard deviations higher."""
    labels, draw = np.arange(images) % 2 == 0, np.random.default_rng(seed)
    scores = np.stack([labels * size + draw.normal(size=images) for size in sizes])
    return ScoreTable(labels, np.full(images, "bolt"), scores)


def test_bounds_contain_the_difference_and_shrink():
    """Each bound is above the difference, the two mirror each other, and more images bring them nearer."""
    widths = []
    for images in (40, 400):
        table = table_of(2.0, 1.0, images=images)
        first, second = difference_bounds(table, 0, 1, Z)
        assert difference_bounds(table, 1, 0, Z) == pytest.approx((second, first))
        widths.append(first + second)
    assert 0 < widths[1] < widths[0]


def test_few_images_prove_nothing():
    """With 3 images of a class, or in categories with one, no model is worse, however different they are."""
    few = ScoreTable(
        np.arange(6) < 3, np.full(6, "bolt"), np.stack([np.arange(6) < 3, np.arange(6) >= 3]).astype(float)
    )
    assert difference_bounds(few, 0, 1, 1.0) == (1.0, 1.0), "neither worse nor within a margin"
    single = replace(few, categories=np.array(["a", "b", "c"] * 2))
    assert difference_bounds(single, 0, 1, 1.0) == (1.0, 1.0)
    race = after_round(Race.start(2), single, [1.0, 2.0], 0.02, Z)
    assert race.left == (0, 1)
    assert race.loss(0) == 1.0


def test_missing_answers_are_left_out():
    """Two models are compared on the images that both answered; an unanswered image is never a score."""
    table = table_of(2.0, 0.5)
    scores = table.scores.copy()
    scores[1, 100:] = np.nan
    half = ScoreTable(table.labels[:100], table.categories[:100], table.scores[:, :100])
    assert difference_bounds(replace(table, scores=scores), 0, 1, Z) == difference_bounds(half, 0, 1, Z)


def test_views_of_one_object_are_not_independent():
    """The same images said to show ten objects give wider bounds."""
    table = table_of(2.0, 1.0)
    grouped = replace(table, objects=np.arange(200) // 20 * 2 + np.arange(200) % 2)
    assert sum(difference_bounds(grouped, 0, 1, Z)) > sum(difference_bounds(table, 0, 1, Z))


def test_a_dearer_twin_is_dropped_and_the_cheaper_taken():
    """Of two models with the same answers the dearer one leaves, and the other is taken, surely within the margin."""
    table = table_of(2.0, 0.3, images=4000)
    table = replace(table, scores=table.scores[[0, 0, 1]])
    race = after_round(Race.start(3), table, [2.0, 1.0, 0.1], 0.02, Z)
    assert race.left == (1,)
    assert {one.model: one.reason for one in race.drops} == {0: "dearer", 2: "worse"}
    assert {one.round for one in race.drops} == {1}
    assert choice(race, table, [2.0, 1.0, 0.1], 0.02) == 1
    assert race.loss(1) <= 0.02


@pytest.mark.parametrize("prices", [(2.0, None), (None, 2.0)])
def test_an_unknown_price_is_not_dearer(prices):
    """A model with an unknown price is dropped by a better one alone; equal models both stay."""
    table = table_of(2.0, images=4000)
    table = replace(table, scores=table.scores[[0, 0]])
    assert after_round(Race.start(2), table, prices, 0.02, Z).left == (0, 1)
    assert after_round(Race.start(2), table, (None, None), 0.02, Z).left == (0,)


def test_nobody_leaves_for_one_that_may_be_far_below_a_dropped_one():
    """A model near a dropped one stays while its cheaper rival may be far below the dropped one."""
    bounds = np.array([[0.0, 0.01, 0.03], [0.02, 0.0, 0.015], [0.0, 0.0, 0.0]])
    race = Race(bounds, (0, 1, 2))
    table = replace(table_of(2.0, 2.0, 2.0, images=6), categories=np.array(list("abcdef")))
    first = after_round(replace(race, left=(0, 1)), table, [3.0, 2.0, 1.0], 0.02, Z)
    assert [one.model for one in first.drops] == [0]
    assert after_round(replace(first, left=(1, 2)), table, [3.0, 2.0, 1.0], 0.02, Z).left == (1, 2)


def test_without_certainty_the_highest_is_taken():
    """Where no loss is surely within the margin, the highest image AUROC is taken; of equal ones the cheaper."""
    table = table_of(1.0, 2.0, images=40)
    race = after_round(Race.start(2), table, [1.0, 2.0], 0.0, Z)
    assert choice(race, table, [1.0, 2.0], 0.0) == 1
    twins = replace(table, scores=table.scores[[1, 1]])
    race = after_round(Race.start(2), twins, [2.0, 1.0], -1.0, Z)
    assert choice(race, twins, [2.0, 1.0], -1.0) == 1


def test_a_failed_model_is_no_rival():
    """A model that cannot be asked counts neither as left nor as possibly better."""
    race = Race.start(2).without(0)
    assert race.left == (1,)
    assert race.loss(1) == 0.0
