"""Intervals of groups, of objects with several images, of F1 at a threshold and of AUPIMO."""

import numpy as np
import pytest

from lvlm_ad.metrics import count_cells
from lvlm_ad.metrics.binary import binary_metrics, f1_of_counts
from lvlm_ad.metrics.bootstrap import (
    CategoryImages,
    draw_weights,
    metrics_from_counts,
    object_strata,
    pool_pixels,
    resampled,
)
from lvlm_ad.metrics.dataset_estimates import (
    correlated_mean,
    estimate_aupimo,
    estimate_binary,
    estimate_group_aurocs,
    estimate_group_overlap,
    mean_of_estimates,
)
from lvlm_ad.metrics.estimates import estimate_category
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms
from lvlm_ad.metrics.groups import image_auroc_by_group
from lvlm_ad.metrics.histograms import ScoreHistograms, histogram_of_cells
from lvlm_ad.metrics.intervals import auroc_interval, mover_mean
from lvlm_ad.metrics.pimo import Aupimo, aupimo
from lvlm_ad.metrics.shapes import ratio_estimate
from lvlm_ad.metrics.spro import Channels, au_spro_from_histograms, count_channels, spro_histogram

LIMITS = (0.05, 0.3)


def pixel_images(n=12, objects=None):
    """Images with a defect in every second one, and their pixels by score."""
    draw = np.random.default_rng(1)
    cells = np.arange(64).reshape(8, 8) // 4
    histograms, labels = [], np.arange(n) % 2 > 0
    for label in labels:
        mask = np.zeros((8, 8))
        if label:
            top, left = draw.integers(0, 6, 2)
            mask[top : top + 3, left : left + 2] = 1
        counts = count_cells(cells, mask, 16)
        histograms.append(histogram_of_cells(counts, draw.integers(0, 9, 16) / 9 + counts.normal.argsort() / 40))
    scores = labels * 0.4 + draw.random(n)
    return CategoryImages(labels, scores, ScoreHistograms.of(histograms), limits=LIMITS, objects=objects)


