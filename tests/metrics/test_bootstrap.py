"""Resamples of images and the metrics on them, and DeLong's test of two AUROCs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import count_cells, image_metrics, pixel_metrics_from_counts
from lvlm_ad.metrics.bootstrap import (
    BootstrapSamples,
    CategoryImages,
    bootstrap,
    draw_weights,
    mean_of,
    mean_of_resampled_categories,
    metrics_from_counts,
    pool_images,
    pool_pixels,
    resampled,
    seeded_generator,
    smoothed_bootstrap,
)
from lvlm_ad.metrics.curves import delong, placements
from lvlm_ad.metrics.histograms import ScoreHistograms, histogram_of_cells


def category(seed, images=6, side=12, cells=9, levels=5):
    """Random cells, masks and scores with many ties."""
    draw = np.random.default_rng(seed)
    counts, scores, labels = [], [], draw.random(images) < 0.6
    labels[0] = True
    for label in labels:
        mask = (draw.random((side, side)) < 0.15) & label
        counts.append(count_cells(draw.integers(0, cells, (side, side)), mask, cells))
        scores.append(draw.integers(0, levels, cells) / levels)
    return labels, counts, scores


def pooled(counts, scores):
    """Pool the histograms of images."""
    return pool_pixels(
        ScoreHistograms.of(histogram_of_cells(count, one) for count, one in zip(counts, scores, strict=True))
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0))
def test_a_resample_measures_its_images(seed, limit):
    """An image drawn twice stands twice: every metric of every resample equals the exact one of the repeated images."""
    labels, counts, scores = category(seed)
    weights = draw_weights(labels, 4, np.random.default_rng(seed))
    found = resampled(pooled(counts, scores), weights, limit)
    for row, drawn in enumerate(weights.astype(int)):
        chosen = np.repeat(np.arange(len(labels)), drawn)
        exact = pixel_metrics_from_counts([counts[i] for i in chosen], [scores[i] for i in chosen], limit)
        for name in ("auroc", "ap", "f1_max", "aupro"):
            value = getattr(exact, name)
            if value is None:
                assert np.isnan(found[name][row])
            else:
                assert found[name][row] == pytest.approx(value, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_image_scores_are_resampled_alike(seed):
    """AUROC, AP and F1-max of image scores with ties equal the exact ones of the repeated images."""
    draw = np.random.default_rng(seed)
    labels, scores = draw.random(12) < 0.5, draw.integers(0, 5, 12) / 5
    weights = draw_weights(labels, 5, draw)
    found = resampled(pool_images(labels, scores), weights)
    for row, drawn in enumerate(weights.astype(int)):
        exact = image_metrics(np.repeat(labels, drawn), np.repeat(scores, drawn))
        for name in ("auroc", "ap", "f1_max"):
            value = getattr(exact, name)
            assert np.isnan(found[name][row]) if value is None else found[name][row] == pytest.approx(value, abs=1e-12)


def test_both_kinds_of_images_keep_their_number():
    """A resample has as many good and as many defective images as the test set."""
    labels = np.array([True] * 3 + [False] * 7)
    weights = draw_weights(labels, 200, np.random.default_rng(0))
    assert (weights[:, labels].sum(axis=1) == 3).all()
    assert (weights[:, ~labels].sum(axis=1) == 7).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(10), abs=0.25)


def test_portions_change_nothing(monkeypatch):
    """However many resamples are computed at once, they are the same."""
    labels, counts, scores = category(3)
    weights = draw_weights(labels, 9, np.random.default_rng(1))
    pool = pooled(counts, scores)
    whole = resampled(pool, weights)
    monkeypatch.setattr("lvlm_ad.metrics.bootstrap._COUNTS_AT_ONCE", 1)
    for name, values in resampled(pool, weights).items():
        assert values == pytest.approx(whole[name], abs=1e-14)


def test_without_anything_anomalous_nothing_is_defined():
    """Every resample of good images is undefined."""
    good = [count_cells(np.zeros((4, 4), int), np.zeros((4, 4)))] * 3
    found = resampled(pooled(good, [np.zeros(1)] * 3), np.ones((5, 3)))
    assert all(np.isnan(values).all() for values in found.values())


def test_the_same_names_draw_the_same_resamples():
    """Two runs on the same images are compared on the same resamples; other categories have their own."""
    labels = np.arange(9) < 4
    first, again, other = (draw_weights(labels, 6, seeded_generator("images", name)) for name in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def draws(values, point):
    return BootstrapSamples(point, np.asarray(values, dtype=float))


def test_a_difference_is_as_sure_as_its_spread():
    """Normal, with the spread of the resamples, about the number itself wherever they lie."""
    values = np.random.default_rng(0).normal(0.3, 0.1, 100_000)
    one = draws(values, 0.2)
    assert one.interval() == pytest.approx((0.2 - 0.196, 0.2 + 0.196), abs=1e-3)
    assert one.interval(0.5) == pytest.approx((0.2 - 0.0674, 0.2 + 0.0674), abs=1e-3)
    assert one.p_value() == pytest.approx(2 * norm.sf(2), abs=1e-3)


def test_too_many_undefined_resamples_leave_no_interval():
    """One in twenty is left out; more, and there is none."""
    values = np.arange(1000) / 1000
    some, many = np.where(values < 0.04, np.nan, values), np.where(values < 0.1, np.nan, values)
    assert draws(some, 0.5).interval() is not None
    assert (draws(many, 0.5).interval(), draws(many, 0.5).p_value()) == (None, None)


def test_no_difference_is_certain():
    """A run against itself: 0, from 0 to 0, p = 1. One that is better on every resample alike: no p-value."""
    one = draws(np.random.default_rng(0).random(500), 0.5)
    nothing = one.minus(one)
    assert (nothing.point, nothing.interval(), nothing.p_value()) == (0, (0, 0), 1)
    always = draws(np.ones(500), 1.0).minus(draws(np.zeros(500), 0.0))
    assert (always.point, always.interval(), always.p_value()) == (1, (1, 1), None)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-3, 3))
def test_an_interval_holds_zero_as_its_p_value_says(seed, shift):
    """The 95 % interval of a difference leaves 0 out exactly where p < 0.05."""
    one = draws(np.random.default_rng(seed).normal(shift, 1, 1000), shift)
    low, high = one.interval()
    assert (low <= 0 <= high) == (one.p_value() >= 0.05)


def test_categories_fixed_or_drawn():
    """The mean over fixed categories varies with their images alone; with drawn ones also with the kinds of objects."""
    draw = np.random.default_rng(0)
    table = [draws(point + draw.normal(0, 0.01, 2000), point) for point in (0.2, 0.5, 0.8)]
    fixed, drawn = mean_of(table), mean_of_resampled_categories(table, ["a", "b", "c"])
    assert fixed.point == drawn.point == pytest.approx(0.5)
    assert fixed.values.std() == pytest.approx(0.01 / np.sqrt(3), rel=0.1)
    assert drawn.values.std() == pytest.approx(np.sqrt(0.06 / 3), rel=0.1)


def test_smoothed_resamples_admit_what_was_not_seen():
    """Of perfect scores every plain resample is perfect, a smoothed one hardly ever; flat scores vary too."""
    labels = np.arange(20) < 10
    images = CategoryImages(labels, labels.astype(float), None)
    plain = bootstrap(images, metrics_from_counts(images), 200)
    smoothed = smoothed_bootstrap(images, 200)
    for metric in ("ap", "f1_max"):
        assert (plain[f"image_{metric}"].values == 1).all()
        assert (smoothed[metric] < 1).mean() > 0.95
        assert 0.5 < smoothed[metric].mean() < 1
        assert np.ptp(smoothed_bootstrap(CategoryImages(labels, np.zeros(20), None), 50)[metric]) > 0.1


def test_smoothed_resamples_are_shared_and_do_not_depend_on_memory(monkeypatch):
    """The same names draw the same weights, however many are drawn at once."""
    images = CategoryImages(np.arange(9) < 4, np.arange(9) % 5 / 4, None)
    whole, other = (smoothed_bootstrap(images, 7, name)["ap"] for name in ("bolt", "nut"))
    monkeypatch.setattr("lvlm_ad.metrics.bootstrap._WEIGHTS_AT_ONCE", 1)
    assert smoothed_bootstrap(images, 7, "bolt")["ap"] == pytest.approx(whole, abs=1e-14)
    assert not np.allclose(whole, other)


@pytest.mark.slow
def test_differences_cover_the_truth_and_claim_no_more():
    """For 1,000 pairs of equally good methods 93 to 97 % of the intervals hold 0; of AP a little fewer."""
    draw = np.random.default_rng(1)
    labels = np.arange(100) < 60
    inside = {}
    for trial in range(1000):
        both = []
        seen = draw.normal(1.2 * labels)
        for _ in range(2):
            tested = CategoryImages(labels, seen + draw.normal(0, 0.7, labels.size), None)
            both.append(bootstrap(tested, metrics_from_counts(tested), 200, trial))
        for name, one in both[0].items():
            low, high = one.minus(both[1][name]).interval()
            inside[name] = inside.get(name, 0) + (low <= 0 <= high)
    assert 0.93 <= inside["image_auroc"] / 1000 <= 0.97
    assert 0.91 <= inside["image_ap"] / 1000 <= 0.97
    assert 0.93 <= inside["image_f1_max"] / 1000 <= 0.97


def test_delong_by_hand():
    """Three anomalous and two normal images, every number worked out on paper.

    First scores: anomalous 0.9 0.7 0.4, normal 0.5 0.1. Placements of the anomalous: 1, 1, 1/2; AUROC 5/6. Of the
    normal: 2/3, 1. Second scores: anomalous 0.6 0.2 0.8, normal 0.3 0.2. Placements: 1, (0 + 1/2)/2 = 1/4, 1; AUROC
    3/4. Of the normal: 2/3, 2.5/3. Differences: anomalous 0, 3/4, -1/2 (mean 1/12, squares about it 1/144 + 64/144 +
    49/144 = 114/144, variance 57/144); normal 0, 1/6 (variance 1/72). Together 57/432 + 1/144 = 60/432 = 5/36;
    z = (1/12) / sqrt(5/36) = 0.2236; p = 0.8231.
    """
    labels = np.array([True, True, True, False, False])
    first, second = np.array([0.9, 0.7, 0.4, 0.5, 0.1]), np.array([0.6, 0.2, 0.8, 0.3, 0.2])
    assert placements(labels, first) == pytest.approx([1, 1, 1 / 2, 2 / 3, 1])
    assert placements(labels, second) == pytest.approx([1, 1 / 4, 1, 2 / 3, 2.5 / 3])
    found = delong(labels, first, second)
    assert found.difference == pytest.approx(1 / 12)
    assert found.variance == pytest.approx(5 / 36)
    assert found.p_value == pytest.approx(0.8231, abs=1e-4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2).filter(lambda p: len({a for a, _ in p}) == 2))
def test_placements_average_to_auroc(pairs):
    """Over either kind of images, with ties."""
    labels, scores = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    found, auroc = placements(labels, scores), image_metrics(labels, scores).auroc
    assert found[labels].mean() == pytest.approx(auroc)
    assert found[~labels].mean() == pytest.approx(auroc)


def test_delong_of_the_same_scores():
    """No difference, no variance, p = 1; a difference without any variance has no p-value."""
    labels = np.arange(10) < 4
    scores = np.random.default_rng(0).random(10)
    found = delong(labels, scores, 2 * scores)
    assert (found.difference, found.variance, found.p_value) == (0, 0, 1)
    apart = delong(labels, labels * 1.0, ~labels * 1.0)
    assert (apart.difference, apart.variance, apart.p_value) == (1, 0, None)


def test_delong_of_too_few_images():
    """With one image of a kind there is a difference only; with none not even that."""
    found = delong(np.array([True, False, False]), np.array([1, 0, 2]), np.array([1, 0, 0]))
    assert (found.difference, found.variance, found.p_value) == (-0.5, None, None)
    with pytest.raises(MetricError, match="anomalous and normal"):
        delong(np.array([True, True]), np.zeros(2), np.zeros(2))


def test_delong_rejects_as_often_as_it_says():
    """Where two scores are equally good, about one test in twenty says otherwise at p < 0.05."""
    draw = np.random.default_rng(5)
    labels = np.arange(80) < 40
    rejected = 0
    for _ in range(1000):
        shared = draw.normal(size=80) + labels
        found = delong(labels, shared + draw.normal(size=80), shared + draw.normal(size=80))
        rejected += found.p_value < 0.05
    assert 0.03 < rejected / 1000 < 0.07
