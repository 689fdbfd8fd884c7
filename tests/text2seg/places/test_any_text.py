"""What holds for any text that is read for places."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import load_convention
from lvlm_ad.text2seg.places import FLAGS, HARMLESS, read_boxes, read_masks, read_points

SENT = (800, 400)
FRAGMENTS = [
    *("[", "]", "{", "}", "(", ")", "<", ">", ",", ", ", ":", ";", '"', "'", "\n", " ", "-", "```json\n", "\\", "&lt;"),
    *("1", "2", "30", "40", "125", "250", "375", "500", "1000", "1100", "0", "0.5", ".25", "1e3", "1e999", "9" * 40),
    *('"bbox_2d": [', '"box_2d": ', '"point": [', '"score": ', '"label": "dent"', '"label": "no defect"', '"mask": [['),
    *('"image_anomaly_score": 0.5', "image anomaly score: 0.7", '"boxes": [', "[125, 250, 375, 400]", "[30, 40]", "[]"),
    *("<box>", "</box>", "<ref>", "</ref>", "<|det|>[[", "<point>", "<loc0125>", "<loc_250>", "<patch_index_0040>"),
    *('<points x1="1" y1="2">', '<points coords="1 1 30 40">', '"xmin": 1, ', '"ymin": 2, "xmax": 30, "ymax": 40'),
    *("<think>", "</think>", "no defects", "None.", "is normal", "I can't help", "\u200b", "\uff3b", "null", "40 %"),
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join) | st.text(max_size=50)
names = st.sampled_from(
    ["qwen3_1000", "gemini_1000", "sent_pixels", "qwen25_seen", "padded_1", "coco_sent", "centre_1"]
)
own = st.sampled_from(["paligemma_1024", "florence_1000", "kosmos_32", "molmo_100", "molmo2_1000"])


@pytest.mark.parametrize("read", [read_boxes, read_points, read_masks])
@given(texts, names | own, st.sampled_from(["ok", "truncated", "refused"]), st.booleans())
@settings(max_examples=150)
def test_a_finding_is_sound(read, text, name, outcome, scored):
    """No text raises; scores lie in [0, 1], status, flags and notes agree; places lie in the picture."""
    finding = read(Answer(text, outcome), load_convention(name), SENT, scored=scored)
    assert all(0 <= shape.score <= 1 for shape in finding.shapes)
    assert finding.image is not None or not finding.shapes
    if outcome == "ok":
        assert (finding.image is None) == (finding.status in {"refused", "unparsable"})
    else:
        assert finding.status == outcome
    if finding.status == "ok":
        assert set(finding.flags) <= HARMLESS
    assert {FLAGS[flag] for flag in finding.flags} <= set(finding.notes)
    if read is read_boxes:
        assert all(0 <= box.x1 < box.x2 <= SENT[0] and 0 <= box.y1 < box.y2 <= SENT[1] for box in finding.shapes)
    if read is read_points:
        assert all(0 <= point.x <= SENT[0] and 0 <= point.y <= SENT[1] for point in finding.shapes)


@given(texts)
@settings(max_examples=300)
def test_every_side_of_a_box_stands_in_the_text(text):
    """In pixels as sent, each side is a number of the text or an edge of the picture."""
    finding = read_boxes(Answer(text), load_convention("sent_pixels"), SENT)
    written = re.findall(r"(?=([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[0-9]+)?))", text)
    known = {float(one) for one in written} | {0.0, *map(float, SENT)}
    assert all({box.x1, box.y1, box.x2, box.y2} <= known for box in finding.shapes)
