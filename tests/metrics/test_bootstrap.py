"""Resamples of images and the metrics on them, and DeLong's test of two AUROCs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.metrics import count_cells, image_metrics, pixel_metrics_from_counts
from lvlm_ad.metrics.bootstrap import (
    CategoryImages,
    bootstrap,
    draw_weights,
    metrics_from_counts,
    pool_images,
    pool_pixels,
    resampled,
    seeded_generator,
    smoothed_bootstrap,
)
from lvlm_ad.metrics.curves import placements
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


def test_smoothed_resamples_admit_what_was_not_seen():
    """Of perfect scores every plain resample is perfect, a smoothed one hardly ever; flat scores vary too."""
    labels = np.arange(20) < 10
    images = CategoryImages(labels, labels.astype(float), None)
    plain = bootstrap(images, metrics_from_counts(images), 200)
    smoothed = smoothed_bootstrap(images, 200)
    for metric in ("ap", "f1_max"):
        assert (plain[f"image_{metric}"] == 1).all()
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


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2).filter(lambda p: len({a for a, _ in p}) == 2))
def test_placements_average_to_auroc(pairs):
    """Over either kind of images, with ties."""
    labels, scores = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    found, auroc = placements(labels, scores), image_metrics(labels, scores).auroc
    assert found[labels].mean() == pytest.approx(auroc)
    assert found[~labels].mean() == pytest.approx(auroc)
