"""Random scores: the result of a method that knows nothing."""

from __future__ import annotations

import hashlib

import numpy as np

from lvlm_ad.baseline import Baseline, DenseScores, View

__all__ = ["Chance"]

_CELLS = 16
"""Scores are drawn on a coarse grid: the mean of independent pixels over a region would always be about 0.5."""


class Chance(Baseline):
    """An image score and a score for each square of a 16 x 16 grid, all drawn uniformly from [0, 1)."""

    rows = ("regions",)
    reference_row = True
    seeded = True

    def score(self, view: View) -> DenseScores:
        """Draw scores from the view's seed; the image is ignored."""
        # Philox gives the same numbers on every machine and with every NumPy.
        key = int.from_bytes(hashlib.sha256(f"chance/{view.seed}".encode()).digest()[:16], "little")
        draw = np.random.Generator(np.random.Philox(key=key))
        height, width = view.size
        coarse = draw.random((_CELLS, _CELLS))
        rows, columns = (np.arange(side) * _CELLS // side for side in (height, width))
        return DenseScores(image=float(draw.random()), map=coarse.take(rows, axis=0).take(columns, axis=1))
