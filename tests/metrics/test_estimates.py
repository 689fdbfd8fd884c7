"""Which metrics of a category and of a mean have an interval, and why others have none."""

from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad.metrics.bootstrap import CategoryImages, metrics_from_counts
from lvlm_ad.metrics.estimates import Estimate, estimate_category, estimate_mean, interval_over_categories
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms

RESAMPLES = 60


def image(scores, normal, anomalous):
    """A histogram with one region if any pixel is anomalous."""
    normal, anomalous = np.array(normal), np.array(anomalous)
    return ScoreHistogram(
        np.array(scores, float), normal, anomalous, anomalous / max(1, anomalous.sum()), int(anomalous.any())
    )


def category(seed=0, defective=6, good=5, sizes=None):
    """Images with three scores; ``sizes``: the defect pixels of each defective image."""
    draw = np.random.default_rng(seed)
    labels = np.arange(defective + good) < defective
    pixels = []
    for index, label in enumerate(labels):
        size = 0 if not label else sizes[index] if sizes else draw.integers(5, 30)
        found = draw.binomial(size, 0.7)
        pixels.append(image([0, 0.5, 1], [60, 30, 10], [0, size - found, found]))
    return CategoryImages(labels, labels * 0.3 + draw.integers(0, 8, labels.size) / 10, ScoreHistograms.of(pixels))


def estimated(images, resamples=RESAMPLES, name=""):
    return estimate_category(images, metrics_from_counts(images), resamples, name)


@pytest.mark.parametrize("seed", range(3))
def test_an_interval_contains_its_number(seed):
    """So do the means' intervals; each has a width and lies in 0..1."""
    categories = {str(at): estimated(category(3 * seed + at), name=str(at)) for at in range(3)}
    for metric in categories["0"]:
        own = {name: one[metric] for name, one in categories.items()}
        mean = estimate_mean(metric, own)
        wider = interval_over_categories(mean, own)
        for one in (*own.values(), mean):
            assert 0 <= one.interval[0] <= one.value <= one.interval[1] <= 1
            assert one.interval[0] < one.interval[1]
            assert one.reason == ""
        assert wider[0] <= mean.interval[0]
        assert wider[1] >= mean.interval[1]
        assert estimate_mean(metric, {"0": own["0"]}) is own["0"]


@pytest.mark.parametrize(("defective", "good", "pixels"), [(1, 5, False), (5, 1, True), (6, 0, True), (2, 2, False)])
def test_too_few_images(defective, good, pixels):
    """Image metrics need two images of each kind, pixel metrics three with a defect, however few are good."""
    found = estimated(category(defective=defective, good=good))
    enough = min(defective, good) >= 2
    for metric, one in found.items():
        expected = pixels if metric.startswith("pixel") else enough
        reason = "3 images with a defect" if metric.startswith("pixel") else "2 good or 2 defective"
        assert (one.interval is not None) == expected, metric
        assert (reason in one.reason) != expected
        if not metric.startswith("pixel"):
            assert one.few_images == expected


def test_one_large_defect_counts_as_one_image():
    """Where it has most of the defect pixels only AUPRO, which counts defects, has an interval."""
    found = estimated(category(sizes=[900, 9, 9, 9, 9, 9]))
    assert found["pixel_aupro"].interval is not None
    assert not found["pixel_aupro"].few_images
    for metric in ("pixel_auroc", "pixel_ap", "pixel_f1_max"):
        assert found[metric].reason == "one image has most of the defect pixels"
    few = estimated(category(sizes=[60, 60, 60, 9, 9, 9]))
    assert few["pixel_ap"].interval is not None
    assert few["pixel_ap"].few_images


def test_what_never_varies_is_not_certain():
    """A flat map has the pixel AUROC 0.5 on every resample; a map that was not counted says nothing."""
    labels = np.arange(8) < 4
    flat = [image([0.5], [40], [20 if label else 0]) for label in labels]
    images = CategoryImages(labels, np.full(8, 0.5), ScoreHistograms.of(flat))
    found = estimated(images)
    assert found["pixel_auroc"].value == 0.5
    assert found["pixel_auroc"].reason == "all resamples alike"
    uncounted = CategoryImages(labels, np.full(8, 0.5), None)
    assert (
        estimate_category(uncounted, {"pixel_ap": 0.3}, RESAMPLES)["pixel_ap"].reason == "the run has no pixel counts"
    )


def test_the_bound_at_an_extreme():
    """AUROC 1 on k images leaves 0.025^(1/k) possible, AUROC 0 the mirror image; a mean what its categories leave."""
    labels = np.arange(6) < 3
    right, wrong = (estimated(CategoryImages(labels, sign * labels, None))["image_auroc"] for sign in (1.0, -1.0))
    assert right.bound_at_extreme == pytest.approx(0.025 ** (1 / 3))
    assert wrong.bound_at_extreme == pytest.approx(1 - 0.025 ** (1 / 3))
    mean = estimate_mean("image_auroc", {"a": right, "b": right})
    assert mean.bound_at_extreme == pytest.approx(0.025 ** (1 / 6))
    many = replace(right, images=100)
    uneven = estimate_mean("image_auroc", {"a": replace(right, images=2), "b": many}).bound_at_extreme
    assert uneven == pytest.approx((0.025 ** (1 / 2) + 1) / 2)
    assert mean.interval[0] > right.interval[0]
    assert (right.few_images, mean.few_images) == (True, False)
    assert estimate_mean("image_auroc", {"a": right, "b": wrong}).bound_at_extreme is None


def test_optimism_is_taken_off_a_mean_once():
    """The arms of a mean add without the optimism, which does not shrink with more categories."""
    one = Estimate(0.8, (0.5, 0.9), optimism=0.1, images=9)
    mean = estimate_mean("image_f1_max", dict.fromkeys("abcd", one))
    assert mean.interval == pytest.approx((0.8 - 0.2 / 2 - 0.1, 0.85))


def test_a_category_without_an_interval_takes_the_means():
    """The reason names the categories, and what one of them lacks."""
    known, unknown = Estimate(0.8, (0.7, 0.9)), Estimate(0.9, None, "all resamples alike")
    mean = estimate_mean("pixel_ap", {"bolt": known, "nut": unknown})
    assert mean.value == pytest.approx(0.85)
    assert mean.reason == "no interval in 1 of 2 categories (nut): all resamples alike"
    assert interval_over_categories(mean, {"bolt": known, "nut": unknown}) is None
