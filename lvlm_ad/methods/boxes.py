"""Boxes: the model draws a box around each defect, in its own convention for coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lvlm_ad.methods.in_convention import InConvention, convention_of, sent_size
from lvlm_ad.methods.one_question import defects
from lvlm_ad.methods.wording import box_words
from lvlm_ad.regions.shapes import Box
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.places import read_boxes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.conventions import Convention
    from lvlm_ad.methods.contract import Places, View

__all__ = ["Boxes"]

_POINTS = {"molmo", "molmo2"}
"""Notations of models that write points alone."""
_TOKENS = {"loc", "loc_", "patch"}
"""Notations with tokens for coordinates, beside which no score can stand."""


class Boxes(InConvention):
    """Asks for a box around each defect.

    A box is painted with its score, or with 1 if scores are not asked for.
    """

    prompt: ClassVar[str] = "boxes"
    placeholders: ClassVar[tuple[str, ...]] = ("box", "numbers")
    places: ClassVar[Places] = "boxes"

    def why_not_in(self, convention: Convention) -> str:
        """Say that a model writes points, or boxes without scores though scores are asked for."""
        forms = set(convention.forms)
        if forms <= _POINTS:
            return "it writes points, not boxes"
        if self.options.scored and forms <= _TOKENS:
            return "it writes boxes as tokens, which have no scores"
        return ""

    def words(self, convention: Convention, size: tuple[int, int]) -> dict[str, str]:
        """Say how to write a box."""
        return box_words(convention, size)

    def read(self, answer: Answer, view: View) -> Finding:
        """Return the boxes."""
        return read_boxes(answer, convention_of(view), sent_size(view), scored=self.options.scored)

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:  # noqa: ARG002
        """Return the bounding box of each defect.

        If scores are asked for, the score of a box is the fraction of its pixels that are defective. No other scores
        order the boxes better, because their likelihood ratio grows with it (Neyman-Pearson lemma).
        """
        boxes = []
        for (rows, columns), _ in defects(mask):
            score = float(mask[rows, columns].mean()) if self.options.scored else 1.0
            boxes.append(Box(columns.start, rows.start, columns.stop, rows.stop, score))
        return Finding(float(bool(boxes)), tuple(boxes))
