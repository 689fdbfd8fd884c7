"""From predictions to metrics.json: intervals, ranges, means."""

import numpy as np
import pytest

from lvlm_ad.evaluate.images import Images
from lvlm_ad.evaluate.measure import measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.metrics import count_cells, image_metrics, pixel_metrics
from lvlm_ad.metrics.histograms import histogram_of_cells
from lvlm_ad.runs import METRIC_NAMES

SIDE = 12


def scored(seed, missing=()):
    """Ten images in 9 cells, the last six with a defect; those in ``missing`` have no answer.

    For each its label and image score, the counts and scores of its cells, its map and its mask.
    """
    draw = np.random.default_rng(seed)
    rows, columns = np.indices((SIDE, SIDE)) // 4
    cells = 3 * rows + columns
    for index in range(10):
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        if index >= 4:
            row, column = draw.integers(0, 9, 2)
            mask[row : row + 3, column : column + 3] = True
        counts = count_cells(cells, mask, 9)
        values = draw.integers(0, 6, 9) / 10 + 0.4 * (np.bincount(counts.cell, counts.pixels, 9) > 3)
        score = None if index in missing else float(values.max())
        if score is None:
            values = np.zeros(9)
        yield index >= 4, score, counts, values, values[cells], mask


def images(seed, missing=(), dense=False):
    """The same images as a category."""
    category = Images()
    for label, score, counts, values, own_map, mask in scored(seed, missing):
        pixels = {"own_map": (own_map, mask)} if dense else {"histogram": histogram_of_cells(counts, values)}
        category.add(label, score, **pixels)
    return category


@pytest.mark.parametrize("dense", [False, True])
def test_intervals_surround_the_metrics(dense):
    """Every metric has an interval in 0..1 that contains it and has a width; the same again in another call."""
    result = measure_category(images(0, dense=dense), "zero", "bolt", 300)
    assert set(result.metrics["interval"]) == set(METRIC_NAMES)
    for name, (low, high) in result.metrics["interval"].items():
        assert 0 <= low <= result.metrics[name] <= high <= 1
        assert low < high
    again = measure_category(images(0, dense=dense), "zero", "bolt", 300)
    assert again.metrics == result.metrics
    assert (
        measure_category(images(0, dense=dense), "zero", "nut", 300).metrics["interval"] != result.metrics["interval"]
    )


def test_rows_through_regions_and_painted_maps_agree():
    """Counts in cells and pixel by pixel: the same metrics, intervals and histograms, scores being few."""
    by_cell, by_pixel = (measure_category(images(1, dense=dense), "zero", "bolt", 100) for dense in (False, True))
    for name in METRIC_NAMES:
        assert by_cell.metrics[name] == pytest.approx(by_pixel.metrics[name], abs=1e-12)
        assert by_cell.metrics["interval"][name] == pytest.approx(by_pixel.metrics["interval"][name], abs=1e-9)
    for one, other in zip(by_cell.histograms, by_pixel.histograms, strict=True):
        assert np.array_equal(one.scores, other.scores)
        assert np.array_equal(one.normal, other.normal)


def test_without_resamples_image_auroc_alone_has_an_interval():
    """Its interval needs no resamples; the others say why they have none, and so does their mean."""
    results = {name: measure_category(images(seed), "zero") for seed, name in enumerate(("a", "b"))}
    for measures in (results["a"].metrics, summary({"a": results["a"]})):
        assert list(measures["interval"]) == ["image_auroc"]
        assert measures["no_interval"] == dict.fromkeys(METRIC_NAMES[1:], "measured with --resamples 0")
    mean = summary(results)
    assert list(mean["interval"]) == ["image_auroc"]
    assert mean["no_interval"]["pixel_ap"] == "no category has an interval: measured with --resamples 0"


def test_the_mean_covers_the_categories_that_its_interval_covers():
    """A category with a value and no interval leaves the mean without one; one without a value is left out of both."""
    results = {name: measure_category(images(seed), "zero", name, 100) for seed, name in enumerate(("a", "b"))}
    single, good = Images(), Images()
    for index, (label, score, counts, values, *_) in enumerate(scored(2)):
        if index >= 3:
            single.add(label, score, histogram_of_cells(counts, values))
        if not label:
            good.add(label, score, histogram_of_cells(counts, values))
    results["one"] = measure_category(single, "zero", "one", 100)
    mean = summary(results)
    assert set(mean["interval"]) == {name for name in METRIC_NAMES if name.startswith("pixel")}
    reason = "no interval in 1 of 3 categories (one): fewer than 2 good or 2 defective images"
    assert mean["no_interval"]["image_auroc"] == reason
    assert "interval_over_categories" in mean
    assert "image_auroc" not in mean["interval_over_categories"]
    del results["one"]
    before = summary(results)
    results["good"] = measure_category(good, "zero", "good", 100)
    after = summary(results)
    assert after["image_auroc"] == before["image_auroc"]
    assert after["interval"] == before["interval"]


