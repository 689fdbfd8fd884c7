"""Prompt Designing: draws the marks and writes the question."""

from lvlm_ad.prompts.marks import MarkStyle, NumberBox, borders, draw_marks, place_numbers
from lvlm_ad.prompts.pictures import Visual, four_pictures, visual_prompt
from lvlm_ad.prompts.question import Questioner, answer_schema, class_name, reference_paths

__all__ = [
    "MarkStyle",
    "NumberBox",
    "Questioner",
    "Visual",
    "answer_schema",
    "borders",
    "class_name",
    "draw_marks",
    "four_pictures",
    "place_numbers",
    "reference_paths",
    "visual_prompt",
]
