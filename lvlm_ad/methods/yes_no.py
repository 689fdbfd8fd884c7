"""Yes or no: one word for the unmarked picture; the probability of "yes" is the image score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from lvlm_ad.methods.one_question import OneQuestion
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.yes_no import read_yes_no

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.methods.contract import Places, View

__all__ = ["YesNo"]


class YesNo(OneQuestion):
    """Asks whether the product is anomalous.

    The image score is P(yes) / (P(yes) + P(no)) at the first token of the answer. Without probabilities, or if that
    token is neither, it is 1 or 0 by the text.
    """

    question_options: ClassVar[dict[str, Any]] = {"probabilities": True}
    prompt: ClassVar[str] = "yes-no"
    places: ClassVar[Places] = ""

    def read(self, answer: Answer, view: View) -> Finding:  # noqa: ARG002
        """Return the probability of "yes", or the word."""
        return read_yes_no(answer)

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:  # noqa: ARG002
        """Return whether there is a defect."""
        return Finding(float(mask.any()))
