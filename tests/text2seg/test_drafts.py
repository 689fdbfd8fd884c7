"""What a model took back does not count: struck-out text, and drafts that a final statement replaces."""

import pytest

from lvlm_ad.text2seg import parse

DRAFT = "Draft: image anomaly score: 0.9; region 1: 0.9; region 3: 0.7."


def reading(text):
    scores = parse(text, 60)
    return scores.image, dict(scores.regions), scores.status


@pytest.mark.parametrize(
    "struck",
    [
        "~~0.9~~",
        "~0.9~",
        "~~**0.9**~~",
        "<s>0.9</s>",
        '<del datetime="2026">0.9</del>',
        "<STRIKE>0.9</STRIKE>",
        "0\u0336.\u03369\u0336",
        "\\sout{0.9}",
        "[s]0.9[/s]",
        '<span style="text-decoration: line-through">0.9</span>',
        "<!-- 0.9 -->",
    ],
)
def test_struck_out_numbers_do_not_count(struck):
    """A number that is struck out is none, before or after the one that replaces it, in lines and in tables."""
    assert reading(f"Image anomaly score: {struck} 0.2; region 3: {struck} 0.4.") == (0.2, {3: 0.4}, "ok")
    assert reading(f"- Image anomaly score: **0.2** {struck}\n- Region 3: **0.4** {struck}") == (0.2, {3: 0.4}, "ok")
    table = f"| Region | Score |\n|---|---|\n| Image | {struck} 0.2 |\n| 3 | {struck} 0.4 |"
    assert reading(table) == (0.2, {3: 0.4}, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "Image anomaly score: 0.2; ~~region 3: 0.9;~~ region 5: 0.4.",
        "<del>\nImage anomaly score: 0.9\nRegion 3: 0.9\n</del>\nImage anomaly score: 0.2\nRegion 5: 0.4",
        "<s>Image anomaly score: 0.2; region 5: 0.4.</s>",
        "assistant\n<s>Image anomaly score: 0.2; region 5: 0.4.</s>",
        "Image anomaly score: ~0.2; region 5: ~0.4",
        "~~~\nImage anomaly score: 0.2; region 5: 0.4.\n~~~",
    ],
)
def test_whole_statements_are_struck_out_and_other_signs_are_not(text):
    """A struck-out statement is gone; the tokens around a turn, "about" and a fence strike nothing out."""
    assert reading(text) == (0.2, {5: 0.4}, "ok")


@pytest.mark.parametrize(
    "final",
    [
        "Final answer:",
        "**Final Answer**\n\n",
        "Corrected:",
        "On closer inspection:",
        "Wait, that was a reflection.",
        "Final verdict:",
        "最终答案:",
    ],
)
def test_the_final_statement_clears_the_regions_of_the_draft(final):
    """A final statement without anomalous regions has none, whatever the draft named."""
    assert reading(f"{DRAFT}\n\n{final} image anomaly score: 0.9; no anomalous regions.") == (0.9, {}, "ok")
    assert reading(f"{DRAFT} {final} image anomaly score: 0.9. None of the regions is anomalous.") == (0.9, {}, "ok")
    assert reading(f"{DRAFT}\n{final} image anomaly score: 0.9\nAnomalous regions: none") == (0.9, {}, "ok")
    assert reading(f"Region 3: 0.7.\n{final} image anomaly score: 0.1; no anomalous regions.") == (0.1, {}, "ok")
    assert reading(f"{DRAFT}\n{final} image anomaly score: 0.9; region 5: 0.4.") == (0.9, {5: 0.4}, "ok")
    assert reading(f"{DRAFT}\n{final} no anomalous regions.") == (0.9, {}, "partial")


@pytest.mark.parametrize("final", ["Final answer:", "### Final scores\n", "Revised regions:"])
def test_the_final_statement_counts_with_its_regions(final):
    """The regions of a final statement replace those of the draft, before or without an image score too."""
    assert reading(f"{DRAFT}\n{final} region 5: 0.4; image anomaly score: 0.4.") == (0.4, {5: 0.4}, "ok")
    assert reading(f"{DRAFT}\n{final} region 5: 0.4.") == (0.9, {5: 0.4}, "partial")
    assert reading(f"Region 3: 0.7.\n{final} image anomaly score: 0.7.") == (0.7, {3: 0.7}, "ok")


