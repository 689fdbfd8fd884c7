"""Differences of metrics whose intervals come from resamples."""

import numpy as np
import pytest

from lvlm_ad.metrics.bootstrap import CategoryImages, metrics_from_counts
from lvlm_ad.metrics.differences import difference_over_categories, mean_auroc_difference, resampled_difference
from lvlm_ad.metrics.estimates import estimate_category
from lvlm_ad.metrics.ranks import auroc_rows


def estimates(draw, defective, good, shared=0.5, resamples=200):
    """The estimates of two methods of equal skill on the same images."""
    labels = np.arange(defective + good) < defective
    seen = draw.normal(size=labels.size) * np.sqrt(shared)
    both = []
    for _ in range(2):
        scores = seen + draw.normal(size=labels.size) * np.sqrt(1 - shared) + 1.5 * labels
        images = CategoryImages(labels, np.clip(np.round(3 * scores + 2), 0, 10) / 10, None)
        both.append(estimate_category(images, metrics_from_counts(images), resamples, "a"))
    return both


def test_methods_that_share_much_differ_more_surely():
    """With scores that share nearly all of their variance the interval is much narrower than with independent ones."""
    widths = []
    for shared in (0.0, 0.99):
        draw = np.random.default_rng(0)
        pairs = [[{"a": one["image_ap"]} for one in estimates(draw, 20, 20, shared)] for _ in range(5)]
        widths.append(np.mean([np.ptp(resampled_difference("image_ap", *pair)[0]) for pair in pairs]))
    assert widths[1] < 0.7 * widths[0]


def test_methods_that_agree_may_still_differ():
    """Two perfect methods: difference 0, and an interval with a width, since no resample shows an error."""
    labels = np.arange(10) < 5
    images = CategoryImages(labels, labels * 1.0, None)
    one = estimate_category(images, metrics_from_counts(images), 200, "a")["image_f1_max"]
    (low, high), reason = resampled_difference("image_f1_max", {"a": one}, {"a": one})
    assert low < -0.1
    assert high > 0.1
    assert reason == ""


def test_without_an_interval_there_is_a_reason():
    """Of either method; a mean names the category."""
    draw = np.random.default_rng(0)
    (first, second), (lone, _) = estimates(draw, 6, 6), estimates(draw, 6, 1)
    first, second, lone = (one["image_ap"] for one in (first, second, lone))
    interval, reason = resampled_difference("image_ap", {"a": first, "b": lone}, {"a": second, "b": first})
    assert interval is None
    assert reason == "no interval in 1 of 2 categories (b): fewer than 2 good or 2 defective images"
    assert resampled_difference("image_ap", {"a": first}, {"a": lone}) == (
        None,
        "fewer than 2 good or 2 defective images",
    )


def test_other_kinds_of_objects_make_a_difference_less_certain():
    """The interval over categories holds that over fixed ones; there is none for two, or for categories alike."""
    assert difference_over_categories([0.1, 0.2], (0.0, 0.3)) is None
    assert difference_over_categories([0.1, 0.1, 0.1], (0.0, 0.2)) is None
    assert difference_over_categories([0.1, 0.11, 0.1], (0.0, 0.3)) == (0.0, 0.3)
    low, high = difference_over_categories([0.0, 0.1, 0.2], (0.05, 0.15))
    assert (low, high) == pytest.approx((0.1 - 4.3027 * 0.1 / np.sqrt(3), 0.1 + 4.3027 * 0.1 / np.sqrt(3)), abs=1e-4)


@pytest.mark.slow
def test_differences_cover_the_truth():
    """For pairs of equally good methods at least 94 % of the intervals hold 0."""
    draw = np.random.default_rng(1)
    inside = {"image_ap": 0, "image_f1_max": 0}
    for _ in range(300):
        pair = estimates(draw, 12, 8)
        for metric in inside:
            low, high = resampled_difference(metric, *({"a": one[metric]} for one in pair))[0]
            inside[metric] += low <= 0 <= high
    assert min(inside.values()) / 300 > 0.94


def twice(values):
    """Every image twice, one after the other."""
    return np.repeat(values, 2, axis=-1)


def test_two_pictures_of_each_object_are_no_more_evidence_than_one():
    """Differences and ranks of image AUROC are those of the objects, however often each was taken."""
    draw = np.random.default_rng(3)
    labels = np.arange(40) < 18
    scores = np.round(labels * 0.4 + draw.random((3, 40)), 1)
    objects = np.repeat(np.arange(40), 2)
    once = mean_auroc_difference([labels], [scores[0]], [scores[1]])
    both = mean_auroc_difference([twice(labels)], [twice(scores[0])], [twice(scores[1])], [objects])
    assert both.interval == pytest.approx(once.interval, abs=0.004)
    apart = mean_auroc_difference([twice(labels)], [twice(scores[0])], [twice(scores[1])])
    assert np.ptp(apart.interval) < 0.8 * np.ptp(once.interval)
    single = mean_auroc_difference([labels], [scores[0]], [scores[1]], [np.arange(40)])
    assert single.interval == pytest.approx(once.interval, abs=1e-12)
    rows = auroc_rows([(labels, scores)])
    grouped = auroc_rows([(twice(labels), twice(scores))], objects=[objects])
    assert grouped.sizes == rows.sizes
    covariances = [one.deviations @ one.deviations.T for one in (rows, grouped)]
    np.testing.assert_allclose(*covariances, atol=1e-12)
