"""Metrics of image scores."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lvlm_ad.metrics
from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import image_metrics

NEAR = {"rel": 0, "abs": 1e-12}

tied_samples = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=24)
mixed_samples = tied_samples.filter(lambda samples: len({label for label, _ in samples}) == 2)


def reference(labels, scores):
    """(AUROC, AP, F1-max, its threshold) as fractions, from every distinct score as a threshold."""
    pairs = list(zip(labels, scores, strict=True))
    positives = sum(labels)
    negatives = len(labels) - positives
    tp_before = fp_before = 0
    area = ap = best = Fraction(0)
    threshold = None
    for at in sorted(set(scores), reverse=True):
        tp = sum(label and score >= at for label, score in pairs)
        fp = sum(not label and score >= at for label, score in pairs)
        area += Fraction((fp - fp_before) * (tp + tp_before), 2 * positives * negatives)
        ap += Fraction(tp - tp_before, positives) * Fraction(tp, tp + fp)
        f1 = Fraction(2 * tp, positives + tp + fp)
        if f1 > best:
            best, threshold = f1, at
        tp_before, fp_before = tp, fp
    return area, ap, best, threshold


def values(found):
    """AUROC, AP and F1-max."""
    return [found.auroc, found.ap, found.f1_max]


def test_public_names_are_sorted():
    """The package exports exactly the promised names, in order."""
    assert lvlm_ad.metrics.__all__ == [
        "CellCounts",
        "ImageMetrics",
        "PixelMetrics",
        "count_cells",
        "image_metrics",
        "pixel_metrics",
        "pixel_metrics_from_counts",
    ]


@settings(deadline=None, max_examples=50)
@given(mixed_samples)
def test_every_distinct_score_as_threshold_gives_the_same(samples):
    """The values are those of a sweep over every distinct score, ties included."""
    labels, scores = zip(*samples, strict=True)
    found = image_metrics(labels, scores)
    auroc, ap, f1, threshold = reference(labels, scores)
    assert found.auroc == float(auroc), "an integer numerator leaves nothing to round but the division"
    assert values(found) == pytest.approx([float(auroc), float(ap), float(f1)], **NEAR)
    assert found.f1_threshold == threshold
    assert found.undefined == {}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64])
def test_dtype_of_scores_does_not_matter(dtype):
    """Scores that every dtype can hold give the same values in every dtype."""
    labels, scores = [0, 1, 0, 1, 1, 0], [1, 5, 3, 3, 4, 0]
    assert image_metrics(labels, np.array(scores, dtype)) == image_metrics(labels, scores)


def test_scores_are_compared_as_given():
    """float64 scores that would be equal in float32 are kept apart."""
    assert image_metrics([0, 1], [1.0, 1.0 + 1e-12]).auroc == 1.0


def test_zeros_of_both_signs_are_equal():
    """-0.0 and 0.0 are one threshold."""
    assert image_metrics([0, 1, 1], [0.0, -0.0, 1.0]) == image_metrics([0, 1, 1], [0.0, 0.0, 1.0])


@pytest.mark.parametrize("one", [True, 255, -1, 0.5])
def test_any_nonzero_label_is_anomalous(one):
    """A label says anomalous where it is not 0, whatever else it is."""
    assert image_metrics([one, 0, one], [3, 2, 1]) == image_metrics([1, 0, 1], [3, 2, 1])


def test_threshold_is_the_largest_that_reaches_the_best_f1():
    """Of two thresholds with one F1 the higher is reported."""
    found = image_metrics([1, 0, 0, 1], [4, 3, 2, 1])
    assert (found.f1_max, found.f1_threshold) == (2 / 3, 4.0)


def test_equal_scores_give_the_prevalence():
    """A detector that says one thing has AUROC 0.5, AP p and F1-max 2p / (1 + p)."""
    assert values(image_metrics([1, 0, 0, 0], [0.7] * 4)) == pytest.approx([0.5, 0.25, 0.4], **NEAR)


def test_without_anomalous_images_nothing_is_defined():
    """No positive: every metric is None and says why."""
    found = image_metrics([0, 0], [0.1, 0.2])
    assert values(found) == [None] * 3
    assert found.f1_threshold is None
    assert set(found.undefined) == {"auroc", "ap", "f1_max"}
    assert all("anomalous" in reason for reason in found.undefined.values())


def test_without_normal_images_auroc_alone_is_undefined():
    """No negative: AP and F1-max are 1, AUROC is None and says why."""
    found = image_metrics([1, 1], [0.1, 0.2])
    assert values(found) == [None, 1.0, 1.0]
    assert found.f1_threshold == 0.1
    assert set(found.undefined) == {"auroc"}
    assert "normal" in found.undefined["auroc"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_finite_number_is_named(bad):
    """NaN and infinities never become a metric; the error says which image."""
    with pytest.raises(MetricError, match=r"\b2\b"):
        image_metrics([0, 1, 1], [0.1, 0.2, bad])


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([], []),
        ([0, 1], [0.5]),
        ([[0, 1]], [[0.1, 0.2]]),
        ([0, 1], ["a", "b"]),
        ([0, 1], [1j, 2]),
        ([0, 1], [None, 1]),
        ([0, 1], [[1], [0, 1]]),
        ([[1], [0, 1]], [0, 1]),
        (["0", "1"], [0, 1]),
        ([None, 1], [0, 1]),
        ([0, np.nan], [0, 1]),
    ],
    ids=[
        "none",
        "lengths",
        "not flat",
        "text",
        "complex",
        "objects",
        "ragged",
        "ragged labels",
        "text labels",
        "objects as labels",
        "nan labels",
    ],
)
def test_what_cannot_be_measured_raises(labels, scores):
    """No images, unequal lengths, a wrong shape, and what is no real number raise MetricError."""
    with pytest.raises(MetricError):
        image_metrics(labels, scores)
