"""Prompt Designing: draw the marks (``marks``) and write the question (``question``)."""

from lvlm_ad.prompts.drawing import Drawing, Marked, Whole
from lvlm_ad.prompts.marks import MarkStyle, NumberBox, borders, draw_grid, draw_marks, marks_alone, place_numbers
from lvlm_ad.prompts.question import (
    Questioner,
    answer_schema,
    check_prompt,
    class_name,
    fill_prompt,
    sentences,
)
from lvlm_ad.prompts.references import ReferencePool, own_references, reference_paths, reference_sets

__all__ = [
    "Drawing",
    "MarkStyle",
    "Marked",
    "NumberBox",
    "Questioner",
    "ReferencePool",
    "Whole",
    "answer_schema",
    "borders",
    "check_prompt",
    "class_name",
    "draw_grid",
    "draw_marks",
    "fill_prompt",
    "marks_alone",
    "own_references",
    "place_numbers",
    "reference_paths",
    "reference_sets",
    "sentences",
]
