"""DeLong's test of the difference of two AUROCs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import image_metrics
from lvlm_ad.metrics.intervals import delong, placements


def test_an_example_by_hand():
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


def test_the_same_scores_do_not_differ():
    """No difference, no variance, p = 1; a difference without any variance has no p-value."""
    labels = np.arange(10) < 4
    scores = np.random.default_rng(0).random(10)
    found = delong(labels, scores, 2 * scores)
    assert (found.difference, found.variance, found.p_value) == (0, 0, 1)
    apart = delong(labels, labels * 1.0, ~labels * 1.0)
    assert (apart.difference, apart.variance, apart.p_value) == (1, 0, None)


def test_too_few_images_have_no_variance():
    """With one image of a kind there is a difference only; with none not even that."""
    found = delong(np.array([True, False, False]), np.array([1, 0, 2]), np.array([1, 0, 0]))
    assert (found.difference, found.variance, found.p_value) == (-0.5, None, None)
    with pytest.raises(MetricError, match="anomalous and normal"):
        delong(np.array([True, True]), np.zeros(2), np.zeros(2))


def test_it_rejects_as_often_as_it_says():
    """Where two scores are equally good, about one test in twenty says otherwise at p < 0.05."""
    draw = np.random.default_rng(5)
    labels = np.arange(80) < 40
    rejected = 0
    for _ in range(1000):
        shared = draw.normal(size=80) + labels
        found = delong(labels, shared + draw.normal(size=80), shared + draw.normal(size=80))
        rejected += found.p_value < 0.05
    assert 0.03 < rejected / 1000 < 0.07
