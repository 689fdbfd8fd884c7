"""Calibration: whether a score of 0.7 means that 7 of 10 such images are defective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import isotonic_regression

from lvlm_ad.decisions.threshold import as_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SEED = 20_311  # draws must be the same for whoever recomputes the run
_DRAWS = 1_000
_BINS = 10


def calibration(labels: ArrayLike, scores: ArrayLike) -> dict[str, Any] | None:
    """Compare scores, taken as probabilities of a defect, with the labels.

    The Brier score is split exactly on distinct scores: reliability - resolution + uncertainty (Murphy, J. Appl.
    Meteorol. 12:595-600, 1973). The isotonic fit needs no bins: miscalibration is the Brier score minus the fit's,
    discrimination is the uncertainty minus the fit's (Dimitriadis, Gneiting and Jordan, PNAS 118, 2021). ECE has ten
    equal bins; on few images even a calibrated model has an ECE above 0, which ``ece_if_calibrated`` estimates. All of
    it holds at the test images' share of defects.

    Args:
        labels: bool ``(N,)``, True for a defect.
        scores: float ``(N,)`` in [0, 1]; None or NaN: no answer, left out.

    Returns:
        "brier", "reliability", "resolution", "uncertainty", "miscalibration", "discrimination", "ece",
        "ece_if_calibrated" (mean of 1,000 draws), "n", and for each distinct score "levels" the fit "isotonic"; None
        without an answer, or if a score is no probability.

    Example:
        >>> found = calibration([True, False, True, False], [1.0, 0.0, 0.5, 0.5])
        >>> found["brier"], found["reliability"], found["ece"]
        (0.125, 0.0, 0.0)
    """
    values = as_scores(scores)
    answered = ~np.isnan(values)
    defect, values = np.asarray(labels, dtype=np.float64)[answered], values[answered]
    n = len(values)
    if not n or values.min() < 0 or values.max() > 1:
        return None
    levels, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    defects = np.bincount(group, weights=defect)
    share, base, weight = defects / sizes, float(defect.mean()), sizes / n
    fit = np.asarray(isotonic_regression(share, weights=sizes).x)
    brier = float(np.mean((values - defect) ** 2))
    brier_of_fit = float(np.mean((fit[group] - defect) ** 2))
    uncertainty = base * (1 - base)
    draws = np.random.default_rng(_SEED).binomial(sizes, levels, size=(_DRAWS, len(levels)))
    return {
        "brier": brier,
        "reliability": float(weight @ (levels - share) ** 2),
        "resolution": float(weight @ (share - base) ** 2),
        "uncertainty": uncertainty,
        "miscalibration": brier - brier_of_fit,
        "discrimination": uncertainty - brier_of_fit,
        "ece": float(_ece(levels, sizes, defects[None])[0]),
        "ece_if_calibrated": float(_ece(levels, sizes, draws).mean()),
        "n": n,
        "levels": (levels + 0.0).tolist(),
        "isotonic": fit.tolist(),
    }


def _ece(levels: NDArray[np.float64], sizes: NDArray[Any], defects: NDArray[Any]) -> NDArray[np.float64]:
    """Return the expected calibration error for each row of defects by level."""
    bins = np.minimum((levels * _BINS + 1e-9).astype(int), _BINS - 1)
    member = np.eye(_BINS)[bins]
    return np.asarray(np.abs((defects - sizes * levels) @ member).sum(axis=1) / sizes.sum(), dtype=np.float64)
