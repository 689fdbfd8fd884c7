"""Numbers that stand beside a name and that nothing has read."""

import pytest

from lvlm_ad.text2seg import parse

N = 60


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("image anomaly score: 0.8; region four: 0.6", "region four: 0.6"),
        ("image anomaly score: 0.8; region B: 60%", "region B: 60%"),
        ("image anomaly score: 0.8; patch 4: 0.6", "4: 0.6"),
        ("image anomaly score: 0.8\n4: 0.6\n7: 0.3", "7: 0.3"),
        ("image anomaly score: 0.8\nRegion\tScore\n4\t0.6", "4 0.6"),
        ("image anomaly score: 0.8; region 4 deserves about, say, 0.6", "region 4 deserves about, say, 0.6"),
        ("region four: 0.6. The image anomaly score is 0.8", "region four: 0.6"),
        ("image anomaly score: 0.8; region 4 (top) 0.6", "region 4 (top) 0.6"),
        ("image anomaly score: 0.8; alue 4 (0.6)", "4 (0.6"),
        ('{"image_anomaly_score": 0.8, "regions": [{"where": "top left", "score": 0.6}]}', "score: 0.6"),
        ('{"image_anomaly_score": 0.8, "regions": [{"region": "top left", "score": 0.6}]}', "score: 0.6"),
        ('{"image_anomaly_score": 0.8, "regions": [0.6, 0.4]}', "regions: 0.6"),
        ('{"image_anomaly_score": 0.8, "region four": 0.6}', "region four: 0.6"),
        ('{"image_anomaly_score": 0.8, "regions": [{"region": 4, "confidence": 0.6}]}', "confidence: 0.6"),
        ('{"image_anomaly_score": 0.8, "regions": [["left", 0.6]]}', "regions: 0.6"),
        ("image anomaly score: 0.8. I would say roughly 7/10 for region 4.", "7/10 for region 4"),
        ("image anomaly score: 0.8. 0.6 (region 4)", "0.6 (region 4"),
        (
            "Unlike the reference image, region 4 is dented (0.6). Image anomaly score: 0.8",
            "image, region 4 is dented (0.6",
        ),
        ("image anomaly score: 0.8\n| ID | Severity |\n|---|---|\n| 4 | 0.6 |", "ID | Severity | |---|---| | 4 | 0.6"),
        ("On a scale from 0 to 10: image anomaly score: 8; patch 4: 6", "4: 6"),
        (
            "image anomaly score: 0.8\n| Region 4 | Region 7 |\n|---|---|\n| 60% | 0.1 |",
            "Region 4 | Region 7 | |---|---| | 60%",
        ),
    ],
)
def test_a_number_left_beside_a_name_is_quoted(text, quoted):
    """A number that may be the score of a region, and that was not read, makes the answer partial and is quoted."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {}, "partial")
    assert f"'{quoted}' was not read." in scores.notes


@pytest.mark.parametrize(
    "text",
    [
        "image anomaly score: 0.8; region 4: 0.6. The scratch in region 4 is 0.5 cm wide.",
        "image anomaly score: 0.8; region 4: 0.6 (confidence: 0.9).",
        "image anomaly score: 0.8; region 4: 0.6. Region 4 lies at (0.3, 0.4) and has 2 holes.",
        "Region four: 0.3, I thought. image anomaly score: 0.8; region 4: 0.6",
        '{"image_anomaly_score": 0.8, "regions": [{"region": 4, "score": 0.6, "area": 0.1}], "confidence": 0.9}',
        "image anomaly score: 0.8; region 4: 0.6. All other regions: 0.0",
        "image anomaly score: 0.8; region 4: 0.6. Region 4 is 70% covered by rust.",
        "image anomaly score: 0.8; region 4: 0.6\n\nChecked on 2024-05-12, 3 regions of 60.",
    ],
)
def test_a_measure_is_not_taken_for_an_unread_score(text):
    """A size, a place, a share, a confidence, a count, a draft and the 0 of all other regions are no unread scores."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {4: 0.6}, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "Image anomaly score: 0.9; region 4: 0.6. Overall, the image anomaly score is 0.8.",
        "Image anomaly score: 0.9; region 4: 0.9. Wait, region 4: 0.6, so image anomaly score: 0.8.",
        "Region 4: 0.6; image anomaly score: 0.6.\nRegion 5: 0.6; image anomaly score: 0.8.",
    ],
)
def test_regions_before_another_image_score_are_told(text):
    """A note says that regions do not count which fit to the last image score but stand before it."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {}, "partial")
    assert scores.notes == ("The list of regions before the last image score was not read.",)


def test_digits_with_another_sign_between_them_are_told():
    """Of 0'6 nobody knows the value: it is left out with a note, never read as 0."""
    scores = parse("image anomaly score: 0.8; region 4: 0'6", N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {}, "partial")
    assert "is no single number" in scores.notes[0]
