"""What an answer with boxes finds: scores, nothing, refusals, answers that are cut off or too long."""

import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import load_convention
from lvlm_ad.text2seg.lexer import LONGEST
from lvlm_ad.text2seg.places import read_boxes
from lvlm_ad.text2seg.read import TOO_LONG

SENT = (1000, 1000)


def boxes(text, convention="qwen3_1000", sent=SENT, outcome="ok", **options):
    """Read boxes, in a picture in which thousandths are pixels."""
    return read_boxes(Answer(text, outcome), load_convention(convention), sent, **options)


def sides(finding):
    """The sides of all boxes, rounded."""
    return [tuple(round(one, 6) for one in (box.x1, box.y1, box.x2, box.y2)) for box in finding.shapes]


ONE = (125, 250, 500, 375)


@pytest.mark.parametrize(
    ("text", "image", "scores", "flags"),
    [
        ('{"image_anomaly_score": 0.6, "boxes": [{"box": [1, 2, 3, 4], "score": 0.3}]}', 0.6, [0.3], ()),
        ('{"image_score": "60 %", "boxes": [{"box": [1, 2, 3, 4], "confidence": "30%"}]}', 0.6, [0.3], ()),
        ('{"image_score": 1e-05, "boxes": [{"box": [1, 2, 3, 4], "score": "2,5E-06"}]}', 1e-5, [2.5e-6], ()),
        ('{"anomaly_score": 0.6, "boxes": [{"box": [1, 2, 3, 4], "anomaly_score": 0.3}]}', 0.6, [0.3], ()),
        ('[{"image_anomaly_score": 0.6}, {"box": [1, 2, 3, 4], "conf": 0.3}]', 0.6, [0.3], ()),
        ('[{"image_anomaly_score": 0.6, "box": [1, 2, 3, 4], "probability": 0.3}]', 0.6, [0.3], ()),
        ('image anomaly score: 0.6\n[{"box": [1, 2, 3, 4], "score": 0.3}]', 0.6, [0.3], ()),
        ('{"image_anomaly_score": 0.6}\n[{"box": [1, 2, 3, 4], "score": 0.3}]', 0.6, [0.3], ()),
        ('{"image_anomaly_score": 0.6, "boxes": [{"box": [1, 2, 3, 4]}]}', 0.6, [0.6], ("no_score",)),
        ('{"anomaly_score": 0.6, "boxes": [[1, 2, 3, 4]]}', 0.6, [0.6], ("no_score",)),
        ('[{"box": [1, 2, 3, 4], "score": 0.3}]', 0.3, [0.3], ("no_image_score",)),
        ('{"score": 0.6, "boxes": [[1, 2, 3, 4]]}', 1.0, [1.0], ("no_image_score", "no_score")),
        ('{"image_anomaly_score": 6, "boxes": [{"box": [1, 2, 3, 4], "score": 0.3}]}', 0.3, [0.3],
         ("bad_score", "no_image_score")),
        ('{"image_anomaly_score": 0.6, "boxes": [{"box": [1, 2, 3, 4], "score": null}]}', 0.6, [0.6], ("no_score",)),
        ('{"image_anomaly_score": 0.6, "boxes": []}', 0.6, [], ()),
        ("[]", 0.0, [], ("no_image_score",)),
    ],
)  # fmt: skip
def test_scores_are_whose_they_are(text, image, scores, flags):
    """The scores of the image and of each box are kept apart; a missing one is flagged and replaced by the rule."""
    finding = boxes(text, scored=True)
    assert (finding.image, [box.score for box in finding.shapes], finding.flags) == (image, scores, flags)
    assert finding.status == ("partial" if flags else "ok")


@pytest.mark.parametrize(
    "text",
    [
        '[{"bbox_2d": [125, 250, 500, 375]}, {"bbox_2d": [5, 6, 7, 8], "label": "3" scratch", "anomaly_score": 0.7}]',
        "- scratch: [125, 250, 500, 375], anomaly score: 0.7",
        "<ref>scratch</ref><box>[[125, 250, 500, 375]]</box> score: 0.7",
        "The image shows a scratch at [125, 250, 500, 375]\nanomaly score: 0.7",
    ],
)
def test_the_score_of_a_place_is_not_the_images(text):
    """Beside a place, a score counts as the image's only where it is called so."""
    assert (boxes(text).image, sides(boxes(text))) == (1.0, [ONE])
    assert boxes(f"{text}\nOverall image anomaly score:\n0.25").image == 0.25
    assert boxes(f"{text}\nBild-Anomalie-Score: 0.25").image == 0.25


def test_without_scores_asked_for_none_is_missed():
    """A native box has the image's score, 1 if there is none, and nothing is flagged; a stated score counts."""
    assert [box.score for box in boxes('[{"box": [1, 2, 3, 4]}, {"box": [5, 6, 7, 8], "score": 0.4}]').shapes] == [
        1,
        0.4,
    ]
    finding = boxes("image anomaly score: 0.7 [1, 2, 30, 40]")
    assert (finding.image, finding.shapes[0].score, finding.status) == (0.7, 0.7, "ok")


