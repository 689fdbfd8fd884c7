"""The entry "shapes" of metrics.json, and the metrics of a method that gives no map."""

import json

import numpy as np
import pytest

from lvlm_ad.evaluate.groups import group_metrics
from lvlm_ad.evaluate.images import Images
from lvlm_ad.evaluate.measure import measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.metrics import count_cells, shape_measures
from lvlm_ad.metrics.histograms import ScoreHistograms, histogram_of_cells
from lvlm_ad.metrics.shapes import POINT_METRICS, SHAPE_METRICS
from lvlm_ad.regions.shapes import Box, Point
from lvlm_ad.runs import METRIC_NAMES, PredictionRecord
from lvlm_ad.runs.measures import CategoryMeasures
from lvlm_ad.text2seg import paint_shapes

SIZE = (20, 24)
PIXEL_METRICS = METRIC_NAMES[3:]


def category(seed, places="boxes", missing=(), normal=4, defective=6):
    """A category of a method's answers; those in ``missing`` are not usable."""
    rng = np.random.default_rng(seed)
    images = Images(places=places)
    for index in range(normal + defective):
        mask = np.zeros(SIZE, dtype=bool)
        left, top = rng.integers(0, 14, 2).tolist()
        if index >= normal:
            mask[top : top + 6, left : left + 6] = True
        named = index not in missing and (index >= normal or index == 0)
        x, y = left + float(rng.integers(0, 4)), top + 1.0
        shapes = [Point(x, y, 0.5, 3) if places == "points" else Box(x, y, x + 6, y + 6, 0.5)] if named else []
        painted = paint_shapes(shapes, SIZE)
        histogram = histogram_of_cells(count_cells(painted.regions.cells, mask), painted.values)
        measures = shape_measures(painted.dense() > 0, mask, shapes if places == "points" else None)
        score = None if index in missing else 0.5 * bool(shapes)
        images.add(index >= normal, score, histogram, measures=measures)
    return images


def test_a_category_has_the_metrics_of_its_shapes():
    """Means over images, each with its interval; a file with them can be read."""
    images = category(0)
    entry = measure_category(images, "zero").metrics["shapes"]
    assert entry["miou_box"] == pytest.approx(np.mean([one["iou_box"] for one in images.measures[4:]]))
    assert entry["false_alarms"] == 0.25
    assert set(entry) == {*SHAPE_METRICS, "interval"}
    for name, (low, high) in entry["interval"].items():
        assert 0 <= low <= entry[name] <= high <= 1
        assert low < high
    CategoryMeasures.model_validate_json(json.dumps(measure_category(images, "zero").metrics))


def test_points_have_two_metrics_more():
    """Points that hit and defects found are measured where a method answers in points, and only there."""
    entry = measure_category(category(0, "points"), "zero").metrics["shapes"]
    assert set(entry) == {*SHAPE_METRICS, *POINT_METRICS, "interval"}
    assert entry["found"] == pytest.approx(entry["point_hit"])


def test_an_answer_that_is_missing_counts_as_naming_nothing():
    """With "zero" its IoU is 0; the range says what the metrics could be if the answers were there."""
    whole, partly = (measure_category(category(1, missing=one), "zero").metrics for one in ((), (5, 8)))
    entry, other = whole["shapes"], partly["shapes"]
    ious = [one["iou_box"] for one in category(1).measures[4:]]
    assert other["miou_box"] == pytest.approx(np.mean(ious) - (ious[1] + ious[4]) / 6)
    assert other["range"]["miou_box"] == pytest.approx([other["miou_box"], other["miou_box"] + 2 / 6])
    assert other["range"]["false_alarms"] == [0.25, 0.25]
    assert "range" not in entry


def test_an_answer_that_is_missing_can_be_left_out():
    """With "exclude" the metrics are those of the other images; the range covers all images."""
    entry = measure_category(category(1, missing=(0, 5)), "exclude").metrics["shapes"]
    ious = [one["iou_box"] for index, one in enumerate(category(1).measures[4:], start=4) if index != 5]
    assert entry["miou_box"] == pytest.approx(np.mean(ious))
    assert entry["false_alarms"] == 0
    assert entry["range"]["false_alarms"] == [0, 0.25]
    nothing = measure_category(category(1, missing=range(10)), "exclude").metrics["shapes"]
    assert nothing["undefined"] == dict.fromkeys(SHAPE_METRICS, "no image has a usable answer")


def test_the_mean_covers_the_categories_that_have_a_metric():
    """A category without normal images has no false alarms; the mean is that of the others and says so."""
    results = {"a": measure_category(category(2, normal=0), "zero"), "b": measure_category(category(3), "zero")}
    mean = summary(results)["shapes"]
    entries = {name: one.metrics["shapes"] for name, one in results.items()}
    assert mean["miou_box"] == pytest.approx((entries["a"]["miou_box"] + entries["b"]["miou_box"]) / 2)
    assert mean["false_alarms"] == entries["b"]["false_alarms"]
    assert mean["interval"]["false_alarms"] == pytest.approx(entries["b"]["interval"]["false_alarms"])
    reason = "mean of the other 1; undefined in 1 of 2 categories (a): no image is normal"
    assert mean["undefined"] == {"false_alarms": reason}
    assert "range" not in mean


def test_the_range_of_a_mean_averages_those_of_categories():
    """A category without missing answers contributes its value to both ends."""
    results = {"a": measure_category(category(2, missing=(9,)), "zero"), "b": measure_category(category(3), "zero")}
    entry, other = (one.metrics["shapes"] for one in results.values())
    low, high = summary(results)["shapes"]["range"]["miou_box"]
    assert low == pytest.approx((entry["range"]["miou_box"][0] + other["miou_box"]) / 2)
    assert high == pytest.approx((entry["range"]["miou_box"][1] + other["miou_box"]) / 2)


@pytest.mark.parametrize("places", ["regions", ""])
def test_a_method_without_shapes_has_no_such_entry(places):
    """Regions and bare image scores have no metrics of shapes, in no category and in no mean."""
    result = measure_category(category(4, places), "zero")
    assert "shapes" not in result.metrics
    assert "shapes" not in summary({"a": result})


def test_a_method_without_a_map_has_no_pixel_metrics():
    """They are undefined, not 0, and the reason is that there is no map; image metrics are as ever."""
    result = measure_category(category(5, ""), "zero", "bolt", 50)
    mapped = measure_category(category(5, "regions"), "zero", "bolt", 50).metrics
    for name in PIXEL_METRICS:
        assert result.metrics[name] is None
        assert result.metrics["undefined"][name] == "the method gives no map"
        assert mapped[name] is not None
    assert result.metrics["image_auroc"] == mapped["image_auroc"]
    mean = summary({"bolt": result})
    assert mean["undefined"]["pixel_ap"] == "undefined in 1 of 1 categories (bolt): the method gives no map"


def test_a_method_without_a_map_has_groups_without_pixel_metrics():
    """Defects by size and by kind have an image AUROC, and say that there is no map."""
    images = category(6, "")
    records = [
        PredictionRecord(id=str(at), category="bolt", label=label, defect=f"kind {at % 2}", image_score=score)
        for at, (label, score) in enumerate(zip(images.labels, images.scores, strict=True))
    ]
    groups = group_metrics(records, ScoreHistograms.of(images.histograms), "zero", 0.3, 20, {}, "")
    (size,) = groups["sizes"].values()
    for entry in (size, *groups["kinds"]["bolt"].values()):
        assert entry["image_auroc"] is not None
        assert entry["undefined"] == dict.fromkeys(("pixel_auroc", "pixel_aupro"), "the method gives no map")
