"""The ground truth, answered through the same regions and format: the most that a division can earn."""

from __future__ import annotations

import numpy as np

from lvlm_ad.baseline import Baseline, DenseScores, View

__all__ = ["Oracle"]


class Oracle(Baseline):
    """The label as image score; in each region, the fraction of its pixels that are defective.

    Among maps that are constant on regions, ranking them by this fraction gives the highest pixel AUROC there is
    (the likelihood ratio of a region grows with it; Neyman-Pearson). Without a mask the map is empty.
    """

    rows = ("regions",)
    reference_row = True
    sees_truth = True

    def score(self, view: View) -> DenseScores:
        """Return the truth."""
        if view.truth is None:
            raise ValueError("The oracle needs a view with the ground truth.")
        mask = view.truth.mask
        empty = np.zeros(view.image.shape[:2])
        return DenseScores(image=float(view.truth.label), map=empty if mask is None else mask.astype(np.float64))