def test_a_score_without_a_place_is_partial():
    """An image score is used, but an answer that neither gives a place nor says that there is none is incomplete."""
    finding = boxes("image anomaly score: 0.8", scored=True)
    assert (finding.image, finding.status, finding.flags) == (0.8, "partial", ())
    assert boxes("image anomaly score: 0.1. There are no visible defects.", scored=True).status == "ok"
    swapped = boxes('{"image_anomaly_score": 0.8, "boxes": [[30, 2, 1, 40]]}')
    assert (swapped.image, swapped.status, swapped.flags) == (0.8, "partial", ("swapped",))


@pytest.mark.parametrize(
    ("text", "image", "flags"),
    [
        ("[]", 0.0, ()),
        ('{"boxes": []}', 0.0, ()),
        ('{"bboxes": [], "notes": ["smooth"], "size": [768, 768]}', 0.0, ()),
        ('[{"bbox_2d": [0, 0, 0, 0]}, {"bbox_2d": [9, 9, 20, 20], "label": "none"}]', 0.0, ("negated", "zero_box")),
        ('[{"bbox_2d": [0, 0, 0, 0]}, {"bbox_2d": [9, 2, 1, 20]}]', 0.0, ("swapped", "zero_box")),
        ('{"boxes": [], "others": [{"label": "scratch"}]}', None, ("bad_shape",)),
        ('[{"label": "scratch", "anomaly_score": 0.7}]', None, ("bad_shape",)),
        ("- [ ] scratch\n- [ ] dent", None, ()),
        ('{"scratches": [], "dents": [{"bbox_2d": [10, 20', None, ("cut",)),
        ("None.", 0.0, ()),
        ("**No defects found.**", 0.0, ()),
        ("[{'bbox_2d': [9, 2, 1, 20]}] no defects", None, ("swapped",)),
        ("A scratch. [9, 2]", None, ()),
    ],
)
def test_nothing_found_is_an_image_score_of_zero(text, image, flags):
    """Empty lists, empty boxes, negated labels and words say that there is nothing; words only without a place."""
    finding = boxes(text)
    assert (finding.image, finding.shapes, finding.flags) == (image, (), flags)


@pytest.mark.parametrize("outcome", ["refused", "filtered", "empty"])
def test_an_answer_without_text_has_no_places(outcome):
    """The outcome decides, whatever the text."""
    finding = boxes("[[1, 2, 3, 4]]", outcome=outcome)
    assert (finding.image, finding.shapes) == (None, ())
    assert finding.status == ("unparsable" if outcome == "empty" else "refused")


@pytest.mark.parametrize(
    ("text", "n", "image"),
    [
        ("[[125, 250, 500, 375], [1, 2, 3", 1, 1.0),
        ('{"image_anomaly_score": 0.6, "boxes": [{"box": [1, 2, 3, 4], "sco', 0, 0.6),
        ('{"image_anomaly_score": 0', 0, None),
        ("There are no defects on the left. On the", 0, None),
        ("<box>125 250 500 37", 0, None),
        ("<loc0001><loc00", 0, None),
        ('{"scratches": [], "dents": [{"bbox_2d": [10, 20', 0, None),
        ("[]", 0, 0.0),
    ],
)
def test_a_truncated_answer_holds_what_is_closed(text, n, image):
    """Closed places and whole numbers are kept; words that may go on say nothing; no flag repeats the status."""
    finding = boxes(text, outcome="truncated")
    assert (len(finding.shapes), finding.image, finding.status) == (n, image, "truncated")
    assert "cut" not in finding.flags


def test_words_of_a_refusal_count_only_without_an_image_score():
    """A refusal in words is refused; with a box beside it, it is an answer."""
    assert boxes("I'm sorry, but I can't analyze this image.").status == "refused"
    assert boxes("I'm sorry, but I can't help. I cannot see any defects as I can't view images.").status == "refused"
    assert boxes("I'm sorry, but I can't help more than this: [1, 2, 30, 40]").status == "ok"


def test_a_repeated_question_is_no_answer():
    """The form that a question shows, and what it asks for where there is no defect, are no findings."""
    form = '{"image_anomaly_score": 0.9, "boxes": [{"box_2d": [y1, x1, y2, x2], "score": 0.9}]}'
    asked = "If nothing is anomalous, answer with an empty list: []"
    assert (boxes(form).image, boxes(asked).image) == (None, None)
    assert sides(boxes(f"{form}\n[125, 250, 500, 375]")) == [ONE]
    assert sides(boxes(f"You inspect industrial products for defects.\n{asked}\n[125, 250, 500, 375]")) == [ONE]


def test_only_the_end_of_a_very_long_answer_is_read():
    """Of a text beyond the limit the end is read, and the finding says so."""
    finding = boxes("[[1, 2, 30, 40]]" + " so" * LONGEST + " [[125, 250, 500, 375]]")
    assert (sides(finding), finding.status, finding.notes) == ([ONE], "partial", (TOO_LONG,))


@pytest.mark.parametrize(
    ("piece", "name"),
    [("{", "qwen3_1000"), ("[1,", "qwen3_1000"), ("<box>[1,", "qwen3_1000"), ("<loc0001>", "paligemma_1024")],
)
def test_a_megabyte_of_anything_is_read(piece, name):
    """No hostile text raises or hangs, and no box comes out of it that is not in it."""
    assert boxes(piece * (1_000_000 // len(piece)), name).shapes == ()
