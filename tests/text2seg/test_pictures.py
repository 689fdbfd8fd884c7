"""Which picture a score belongs to."""

import pytest

from lvlm_ad.text2seg import parse

N = 60


@pytest.mark.parametrize(
    "text",
    [
        "Image anomaly score: 0.8; region 4: 0.6.\nReference image anomaly score: 0.1.",
        "Reference image: 0.1\nTest image: 0.8\nRegion 4: 0.6",
        "Picture 1 (flawless): 0.1; picture 2 (inspected): 0.8; region 4: 0.6",
        "The 1st image (reference) has an anomaly score of 0.1. The test image has a score of 0.8; region 4: 0.6",
        "Image anomaly score: 0.8; region 4: 0.6. Image 2: 0.1",
        "Image anomaly score: 0.8; region 4: 0.6. The anomaly score of the golden sample image is 0.1.",
        "Reference anomaly score: 0.1; region 5: 0.1. Test image score: 0.8; region 4: 0.6",
        "**Reference image:**\nAnomaly score: 0.1\nRegion 4: 0.1\n\n**Test image:**\nAnomaly score: 0.8\nRegion 4: 0.6",
        "A flawless screw has an anomaly score of 0.1. Image anomaly score: 0.8; region 4: 0.6",
        "Image anomaly score: 0.8; region 4: 0.6. For a normal screw, the anomaly score is 0.1.",
        "Image 2 anomaly score: 0.8; region 4: 0.6",
        "Image anomaly score: 0.8; region 4: 0.6. In comparison, the first image has a score of 0.1.",
        "| Test image | 0.8 |\n| Region 4 | 0.6 |\n| Reference image | 0.1 |",
        "Image anomaly score: 0.8; region 4: 0.6. Bounding box 1: score 0.4.",
        "<box>(1,2),(3,4)</box> score: 0.4. Image anomaly score: 0.8; region 4: 0.6",
    ],
)
def test_the_score_of_another_picture_is_not_the_images(text):
    """A reference, another picture and flawless products in general have no part in the image's scores."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {4: 0.6}, "ok")


def test_of_numbered_pictures_the_last_counts():
    """References are shown first, so of numbered pictures the last one counts, and a note says so."""
    scores = parse("Image 1 anomaly score: 0.1; image 2 anomaly score: 0.8; region 4: 0.6", N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {4: 0.6}, "partial")
    assert "Several pictures" in scores.notes[0]


def test_a_region_after_another_pictures_score_is_told():
    """A region's score that follows the score of a reference may be of either; it is left out with a note."""
    scores = parse("Test image anomaly score: 0.8. Reference image anomaly score: 0.1. Region 4: 0.6", N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {}, "partial")


@pytest.mark.parametrize(
    "text",
    [
        "<box>(1,2),(3,4)</box> score: 0.8 <box>(5,6),(7,8)</box> score: 0.1",
        "Bounding box 1: score 0.8. Box 2: score 0.1.",
    ],
)
def test_the_score_of_a_box_is_nobodys(text):
    """The score of a box in a text is not the image's."""
    assert parse(text, N).status == "unparsable"
