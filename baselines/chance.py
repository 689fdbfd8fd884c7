"""Random scores: what a method earns that knows nothing."""

from __future__ import annotations

import random

import numpy as np

from lvlm_ad.detectors import Baseline, DenseScores, View

__all__ = ["Chance"]

_CELLS = 16
"""Scores are drawn on a coarse grid: the mean of independent pixels over any region would be 0.5, no chance in it."""


class Chance(Baseline):
    """An image score and a score for each square of a 16 x 16 grid, all drawn uniformly from [0, 1)."""

    rows = ("regions",)
    frame = True

    def score(self, view: View) -> DenseScores:
        """Draw scores from the view's seed alone; the image is not looked at."""
        draw = random.Random(view.seed)  # noqa: S311 - to be repeated, not to be secret
        height, width = view.image.shape[:2]
        coarse = np.array([draw.random() for _ in range(_CELLS * _CELLS)]).reshape(_CELLS, _CELLS)
        rows, columns = (np.arange(side) * _CELLS // side for side in (height, width))
        return DenseScores(image=draw.random(), map=coarse[np.ix_(rows, columns)])
