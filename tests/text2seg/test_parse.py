"""What is read from answers, written in the published format and painted into regions."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lvlm_ad.backend import Answer
from lvlm_ad.regions import Regions
from lvlm_ad.text2seg import paint, parse, read, write

N = 60

FORMAT = [
    ("image anomaly score: 0.9; region 1: 0.9; region 3: 0.7.", 0.9, {1: 0.9, 3: 0.7}),
    ("IMAGE ANOMALY SCORE: 0.9; REGION 1: 0.9; REGION 3: 0.7", 0.9, {1: 0.9, 3: 0.7}),
    ("image anomaly score:0.9;region1:0.9;region3:0.7.", 0.9, {1: 0.9, 3: 0.7}),
    ("Image anomaly score: 0.9\nRegion 1: 0.9\nRegion 3: 0.7", 0.9, {1: 0.9, 3: 0.7}),
    ("image anomaly score: 0.9\r\nregion 3: 0.7\r\n", 0.9, {3: 0.7}),
    ("image anomaly score: 0.9, region 1: 0.9, region 3: 0.7", 0.9, {1: 0.9, 3: 0.7}),
    ("image anomaly score: 0.9 | region 1: 0.9 | region 3: 0.7", 0.9, {1: 0.9, 3: 0.7}),
    ("image_anomaly_score: 0.9; region_1: 0.9", 0.9, {1: 0.9}),
    ("IMAGE ANOMALY SCORE = 0.9, REGION 1 = 0.9", 0.9, {1: 0.9}),
    ("```\nimage anomaly score: 0.9; region 1: 0.9.\n```", 0.9, {1: 0.9}),
    ("**Image anomaly score:** 0.9\n\n- **Region 3:** 0.7\n- __Region 5__: *0.4*", 0.9, {3: 0.7, 5: 0.4}),
    ("- Image anomaly score: 0.9\n- Region 3: 0.7", 0.9, {3: 0.7}),
    ("• Image anomaly score \u2013 0.9\n• Region 3 — 0.7", 0.9, {3: 0.7}),
    ("* Image anomaly score: 0.9\n* Region 3: 0.7", 0.9, {3: 0.7}),
    ("1. image anomaly score: 0.9\n2. region 3: 0.7\n3. region 5: 0.2", 0.9, {3: 0.7, 5: 0.2}),
    ("> image anomaly score: 0.9; region 3: 0.7.", 0.9, {3: 0.7}),
    ("image anomaly score: 0.9; region 3: 0.7 (scratch); region 4: 0.2 - dent", 0.9, {3: 0.7, 4: 0.2}),
    ("<answer>image anomaly score: 0.9; region 1: 0.9.</answer>", 0.9, {1: 0.9}),
    ("<|begin_of_box|>image anomaly score: 0.9; region 1: 0.9.<|end_of_box|>", 0.9, {1: 0.9}),
    ("image anomaly score: $0.9$; region 1: $0.8$", 0.9, {1: 0.8}),
    ("Image anomaly score：０.９；region ３：0.7", 0.9, {3: 0.7}),  # noqa: RUF001 - full-width forms are meant
    ("image\u00a0anomaly\u00a0score:\u202f0.9;\u00a0region\u200b 3: 0.7", 0.9, {3: 0.7}),
    ("Region 3 → 0.7\nRegion 5 ⇒ 0.3\nImage anomaly score -> 0.7", 0.7, {3: 0.7, 5: 0.3}),
    ("Region 3: 🔴 0.7\nImage anomaly score: ⚠️ 0.7", 0.7, {3: 0.7}),
]

LABELS = [
    ("anomaly score: 0.9; section 3: 0.7", 0.9, {3: 0.7}),
    ("Image: 0.9, Region 3: 0.7, Region 5: 0.4", 0.9, {3: 0.7, 5: 0.4}),
    ("Score: 0.9; Region #3 - 0.7", 0.9, {3: 0.7}),
    ("Image score 0.9, region 3 (0.7)", 0.9, {3: 0.7}),
    ("Overall anomaly score: 0.9. Region 3 = 0.7", 0.9, {3: 0.7}),
    (
        "Image-level anomaly score: 0.9; Region no. 3: 0.7; Region [4]: 0.2; (Region 5): 0.1",
        0.9,
        {3: 0.7, 4: 0.2, 5: 0.1},
    ),
    ("The image anomaly score is 0.8. Region 3 has an anomaly score of 0.7.", 0.8, {3: 0.7}),
    ("The image has an anomaly score of 0.9. Region 3 (score: 0.9) shows a scratch.", 0.9, {3: 0.9}),
    ("I would assign a score of 0.7 to region 3. The overall anomaly score is 0.8.", 0.8, {3: 0.7}),
    ("Anomaly score for the image: 0.7\nAnomaly score for region 3: 0.6", 0.7, {3: 0.6}),
    ("The anomaly score for this metal nut is 0.85.", 0.85, {}),
    ("Region 3's anomaly score is 0.7. The image’s anomaly score is 0.8.", 0.8, {3: 0.7}),  # noqa: RUF001 - likewise
    ("The image anomaly score is 0.75. Region 14 has the score 0.7.", 0.75, {14: 0.7}),
    ("Image anomaly score: 0.75. For region 14, the score is 0.7.", 0.75, {14: 0.7}),
    ("Region 3 looks scratched, the anomaly score is 0.9.", 0.9, {}),
    ("The image anomaly score would be 0.8, with region 3 at 0.7 and region 5 at 0.6.", 0.8, {3: 0.7, 5: 0.6}),
    ("Image anomaly score (0-1): 0.9; Region 3 (0 to 1): 0.7", 0.9, {3: 0.7}),
    ("Image anomaly score: 0.9\nRegion 3 (upper left): 0.7\nRegion 7 (2 holes): 0.3", 0.9, {3: 0.7, 7: 0.3}),
    ("Image anomaly score: 0.9\nRegion 3, 5 and 7: 0.8", 0.9, {3: 0.8, 5: 0.8, 7: 0.8}),
    ("Image anomaly score: 0.9\nregions 3-5: 0.6", 0.9, {3: 0.6, 4: 0.6, 5: 0.6}),
    ("Image anomaly score: 0.9\nRegions 3 to 5, and 8: 0.6", 0.9, {3: 0.6, 4: 0.6, 5: 0.6, 8: 0.6}),
    ("Image anomaly score: 0.9\nRegions 3 & 5: 0.6", 0.9, {3: 0.6, 5: 0.6}),
    (
        "Image anomaly score: 0.9\nregion 3 and region 5: 0.7; region 8, region 9: 0.6",
        0.9,
        {3: 0.7, 5: 0.7, 8: 0.6, 9: 0.6},
    ),
    ("Image anomaly score: 0.8; Regions 3, 4 and 5: 0.7, 0.6, and 0.5", 0.8, {3: 0.7, 4: 0.6, 5: 0.5}),
    ("Image anomaly score: 0.8; Regions 3 and 4: 0.7 and 0.6 respectively", 0.8, {3: 0.7, 4: 0.6}),
    ("Image anomaly score: 0.8; Regions 3 and 4: 0.7, 5: 0.6", 0.8, {3: 0.7, 4: 0.7, 5: 0.6}),
    ("Image anomaly score: 0.8\nAnomalous regions: 3 (0.8), 4 (0.3)", 0.8, {3: 0.8, 4: 0.3}),
    ("Image anomaly score: 0.8\nRegions 1, 2 (0.5) and 4 (0.3)", 0.8, {1: 0.5, 2: 0.5, 4: 0.3}),
    ("Image anomaly score: 0.8\nRegion 3: 85% anomalous", 0.8, {3: 0.85}),
    ("Image anomaly score: 0.8; region 3: 0.8. Other regions (1-2, 4-5): 0.0", 0.8, {1: 0, 2: 0, 3: 0.8, 4: 0, 5: 0}),
    ("image anomaly score: 0.9; region 1: 0.9; 3: 0.7; 5: 0.4.", 0.9, {1: 0.9, 3: 0.7, 5: 0.4}),
    ("image anomaly score: 0.9\nregions:\n  3: 0.7\n  5: 0.4", 0.9, {3: 0.7, 5: 0.4}),
    ("Region: 3, Score: 0.7\nRegion: 5, Score: 0.4\nImage anomaly score: 0.7", 0.7, {3: 0.7, 5: 0.4}),
    ("Image anomaly score:\n0.9\n\nRegion 3:\n0.7", 0.9, {3: 0.7}),
    ("### Image anomaly score\n0.9\n### Region 3\n0.7", 0.9, {3: 0.7}),
    ("### Region 3\n- Flaw: 2 scratches\n- Anomaly score: 0.7\n\n### Overall\nImage anomaly score: 0.8", 0.8, {3: 0.7}),
    (
        "1. Region 3: A scratch. Score: 0.7\n2. Region 5: a dent. Score: 0.5\n\nAnomaly score: 0.8",
        0.8,
        {3: 0.7, 5: 0.5},
    ),
    ("Region 3: a scratch.\nAnomaly score: 0.8; region 3: 0.6.", 0.8, {3: 0.6}),
    (
        "**Region 3** \u2013 **Anomaly score: 0.9** \u2013 scratch\n**Region 5** (dent): 0.4\n\n**Overall: 0.9**",
        0.9,
        {3: 0.9, 5: 0.4},
    ),
    ("Region 3 — scratch: 0.7\nRegion 5 — dent (0.4)\nImage anomaly score: 0.7", 0.7, {3: 0.7, 5: 0.4}),
]

NUMBERS = [
    ("image anomaly score: 90%; region 3: 70 %; region 4: 60 percent", 0.9, {3: 0.7, 4: 0.6}),
    ("image anomaly score: 0,9; region 3: 0,7", 0.9, {3: 0.7}),
    ("image anomaly score: .9; region 3: .7", 0.9, {3: 0.7}),
    ("image anomaly score: 1; region 2: 1; region 7: 0", 1.0, {2: 1.0, 7: 0.0}),
    ("Image score 1; region 2 (1.0)", 1.0, {2: 1.0}),
    ("image anomaly score: 9/10; region 3: 0.7/1; region 4: 7 out of 10", 0.9, {3: 0.7, 4: 0.7}),
    ("image anomaly score: 0.7 out of 1; Region 3 - 1", 0.7, {3: 1.0}),
    ("image anomaly score: approximately 0.8; region 3: ~0.7; region 4: about 0.5", 0.8, {3: 0.7, 4: 0.5}),
    ("image anomaly score: 1e-1; region 3: 0.25000", 0.1, {3: 0.25}),
]

TABLES = [
    ("| Region | Score |\n|---|---|\n| Image | 0.9 |\n| 3 | 0.7 |\n| 4, 5 | 0.2 |", 0.9, {3: 0.7, 4: 0.2, 5: 0.2}),
    ("| image | 0.9 |\n| region 3 | 0.7 | desc |", 0.9, {3: 0.7}),
    ("| Item | Anomaly score |\n|:---|---:|\n| **Image** | **0.9** |\n| **Region 3** | **0.7** |", 0.9, {3: 0.7}),
    (
        "| Region | What | Anomaly score |\n|--|--|--|\n| 3 | scratch, 2 mm | 0.7 |\n\nImage anomaly score: 0.8",
        0.8,
        {3: 0.7},
    ),
    ("Region | Score\n--- | ---\n3 | 0.7\n5-6 | 0.4\nImage | 0.8", 0.8, {3: 0.7, 5: 0.4, 6: 0.4}),
    ("<table><tr><th>Region</th><th>Score</th></tr><tr><td>3</td><td>0.7</td></tr></table> Image: 0.8", 0.8, {3: 0.7}),
    ("Image anomaly score: 0.9\n\n| Region | Width |\n|---|---|\n| 3 | 0.7 |", 0.9, {}),
]

JSON = [
    (
        '{"image_anomaly_score": 0.9, "regions": [{"region": 1, "score": 0.9}, {"region": 3, "score": 0.7}]}',
        0.9,
        {1: 0.9, 3: 0.7},
    ),
    (
        'Sure:\n```json\n{\n "image_anomaly_score": 0.9,\n "regions": {"1": 0.9, "3": 0.7,},\n}\n```',
        0.9,
        {1: 0.9, 3: 0.7},
    ),
    ('{"image_score":0.9,"regions":[{"region":1,"score":0.9}]}', 0.9, {1: 0.9}),
    ('{"image_anomaly_score": 0.3, "regions": []}', 0.3, {}),
    ('{"image anomaly score": 0.9, "region 1": 0.9, "region_3": "70%"}', 0.9, {1: 0.9, 3: 0.7}),
    ("{'image_anomaly_score': 0.3, 'regions': {3: 0.3}}", 0.3, {3: 0.3}),
    ('{"regions": {"region_3": {"score": 0.3, "why": "2 holes"}}, "image_anomaly_score": "0.3"}', 0.3, {3: 0.3}),
    ('{"image": {"anomaly_score": 0.3}, "regions": [[3, 0.3]]}', 0.3, {3: 0.3}),
    ('{"result": {"imageAnomalyScore": 0.3, "anomalousRegions": [{"id": 3, "anomalyScore": 0.2}]}}', 0.3, {3: 0.2}),
    ('{"image_anomaly_score": 0.5, "regions": [{"region": "3, 5", "score": 0.4}]}', 0.5, {3: 0.4, 5: 0.4}),
    ('{"answer": "image anomaly score: 0.9; region 1: 0.9."}', 0.9, {1: 0.9}),
    ('{"image_anomaly_score": 0.3, "regions": [{"region": 3, "score": 0.3}]}\nRegion 9 (0.1) is fine.', 0.3, {3: 0.3}),
    (
        'Draft: {"image_score": 0.1, "regions": {"9": 0.1}}\nFinal: {"image_score": 0.3, "regions": []}',
        0.3,
        {},
    ),
    ("{a set} image anomaly score: 0.4; region 2: 0.4 {", 0.4, {2: 0.4}),
    ("{" * 5000 + "}" * 5000 + " image anomaly score: 0.4", 0.4, {}),
]

STATEMENTS = [
    (
        "image anomaly score: 0.5; region 9: 0.5.\nOn reflection: image anomaly score: 0.9; region 1: 0.9.",
        0.9,
        {1: 0.9},
    ),
    ("image anomaly score: 0.9; region 3: 0.7.\nIt was a shadow. image anomaly score: 0.1", 0.1, {}),
    ("Region 3: 0.7\nRegion 5: 0.2\nImage anomaly score: 0.8", 0.8, {3: 0.7, 5: 0.2}),
    ("Region 9 (0.3) may be a shadow.\nFinal: image anomaly score: 0.8; region 3: 0.7", 0.8, {3: 0.7}),
    ("image anomaly score: 0.9; region 3: 0.7.\nThe anomaly score of 0.9 reflects the scratch.", 0.9, {3: 0.7}),
    ("<think>image anomaly score: 0.5; region 9: 0.5</think>image anomaly score: 0.9; region 1: 0.9", 0.9, {1: 0.9}),
    ("image anomaly score: 0.5; region 9: 0.5</think>\nRegion 1: 0.2\nimage anomaly score: 0.9", 0.9, {1: 0.2}),
    ("Region 9: 0.5, or <think>no</think> rather</think>\nimage anomaly score: 0.9", 0.9, {}),
    ("Because of the scratch in region 3 the anomaly score is 0.8.", 0.8, {}),
    ("For region 3, the scratch is deep. The anomaly score is 0.8; region 3: 0.7", 0.8, {3: 0.7}),
    ("image anomaly score: 0.1. No anomalies in any of the 60 regions.", 0.1, {}),
    ("Anomaly score: 0.0\n\nThe image shows a normal bottle.", 0.0, {}),
    ("I'm sorry, I can only give a rough estimate: image anomaly score: 0.4", 0.4, {}),
    ("image anomaly score: 0.9; region 3: 0.7; region 3: 0.70", 0.9, {3: 0.7}),
]

REASONING = [
    "Region 3 shows 2 scratches.",
    "I compared region 3 with region 5.",
    "The scratch in region 3 is about 0.5 cm wide.",
    "In region 3 there are 2 holes, in region 5 there are 3.",
    "Region 3 is 0.5 cm wide. Region 4: 0.3 mm deep.",
    "Region 3: 2 scratches. Region 5: 1 scratch.",
    "Region 3 is 1 of 5. Region 4 has 0.5. Region 5 0.7",
    "Region 3: seen on 2024-05-12 at 12:30.",
    "Region 3: located at (0.3, 0.4), x=0.3.",
    "Region 3: Normal. Confidence: 0.95.",
    "Confidence score: 0.95. The highest region score is 0.7.",
    "On a scale of 0 to 1, a score of 0 means normal and a score of 1 means anomalous.",
    "All 60 regions (1-60) were inspected.",
    "Image 1 of 2, Region 3 <box>(0,1),(2,3)</box>.",
]


@pytest.mark.parametrize(("text", "image", "regions"), [*FORMAT, *LABELS, *NUMBERS, *TABLES, *JSON, *STATEMENTS])
def test_answer_is_read_whole(text, image, regions):
    """An answer in any of the ways in which models write it gives exactly its scores and no notes."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status, scores.notes) == (image, regions, "ok", ())


