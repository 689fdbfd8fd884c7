"""Score: one image score for the unmarked picture. It shows how marks and places change the image score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from lvlm_ad.methods.one_question import OneQuestion
from lvlm_ad.text2seg import read
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.methods.contract import Places, View

__all__ = ["ImageScore"]


class ImageScore(OneQuestion):
    """Asks for an image anomaly score and for nothing else."""

    # The published format, without regions.
    question_options: ClassVar[dict[str, Any]] = {"n_regions": 0}
    prompt: ClassVar[str] = "score"
    places: ClassVar[Places] = ""

    def read(self, answer: Answer, view: View) -> Finding:
        """Return the score."""
        return Finding.of(read(answer, 0, view.protocol.scoring))

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:  # noqa: ARG002
        """Return whether there is a defect."""
        return Finding(float(mask.any()))
