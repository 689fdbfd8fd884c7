"""The ground truth in the format of the answers: the upper limit of a division, or of another method."""

from __future__ import annotations

import numpy as np

from lvlm_ad.baseline import Baseline, DenseScores, View

__all__ = ["Oracle"]


class Oracle(Baseline):
    """Uses the label as image score, and the mask as map, which the framework averages over each region.

    Among all maps that are constant on regions, the fraction of defective pixels gives the highest pixel AUROC
    (Neyman-Pearson lemma: a region's likelihood ratio grows with it). Without a mask the map is 0. With another method
    than regions, the method says what its best finding is.
    """

    rows = ("regions",)
    reference_row = True
    sees_truth = True
    through_method = True

    def score(self, view: View) -> DenseScores:
        """Return the truth."""
        if view.truth is None:
            raise ValueError("The oracle needs a view with the ground truth.")
        mask = view.truth.mask
        empty = np.zeros(view.size)
        return DenseScores(image=float(view.truth.label), map=empty if mask is None else mask.astype(np.float64))
