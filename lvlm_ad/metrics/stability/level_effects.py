"""The interval of the variance between chosen levels: how far the mean scores of the levels truly lie apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import helmert
from scipy.optimize import brentq
from scipy.special import chdtri, chndtr, stdtrit

from lvlm_ad.metrics.stability.measured import ALIKE, SAME, Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["level_variance"]

_QUANTILES = 200
"""Of the uncertain scale; probabilities are averaged over them."""

_FAR = 1e4
"""How many times as large as its noise a squared length is from which on the length itself is taken as normal."""

_ZERO = 40.0
"""With this logarithm of the multiplier all true means are 0, up to rounding."""


def level_variance(cells: NDArray[np.float64]) -> Measured:
    """Estimate the variance between the true means of A levels that were chosen, not drawn at random.

    Each image gives A - 1 orthonormal contrasts of its levels. Their mean over images has the squared length D; the
    interval has the squared lengths d of the true mean for which the probability of a D up to the observed one is 2.5
    to 97.5 %. For each d the true mean is the most likely one of this length under normal scores, and D is taken as a
    scaled noncentral chi-squared variable of its mean and variance (Satterthwaite, Biometrics Bull. 2:110-114, 1946;
    Patnaik, Biometrika 36:202-232, 1949). Both use the covariance of the contrasts, since images may disagree more
    about one level than about others. That it is an estimate makes the scale uncertain, by a chi-squared variable with
    n - 1 degrees of freedom, as in Student's t; the sum of its squared elements is taken without bias (Bai and
    Saranadasa, Stat. Sinica 6:311-329, 1996).

    Args:
        cells: ``(n, A)``, the mean score of each image at each level; n is 3 or more, A is 2 or more.

    Returns:
        Sum of the squared effects of the levels over A - 1, minus what noise adds to it. The interval starts at 0, or
        at an estimate below 0, where it cannot exclude 0. It is None where all images are alike, and where the levels
        lie closer together than noise lets them, as in 1 of 40 studies by chance.

    Example:
        >>> found = level_variance(np.array([[0.1, 0.5], [0.2, 0.5], [0.0, 0.5], [0.1, 0.6]]))
        >>> round(found.value, 3), [round(end, 3) for end in found.interval]
        (0.089, [0.037, 0.167])
    """
    n, levels = cells.shape
    contrasts = (cells - cells[:, :1]) @ helmert(levels).T
    mean = contrasts.mean(axis=0)
    covariance = np.atleast_2d(np.cov(contrasts.T)) / n
    length, noise = float(mean @ mean), float(np.trace(covariance))
    value = (length - noise) / (levels - 1)
    if noise < SAME**2:
        return Measured(value, None, ALIKE)
    # In units of the noise, along the axes on which the contrasts are independent.
    variances, axes = np.linalg.eigh(covariance / noise)
    means = mean @ axes / math.sqrt(noise)
    # A mean of exactly 0 on the last axis would never become as long as the upper end.
    means[-1] = math.copysign(max(abs(means[-1]), 1e-6), means[-1])
    spread = float(variances @ variances)
    if levels > 2:  # noqa: PLR2004 - one contrast has one variance
        unbiased = (n - 1) ** 2 / ((n - 2) * (n + 1)) * (spread - 1 / (n - 1))
        spread = min(max(unbiased, 1 / (levels - 1)), 1.0)
    shares = chdtri(n - 1, (np.arange(_QUANTILES) + 0.5) / _QUANTILES) / (n - 1)

    def true(multiplier: float) -> tuple[float, float]:
        """Return the squared length of a most likely mean, and the scale; the logarithm of the multiplier gives it."""
        squares = (means / (1 + variances * math.expm1(multiplier) / variances[-1])) ** 2
        d = float(squares.sum())
        return d, (spread + 2 * float(squares @ variances)) / (1 + 2 * d)

    def below(multiplier: float) -> float:
        """Return the probability of a squared length up to the observed one."""
        d, scale = true(multiplier)
        return float(chndtr(length / noise * shares / scale, 1 / scale, d * shares / scale).mean())

    if length > _FAR * noise:
        d, scale = true(0.0)
        half = float(stdtrit(n - 1, 0.975)) * math.sqrt(scale)
        low, high = ((math.sqrt(d) + side) ** 2 for side in (-half, half))
    elif below(_ZERO) <= 0.025:  # noqa: PLR2004 - the upper end would be below 0
        return Measured(value, None, "the levels lie closer together than noise lets them")
    else:
        far = -1.0
        while below(far) > 0.025:  # noqa: PLR2004 - 2.5 % on each side
            far -= 1
        high = true(brentq(lambda at: below(at) - 0.025, far, _ZERO))[0]
        excluded = below(_ZERO) > 0.975  # noqa: PLR2004 - likewise
        low = true(brentq(lambda at: below(at) - 0.975, 0.0, _ZERO))[0] if excluded else 0.0
    low, high = (noise * end / (levels - 1) for end in (low, high))
    return Measured(value, (low or min(value, 0.0), high))
