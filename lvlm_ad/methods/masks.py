"""Masks: the model outlines each defect. Experimental, because few models document masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lvlm_ad.methods.in_convention import InConvention, convention_of, sent_size
from lvlm_ad.methods.one_question import defects
from lvlm_ad.methods.wording import mask_words
from lvlm_ad.regions.shapes import Mask
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.places import read_masks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.conventions import Convention
    from lvlm_ad.methods.contract import AskedModel, Places, View

__all__ = ["Masks"]

_UNDOCUMENTED = "its masks are not documented"


class Masks(InConvention):
    """Asks for a box and a mask of each defect; the mask is a picture of probabilities, or a polygon.

    In a picture, pixels above 127 of 255 count. Where a mask cannot be read, its box counts.
    """

    prompt: ClassVar[str] = "masks"
    placeholders: ClassVar[tuple[str, ...]] = ("box", "numbers", "polygon")
    places: ClassVar[Places] = "masks"

    def why_not(self, model: AskedModel) -> str:
        """Say that a model's masks are not documented; they never are where questions state the convention."""
        return super().why_not(model) or (_UNDOCUMENTED if model.state_convention else "")

    def why_not_in(self, convention: Convention) -> str:
        """Say that a model's masks are not documented."""
        return "" if convention.polygons else _UNDOCUMENTED

    def words(self, convention: Convention, size: tuple[int, int]) -> dict[str, str]:
        """Say how to write a box and a polygon."""
        return mask_words(convention, size)

    def read(self, answer: Answer, view: View) -> Finding:
        """Return the masks, and boxes whose mask cannot be read."""
        return read_masks(answer, convention_of(view), sent_size(view), scored=self.options.scored)

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:  # noqa: ARG002
        """Return the exact mask of each defect."""
        masks = tuple(Mask(columns.start, rows.start, own, 1.0) for (rows, columns), own in defects(mask))
        return Finding(float(bool(masks)), masks)
