"""DeLong's test of the difference of two AUROCs (Biometrics 44:837-845, 1988)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from lvlm_ad.errors import MetricError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DeLong", "delong", "mean_delong", "p_value_of", "placements"]


@dataclass(frozen=True, slots=True)
class DeLong:
    """A difference of two AUROCs.

    Attributes:
        difference: the first minus the second.
        variance: of the difference; None with fewer than two images of a kind.
        p_value: two-sided, that there is no difference; None without a variance, and for a difference of variance 0.
    """

    difference: float
    variance: float | None
    p_value: float | None


def placements(labels: NDArray[np.bool_], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each image the fraction of the other kind's images that it is ranked correctly against.

    Ties count half. The mean over either kind is the AUROC.

    Args:
        labels: bool ``(n,)``, True if anomalous; both kinds occur.
        scores: ``(n,)``, finite.
    """
    fractions = np.empty(labels.size)
    for kind, sign in ((True, 1), (False, -1)):
        own, other = sign * scores[labels == kind], np.sort(sign * scores[labels != kind])
        twice_won = np.searchsorted(other, own, side="left") + np.searchsorted(other, own, side="right")
        fractions[labels == kind] = twice_won / (2 * other.size)
    return fractions


def delong(labels: NDArray[np.bool_], first: NDArray[Any], second: NDArray[Any]) -> DeLong:
    """Compare the AUROCs of two scores of the same images.

    Args:
        labels: bool ``(n,)``, True if anomalous.
        first: ``(n,)``, finite scores.
        second: ``(n,)``, the other scores.

    Raises:
        MetricError: one of the kinds does not occur.
    """
    if labels.all() or not labels.any():
        raise MetricError("AUROC needs anomalous and normal images.")
    apart = placements(labels, first) - placements(labels, second)
    difference = float(apart[labels].mean())
    kinds = (apart[labels], apart[~labels])
    if min(one.size for one in kinds) < 2:  # noqa: PLR2004 - one image has no variance
        return DeLong(difference, None, None)
    variance = float(sum(one.var(ddof=1) / one.size for one in kinds))
    return DeLong(difference, variance, p_value_of(difference, variance))


def mean_delong(tests: Sequence[DeLong]) -> DeLong | None:
    """Test the mean over categories, whose images are independent; None without a category."""
    if not tests:
        return None
    difference = float(np.mean([one.difference for one in tests]))
    variances = [one.variance for one in tests if one.variance is not None]
    if len(variances) < len(tests):
        return DeLong(difference, None, None)
    variance = math.fsum(variances) / len(tests) ** 2
    return DeLong(difference, variance, p_value_of(difference, variance))


def p_value_of(difference: float, variance: float) -> float | None:
    """Return the p-value of a normal difference: without variance 1 if it is 0, else None."""
    if variance == 0:
        return None if difference else 1.0
    return float(2 * ndtr(-abs(difference) / math.sqrt(variance)))
