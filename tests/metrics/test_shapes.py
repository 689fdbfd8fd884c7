"""Metrics of shapes: of one image, of a category, over categories, and of two methods."""

import numpy as np
import pytest

from lvlm_ad.decisions import clopper_pearson
from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import shape_measures, shape_metrics
from lvlm_ad.metrics.shapes import (
    POINT_METRICS,
    SHAPE_METRICS,
    bounded_interval,
    mean_of_shapes,
    shape_difference,
)
from lvlm_ad.regions.shapes import Point


def two_defects():
    """A mask with an L of three pixels, and one pixel that touches it nowhere."""
    mask = np.zeros((6, 8), dtype=np.uint8)
    mask[1, 1:3], mask[2, 1], mask[4, 6] = 255, 255, 255
    return mask


def test_the_boxes_of_a_mask_are_those_of_its_components():
    """An answer that is the bounding boxes of the components has a box IoU of 1, and a mask IoU below."""
    union = np.zeros((6, 8), dtype=bool)
    union[1:3, 1:3], union[4, 6] = True, True
    assert shape_measures(union, two_defects()) == {"iou_box": 1.0, "iou_mask": 4 / 5}


def test_components_that_touch_at_a_corner_are_one():
    """Pixels that touch diagonally have one bounding box."""
    mask = np.eye(4, dtype=bool)
    assert shape_measures(np.ones((4, 4), bool), mask) == {"iou_box": 1.0, "iou_mask": 0.25}


def test_an_image_without_a_place_has_an_iou_of_zero():
    """An answer that names nothing counts, with IoU 0; it has no fraction of points."""
    measures = shape_measures(np.zeros((6, 8), bool), two_defects(), points=[])
    assert measures == {"iou_box": 0.0, "iou_mask": 0.0, "n_places": 0.0, "n_components": 2.0, "found": 0.0}


def test_points_hit_and_find():
    """Two points in one component and one outside: two thirds hit, half of the components are found."""
    points = [Point(1.2, 1.9, 1, 1), Point(1.5, 2.5, 0.2, 1), Point(7.9, 5.9, 1, 1)]
    measures = shape_measures(np.ones((6, 8), bool), two_defects(), points)
    assert (measures["point_hit"], measures["found"], measures["n_places"]) == (2 / 3, 0.5, 3.0)


@pytest.mark.parametrize("named", [False, True])
def test_a_place_in_a_normal_image_is_a_false_alarm(named):
    """A normal image has one measure: whether a pixel was named."""
    assert shape_measures(np.full((3, 3), named), np.zeros((3, 3)), points=[]) == {"false_alarm": float(named)}


def test_sizes_must_agree():
    """Places and a mask of different sizes are an error that names both."""
    with pytest.raises(MetricError, match=r"\(3, 3\) and a mask of shape \(3, 4\)"):
        shape_measures(np.zeros((3, 3), bool), np.zeros((3, 4)))


def measured(ious, alarms=()):
    return [{"iou_box": one, "iou_mask": one / 2} for one in ious] + [{"false_alarm": float(one)} for one in alarms]


def test_a_category_averages_its_images():
    """Means are over anomalous images, thresholds are reached by equality, false alarms are over normal images."""
    found = shape_metrics(measured([0.1, 0.3, 0.5, 0.0], [True, False, False, False]))
    values = {name: one.value for name, one in found.estimates.items()}
    assert list(values) == list(SHAPE_METRICS)
    assert found.undefined == {}
    assert values["miou_box"] == pytest.approx(0.225)
    assert values["miou_mask"] == pytest.approx(0.1125)
    assert [values[f"acc_box_{percent}"] for percent in (10, 30, 50)] == [0.75, 0.5, 0.25]
    assert [values[f"acc_mask_{percent}"] for percent in (10, 30, 50)] == [0.5, 0.0, 0.0]
    assert values["false_alarms"] == 0.25


