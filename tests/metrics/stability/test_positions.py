"""Numbers of regions: effects, slope and test recover a preference, and see none where there is none."""

import numpy as np
import pytest

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability import position_bias


def cyclic(regions):
    """Numberings in which each region has each number once."""
    return 1 + (np.arange(regions)[:, None] + np.arange(regions)) % regions


def random_images(draw, sizes, answers=5):
    """Images of these numbers of regions under random numberings, named at random."""
    numbers = [np.stack([1 + draw.permutation(size) for _ in range(answers)], axis=1) for size in sizes]
    return numbers, [draw.integers(0, 2, one.shape) for one in numbers]


def slow_effects(numbers, named):
    """The effect of each number by the definition, with plain loops."""
    apart = {}
    for own, marked in zip(numbers, named, strict=True):
        for row, answers in zip(own.tolist(), marked.tolist(), strict=True):
            for number in set(row):
                at = [answer for answer, its in zip(answers, row, strict=True) if its == number]
                apart.setdefault(number, []).append(np.mean(at) - np.mean(answers))
    return [float(np.mean(apart[number])) for number in sorted(apart)]


def slow_slope(numbers, named):
    """The slope within regions by the definition."""
    pairs = [
        ((number - np.mean(row)) * (answer - np.mean(answers)), (number - np.mean(row)) ** 2)
        for own, marked in zip(numbers, named, strict=True)
        for row, answers in zip(own, marked, strict=True)
        for number, answer in zip(row, answers, strict=True)
    ]
    return sum(up for up, _ in pairs) / sum(down for _, down in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_effects_and_slope_are_those_of_plain_loops(seed):
    """Also with images of different numbers of regions, and numbers that a region has twice or never."""
    draw = np.random.default_rng(seed)
    numbers, named = random_images(draw, draw.integers(2, 7, 9))
    found = position_bias(numbers, named)
    assert [one.value for one in found.effect] == pytest.approx(slow_effects(numbers, named), abs=1e-12)
    assert found.slope.value == pytest.approx(slow_slope(numbers, named), abs=1e-12)
    images_with = [sum(number in one for one in numbers) for number in found.numbers]
    several = [one.value for one, images in zip(found.effect, images_with, strict=True) if images > 1]
    assert found.range.value == pytest.approx(np.ptp(several), abs=1e-12)
    assert found.range.interval[0] <= found.range.value <= found.range.interval[1]
    every = np.concatenate([one.ravel() for one in numbers])
    named_at = np.concatenate([one.ravel() for one in named])
    assert found.frequency == pytest.approx([named_at[every == number].mean() for number in found.numbers], abs=1e-12)


def test_the_interval_of_an_effect_is_the_jackknife_over_images():
    """Leaving out each image by hand gives the same variance."""
    numbers, named = random_images(np.random.default_rng(3), [4] * 8)
    whole = position_bias(numbers, named)
    without = np.array(
        [slow_effects(numbers[:at] + numbers[at + 1 :], named[:at] + named[at + 1 :]) for at in range(8)]
    )
    half = 2.3646242515927844 * np.sqrt(7 / 8 * ((without - without.mean(axis=0)) ** 2).sum(axis=0))  # t of 7 degrees
    assert [one.interval[1] - one.value for one in whole.effect] == pytest.approx(half.tolist(), abs=1e-9)


def slow_two_way(numbers, named):
    """Effects of numbers from least squares with a column for each region and number, of mean 0 over all answers."""
    rows, answers, region = [], [], 0
    levels = sorted({number for one in numbers for number in np.unique(one).tolist()})
    regions = sum(len(one) for one in numbers)
    for own, marked in zip(numbers, named, strict=True):
        for row, its in zip(own.tolist(), marked.tolist(), strict=True):
            for number, answer in zip(row, its, strict=True):
                at = np.zeros(len(levels) + regions)
                at[[levels.index(number), len(levels) + region]] = 1
                rows.append(at)
                answers.append(answer)
            region += 1
    found = np.linalg.lstsq(np.array(rows), np.array(answers, float), rcond=None)[0][: len(levels)]
    return found - np.average(found, weights=np.sum(rows, axis=0)[: len(levels)])


@pytest.mark.parametrize("seed", range(3))
def test_adjusted_effects_are_those_of_plain_least_squares(seed):
    """Also without each image, whose jackknife gives the interval."""
    draw = np.random.default_rng(seed)
    numbers, named = random_images(draw, [5, 3, 5, 4, 5, 5], answers=3)
    found = position_bias(numbers, named)
    assert [one.value for one in found.adjusted] == pytest.approx(slow_two_way(numbers, named), abs=1e-9)
    without = [slow_two_way(numbers[:at] + numbers[at + 1 :], named[:at] + named[at + 1 :]) for at in range(6)]
    half = 2.5705818366147395 * np.sqrt(5 * np.var(without, axis=0))  # t of 5 degrees
    assert [one.interval[1] - one.value for one in found.adjusted] == pytest.approx(half, abs=1e-9)


def test_few_numberings_do_not_make_a_preference_smaller():
    """A model that always names number 7 is at 100 points; the difference to each region's own mean is smaller."""
    draw = np.random.default_rng(0)
    numbers, _ = random_images(draw, [16] * 40, answers=4)
    found = position_bias(numbers, [one == 7 for one in numbers])
    assert found.adjusted_range.value == pytest.approx(1, abs=1e-9)
    assert found.range.value < 0.9
    assert found.p_value == 0.001


def test_in_a_balanced_design_both_effects_are_the_same():
    """Every region has every number equally often, so nothing is to be adjusted, neither value nor interval."""
    draw = np.random.default_rng(1)
    found = position_bias([cyclic(5)] * 12, [draw.integers(0, 2, (5, 5)) for _ in range(12)])
    for one, adjusted in zip((*found.effect, found.range), (*found.adjusted, found.adjusted_range), strict=True):
        assert adjusted.value == pytest.approx(one.value, abs=1e-12)
        assert adjusted.interval == pytest.approx(one.interval, abs=1e-6)


def test_numbers_that_share_no_region_are_not_compared():
    """Numbers 1 and 2 change places, and so do 3 and 4: their difference is unknown, and the reason is given."""
    found = position_bias([[[1, 2], [2, 1], [3, 4], [4, 3]]] * 3, [[[1, 0], [0, 1], [0, 0], [0, 0]]] * 3)
    assert {one.value for one in (*found.adjusted, found.adjusted_range)} == {None}
    assert "too few numberings" in found.adjusted_range.reason


def test_a_preference_for_small_numbers_is_found():
    """Regions with a small number are named more often: effects fall, the slope is below 0 and the p-value small."""
    draw = np.random.default_rng(0)
    numbers = [cyclic(5)] * 30
    named = [draw.random((5, 5)) < 0.7 - 0.1 * numbers[0] for _ in range(30)]
    found = position_bias(numbers, named)
    assert found.slope.interval[0] < -0.1 < found.slope.interval[1] < 0
    assert found.range.interval[0] < 0.4 < found.range.interval[1]
    assert found.p_value == 0.001
    assert found.effect[0].interval[0] > 0 > found.effect[4].interval[1]


def test_p_values_are_small_no_more_often_than_they_say():
    """Answers that name exactly two regions each, some places more than others, give no false alarms."""
    draw = np.random.default_rng(1)
    numbers = [cyclic(4)] * 8
    seen = np.array([0.7, 0.2, 0.05, 0.05])

    def p_value():
        named = np.zeros((8, 4, 4))
        for image in named:
            for answer in image.T:
                answer[draw.choice(4, 2, replace=False, p=seen)] = 1
        return position_bias(numbers, named).p_value

    values = np.array([p_value() for _ in range(200)])
    assert 0.01 <= np.mean(values <= 0.05) <= 0.09
    assert 0.3 <= np.mean(values <= 0.5) <= 0.6  # equal ranges count against the preference


def test_the_adjusted_p_value_is_of_the_adjusted_range():
    """Under few numberings it is small no more often than it says; under complete ones it is the plain one."""
    draw = np.random.default_rng(5)

    def found():
        numbers = [np.stack([draw.permutation(8) + 1 for _ in range(3)], axis=1) for _ in range(10)]
        seen = draw.random((10, 8, 1)) < 0.4  # places differ, numbers do not matter
        return position_bias(numbers, [(one | (draw.random((8, 3)) < 0.2)).astype(float) for one in seen])

    values = np.array([found().adjusted_p_value for _ in range(150)])
    assert np.mean(values <= 0.05) <= 0.09
    assert 0.35 <= np.mean(values <= 0.5) <= 0.65
    whole = position_bias([cyclic(5)] * 12, [draw.integers(0, 2, (5, 5)) for _ in range(12)])
    assert whole.adjusted_p_value == pytest.approx(whole.p_value, abs=0.002)  # equal ranges may round apart


def test_a_preference_is_significant_under_few_numberings():
    """A model that names every region with the number 7 has the smallest adjusted p-value."""
    draw = np.random.default_rng(6)
    numbers = [np.stack([draw.permutation(8) + 1 for _ in range(3)], axis=1) for _ in range(10)]
    found = position_bias(numbers, [one == 7 for one in numbers])
    assert found.adjusted_p_value == 0.001
    assert found.adjusted_range.interval is None or found.adjusted_range.interval[0] > 0


def test_a_missing_answer_is_left_out():
    """A column of NaN counts as not asked; an image without any answer does not count."""
    numbers, named = random_images(np.random.default_rng(2), [3] * 6)
    gaps = [one.astype(float) for one in named]
    gaps[0][:, 1] = np.nan
    gaps[5][:] = np.nan
    found = position_bias(numbers, gaps)
    rest = position_bias(
        [np.delete(numbers[0], 1, axis=1), *numbers[1:5]], [np.delete(named[0], 1, axis=1), *named[1:5]]
    )
    assert found == rest
    assert found.images == 5


def test_the_order_of_images_and_regions_changes_nothing():
    """Regions have no order but that of their numbers; the shuffles do not depend on it either."""
    numbers, named = random_images(np.random.default_rng(4), [4] * 6)
    found = position_bias(numbers, named)
    other = position_bias([one[::-1] for one in numbers[::-1]], [one[::-1] for one in named[::-1]])
    assert other == found


def test_a_model_that_names_the_same_pixels_has_no_effect_at_all():
    """Exactly 0.0 everywhere, p-value 1, and a reason instead of an interval."""
    named = np.repeat(np.array([[1], [0], [0], [1], [0], [0], [0]]), 7, axis=1)
    found = position_bias([cyclic(7)] * 4, [named] * 4)
    assert {one.value for one in (*found.effect, *found.adjusted, found.adjusted_range)} == {0.0}
    assert (found.range.value, found.slope.value, found.p_value) == (0.0, 0.0, 1.0)
    assert (found.range.interval, found.range.reason) == (None, "all images alike")


def test_numbers_that_never_change_have_no_slope():
    """Number and place are then one: undefined, with the reason."""
    found = position_bias([[[1, 1], [2, 2]]] * 3, [[[1, 0], [1, 1]]] * 3)
    assert (found.slope.value, found.p_value) == (None, None)
    assert "never change" in found.slope.reason


@pytest.mark.parametrize(
    ("numbers", "named", "words"),
    [
        ([[[1, 2], [2, 1]]], [[[1, 0]]], "Image 0: numbers of shape"),
        ([[[1, 2], [2, 1]]], [[[1, np.nan], [0, 1]]], "for some regions only"),
        ([[[1, 2], [2, 1]]], [[[np.nan, np.nan], [np.nan, np.nan]]], "No image has an answer"),
    ],
)
def test_what_cannot_be_counted_is_refused(numbers, named, words):
    """Wrong shapes, half a missing answer and no answer at all are errors that say so."""
    with pytest.raises(MetricError, match=words):
        position_bias(numbers, named)
