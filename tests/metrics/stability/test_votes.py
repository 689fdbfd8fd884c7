"""Several answers together: AUROC by their number, its gain and its spread."""

import json
import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability import Measured, auroc_spread, votes

LABELS = [1, 1, 1, 0, 0, 0]
TENTHS = st.lists(st.lists(st.integers(0, 10), min_size=4, max_size=4), min_size=6, max_size=6)


def exact_auroc(labels, scores):
    """AUROC by comparing every pair, in exact numbers."""
    bad, good = ([one for one, label in zip(scores, labels, strict=True) if label == kind] for kind in (1, 0))
    won = [Fraction(1) if one > other else Fraction(one == other, 2) for one in bad for other in good]
    return sum(won) / len(won)


def exact_middle(values):
    """The median; of an even number the mean of the middle two."""
    ordered = sorted(values)
    return Fraction(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2], 2)


def exact_votes(labels, tenths, how):
    """g(k) in exact numbers, by the definition."""
    together = exact_middle if how == "median" else lambda values: Fraction(sum(values), len(values))
    repeats = len(tenths[0])
    for k in range(1, repeats + 1):
        subsets = list(combinations(range(repeats), k))
        each = [exact_auroc(labels, [together([row[at] for at in subset]) for row in tenths]) for subset in subsets]
        yield float(sum(each) / len(each))


@given(TENTHS, st.sampled_from(["mean", "median"]))
def test_votes_on_tenths_are_those_of_exact_numbers(tenths, how):
    """Ties stay ties: no rounding error of 0.1, 0.2 and so on changes an AUROC."""
    found = votes(LABELS, np.array(tenths) / 10, how)
    assert [one.auroc for one in found] == pytest.approx(list(exact_votes(LABELS, tenths, how)), abs=1e-12)


def test_the_median_of_two_is_their_mean(shared):
    """The shared case expects another number for two answers, since medians with rounding errors broke its ties."""
    cases = json.loads((shared / "cases" / "statistics.json").read_text())["cases"]
    inputs = next(one["inputs"] for one in cases if one["id"] == "votes/1")
    tenths = [[round(10 * score) for score in row] for row in inputs["scores"]]
    exact = list(exact_votes(inputs["labels"], tenths, "median"))
    assert list(exact_votes(inputs["labels"], tenths, "mean"))[1] == exact[1]
    assert [one.auroc for one in votes(**inputs)] == pytest.approx(exact, abs=1e-12)


def test_the_ends_of_votes_are_single_answers_and_all_answers():
    """g(1) is the mean of single AUROCs; g(K) is one AUROC, and marked as such."""
    scores = np.random.default_rng(0).random((12, 5))
    labels = np.arange(12) < 5
    found = votes(labels, scores)
    assert found[0].auroc == pytest.approx(np.mean(auroc_spread(labels, scores).each), abs=1e-12)
    assert found[4].auroc == pytest.approx(auroc_spread(labels, scores.mean(axis=1, keepdims=True)).each[0], abs=1e-12)
    assert [one.one_subset for one in found] == [False] * 4 + [True]
    assert [one.subsets for one in found] == [5, 10, 10, 5, 1]


def pairs(labels, scores):
    """Who wins each comparison of a defective with a good image; a tie is half a win."""
    difference = scores[labels][:, None] - scores[~labels]
    return (np.sign(difference) + 1) / 2


def test_the_interval_of_a_gain_counts_once_what_pairs_of_images_add():
    """The jackknife's variance, image by image, less the interaction of a two-way table of pairs; Satterthwaite's t."""
    draw = np.random.default_rng(1)
    labels = np.arange(14) < 6
    scores = draw.normal(labels[:, None], 1, (14, 3))
    gain = votes(labels, scores)[2].gain

    def without(at):
        kept = np.arange(14) != at
        found = votes(labels[kept], scores[kept])
        return found[2].auroc - found[0].auroc

    each = np.array([without(at) for at in range(14)])
    bad, good = ((kind.sum() - 1) * each[kind].var() for kind in (labels, ~labels))
    table = pairs(labels, scores.mean(axis=1)) - np.mean([pairs(labels, one) for one in scores.T], axis=0)
    rows, columns = table.mean(axis=1)[:, None], table.mean(axis=0)
    twice = ((table - rows - columns + table.mean()) ** 2).sum() / (5 * 7) / (6 * 8)
    half = t.ppf(0.975, (bad + good) ** 2 / (bad**2 / 5 + good**2 / 7)) * math.sqrt(bad + good - twice)
    assert gain.interval == pytest.approx((gain.value - half, gain.value + half), abs=1e-12)


def test_many_subsets_are_drawn_the_same_way_every_time():
    """With more than 1,000 subsets, 1,000 stand for them."""
    scores = np.random.default_rng(2).random((6, 14))
    first, second = (votes(LABELS, scores) for _ in range(2))
    assert first == second
    assert first[6].subsets == 1000


def test_missing_answers_are_left_out_of_a_vote():
    """The answers that are there count; an image without any in a subset is not part of it."""
    scores = [[0.9, None], [0.4, 0.8], [0.5, 0.1], [None, 0.5], [None, None]]
    found = votes([1, 1, 0, 0, 0], scores)
    assert [one.auroc for one in found] == [(0.5 + 1.0) / 2, 1.0]
    assert found[1].gain.interval is None


def test_a_class_without_answers_gives_no_auroc():
    """Undefined is None with a reason."""
    found = votes([1, 1], [[0.1, 0.2], [0.3, 0.4]])
    assert [one.auroc for one in found] == [None, None]
    assert "class" in found[1].gain.reason
    spread = auroc_spread([1, 1], [[0.1, 0.2], [0.3, 0.4]])
    assert (spread.each, spread.sd, spread.range) == ((), None, None)


def test_a_gain_needs_the_auroc_of_one_answer():
    """Two answers together may have both classes where single ones do not; then there is nothing to compare with."""
    single, both = votes([1, 0], [[0.9, None], [None, 0.1]])
    assert (single.auroc, both.auroc) == (None, 1.0)
    assert both.gain == single.gain == Measured(None, None, "answers of one class are missing in some of the subsets")


def test_a_model_that_repeats_itself_gains_exactly_nothing():
    """Every AUROC is the same number, and a gain of 0 has no interval but a reason."""
    scores = np.repeat([[0.1], [0.7], [0.3], [0.3], [0.1], [0.6]], 5, axis=1)
    found = votes(LABELS, scores)
    assert {one.gain.value for one in found} == {0.0}
    assert found[3].gain.interval is None
    assert found[3].gain.reason == "all images alike"
    spread = auroc_spread(LABELS, scores)
    assert (spread.sd, spread.range) == (0.0, 0.0)


def test_a_spread_is_over_the_same_images():
    """An image that one repeat lacks is left out of all, so that the choice of images adds nothing."""
    scores = [[0.9, 0.9], [0.1, None], [0.5, 0.5], [0.2, 0.2]]
    assert auroc_spread([1, 1, 0, 0], scores).each == (1.0, 1.0)
    assert auroc_spread([1, 1, 0, 0], scores).images == (1, 2)
    assert auroc_spread([1, 0], [[0.5], [0.1]]).sd is None


@pytest.mark.parametrize("scores", [[[0.1], [0.2]], [[], [], []], [0.1, 0.2, 0.3], [["a"], ["b"], ["c"]]])
def test_scores_that_do_not_belong_to_the_labels_are_refused(scores):
    """One clear error instead of a number."""
    with pytest.raises(MetricError, match="scores"):
        votes([1, 0, 1], scores)
