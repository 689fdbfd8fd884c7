"""Boxes in an answer, by the rules of each flag, status and notation."""

import json

import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import load_convention
from lvlm_ad.text2seg.places import FLAGS, HARMLESS, read_boxes

SENT = (1000, 1000)


def boxes(text, convention="qwen3_1000", sent=SENT, outcome="ok", **options):
    """Read boxes, in a picture in which thousandths are pixels."""
    return read_boxes(Answer(text, outcome), load_convention(convention), sent, **options)


def sides(finding):
    """The sides of all boxes, rounded."""
    return [tuple(round(one, 6) for one in (box.x1, box.y1, box.x2, box.y2)) for box in finding.shapes]


ONE, TWO = (125, 250, 500, 375), (0, 0, 125, 125)


@pytest.mark.parametrize(
    "text",
    [
        '[{"bbox_2d": [125, 250, 500, 375]}, {"bbox_2d": [0, 0, 125, 125]}]',
        '{"bbox_2d": [125, 250, 500, 375]}\n{"bbox_2d": [0, 0, 125, 125]}',
        '{"bbox_2d": [125, 250, 500, 375]} and {"bbox_2d": [0, 0, 125, 125]}',
        '{"any": [{"BBox": [125, 250, 500, 375]}], "other": [[0, 0, 125, 125]]}',
        '{"result": {"defects": [{"place": {"box": [125, 250, 500, 375]}}, {"position": [0, 0, 125, 125]}]}}',
        '[{"label": "holes", "bboxes": [[125, 250, 500, 375], [0, 0, 125, 125]]}]',
        '[{"coordinates": "125, 250, 500, 375"}, {"bounding_box": ["0", "0", "125", "125"]}]',
        '[{"box": [[125, 250], [500, 375]]}, {"x1": 0, "y1": 0, "x2": 125, "y2": 125}]',
        '[{"xmin": 125, "ymin": 250, "xmax": 500, "ymax": 375}, {"x": 0, "y": 0, "w": 125, "h": 125}]',
        '{"box": {"left": 125, "top": 250, "right": 500, "bottom": 375}} {"x": 0, "y": 0, "width": 125, "height": 125}',
        "[{'box_2d': (125, 250, 500, 375), 'label': 'a',}, {'box_2d': (0, 0, 125, 125,),},]",
        "- one: [125, 250, 500, 375]\n- two: [0, 0, 125, 125]",
        "A nut [[125,250,500,375]] with a dent [[000,000,125,125]].",
        "A nut with dents [[125,250,500,375;000,000,125,125]].",
        "[[125, 250, 500, 375], [0, 0, 125, 125]]",
        "Here is [1] and [2, 3]: [125, 250, 500, 375]; [0, 0, 125, 125]",
        "one(125,250),(500,375) two(0,0),(125,125)",
        "<125, 250, 500, 375> (0, 0, 125, 125)",
        "<ref>a</ref><box>(125,250),(500,375)</box><ref>b</ref><box>(0,0),(125,125)</box>",
        "<ref>a</ref><box>[[125,250,500,375],[0,0,125,125]]</box>",
        "<box>125 250 500 375</box> <box>0 0 125 125</box>",
        "<|det|>[[125,250,500,375],[0,0,125,125]]<|/det|>",
        "&lt;|box_start|&gt;(125,250),(500,375)&lt;|box_end|&gt;<|box_start|>(0,0),(125,125)<|box_end|>",
        "<|begin_of_box|>[125,250,500,375], [0,0,125,125]<|end_of_box|>",
        "\\boxed{[[125,250,500,375], [0,0,125,125]]}",
        "\uff3b125\uff0c250\uff0c500\uff0c375\uff3d [0, 0, 125, 125]",
        "<think>[[1, 2, 3, 4]]</think>[[125,250,500,375], [0,0,125,125]]",
        "[[1, 2, 3, 4]] no longer counts: " + '{"boxes": [[125,250,500,375], [0,0,125,125]]}',
        '{"boxes": [[1, 2, 3, 4]]} {"boxes": [[125,250,500,375], [0,0,125,125]]}',
    ],
)
def test_two_boxes_are_read_in_any_notation(text):
    """Both boxes are read, in the answer's order, each with the score 1, and nothing is flagged."""
    finding = boxes(text)
    assert sides(finding) == [ONE, TWO]
    assert (finding.image, finding.status, finding.flags, finding.notes) == (1.0, "ok", (), ())
    assert {box.score for box in finding.shapes} == {1.0}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("gemini_1000", "[[100, 200, 300, 400]]", (200, 100, 400, 300)),
        ("coco_sent", "[[100, 200, 300, 400]]", (100, 200, 400, 600)),
        ("centre_1", "[[0.5, 0.5, 0.2, 0.4]]", (400, 300, 600, 700)),
        ("percent_100", "[[10, 20, 30, 40]]", (100, 200, 300, 400)),
        ("mistral_999", "[[0, 0, 999, 999]]", (0, 0, 1000, 1000)),
        ("paligemma_1024", "<loc0256><loc0512><loc0512><loc1023>", (500, 250, 999.023438, 500)),
        ("florence_1000", "x<loc_0><loc_1><loc_998><loc_999>", (0.5, 1.5, 998.5, 999.5)),
        ("kosmos_32", "<patch_index_0000><patch_index_0031>", (0, 0, 1000, 31.25)),
        ("kosmos_32", "<patch_index_0000><patch_index_0001>", (0, 0, 62.5, 31.25)),
        ("kosmos_32", "<patch_index_0000><patch_index_0033>", (15.625, 15.625, 46.875, 46.875)),
    ],
)
def test_the_convention_decides_what_numbers_mean(name, text, expected):
    """Order and range are those of the model, whatever the key and the values."""
    assert sides(boxes(text, name)) == [expected]