def test_all_right_on_few_images_is_marked():
    """Two images of a kind, all right: a wide interval, "few images", and the AUROC that nothing excludes."""
    category = Images()
    for label in (False, False, True, True):
        category.add(label, float(label))
    measures = measure_category(category, "zero", "bolt", 100).metrics
    assert measures["few_images"] == ["image_auroc", "image_ap", "image_f1_max"]
    assert measures["bound_at_extreme"] == {"image_auroc": pytest.approx(0.025**0.5)}
    for name in measures["few_images"]:
        low, high = measures["interval"][name]
        assert 0 < low < 0.6
        assert high == 1


def test_the_mean_has_two_intervals():
    """With the categories as they are, and with categories drawn; a single category has no second one."""
    results = {name: measure_category(images(seed), "zero", name, 300) for seed, name in enumerate(("a", "b", "c"))}
    mean = summary(results)
    for name in METRIC_NAMES:
        low, high = mean["interval"][name]
        own = [result.metrics["interval"][name] for result in results.values()]
        assert high - low < max(end - start for start, end in own)
        assert low < mean[name] < high
    assert set(mean["interval_over_categories"]) == set(METRIC_NAMES)
    single = summary({"a": results["a"]})
    assert "interval_over_categories" not in single
    assert single["interval"] == results["a"].metrics["interval"]


def test_missing_answers_leave_a_range():
    """Each metric lies between the worst and the best that the missing answers could have made of it."""
    result = measure_category(images(3, missing=(1, 7)), "zero", "bolt")
    whole = images(3)
    assert set(result.metrics["range"]) == set(METRIC_NAMES)
    for name, (worst, best) in result.metrics["range"].items():
        assert worst <= result.metrics[name] <= best
    # What the answers were had they not been lost is among what they could have been.
    for name, value in measure_category(whole, "zero").metrics.items():
        if name in METRIC_NAMES:
            worst, best = result.metrics["range"][name]
            assert worst <= value <= best


def test_the_ends_of_a_range_are_those_of_wrong_and_right_answers():
    """Image AUROC and pixel AUROC of the range are those of the filled-in scores and maps."""
    result = measure_category(images(4, missing=(2, 8), dense=True), "zero", "bolt")
    labels, scores, _, _, maps, masks = zip(*scored(4, missing=(2, 8)), strict=True)
    for end, right in enumerate((False, True)):
        filled = [
            float(label == right) if score is None else score for label, score in zip(labels, scores, strict=True)
        ]
        expected = image_metrics(labels, filled).auroc
        assert result.metrics["range"]["image_auroc"][end] == pytest.approx(expected, abs=1e-12)
        painted = [
            (mask == right) * 1.0 if score is None else one
            for score, one, mask in zip(scores, maps, masks, strict=True)
        ]
        expected = pixel_metrics(masks, painted)
        for name in ("auroc", "ap", "aupro"):
            value = result.metrics["range"][f"pixel_{name}"][end]
            assert value == pytest.approx(getattr(expected, name), abs=1e-12)


def test_excluded_images_are_not_resampled():
    """With the policy "exclude" a missing answer has no histogram."""
    result = measure_category(images(5, missing=(0, 9)), "exclude", "bolt", 50)
    assert (result.metrics["n_images"], result.metrics["n_measured"]) == (10, 8)
    assert [at for at, histogram in enumerate(result.histograms) if histogram is None] == [0, 9]
    answered = Images()
    for label, score, counts, values, *_ in scored(5, missing=(0, 9)):
        if score is not None:
            answered.add(label, score, histogram_of_cells(counts, values))
    alone = measure_category(answered, "zero", "bolt", 50)
    assert alone.metrics["interval"] == result.metrics["interval"]


def test_a_category_without_ground_truth_has_image_intervals_only():
    """No masks: pixel metrics are undefined with a reason; image metrics have their intervals."""
    category = Images()
    for label, score, *_ in scored(6):
        category.add(label, score)
    result = measure_category(category, "zero", "bolt", 50)
    assert set(result.metrics["interval"]) == {"image_auroc", "image_ap", "image_f1_max"}
    assert "no ground-truth mask" in result.metrics["undefined"]["pixel_auroc"]
    assert list(result.histograms) == [None] * 10
