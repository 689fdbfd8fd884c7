"""What is read from the JSON that models write."""

import pytest

from lvlm_ad.text2seg import parse

N = 60


@pytest.mark.parametrize(
    "text",
    [
        '{"image_anomaly_score": 0.8, "regions": [{"region": "Region 4 (centre)", "score": 0.6}]}',
        '{"image_anomaly_score": 0.8, "regions": [{"region": "4: a dent", "score": 0.6}]}',
        '{"image_anomaly_score": 0.8, "region_4_score": 0.6}',
        '{"image_anomaly_score": 0.8, "regions": [4], "scores": [0.6]}',
        '{"image_anomaly_score": 0.8, "regions": {"ids": [4], "scores": [0.6]}}',
        '{"image_anomaly_score": 0.8, "anomalous_regions": ["Region 4"], "region_scores": ["60%"]}',
        '{"image_anomaly_score": 0.8, # of the image\n "regions": [{"region": 4, "score": 0.6}] // one\n}',
        '{"image_anomaly_score": 0.8, /* a { comment */ "regions": {"4": 0.6}}',
        "image anomaly score: 0.8; regions: {4: 0.6}",
        "image anomaly score: 0.8\nAnomalous regions: [(4, 0.6)]",
        "image_anomaly_score = 0.8\nregion_scores = {'4': 0.6}",
        '[{"image_anomaly_score": 0.8, "regions": [{"region": 4, "score": 0.6}]}]',
        '{"reference_image": {"anomaly_score": 0.1}, "test_image": {"anomaly_score": 0.8}, "regions": {"4": 0.6}}',
        '{"image_anomaly_score": 0.8, "regions": ["4 (0.6)"]}',
        '{"image": 0.8, "regions": {"4": 0.6}}',
        '{"image_anomaly_score": 0.8, "regions": "4: 0.6"}',
        '{"image_anomaly_score": 0.8, "regions": [{"id": "R4", "score": 0.6}]}',
        '{"score": 0.8, "regions": [4], "region_scores": [0.6]}',
        '{"bildanomaliescore": 0.8, "bereiche": [{"nummer": 4, "wert": "0,6"}]}',
        '{"\u5f02\u5e38\u5206\u6570": 0.8, "\u533a\u57df": [{"\u7f16\u53f7": 4, "\u5206\u6570": 0.6}]}',
    ],
)
def test_json_is_read_whole(text):
    """Labels with a place, parallel arrays, comments, maps after a word and references leave the scores right."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status, scores.notes) == (0.8, {4: 0.6}, "ok", ())


@pytest.mark.parametrize(
    "text",
    [
        '[{"bbox_2d": [1, 2, 3, 4], "label": "dent", "score": 0.8}, {"bbox_2d": [5, 6, 7, 8], "score": 0.1}]',
        '{"label": "dent", "score": 0.8}',
        '[{"name": "dent", "score": 0.8}, {"name": "hole", "score": 0.1}]',
        '{"detections": [{"box": [1, 2, 3, 4], "anomaly_score": 0.8}]}',
        '{"objects": [{"class": "cap", "score": 0.99}, {"class": "bottle", "score": 0.98}]}',
        '[{"point": [1, 2], "anomaly_score": 0.8',
    ],
)
def test_the_score_of_a_box_is_not_the_images(text):
    """The score of a box, a class or an item of a list is nobody's; there is no image score."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (None, {}, "unparsable")


def test_boxes_beside_an_image_score_are_told():
    """The image score counts, and a note tells that the score of a box was not read."""
    scores = parse('{"image_anomaly_score": 0.8, "boxes": [{"bbox": [1, 2, 3, 4], "score": 0.6}]}', N)
    assert (scores.image, scores.status, scores.notes) == (0.8, "partial", ("'score: 0.6' was not read.",))


def test_columns_of_unequal_length_are_told():
    """Of arrays of regions and scores that differ in length, none is read, and a note says so."""
    scores = parse('{"image_anomaly_score": 0.8, "regions": [4, 5], "scores": [0.6]}', N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {}, "partial")
    assert "2 regions and 1 scores" in scores.notes[0]


def test_of_numbered_pictures_in_json_the_last_counts():
    """Keys such as "image_2" name a picture; the last one is under inspection."""
    scores = parse('{"image_1": 0.1, "image_2": 0.8}', N)
    assert (scores.image, scores.status) == (0.8, "partial")