@pytest.mark.parametrize(
    ("text", "image", "regions"),
    [
        ("Region 3: 0.9, hm. <answer>image anomaly score: 0.1</answer>", 0.1, {}),
        ("Image anomaly score: <answer>0.9</answer>; region 3: <answer>0.7</answer>", 0.9, {3: 0.7}),
        (f"{DRAFT}\n最終回答: image anomaly score: 0.9; 異常な領域はありません。", 0.9, {}),
        (f"{DRAFT}\nFinal answer: image anomaly score: 0.9; keine auffälligen Regionen.", 0.9, {}),
    ],
)
def test_the_final_statement_is_known_by_tags_and_in_other_languages(text, image, regions):
    """Tags around the answer part it from the draft, tags around numbers do not."""
    assert reading(text) == (image, regions, "ok")


@pytest.mark.parametrize(
    "after",
    [
        "No other anomalous regions.",
        "All other regions are normal.",
        "No anomalous regions besides regions 1 and 3.",
        "The anomaly score of 0.9 reflects the scratch.",
        "If there are no anomalous regions, I leave the list out.",
        "Wait, region 5 is scratched too: region 5: 0.6.",
    ],
)
def test_a_remark_clears_nothing(after):
    """A remark on the other regions, a rule and an addition leave the regions as they are."""
    regions = {1: 0.9, 3: 0.7, **({5: 0.6} if "Wait" in after else {})}
    assert reading(f"Image anomaly score: 0.9; region 1: 0.9; region 3: 0.7. {after}") == (0.9, regions, "ok")


def test_low_scores_stay_beside_a_remark_that_nothing_is_anomalous():
    """Scores that were given stay where nothing is taken back."""
    text = "Region 3: 0.1; region 5: 0.05. Image anomaly score: 0.1. None of the regions is anomalous."
    assert reading(text) == (0.1, {3: 0.1, 5: 0.05}, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "Image anomaly score: 0.9 → 0.2; region 3: 0.9 -> 0.4",
        "Image anomaly score: 0.9 (revised to 0.2); region 3: 0.9 (corrected: 0.4).",
        "Image anomaly score: initially 0.9, now 0.2. Region 3: 0.9, no, 0.4.",
        "| Region | Initial score | Final score |\n|---|---|---|\n| Image | 0.9 | 0.2 |\n| 3 | 0.9 | 0.4 |",
        '{"draft": {"image_score": 0.9, "regions": {"5": 0.9}}, "final": {"image_score": 0.2, "regions": {"3": 0.4}}}',
        '{"image_score": 0.9, "final_image_score": 0.2, "regions": [{"region": 3, "score": 0.9, "final_score": 0.4}]}',
        '{"thoughts": {"regions": {"5": 0.9}}, "image_score": 0.2, "regions": {"3": 0.4}}',
        '[{"image_score": 0.9, "regions": {"5": 0.9}}, {"image_score": 0.2, "regions": {"3": 0.4}}]',
    ],
)
def test_of_two_numbers_the_final_one_counts(text):
    """Where a number replaces another in its line, its row or its object, it counts alone."""
    assert reading(text) == (0.2, {3: 0.4}, "ok")


def test_a_final_answer_that_says_no_label_is_noted():
    """Nobody knows whose score a bare final number is, unless it repeats one."""
    assert reading(f"{DRAFT}\nFinal answer: 0.2") == (0.9, {1: 0.9, 3: 0.7}, "partial")
    assert reading(f"{DRAFT}\nFinal answer: 0.9") == (0.9, {1: 0.9, 3: 0.7}, "ok")
    assert reading(f"{DRAFT}\nWait, region 1 is normal.") == (0.9, {3: 0.7}, "ok")
