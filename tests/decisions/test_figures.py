"""Figures of decisions at their edges: one kind missing, no answers, nothing wrong."""

import numpy as np
import pytest

from lvlm_ad.decisions import (
    Prices,
    baselines,
    calibration,
    cost,
    cost_interval,
    decision,
    effective_images,
    mean_cost,
    mean_decision,
    risk_coverage,
)

PRICES = Prices(miss=100, false_alarm=5, check=1, prevalence=0.02)
ALL_RIGHT = decision([True] * 10 + [False] * 10, [0.9] * 10 + [0.1] * 10, 0.5)


def test_a_kind_that_is_missing_leaves_its_rates_undefined():
    """Without good images there is no false-alarm rate; without alarms no precision."""
    found = decision([True, True], [0.1, None], 0.5, prevalence=0.01)
    assert (found["recall"], found["miss"], found["abstain_defect"]) == (0.0, 0.5, 1)
    assert [found[name] for name in ("false_alarm", "precision", "balanced_accuracy", "precision_at_prevalence")] == [
        None
    ] * 4
    assert set(found["interval"]) == {"recall", "miss"}
    assert cost(found, PRICES) is None


def test_rates_are_averaged_over_the_categories_that_have_them():
    """A category without good images counts for recall only."""
    mean = mean_decision([decision([True], [0.9], 0.5), decision([True, False], [0.1, 0.9], 0.5)])
    assert mean["recall"] == 0.5
    assert mean["false_alarm"] == 1.0
    assert mean_decision([])["recall"] is None


def test_a_mean_of_two_equal_categories_is_surer_than_one():
    """The interval of the mean is narrower than that of each category, and not of width 0."""
    one, two = (mean_decision([ALL_RIGHT] * n)["interval"]["recall"] for n in (1, 2))
    assert one[0] < two[0] < 1


def test_no_missed_defect_is_no_certainty_in_the_cost():
    """With nothing wrong the interval of the cost reaches to the exact end of the rates."""
    low, high = cost_interval([ALL_RIGHT], PRICES)
    assert cost(ALL_RIGHT, PRICES) == low == 0
    assert high == pytest.approx(np.hypot(0.02 * 100 * 0.30849711, 0.98 * 5 * 0.30849711), abs=1e-6)


def test_the_interval_of_the_cost_holds_the_cost():
    """The cost of random counts lies in its interval, and the same counts give the same interval."""
    draw = np.random.default_rng(2)
    for _ in range(20):
        labels, scores = np.arange(30) < 12, np.where(draw.random(30) < 0.1, np.nan, draw.random(30))
        counts = decision(labels, scores, 0.5)
        low, high = cost_interval([counts], PRICES)
        assert low <= cost(counts, PRICES) <= high
        assert (low, high) == cost_interval([counts], PRICES)


def test_a_model_dearer_than_the_cheapest_baseline_is_called_of_no_use():
    """The sentence names the baseline; a model that is cheaper gets none."""
    everything = decision([True, False], [0.9, 0.9], 0.5)
    found = mean_cost([everything], PRICES)
    assert found["per_part"] == baselines(PRICES)["scrap_all"]
    assert "of no use" in found["verdict"]
    assert "inspect everything" in found["verdict"]
    assert "verdict" not in mean_cost([ALL_RIGHT], PRICES)
    alone = mean_cost([decision([True], [0.9], 0.5)], PRICES)
    assert alone["reason"] == "no category has both good and defective images"


def test_all_refused_is_coverage_zero():
    """With no answer nothing is accepted, and there is no risk to give."""
    found = risk_coverage([True, False], [False, False], [None, None])
    assert (found["max_coverage"], found["area"], found["points"]) == (0.0, 0.0, [])
    assert set(found["risk_at"].values()) == {None}
    assert found["coverage_at"] == {"0.01": 0.0, "0.05": 0.0}
    assert found["risk_abstentions_wrong"] == 1.0


def test_calibration_needs_probabilities():
    """Scores outside 0..1 and no scores at all have no calibration; perfect ones have no error."""
    assert calibration([True], [1.5]) is None
    assert calibration([True, False], [None, None]) is None
    perfect = calibration([True, False], [1.0, 0.0])
    assert (perfect["brier"], perfect["ece"], perfect["ece_if_calibrated"]) == (0.0, 0.0, 0.0)


def test_the_brier_score_is_the_sum_of_its_parts():
    """Both splits are exact, whatever the scores."""
    draw = np.random.default_rng(3)
    scores = np.round(draw.random(200), 1)
    found = calibration(draw.random(200) < scores, scores)
    assert found["brier"] == pytest.approx(found["reliability"] - found["resolution"] + found["uncertainty"])
    assert found["brier"] == pytest.approx(found["miscalibration"] - found["discrimination"] + found["uncertainty"])
    assert found["ece_if_calibrated"] == pytest.approx(found["ece"], abs=0.05)


def test_images_of_an_object_that_always_agree_count_once():
    """Four lights of each of 20 parts that alarm together are worth 20 images, less a little for few objects."""
    alarms = np.repeat([True] * 15 + [False] * 5, 4)
    objects = np.repeat(np.arange(20), 4)
    worth = effective_images(alarms, objects)
    assert 15 < worth < 20
    grouped = decision([True] * 80 + [False] * 80, [*alarms, *~alarms], 0.5, objects=[*objects, *objects + 20])
    alone = decision([True] * 80 + [False] * 80, [*alarms, *~alarms], 0.5)
    for name in ("recall", "miss", "false_alarm", "precision", "balanced_accuracy"):
        assert grouped[name] == alone[name]
        (low, high), (inner_low, inner_high) = grouped["interval"][name], alone["interval"][name]
        assert low < inner_low < inner_high < high
    assert grouped["effective"]["recall"] == pytest.approx(worth)
    assert "effective" not in alone


def test_images_of_an_object_that_are_independent_count_as_images():
    """Over many draws of independent images, the mean effective number is near that of the images."""
    draw = np.random.default_rng(5)
    objects = np.repeat(np.arange(50), 4)
    worth = [effective_images(draw.random(200) < 0.3, objects) for _ in range(200)]
    assert 165 < np.mean(worth) <= 200


def test_intervals_of_shares_of_objects_cover():
    """Of 400 draws of 30 parts whose four pictures mostly agree, 92 % of the intervals or more hold the truth."""
    draw, held = np.random.default_rng(7), 0
    objects = np.repeat(np.arange(30), 4)
    for _ in range(400):
        same = np.repeat(draw.random(30) < 0.4, 4)
        hits = np.where(draw.random(120) < 0.9, same, draw.random(120) < 0.4)
        low, high = decision([True] * 120, np.where(hits, 0.9, 0.1), 0.5, objects=objects)["interval"]["recall"]
        held += low <= 0.4 <= high
    assert held >= 0.92 * 400


def test_the_cost_of_grouped_images_is_less_sure():
    """Its interval is wider where pictures show the same parts."""
    labels, scores = [True] * 40 + [False] * 40, ([0.9] * 28 + [0.1] * 12) * 2
    objects = np.arange(80) // 4
    alone, grouped = (cost_interval([decision(labels, scores, 0.5, objects=one)], PRICES) for one in (None, objects))
    assert grouped[0] < alone[0] < alone[1] < grouped[1]
