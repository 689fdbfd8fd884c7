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
        "The anomaly score is 0.1 for the reference image and 0.8 for the test image. Region 4: 0.6",
        "Image anomaly score: 0.1 (reference), 0.8 (test); region 4: 0.6",
        "The reference picture's anomaly score is 0.1. The image's anomaly score is 0.8; region 4: 0.6",
        "Image anomaly score: 0.8; region 4: 0.6. The golden sample has an anomaly score of 0.1.",
        "Test image:\nImage anomaly score: 0.8\nRegion 4: 0.6\n\nReference image:\n- Image anomaly score: 0.1",
        "Reference image:\nno flaws.\nImage anomaly score: 0.8; region 4: 0.6",
        "Reference image:\nScore: 0.1\nTest image anomaly score: 0.8; region 4: 0.6",
        "Image anomaly score: 0.8; region 4: 0.6.\nReference image: image anomaly score: 0.1.",
        "Image anomaly score: 0.8; region 4: 0.6. La puntuación de anomalía de la imagen de referencia es 0.1.",
        "Image anomaly score: 0.8; region 4: 0.6. Le score de l'image de référence est 0.1.",
        "Image anomaly score: 0.8 (reference image: 0.1); region 4: 0.6",
        "Image 0 anomaly score: 0.8; region 4: 0.6",
        "Reference image:\nRegion 4: 0.1\n\nTest image:\nRegion 4: 0.6\nImage anomaly score: 0.8",
        "In the reference image, region 4: 0.0; in the test image, region 4: 0.6. Image anomaly score: 0.8",
        "Unlike in the reference image, region 4 has a score of 0.6. Image anomaly score: 0.8",
        "<box>(1,2),(3,4)</box> score: 0.4. Image anomaly score: 0.8; region 4: 0.6",
    ],
)
def test_the_score_of_another_picture_is_not_the_images(text):
    """A reference, another picture and flawless products in general have no part in the image's scores."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {4: 0.6}, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "The reference image has an anomaly score of 0.1.",
        "The reference has an anomaly score of 0.1.",
        "The normal sample has an anomaly score of 0.1.",
        "Golden sample: anomaly score 0.1",
        "Reference image:\nimage anomaly score: 0.1",
    ],
)
def test_the_score_of_a_reference_alone_is_not_the_images(text):
    """Where only a reference has a score, the image has none."""
    assert (parse(text, N).image, parse(text, N).status) == (None, "unparsable")


@pytest.mark.parametrize(
    "text",
    [
        "In the reference image, region 4: 0.6 and region 5: 0.1. Test image: region 4: 0.6; image anomaly score: 0.8",
        "Reference image:\n| Region | Score |\n|---|---|\n| 5 | 0.1 |\n\nImage anomaly score: 0.8; region 4: 0.6",
    ],
)
def test_a_region_of_a_reference_alone_is_told(text):
    """The score of a region in the reference is left out, with a note if the image has none for this region."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {4: 0.6}, "partial")
    assert scores.notes == ("Scores of regions of another picture are left out.",)


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