def test_points_and_components_are_pooled():
    """Fractions of points and of components are over all of the category, not means of the images' fractions."""
    images = [
        {**measured([0.2])[0], "n_places": 4.0, "n_components": 1.0, "point_hit": 0.25, "found": 1.0},
        {**measured([0.2])[0], "n_places": 1.0, "n_components": 4.0, "point_hit": 1.0, "found": 0.25},
        {**measured([0.0])[0], "n_places": 0.0, "n_components": 1.0, "found": 0.0},
    ]
    found = shape_metrics(images, points=True).estimates
    assert found["point_hit"].value == pytest.approx(2 / 5)
    assert found["found"].value == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("measures", "reasons"),
    [
        (measured([], [True]), {"miou_box": "no image is anomalous", "found": "no image is anomalous"}),
        (measured([0.5]), {"false_alarms": "no image is normal", "point_hit": "no answer has a point"}),
        ([{}, *measured([], [True])], {"acc_mask_30": "no ground truth shows a defect"}),
    ],
)
def test_what_is_undefined_has_a_reason(measures, reasons):
    """A metric without the images that it needs has no value, and says why."""
    found = shape_metrics(measures, points=True)
    assert found.estimates.keys() | found.undefined.keys() == {*SHAPE_METRICS, *POINT_METRICS}
    for name, reason in reasons.items():
        assert found.undefined[name] == reason


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 7), (10, 10), (3, 10), (99, 200)])
def test_the_interval_of_a_fraction_is_exact(successes, n):
    """For numbers that are 0 or 1 the interval is that of Clopper and Pearson."""
    values = np.repeat([1.0, 0.0], [successes, n - successes])
    assert bounded_interval(values, np.ones(n)) == pytest.approx(clopper_pearson(successes, n), abs=1e-12)


def coverage(draw, truth, n, repeats=400):
    """How often the interval of n draws contains the true mean."""
    intervals = [bounded_interval(*draw(n)) for _ in range(repeats)]
    return np.mean([low <= truth <= high for low, high in intervals])


@pytest.mark.parametrize("n", [3, 10, 60])
def test_the_interval_of_a_mean_covers_it(n):
    """The true mean IoU is inside in at least 95 % of simulated test sets, though most images have an IoU of 0."""
    rng = np.random.default_rng(n)

    def draw(size):
        return np.where(rng.random(size) < 0.6, 0.0, rng.beta(5, 2, size)), np.ones(size)

    assert coverage(draw, 0.4 * 5 / 7, n) >= 0.95


def test_the_interval_of_pooled_points_covers_their_fraction():
    """So is the fraction of all points, though images with more points have fewer hits."""
    rng = np.random.default_rng(5)

    def draw(size):
        places = 1 + rng.poisson(2, size)
        chance = rng.beta(2, 1, size) * np.where(places > 3, 0.6, 1.0)
        return rng.binomial(places, chance) / places, places.astype(float)

    values, places = draw(200_000)
    assert coverage(draw, float(values @ places / places.sum()), 12) >= 0.95


def test_a_mean_over_categories_is_surer_than_each():
    """The interval of the mean contains it and is shorter than the intervals of the categories."""
    rng = np.random.default_rng(0)
    categories = [shape_metrics(measured(rng.random(9))).estimates["miou_box"] for _ in range(5)]
    value, (low, high) = mean_of_shapes(categories)
    assert value == pytest.approx(np.mean([one.value for one in categories]))
    assert low < value < high
    assert high - low < min(one.interval[1] - one.interval[0] for one in categories)


def test_a_difference_on_the_same_images_is_surer_than_on_others():
    """Two methods whose IoUs go together differ more surely than the same IoUs in another order."""
    rng = np.random.default_rng(1)
    ious = rng.random(40)
    ours, theirs, shuffled = (
        [shape_metrics(measured(one)).estimates["miou_box"]] for one in (ious, ious * 0.8, rng.permutation(ious) * 0.8)
    )
    paired, unpaired = shape_difference(ours, theirs), shape_difference(ours, shuffled)
    assert paired[0] == pytest.approx(unpaired[0]) == pytest.approx(0.2 * ious.mean())
    assert paired[1][0] > 0 > unpaired[1][0]


def test_a_method_differs_from_itself_by_nothing():
    """The difference of a method and itself is 0, inside its interval."""
    one = [shape_metrics(measured([0.2, 0.9, 0.4])).estimates["acc_box_30"]]
    difference, (low, high) = shape_difference(one, one)
    assert difference == 0
    assert low <= 0 <= high
