"""Abstention: how many decisions are wrong if only the surest are accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.decisions.threshold import as_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

COVERAGES = (0.5, 0.8, 1.0)
RISKS = (0.01, 0.05)


def risk_coverage(labels: ArrayLike, alarms: ArrayLike, confidence: ArrayLike) -> dict[str, Any]:
    """Accept the surest decisions first, and count how many of the accepted are wrong.

    Images without an answer are never accepted, so they bound the coverage. All images of one confidence are accepted
    at once. Coverage is the share of accepted images, risk the share of wrong decisions among them; the area is the
    sum of newly accepted shares times the risk after them (after El-Yaniv and Wiener, JMLR 11:1605-1641, 2010).

    Args:
        labels: bool ``(N,)``, True for a defect.
        alarms: bool ``(N,)``, the decisions.
        confidence: float ``(N,)``, such as the distance of the score from the threshold; None or NaN: no answer.

    Returns:
        "points" as [coverage, risk], "area", "max_coverage", "risk_at" {"0.5", "0.8", "1": the risk at the smallest
        coverage at or above it, None if it is not reached}, "coverage_at" {"0.01", "0.05": the largest coverage with
        no more risk}, and "risk_abstentions_wrong", the risk of all images if no answer counts as a wrong decision.

    Example:
        >>> found = risk_coverage([True, False, True], [True, True, False], [0.5, 0.1, None])
        >>> found["max_coverage"], found["risk_at"]["0.5"], found["risk_at"]["1"]
        (0.6666666666666666, 0.5, None)
    """
    # Rounded: 0.7 - 0.5 and 0.5 - 0.3 are one distance.
    sure = np.round(as_scores(confidence), 12)
    wrong = np.asarray(labels, dtype=np.bool_) != np.asarray(alarms, dtype=np.bool_)
    answered = ~np.isnan(sure)
    n = len(sure)
    _, group, sizes = np.unique(-sure[answered], return_inverse=True, return_counts=True)
    accepted = np.cumsum(sizes)
    risk = np.cumsum(np.bincount(group, weights=wrong[answered], minlength=len(sizes))) / accepted
    points = [[int(k) / n, float(r)] for k, r in zip(accepted, risk, strict=True)]
    return {
        "max_coverage": int(answered.sum()) / n if n else 0.0,
        "area": float(sizes @ risk) / n if n else 0.0,
        "risk_at": {f"{least:g}": next((r for c, r in points if c >= least), None) for least in COVERAGES},
        "coverage_at": {f"{most:g}": max((c for c, r in points if r <= most), default=0.0) for most in RISKS},
        "risk_abstentions_wrong": int((wrong | ~answered).sum()) / n if n else None,
        "points": points,
    }
