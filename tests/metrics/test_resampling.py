"""The bootstrap over images: each resample's metrics are those of its images, and the intervals cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.metrics import count_cells, image_metrics, pixel_metrics_from_counts
from lvlm_ad.metrics.histograms import ScoreHistograms, histogram_of_cells
from lvlm_ad.metrics.resampling import (
    draw_weights,
    pool_images,
    pool_pixels,
    resampled,
    seeded_generator,
)


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
    from lvlm_ad.metrics import resampling

    labels, counts, scores = category(3)
    weights = draw_weights(labels, 9, np.random.default_rng(1))
    pool = pooled(counts, scores)
    whole = resampled(pool, weights)
    monkeypatch.setattr(resampling, "_AT_ONCE", 1)
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