def spro_images(n=15):
    """Histograms of channels, five images of each of two groups and five good ones."""
    draw = np.random.default_rng(2)
    groups = [(None, "logical", "structural")[at % 3] for at in range(n)]
    histograms = []
    for group in groups:
        masks = draw.random((0 if group is None else 2, 6, 6)) < 0.2
        masks[:, 0, 0] = True
        truth = Channels.of(masks, [min(3, int(one.sum())) for one in masks], size=(6, 6))
        counts = count_channels(np.arange(36).reshape(6, 6) // 3, truth.masks, 12)
        histograms.append(spro_histogram(counts, truth.saturations, draw.integers(0, 9, 12) / 9))
    return ScoreHistograms.of(histograms), groups


def test_resamples_have_aupro_at_every_limit():
    """AUPRO at a limit on a resample equals that of the images repeated as often as they are drawn."""
    images = pixel_images()
    weights = draw_weights(images.labels, 4, np.random.default_rng(0))
    found = resampled(pool_pixels(images.histograms), weights, limits=LIMITS)
    for row, drawn in enumerate(weights.astype(int)):
        repeated = images.histograms.take(np.repeat(np.arange(drawn.size), drawn))
        expected = pixel_metrics_from_histograms(repeated, limits=LIMITS)
        for name, value in expected.aupro_at.items():
            assert found[name][row] == pytest.approx(value, abs=1e-12)
    assert metrics_from_counts(images)["pixel_aupro@0.3"] == pytest.approx(metrics_from_counts(images)["pixel_aupro"])


def test_limits_have_intervals_of_their_own():
    """AUPRO at a limit has an interval that holds it; at 0.3 it is that of the usual AUPRO."""
    images = pixel_images(24)
    points = metrics_from_counts(images)
    found = estimate_category(images, points, 200)
    low, high = found["pixel_aupro@0.05"].interval
    assert low <= points["pixel_aupro@0.05"] <= high
    assert found["pixel_aupro@0.3"].interval == pytest.approx(found["pixel_aupro"].interval)


def test_whole_objects_are_drawn():
    """All images of an object are drawn equally often, and as many objects of each class as there are."""
    objects, labels = np.array([0, 0, 1, 1, 2, 3, 3, 3]), np.array([0, 1, 0, 0, 1, 0, 0, 0]) > 0
    weights = draw_weights(labels, 50, np.random.default_rng(0), objects)
    assert object_strata(labels, objects).tolist() == [True, False, True, False]
    for number in range(4):
        assert np.ptp(weights[:, objects == number], axis=1).max() == 0
    first = weights[:, [0, 2, 4, 5]]
    assert (first[:, [0, 2]].sum(axis=1) == 2).all()
    assert (first[:, [1, 3]].sum(axis=1) == 2).all()
    assert np.ptp(first) > 0


def test_an_object_of_each_image_changes_nothing_but_the_random_numbers():
    """With one image an object, the interval of image AUROC is the usual one, to rounding."""
    images = pixel_images()
    alone = auroc_interval(images.labels, images.scores)
    objects = auroc_interval(images.labels, images.scores, np.arange(images.labels.size))
    assert objects.interval == pytest.approx(alone.interval, abs=1e-12)
    assert objects.delong_variance == pytest.approx(alone.delong_variance, abs=1e-12)


def test_repeated_views_do_not_make_a_number_surer():
    """Five equal views of each object give the interval of one view; taken for images, they would narrow it."""
    draw = np.random.default_rng(3)
    labels = np.arange(60) % 2 > 0
    scores = labels * 0.8 + draw.normal(size=60)
    objects = np.repeat(np.arange(60), 5)
    once = auroc_interval(labels, scores).interval
    views = auroc_interval(labels[objects], scores[objects], objects).interval
    images = auroc_interval(labels[objects], scores[objects]).interval
    assert views == pytest.approx(once, abs=1e-9)
    assert images[1] - images[0] < 0.6 * (views[1] - views[0])


def test_metrics_of_objects_have_wider_intervals():
    """The interval of every metric of a category is wider if each object was taken twice, by about sqrt(2)."""
    one = pixel_images(24)
    twice = CategoryImages(
        np.repeat(one.labels, 2),
        np.repeat(one.scores, 2),
        one.histograms.take(np.repeat(np.arange(24), 2)),
        limits=LIMITS,
    )
    grouped = CategoryImages(twice.labels, twice.scores, twice.histograms, 0.3, LIMITS, np.repeat(np.arange(24), 2))
    points = metrics_from_counts(one)
    usual, right = (estimate_category(images, points, 400) for images in (twice, grouped))
    wider = {}
    for name, estimate in right.items():
        wide, narrow = (high - low for low, high in (estimate.interval, usual[name].interval))
        wider[name] = wide / narrow
        assert estimate.interval[0] <= points[name] <= estimate.interval[1]
    assert min(wider.values()) > 1.15, wider
    assert 1.3 < np.median(list(wider.values())) < 1.8, wider


def test_the_covariance_of_objects_is_that_of_simulated_sets():
    """Obuchowski's variance of objects with correlated views agrees with the spread of many simulated AUROCs."""
    draw = np.random.default_rng(4)
    objects, labels = np.repeat(np.arange(40), 3), np.tile([True, False, False], 40)
    labels[objects >= 20] = False
    found = []
    for _ in range(400):
        scores = labels * 1.0 + draw.normal(size=40)[objects] + 0.5 * draw.normal(size=120)
        one = auroc_interval(labels, scores, objects)
        found.append((one.auroc, one.delong_variance, auroc_interval(labels, scores).delong_variance))
    values, clustered, independent = np.array(found).T
    assert clustered.mean() == pytest.approx(values.var(), rel=0.25)
    assert abs(independent.mean() / values.var() - 1) > 0.25


def test_groups_are_drawn_with_the_good_images_once():
    """AU-sPRO of groups and their mean have intervals that hold them; the draws of the mean are means of draws."""
    histograms, groups = spro_images()
    metrics = au_spro_from_histograms(histograms, LIMITS, groups)
    found = estimate_group_overlap(histograms, groups, metrics, 300, "bottle", limits=LIMITS)
    assert set(found) == set(metrics.values)
    for name, one in found.items():
        low, high = one.interval
        assert 0 <= low <= metrics.values[name] <= high <= 1
        assert low < high
    own = [found[f"au_spro_{group}@0.3"].draws for group in ("logical", "structural")]
    np.testing.assert_allclose(found["au_spro@0.3"].draws, np.mean(own, axis=0))
    assert np.corrcoef(own)[0, 1] > 0.1, "the good images are the same in both"
    good, *anomalous = (groups.count(group) for group in (None, "logical", "structural"))
    sizes = [found[name].sizes for name in ("au_spro@0.3", "au_spro_logical@0.3", "au_spro_structural@0.3")]
    assert sizes == [(sum(anomalous), good), *((one, good) for one in anomalous)]
    without = estimate_group_overlap(histograms, groups, metrics, 0, limits=LIMITS)
    assert without["au_spro@0.05"].reason == "measured with --resamples 0"


def test_the_mean_of_group_aurocs_knows_what_they_share():
    """Its interval is wider than that of independent groups, and narrower than the mean of the two intervals."""
    draw = np.random.default_rng(5)
    groups = [(None, "logical", "structural")[at // 12] for at in range(36)]
    scores = draw.normal(size=36) + np.array([0.9 * (group is not None) for group in groups])
    found = estimate_group_aurocs(scores, groups)
    values = image_auroc_by_group(scores, groups).values
    assert {name: one.value for name, one in found.items()} == pytest.approx(values)
    own = [found[f"image_auroc_{name}"] for name in ("logical", "structural")]
    alone = mover_mean([one.value for one in own], [one.interval for one in own])
    low, high = found["image_auroc_groups"].interval
    assert alone[1] - alone[0] < high - low < np.mean([one.interval[1] - one.interval[0] for one in own])


def test_a_mean_of_equal_numbers_has_their_interval():
    """A number averaged with itself is no surer; disjoint images make the mean surer."""
    one = ratio_estimate(np.array([0.2, 0.9, 0.4, 0.7]))
    assert mean_of_estimates([one, one]).interval == pytest.approx(one.interval)
    apart = mean_of_estimates([one, one], disjoint=True).interval
    assert apart == pytest.approx(mover_mean([one.value] * 2, [one.interval] * 2))
    negative = correlated_mean([0.5, 0.5], [(0.4, 0.6)] * 2, np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert negative == pytest.approx(mover_mean([0.5, 0.5], [(0.4, 0.6)] * 2)), "a negative correlation counts as 0"


@pytest.mark.parametrize("objects", [None, np.arange(20) // 2])
def test_f1_at_a_threshold_has_an_interval(objects):
    """SegF1 and ClassF1 have intervals that hold them; a perfect ClassF1 on few images is not certain."""
    draw = np.random.default_rng(6)
    labels = np.arange(20) % 4 > 1
    counts = np.stack([draw.integers(3, 30, 20) * labels, draw.integers(0, 5, 20) * labels, 9 * labels], axis=1)
    metrics = binary_metrics(labels, counts)
    found = estimate_binary(labels, counts, metrics, 300, "can", objects=objects)
    assert metrics.classf1 == 1.0
    low, high = found["classf1"].interval
    assert 0.5 < low < 0.99
    assert high == 1.0
    low, high = found["segf1"].interval
    assert low < metrics.segf1 < high
    assert found["segf1"].sizes == found["classf1"].sizes == ((10, 10) if objects is None else (5, 5))
    assert estimate_binary(labels, counts, metrics, 0)["segf1"].reason == "measured with --resamples 0"


def test_f1_of_a_resample_is_that_of_summed_counts():
    """Counts add: an image drawn twice counts twice."""
    counts = np.array([[3, 1, 0], [0, 0, 2], [1, 1, 1]])
    weights = np.array([[2, 0, 1], [0, 1, 1]])
    assert f1_of_counts(weights @ counts).tolist() == pytest.approx([14 / (14 + 3 + 1), 2 / (2 + 1 + 3)])


def test_aupimo_has_an_interval_of_its_images():
    """The interval holds the mean of the anomalous images; an undefined value has none."""
    draw = np.random.default_rng(7)
    masks = np.zeros((8, 30, 30))
    masks[4:, :5, :5] = 1
    found = aupimo(masks, draw.random((8, 30, 30)) + 0.4 * masks, (0.01, 0.1))
    one = estimate_aupimo(found)
    assert one.value == pytest.approx(found.value)
    assert one.interval[0] < found.value < one.interval[1]
    assert estimate_aupimo(Aupimo(None, (None,), (1e-5, 1e-4), reason="no image is normal")) is None
