"""Two ways of asking about the same images: by how much the score shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability.measured import Measured, as_table, student

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["paired_shift"]


def paired_shift(first: ArrayLike, second: ArrayLike) -> Measured:
    """Compute the mean of first minus second over images, with Student's interval of paired differences.

    Args:
        first: ``(n,)``, a number of each image, such as its score with marks; NaN or None where it is missing.
        second: ``(n,)``, the other, such as its score without marks. Images that lack one of the two are left out.

    Returns:
        The interval is (0, 0) if no image differs at all; None for fewer than two images, and if all differ
        alike.

    Raises:
        MetricError: the two have different sizes or are not numbers.

    Example:
        >>> found = paired_shift([0.5, 0.75, 1.0], [0.5, 0.5, 0.5])
        >>> found.value, [round(end, 2) for end in found.interval]
        (0.25, [-0.37, 0.87])
    """
    one, other = as_table(first, "first numbers", 1), as_table(second, "second numbers", 1)
    if one.size != other.size:
        raise MetricError(f"There are {one.size} first numbers and {other.size} second ones; they must be pairs.")
    difference = one - other
    difference = difference[~np.isnan(difference)]
    found = student(difference)
    if difference.size > 1 and not difference.any():
        return Measured(0.0, (0.0, 0.0))
    return found
