"""On which scale an answer's scores are."""

import pytest

from lvlm_ad.backend import Answer, number_tokens
from lvlm_ad.text2seg import parse, read

N = 60


@pytest.mark.parametrize(
    ("text", "image", "regions"),
    [
        ("On a scale from 0 to 10: image anomaly score: 7; region 4: 1", 0.7, {4: 0.1}),
        ("Image anomaly score (0\u2013100): 40; Region 4 score (0\u2013100): 1", 0.4, {4: 0.01}),
        ("From 1 to 10 as a scale, or a 1-10 scale. Image anomaly score: 10; region 4: 1", 1.0, {4: 0.0}),
        ("All scores are out of 10.\nImage anomaly score: 1\nRegion 4: 1", 0.1, {4: 0.1}),
        ("Image anomaly score: 1 (out of 5); region 4: 4 (/5)", 0.2, {4: 0.8}),
        ("image anomaly score: 4/5; region 4: 1", 0.8, {4: 0.2}),
        ("| Region | Score (%) |\n|---|---|\n| Image | 60 |\n| 4 | 1 |", 0.6, {4: 0.01}),
        (
            "| Region | Anomaly (%) |\n|---|---|\n| 4 | 60 |\n| 5 | 1 |\n\nImage anomaly score: 0.6",
            0.6,
            {4: 0.6, 5: 0.01},
        ),
        (
            "| Region | Score (%) |\n|---|---|\n| 4 | 0.5 |\n| 5 | 60 |\n\nImage anomaly score: 0.6",
            0.6,
            {4: 0.005, 5: 0.6},
        ),
        ("| Region | Score (%) |\n|---|---|\n| 4 | 0.5 |\n| 5 | 1 |\n\nImage anomaly score: 1", 1.0, {4: 0.5, 5: 1.0}),
        ('{"score_percent": 60, "regions": [{"region": 4, "score_percent": 1}]}', 0.6, {4: 0.01}),
        ('{"imageScorePercent": 60, "regions": [{"region": 4, "scorePercent": 1}]}', 0.6, {4: 0.01}),
        ('{"max": 10, "image_anomaly_score": 6, "regions": {"4": 1}}', 0.6, {4: 0.1}),
        ('{"image_anomaly_score": 6, "regions": {"4": 1}, "scale": {"min": 0, "max": 10}}', 0.6, {4: 0.1}),
        ("0 means flawless and 10 means defective. Image anomaly score: 6; region 4: 1", 0.6, {4: 0.1}),
        ("I use a 5-point scale: image anomaly score: 5; region 4: 1", 1.0, {4: 0.2}),
        ("Image anomaly score: 6 points out of 10; region 4: 1 point", 0.6, {4: 0.1}),
        ("Rated from 1 (lowest) to 10 (highest): image anomaly score: 10; region 4: 1", 1.0, {4: 0.0}),
        ('{"image_score_0_100": 60, "regions": [{"region": 4, "score_0_100": 1}]}', 0.6, {4: 0.01}),
        (
            '{"image_score": {"score": 6, "max": 10}, "regions": [{"id": 4, "score": {"value": 1, "max": 10}}]}',
            0.6,
            {4: 0.1},
        ),
        ("Image anomaly score: 60%; region 4: 40%; region 5: 1", 0.6, {4: 0.4, 5: 0.01}),
        ("I would say 8 out of 10. Image anomaly score: 0.8; region 4: 1", 0.8, {4: 1.0}),
        ("Image anomaly score: 1.0; region 4: 7/10", 1.0, {4: 0.7}),
        ("Image anomaly score: 1; region 4: 7/10; region 5: 0.4", 1.0, {4: 0.7, 5: 0.4}),
        ("Image anomaly score: 8.0; region 4: 7/10; region 5: 1.0", 0.8, {4: 0.7, 5: 0.1}),
        ("Regions 1-10 were compared. Image anomaly score: 1; region 4: 1", 1.0, {4: 1.0}),
    ],
)
def test_one_scale_holds_for_all_scores(text, image, regions):
    """A scale that is stated anywhere holds for every score without a scale of its own."""
    scores = parse(text, N)
    assert (scores.image, scores.status) == (pytest.approx(image), "ok")
    assert dict(scores.regions) == pytest.approx(regions)


@pytest.mark.parametrize(
    "text",
    [
        "image anomaly score: 8; region 3: 9; region 4: 1",
        '{"image_anomaly_score": 80, "regions": [{"region": 3, "score": 95}, {"region": 5, "score": 0.5}]}',
        "image anomaly score: 7.5; region 3: 8.0; region 4: 1.0",
        "image anomaly score: 0; region 4: 60",
        '{"image_anomaly_score": 7, "regions": [4, 5], "scores": [0, 7]}',
        "On a scale from 0 to 10: image anomaly score: 60; region 4: 70; region 5: 1",
    ],
)
def test_scores_on_an_unknown_scale_are_unusable(text):
    """Of scores above 1 without a stated scale, none is used: the smallest would become the highest."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (None, {}, "unparsable")
    assert "is outside" in scores.notes[0]


@pytest.mark.parametrize(
    ("text", "image", "regions"),
    [
        ("image anomaly score: 0.9; region 3: 1.2; region 4: 0.3", 0.9, {4: 0.3}),
        ("image anomaly score: 0.9; region 3: 1.2; region 4: 1", 0.9, {}),
        ("image anomaly score: 60%; region 4: 8; region 5: 1", 0.6, {}),
        ("On a scale from 0 to 10: image anomaly score: 0.9; region 4: 0.3", 0.9, {4: 0.3}),
    ],
)
def test_a_slip_among_decimals_is_left_out(text, image, regions):
    """A score above 1 among decimals is left out with a note, and so is a 1 beside it; decimals stay as written."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (image, regions, "partial")


def test_a_rescaled_score_has_no_expected_value():
    """The probabilities of other digits say nothing about a score that is brought from another scale."""
    tokens = number_tokens([("score (0-10): ", [("score (0-10): ", 0.0)]), ("1", [("1", -0.7), ("0", -0.7)])])
    scores = read(Answer("score (0-10): 1", tokens=tokens), N, "expected")
    assert (scores.image, scores.expected) == (0.1, 0)