@pytest.mark.parametrize("prose", REASONING)
def test_number_in_reasoning_is_no_score(prose):
    """A count, a measure, a date, a place or a confidence is no score, alone or before a statement."""
    assert parse(prose, N).status == "unparsable"
    scores = parse(f"{prose}\nimage anomaly score: 0.6; region 7: 0.6", N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.6, {7: 0.6}, "ok")


@pytest.mark.parametrize(
    ("text", "image", "regions", "note"),
    [
        ("region 3: 0.7; region 5: 0.2", 0.7, {3: 0.7, 5: 0.2}, "no image score"),
        ('[{"region": 3, "score": 0.3}, {"region": 4, "score": 0.2}]', 0.3, {3: 0.3, 4: 0.2}, "no image score"),
        ('{"image_anomaly_score": null, "regions": [{"region": 3, "score": 0.7}]}', 0.7, {3: 0.7}, "no image score"),
        ("image anomaly score: 0.9; region 0: 0.7; region 60: 0.2", 0.9, {60: 0.2}, "Region 0 was not drawn"),
        ("image anomaly score: 0.9; region 61: 0.7; region 60: 0.2", 0.9, {60: 0.2}, "Region 61 was not drawn"),
        ("image anomaly score: 0.3; regions 59-999999999: 0.3", 0.3, {59: 0.3, 60: 0.3}, "999999999 were not drawn"),
        (f"image anomaly score: 0.3; region {'9' * 5000}: 0.3", 0.3, {}, "a very large number was not drawn"),
        ("image anomaly score: 0.9; region 3: 1.5; region 4: 0.2", 0.9, {4: 0.2}, "'1.5' as the score of a region"),
        ("image anomaly score: 0.9; region 3: -0.2; region 4: 0.2", 0.9, {4: 0.2}, "'-0.2' as the score"),
        ("image anomaly score: 0.9; region 3: 90", 0.9, {}, "'90' as the score of a region is outside"),
        ("image anomaly score: 1.5; region 3: 0.7", 0.7, {3: 0.7}, "'1.5' as the image score is outside"),
        ("image anomaly score: -0.5; region 3: 0.7", 0.7, {3: 0.7}, "'-0.5' as the image score is outside"),
        ("image anomaly score: 0.9; region 3: 0.7\nimage anomaly score: 85", 0.9, {3: 0.7}, "'85' as the image score"),
        ("image anomaly score: 0.9; region 3: 0.7; region 3: 0.4", 0.9, {3: 0.4}, "Region 3 has two scores"),
        ('{"image_anomaly_score": 0.9, "regions": {"3": 0.7, "3": 0.4}}', 0.9, {3: 0.4}, "Region 3 has two scores"),
        ("image anomaly score: 0.8; region 3: 0.6-0.8", 0.8, {}, "is no single number"),
        ("image anomaly score: 0.8; regions 3, 4, 5: 0.7, 0.6", 0.8, {}, "'0.7, 0.6' as the score"),
        ("image anomaly score: 0.8; region 3: 0.9.1", 0.8, {}, "is no single number"),
        ("image anomaly score: 0.8; region 3: 0 . 7", 0.8, {}, "is no single number"),
        ("image anomaly score: 0.8; region 3: 0.\u0669", 0.8, {}, "is no single number"),
        ('{"image_anomaly_score": 0.9, "regions": [{"region": 1, "score": 0.9}, {"reg', 0.9, {1: 0.9}, "cut off"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_noted_and_the_rest_kept(text, image, regions, note):
    """A region not drawn, a score out of range or a missing part is noted; everything else is kept."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (image, regions, "partial")
    assert any(note in line for line in scores.notes), scores.notes


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I can’t help with that request.",  # noqa: RUF001 - models write curly apostrophes
        "I cannot help with this.",
        "I am unable to analyze images.",
        "Unfortunately, I'm not able to inspect this picture.",
        "As an AI language model, I can't see images.",
        "I won't be able to provide scores.",
        "I must decline this request.",
        "I don't have the ability to view images.",
        "I'm sorry, but I can't rate region 3.",
        "抱歉，我无法分析这张图片。",  # noqa: RUF001 - likewise
    ],
)
def test_refusal_is_told_apart(text):
    """An answer without scores that declines is refused."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (None, {}, "refused")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "0.9",
        "No anomalies found.",
        "I can't see any anomalies in the image.",
        "I'm unable to identify any defects.",
        "The screw cannot provide support.",
        "Yes, there is an anomaly in region 3.",
        "image anomaly score: X; region N: Y",
        "image anomaly score: <0.1",
        "image anomaly score: \u0660.\u0669; region \u0663: 0.7",
        "| 3 | 0.7 |",
        "<think>image anomaly score: 0.9; region 3: 0.7",
        "region 61: 0.7",
    ],
)
def test_nothing_is_invented(text):
    """An answer without a usable score is unparsable and holds none."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status) == (None, {}, "unparsable")


def test_notes_are_few_short_and_printable():
    """Notes quote little of an answer, none of its control characters, and their number is bounded."""
    text = "image anomaly score: 0.5;" + "".join(f"region {n}: 1.{n}\x1b[31m;" for n in range(100, 200))
    notes = parse(f"{text} region 3: {'7' * 9000}", N).notes
    assert len(notes) == 21
    assert notes[-1] == "And 81 more."
    assert all(len(note) < 120 and note.isprintable() for note in notes)
    quoted = parse(f"image anomaly score: 0.5; region 3: {'7' * 9000}", N).notes[0]
    assert "'" + "7" * 37 + "...'" in quoted


def test_refused_answer_holds_no_scores():
    """What the server calls a refusal is one, whatever the text says; its reason is quoted safely."""
    scores = read(Answer("image anomaly score: 0.9", outcome="refused", detail="content_filter\x1b[2J" + "x" * 500), N)
    assert (scores.image, dict(scores.regions), scores.status) == (None, {}, "refused")
    assert "content_filter" in scores.notes[0]
    assert scores.notes[0].isprintable()
    assert len(scores.notes[0]) < 80


@pytest.mark.parametrize(
    ("text", "image", "regions"),
    [
        ("image anomaly score: 0.9; region 1: 0.9; region", 0.9, {1: 0.9}),
        ("image anomaly score: 0.9; region 1: 0.9; region 3: 0", 0.9, {1: 0.9}),
        ("image anomaly score: 0.9; region 1: 0.9; region 3: 0.", 0.9, {1: 0.9}),
        ("image anomaly score: 0.9; region 1: 0.9; region 3: 7/1", 0.9, {1: 0.9}),
        ("image anomaly score: 0.9; region 1: 0.9; region 3: 0.7", 0.9, {1: 0.9, 3: 0.7}),
        ('{"image_score": 0.9, "regions": [{"region": 1, "score": 0.9}, {"region": 3, "score": 0', 0.9, {1: 0.9}),
        ("image anomaly score: 1", None, {}),
        ("Scores in percent.\nimage anomaly score: 8\u200b0", None, {}),
        ("image anomaly score: \uff10\uff0e\uff19\uff1b region 3: \uff10\uff0e", 0.9, {}),
        ("I'm sorry, but I can't", None, {}),
        ("<think>image anomaly score: 0.9; region 3: 0.7. But", None, {}),
    ],
)  # fmt: skip
def test_cut_answer_keeps_what_was_readable(text, image, regions):
    """An answer that was cut off is truncated; its whole numbers are kept, half a number is not."""
    scores = read(Answer(text, outcome="truncated"), N)
    assert (scores.image, dict(scores.regions), scores.status) == (image, regions, "truncated")
    assert scores.notes


def test_read_of_a_finished_answer_is_parse():
    """An answer that ended by itself is read from its text."""
    text = "image anomaly score: 0.9; region 61: 0.9; region 3: 0.7."
    assert dataclasses.asdict(read(Answer(text), N)) == dataclasses.asdict(parse(text, N))


def test_written_format_is_the_published_one():
    """Scores are written in the published format: fixed notation, no trailing zeros, regions in order."""
    assert write(0.9, {3: 0.7, 1: 0.9}) == "image anomaly score: 0.9; region 1: 0.9; region 3: 0.7."
    assert write(0.0000004, {10: 1e-5, 9: 1.0, 2: 0.1234567}) == (
        "image anomaly score: 0; region 2: 0.123457; region 9: 1; region 10: 0.00001."
    )
    assert write(1.0, {}) == "image anomaly score: 1."


MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 8)))


@settings(max_examples=40, deadline=None)
@given(masks=MASKS, data=st.data())
def test_a_pixel_takes_the_highest_score_that_covers_it(masks, data):
    """Overlaps take the maximum, uncovered pixels 0; equal to painting pixel by pixel."""
    numbers = st.integers(1, len(masks))
    scores = data.draw(st.dictionaries(numbers, st.floats(0, 1)))
    painted = paint(scores, Regions.from_masks(masks)).dense()
    by_hand = np.zeros(masks.shape[1:])
    for number, score in scores.items():
        by_hand = np.maximum(by_hand, masks[number - 1] * score)
    assert np.array_equal(painted, by_hand)


def test_binary_painting_names_regions():
    """Binary paints 1 for every region with a score above 0, whatever the score."""
    regions = Regions.from_labels(np.array([[1, 2, 3, 0]]))
    assert paint({1: 0.2, 2: 0.0}, regions, binary=True).dense().tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_a_region_that_does_not_exist_cannot_be_painted():
    """A wrong number is an error, not silently dropped."""
    with pytest.raises(IndexError, match="no region 2; the division has 1"):
        paint({2: 0.5}, Regions.from_labels(np.array([[1]])))


def test_the_note_on_an_empty_answer_says_why():
    """A sentence of the backend is part of the note, shortened and without control characters; one word is not."""
    assert read(Answer("", "empty", detail="stop"), N).notes == ("The answer holds no text.",)
    assert read(Answer("", "empty", detail="only \x1b thoughts"), N).notes == (
        "The answer holds no text: only   thoughts",
    )
    (*_, note) = read(Answer(" ", "truncated", detail="too long " * 200), N).notes
    assert note.startswith("The answer was cut off: too long too long")
    assert len(note) < 400
    assert read(Answer("region 1", "truncated", detail="of no use here"), N).notes[-1] == "The answer was cut off."