def test_named_numbers_override_the_order_and_not_the_range():
    """Numbers with names are read by them, in the convention's range."""
    finding = boxes('[{"box_2d": {"xmin": 10, "ymin": 20, "xmax": 30, "ymax": 40}}]', "gemini_1000", (2000, 1000))
    assert sides(finding) == [(20, 20, 60, 40)]


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ('[{"bbox_2d": [1, 2, 3]}, {"bbox_2d": [125, 250, 500, 375]}]', "bad_shape"),
        ('[{"label": "scratch"}, {"bbox_2d": [125, 250, 500, 375]}]', "bad_shape"),
        ('[{"bbox_2d": "left"}, {"bbox_2d": [125, 250, 500, 375]}]', "bad_shape"),
        ('[{"bbox_2d": ["a", 2, 3, 4]}, {"bbox_2d": [125, 250, 500, 375]}]', "bad_shape"),
        ("[[1, 2, 3], [125, 250, 500, 375]]", "bad_shape"),
        ("<box>1 2 3</box><box>125 250 500 375</box>", "bad_shape"),
        ('[{"bbox_2d": [0, 0, 0, 0]}, {"bbox_2d": [125, 250, 500, 375]}]', "zero_box"),
        ('[{"bbox_2d": [1, 2, 30, 40], "label": "No defect."}, {"bbox_2d": [125, 250, 500, 375]}]', "negated"),
        ("<ref>normal area</ref><box>1 2 30 40</box><ref>dent</ref><box>125 250 500 375</box>", "negated"),
        ('[{"bbox_2d": [30, 2, 1, 40]}, {"bbox_2d": [125, 250, 500, 375]}]', "swapped"),
        ('[{"bbox_2d": [30, 2, 30, 40]}, {"bbox_2d": [125, 250, 500, 375]}]', "degenerate"),
        ('[{"bbox_2d": [1000, 2, 1040, 40]}, {"bbox_2d": [125, 250, 500, 375]}]', "degenerate"),
        ('[{"bbox_2d": [125, 250, 500, 375]}, {"bbox_2d": [125, 2', "cut"),
        ('{"boxes": [{"bbox_2d": [125, 250, 500, 375]}, {"bbox_2d"', "cut"),
        ("[[125, 250, 500, 375], [1, 2", "cut"),
        ("<box>[[125, 250, 500, 375], [1, 2", "cut"),
        ('[{"bbox_2d": [125, 250, 500, 375], "score": 1.5}]', "bad_score"),
        ('[{"bbox_2d": [125, 250, 500, 375], "score": "high"}]', "bad_score"),
    ],
)
def test_what_is_wrong_with_one_box_leaves_the_other(text, flag):
    """Each fault has its flag and its sentence, the sound box is used, and the answer is partial."""
    finding = boxes(text)
    assert sides(finding) == [ONE]
    assert (finding.flags, finding.notes, finding.status, finding.image) == ((flag,), (FLAGS[flag],), "partial", 1.0)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[[125, 250, 500, 375], [1, 2, 3, 1101]]", "qwen3_1000"),
        ("[[125, 250, 500, 375], [-101, 2, 3, 4]]", "qwen3_1000"),
        ("[[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]]", "qwen3_1000"),
        ("[[0.1, 0.2, 0.3, 0.4]]", "sent_pixels"),
        ("[[0.1, 0.2, 0.3, 1.2]]", "unit_1"),
        ("[[600, 200, 600, 200]]", "coco_sent"),
        ("[[1, 2, 3, 1e999]]", "qwen3_1000"),
        ("<loc0001><loc0002><loc0003><loc0004>", "qwen3_1000"),
        ("<loc_1><loc_2><loc_3><loc_4>", "paligemma_1024"),
        ('<point x="10" y="20" alt="dent">dent</point>', "qwen3_1000"),
    ],
)
def test_one_place_outside_the_convention_makes_all_doubtful(text, name):
    """No place is used, nothing is rescaled, and there is no image score."""
    finding = boxes(text, name)
    assert (finding.shapes, finding.image, finding.status) == ((), None, "unparsable")
    assert finding.flags == ("not_convention",)


