"""What may be wrong with the places in an answer, by name."""

from __future__ import annotations

__all__ = ["FLAGS", "HARMLESS"]

FLAGS = {
    "bad_score": "A score is no number from 0 to 1; it is left out.",
    "bad_shape": "A place has too few or too many coordinates; it is left out.",
    "clipped": "A place lies partly outside the image; it is cut at the edge.",
    "cut": "The list of places is damaged or cut off; what is complete in it is kept.",
    "degenerate": "A box has no width or no height; it is left out.",
    "duplicate": "A place is given more than once; it is counted once, with its highest score.",
    "looped": "The answer repeats a place more than ten times.",
    "low_mass": "Yes and no together are less likely than other words.",
    "negated": "The label of a place says that there is no defect; the place is left out.",
    "no_image_score": "The answer states no image score; the highest score of its places is used, if there is one.",
    "no_mask": "A mask cannot be read; its box is used instead.",
    "no_score": "A place has no score; it gets the image score, or 1 if there is none.",
    "not_convention": "The coordinates cannot be of the model's convention; no place is used.",
    "outside_grid": "A cell is not in the grid; it is left out.",
    "swapped": "The right or lower side of a box comes before the left or upper one; the box is left out.",
    "too_many": "The answer gives more than 100 places; the first 100 count.",
    "whole_image": "A box covers at least 95 % of the image.",
    "zero_box": "All coordinates of a box are 0; this counts as no defect.",
}
"""What was wrong with an answer's places -> one sentence for the user."""

HARMLESS = frozenset({"duplicate", "whole_image"})
"""The flags with which an answer is still "ok"."""
