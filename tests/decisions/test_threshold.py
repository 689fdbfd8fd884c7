"""Thresholds: what the option may say, and what each way of choosing promises."""

import math
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.decisions import best_threshold, conformal, conformal_p_values, fixed, parse_threshold, reference_quantile
from lvlm_ad.errors import ConfigError, MetricError


def test_each_form_of_the_option_is_read():
    """A number, a quantile, a share of false alarms, a share of the images and a folder are told apart."""
    read = [parse_threshold(text) for text in ("0.5", "reference:0.95", "conformal:.05", "calibration:0.3")]
    assert [(one.kind, one.value) for one in read] == [
        ("fixed", 0.5),
        ("reference", 0.95),
        ("conformal", 0.05),
        ("calibration", 0.3),
    ]
    folder = parse_threshold("calibration:C:/parts")
    assert (folder.kind, folder.folder) == ("calibration", Path("C:/parts"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "nan", "50", "-1", "inf", "half", "oracle", "fixed:0.5", "conformal", "conformal:", "conformal:x"),
        *("conformal:1", "conformal:nan", "reference:0", "reference:95", "calibration:", "calibration:1.5"),
    ],
)
def test_a_malformed_option_is_one_clear_error(text):
    """Every other text is refused with a message that quotes it."""
    with pytest.raises(ConfigError, match=r"--threshold") as error:
        parse_threshold(text)
    assert repr(text) in str(error.value)


def test_control_characters_are_escaped_in_the_message():
    """A text that would change the terminal is shown escaped."""
    with pytest.raises(ConfigError) as error:
        parse_threshold("\x1b[31mred")
    assert "\x1b" not in str(error.value)


def test_a_conformal_threshold_is_the_rule_of_p_values():
    """A score lies above the threshold exactly where its p-value is at most alpha, ties included."""
    draw = np.random.default_rng(5)
    for n in (9, 19, 40, 60):
        references, scores = np.round(draw.random(n), 1), np.round(draw.random(200), 1)
        for alpha in (0.05, 0.1, 0.2):
            above = conformal(references, alpha).alarms(scores)
            assert (above == (conformal_p_values(references, scores) <= alpha + 1e-12)).all()


def test_too_few_references_give_no_threshold_and_say_how_many_are_needed():
    """Alpha 0.01 needs 99 references; references without an answer do not count."""
    few = conformal([0.1] * 98 + [None], 0.01)
    assert few.value is None
    assert few.reason == "alpha 0.01 needs 99 good references; 98 have a score"
    assert not few.alarms([1.0]).any()
    assert conformal([0.1] * 99, 0.01).value == 0.1


def test_a_reference_quantile_alarms_above_it():
    """A model that gives most good images the same score does not alarm on all of them."""
    quantile = reference_quantile([0.0] * 9 + [0.3], 0.9)
    assert quantile.value == 0.0
    assert quantile.alarms([0.0, 0.1]).tolist() == [False, True]
    assert quantile.guarantee is None
    assert reference_quantile([0.1] * 9 + [None], 0.9).reason == "quantile 0.9 needs 10 good references; 9 have a score"


def test_never_to_alarm_is_chosen_only_if_it_is_better():
    """Where each score costs more than it saves, no score is the threshold; a tie goes to a score."""
    labels, scores = [True, False, False], [0.1, 0.5, 0.9]
    assert best_threshold(labels, scores, prevalence=0.01, miss=1, false_alarm=100)[0] is None
    assert best_threshold([True, False], [0.5, 0.5])[0] == 0.5
    with pytest.raises(MetricError, match="one class is missing"):
        best_threshold([True], [0.5])


def test_an_answer_that_is_missing_never_alarms():
    """None and NaN are no alarm, one by one and in an array, even where every score alarms."""
    assert fixed(0).alarms([None, math.nan, 0.0]).tolist() == [False, False, True]
    assert fixed(0).alarms(None) is False
