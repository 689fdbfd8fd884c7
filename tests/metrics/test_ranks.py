"""Which rows differ for sure, and the ranges of ranks that follow."""

import numpy as np
import pytest
from scipy.stats import studentized_range

from lvlm_ad.metrics import ranks

LABELS = np.arange(20) < 10


def drawn(rows, labels=LABELS, strength=1.0, seed=0):
    """Scores in tenths, ``(rows, n)``: anomalous images score higher by ``strength``; images are hard for all rows."""
    draw = np.random.default_rng(seed)
    noise = draw.standard_normal(labels.size) + draw.standard_normal((rows, labels.size))
    return np.clip(np.round(3 * (noise + np.outer(np.broadcast_to(strength, rows), labels))), 0, 10) / 10


def ranges(categories):
    """The rank ranges of rows by their image AUROC."""
    return ranks.rank_ranges(ranks.surely_better(ranks.auroc_rows(categories))).tolist()


def test_independent_rows_have_the_quantile_of_the_studentised_range():
    """The largest of all differences of independent rows is the range of as many normal numbers."""
    draws = np.random.default_rng(1).standard_normal((6, 20_000)).astype(np.float32)
    expected = studentized_range.ppf(0.95, 6, np.inf) / np.sqrt(2)
    assert ranks.max_t_critical(draws, np.full((6, 6), 2.0)) == pytest.approx(expected, abs=0.05)


def test_pairs_without_variance_do_not_raise_the_critical_value():
    """They are left out; with no other pair the value is that of a single test."""
    draws = np.random.default_rng(1).standard_normal((3, 1000)).astype(np.float32)
    assert ranks.max_t_critical(draws, np.zeros((3, 3))) == ranks.Z


def test_draws_vary_as_the_estimated_covariance_says():
    """Of the difference of two rows, whatever they share."""
    rows = ranks.auroc_rows([(LABELS, drawn(2)), (LABELS, drawn(2, seed=1))], 20_000)
    pairs = ranks.compare_pairs(rows)
    assert np.var(rows.draws[0] - rows.draws[1]) == pytest.approx(pairs.variance[0, 1], rel=0.05)


def test_a_copy_has_the_rank_of_its_original():
    """A row and its copy do not differ, and the same rows are better or worse than both."""
    scores = drawn(3, strength=[3.0, 0.5, 0.0])
    pairs = ranks.compare_pairs(ranks.auroc_rows([(LABELS, scores[[0, 0, 1, 2]])]))
    assert (pairs.difference[0, 1], pairs.variance[0, 1], pairs.z[0, 1]) == (0.0, 0.0, 0.0)
    first, copy, *_ = ranges([(LABELS, scores[[0, 0, 1, 2]])] * 8)
    assert first == copy == [1, 2]


def test_perfect_and_worst_rows_are_told_apart_only_on_enough_images():
    """Neither has any variance; two images of a kind are not enough for certainty, eight are."""
    for images, expected in ((2, [[1, 2], [1, 2]]), (8, [[1, 1], [2, 2]])):
        labels = np.arange(2 * images) < images
        assert ranges([(labels, np.stack([labels, ~labels]))]) == expected


def test_equal_rows_are_seldom_told_apart():
    """Eight rows of the same true AUROC: at most 5 % of tables separate any two of them."""
    tables = 60
    wrong = sum(ranks.surely_better(ranks.auroc_rows([(LABELS, drawn(8, seed=seed))])).any() for seed in range(tables))
    assert wrong <= 4


def test_different_rows_are_told_apart():
    """With 12 categories, a row that sees defects well is better than all that do not; these share their ranks."""
    found = ranges([(LABELS, drawn(4, strength=[3.0, 1.0, 1.0, 1.0], seed=seed)) for seed in range(12)])
    assert found[0] == [1, 1]
    assert {tuple(one) for one in found[1:]} == {(2, 4)}


def test_only_the_order_of_scores_matters():
    """Neither the order of images or rows nor an increasing change of scores moves a rank."""
    scores = drawn(5, strength=[3.0, 2.0, 1.0, 0.5, 0.0])
    expected = ranges([(LABELS, scores)] * 6)
    order, swapped = np.random.default_rng(2).permutation(LABELS.size), [4, 2, 0, 1, 3]
    assert ranges([(LABELS[order], scores[:, order])] * 6) == expected
    assert ranges([(LABELS, scores**3 + 7)] * 6) == expected
    assert ranges([(LABELS, scores[swapped])] * 6) == [expected[row] for row in swapped]


def test_lowering_the_critical_value_finds_more_and_loses_nothing():
    """Once clear pairs are told apart, fewer are in question and a smaller difference counts."""
    strengths = [4, 3, 2.5, 2, 1.5, 1, 0.5, 0]
    rows = ranks.auroc_rows([(LABELS, drawn(8, strength=strengths, seed=seed)) for seed in range(50, 56)])
    pairs = ranks.compare_pairs(rows)
    first = ranks.better_than(pairs, ranks.critical_value(rows, pairs.variance))
    found = ranks.surely_better(rows)
    assert (first <= found).all()
    assert found.sum() > first.sum() > 0


def test_many_rows_are_compared_by_holm(monkeypatch):
    """Above the limit the same clear differences are found without draws."""
    categories = [(LABELS, drawn(4, strength=[3.0, 1.0, 1.0, 1.0], seed=seed)) for seed in range(12)]
    expected = ranges(categories)
    monkeypatch.setattr(ranks, "_MOST_ROWS", 3)
    assert ranges(categories) == expected


def test_resamples_give_what_placements_give():
    """AUROC compared by resamples of the images has about the variance of the exact way."""
    scores = drawn(3, strength=[2.0, 1.0, 1.0])
    exact = ranks.compare_pairs(ranks.auroc_rows([(LABELS, scores)]))
    draw = np.random.default_rng(3)
    chosen = [np.r_[draw.integers(0, 10, 10), draw.integers(10, 20, 10)] for _ in range(2000)]
    values = ranks.auroc_rows([(LABELS, scores)]).values
    resampled = np.stack([ranks.auroc_rows([(LABELS, scores[:, one])]).values[:, 0] for one in chosen], axis=1)
    pairs = ranks.compare_pairs(ranks.resampled_rows(values, [resampled], [(10, 10)], [10.0]))
    assert pairs.variance[0, 1] == pytest.approx(exact.variance[0, 1], rel=0.15)