def test_a_model_with_its_own_tokens_is_read_by_them_alone():
    """JSON from a model that writes location tokens is nothing readable; tokens beside JSON are used."""
    assert boxes("[[1, 2, 3, 4]]", "paligemma_1024").status == "unparsable"
    mixed = boxes("[[1, 2, 3, 4]] <loc0256><loc0512><loc0512><loc0768>", "paligemma_1024")
    assert sides(mixed) == [(500, 250, 750, 500)]


def test_boxes_after_damage_in_a_list_still_belong_to_it():
    """A box after damaged JSON may belong to it: both boxes are used, and the damage is flagged."""
    finding = boxes('[{"bbox_2d": [125, 250, 500, 375]}, !!! {"bbox_2d": [0, 0, 125, 125]}]')
    assert (sides(finding), finding.flags) == ([ONE, TWO], ("cut",))


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("[125, 250, 500, 37", ("cut",)),
        ('{"boxes": [125, 250, 500, 37', ("cut",)),
        ("<box>125 250 500 37", ("bad_shape", "cut")),
        ("<box>[125, 250, 500, 37", ("bad_shape", "cut")),
        ("Names are in [[1, 2, 3]].", ()),
    ],
)
def test_an_unclosed_list_and_one_of_another_length_are_no_box(text, flags):
    """Four numbers without a closing bracket may be half of one; three numbers in prose are no box at all."""
    finding = boxes(text)
    assert (finding.shapes, finding.image, finding.flags) == ((), None, flags)


@pytest.mark.parametrize("name", ["molmo_100", "molmo2_1000"])
def test_a_model_that_only_points_gives_no_boxes(name):
    """Points are not read as boxes, however many numbers they have."""
    text = '<points x1="10" y1="20" x2="30" y2="40"> <points coords="1 1 100 200 300 400">pits</points>'
    assert boxes(text, name).shapes == ()


def test_location_tokens_that_are_no_multiple_of_four_leave_the_rest():
    """Of six tokens four are a box, and the answer says that two are too many."""
    finding = boxes("<loc0256><loc0512><loc0512><loc0768><loc0001><loc0002> dent", "paligemma_1024")
    assert (sides(finding), finding.flags) == ([(500, 250, 750, 500)], ("bad_shape",))


def test_a_box_that_ends_a_little_outside_is_cut():
    """Up to a tenth of the range outside, a box is cut at the edge."""
    finding = boxes("[[-100, 250, 500, 1100]]")
    assert (sides(finding), finding.flags, finding.status) == ([(0, 250, 500, 1000)], ("clipped",), "partial")


def test_rounding_is_not_outside():
    """Sums of fractions that exceed 1 by rounding alone are no fault."""
    assert boxes("[[0.55, 0.85, 0.9, 0.30000000000000004]]", "centre_1").flags == ()


def test_copies_are_taken_off_and_a_loop_is_told():
    """A repeated box counts once, with its highest score; more than ten copies are a loop."""
    entry = '{"bbox_2d": [125, 250, 500, 375], "score": 0.5}'
    twice = boxes(f"[{entry}, {entry.replace('0.5', '0.8')}]")
    assert [box.score for box in twice.shapes] == [0.8]
    assert (twice.flags, twice.status) == (("duplicate",), "ok")
    assert boxes(f"[{', '.join([entry] * 11)}]").flags == ("duplicate",)
    loop = boxes(f"[{', '.join([entry] * 12)}]")
    assert (loop.flags, loop.status, len(loop.shapes)) == (("duplicate", "looped"), "partial", 1)


def test_only_the_first_hundred_boxes_count():
    """Of 101 distinct boxes the last is left out."""
    listed = [[left, 0, left + 5, 9] for left in range(101)]
    assert boxes(json.dumps(listed[:100])).flags == ()
    finding = boxes(json.dumps(listed))
    assert (len(finding.shapes), finding.flags, finding.shapes[-1].x1) == (100, ("too_many",), 99)


def test_a_box_around_almost_everything_is_used_and_told():
    """A box of 95 % of the picture is flagged, which leaves the answer ok."""
    assert boxes("[[0, 0, 1000, 949]]").flags == ()
    finding = boxes("[[0, 0, 1000, 950]]")
    assert (finding.flags, finding.status, len(finding.shapes)) == (("whole_image",), "ok", 1)
    assert "whole_image" in HARMLESS
